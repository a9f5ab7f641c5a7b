"""The table of reports/gguf.md: what a run of bench/gguf.toml found, and the speed of its files by CPU time.

    pytest bench/gguf.toml -k "quality or size or behaviour"
    python -m tools.measuring.gguf_table reports/latest/gguf

Speeds are tokens per second of CPU time of one thread, the best of three calls: other work on the machine
takes wall time, and little of this. A GGUF file is read by llama.cpp, all else by PyTorch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from slimgate.plugins.models import NEW_TOKENS
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.results.quality import QualityFacts
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.load import load_suite

SUITE = Path("bench/gguf.toml")
CALLS, NEW, PROMPTS = 3, 32, (128, 2048)


@dataclass(frozen=True)
class Speeds:
    """Tokens per second of CPU time: of prompts by their length, and of an answer behind the shortest one."""

    prompts: tuple[float, ...]
    answer: float


def main(folder: Path) -> None:
    """Prints the table of a run's folder."""
    record = RunRecord.model_validate_json((folder / "run.json").read_text("utf-8"))
    run = SuiteRun(load_suite(SUITE, str(SUITE)), Store(Path(".slimgate")), device="cpu")
    measured = [model for model in record.variants if model.quality and model.artifact is not None]
    lines = [_line(model, measure_speeds(run, model.name)) for model in measured]
    print(tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True))  # noqa: T201


def _line(model: VariantRecord, speeds: Speeds) -> dict[str, str]:
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
        **{f"prompt {n}": f"{speed:,.0f}" for n, speed in zip(PROMPTS, speeds.prompts, strict=True)},
        "answer": f"{speeds.answer:,.0f}",
    }


def _format_drop(facts: QualityFacts) -> str:
    low, high = facts.interval or (float("nan"), float("nan"))
    return f"{facts.drop_points:.2f} [{low:.2f}, {high:.2f}]"


def measure_speeds(run: SuiteRun, name: str) -> Speeds:
    """Of a model that the store has."""
    variant, folder = run.suite.model(name), run.build(name).artifact.folder
    predictor = variant.runtime.object.load(folder, variant.runtime.params, device="cpu", threads=1)
    ids = np.random.default_rng(0).integers(5, 2000, (1, max(PROMPTS)))
    prompts = []
    for length in PROMPTS:
        prepared = predictor.prepare(_batch(ids[:, :length], new_tokens=1))
        prompts.append(length / _best_seconds(lambda prepared=prepared: predictor.prefill(prepared)))
    prepared = predictor.prepare(_batch(ids[:, : PROMPTS[0]], new_tokens=NEW))
    answers = []
    for _ in range(CALLS):
        state = predictor.prefill(prepared)
        start = time.process_time()
        predictor.decode(state)
        answers.append(time.process_time() - start)
    predictor.close()
    return Speeds(tuple(prompts), (NEW - 1) / min(answers))


def _batch(ids: Any, *, new_tokens: int) -> dict[str, Any]:
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), NEW_TOKENS: np.array([new_tokens])}


def _best_seconds(call: Callable[[], object]) -> float:
    """Seconds of CPU time of the fastest of CALLS calls."""
    seconds = []
    for _ in range(CALLS):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
