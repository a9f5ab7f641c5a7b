"""The tables of reports/gguf.md: the results of a run of bench/gguf.toml, and the speed of its models.

    pytest bench/gguf.toml -k "quality or size or behaviour"
    python -m tools.measuring.gguf_table reports/latest/gguf

Speeds are tokens per second of wall time, the best of CALLS calls, with one thread and with two. So no other
program may run on the machine. llama.cpp runs GGUF files, and PyTorch runs all other models.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from slimgate.plugins.models import NEW_TOKENS
from slimgate.record.run import VariantRecord, read_record
from slimgate.results.quality import QualityFacts
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

SUITE = Path("bench/gguf.toml")
CALLS, ANSWER_TOKENS, PROMPT_LENGTHS, THREADS = 5, 32, (128, 2048), (1, 2)


def main(folder: Path) -> None:
    """Prints the tables of a run's folder."""
    record = read_record(folder / "run.json")
    run = SuiteRun(load_suite(SUITE, str(SUITE)), Store(Path(".slimgate")), device="cpu")
    measured = [model for model in record.variants if model.quality and model.artifact is not None]
    for make_row in (make_quality_row, lambda model: make_speed_row(run, model)):
        rows = [make_row(model) for model in measured]
        print(tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True), end="\n\n")  # noqa: T201


def make_quality_row(model: VariantRecord) -> dict[str, str]:
    """Size, perplexity and KL of a model, by column."""
    perplexity = model.quality["perplexity"]
    kl = model.behaviour.kl if model.behaviour is not None else None
    assert model.artifact is not None
    return {
        "variant": model.name,
        "bytes": f"{model.artifact.bytes:,}",
        "perplexity": f"{perplexity.value:.2f}",
        "growth, %": "" if perplexity.drop_points is None else _format_drop(perplexity),
        "mean KL": "" if kl is None else f"{kl.mean:.2g}",
        "KL, 99 %": "" if kl is None else f"{kl.p99:.2g}",
        "same top-1": "" if kl is None else f"{kl.same_top1:.1%}",
        "verdict": str(perplexity.verdict or ""),
    }


def _format_drop(facts: QualityFacts) -> str:
    low, high = facts.interval or (float("nan"), float("nan"))
    return f"{facts.drop_points:.2f} [{low:.2f}, {high:.2f}]"


def make_speed_row(run: SuiteRun, model: VariantRecord) -> dict[str, str]:
    """Tokens per second of a model in the store: for each length of a prompt, and for an answer."""
    row = {"variant": model.name}
    for threads in THREADS:
        speeds = measure_speeds(run, model.name, threads)
        row |= {f"{column}, {threads} thr.": f"{speed:,.0f}" for column, speed in speeds.items()}
    return row


def measure_speeds(run: SuiteRun, name: str, threads: int) -> dict[str, float]:
    """Tokens per second by column: `prompt 128`, `prompt 2048`, and `answer`, after the shortest prompt."""
    variant, folder = run.suite.model(name), run.build(name).artifact.folder
    runtime = variant.runtime
    predictor: Any = runtime.object.load(folder, runtime.params, device="cpu", threads=threads)
    ids = np.random.default_rng(0).integers(5, 2000, (1, max(PROMPT_LENGTHS)))
    speeds = {}
    for length in PROMPT_LENGTHS:
        prepared = predictor.prepare(_make_batch(ids[:, :length], new_tokens=1))
        seconds = min(_time_call(partial(predictor.prefill, prepared)) for _ in range(CALLS))
        speeds[f"prompt {length}"] = length / seconds
    prepared = predictor.prepare(_make_batch(ids[:, : PROMPT_LENGTHS[0]], new_tokens=ANSWER_TOKENS))
    states = (predictor.prefill(prepared) for _ in range(CALLS))
    speeds["answer"] = (ANSWER_TOKENS - 1) / min(
        _time_call(partial(predictor.decode, state)) for state in states
    )
    predictor.close()
    return speeds


def _make_batch(ids: Any, *, new_tokens: int) -> dict[str, Any]:
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), NEW_TOKENS: np.array([new_tokens])}


def _time_call(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]))
