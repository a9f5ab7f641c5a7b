"""Compares slimgate's steps with other compression tools, on the same teacher and the same gate rows.

    python -m tools.peers.compare SUITE [ROWS] [NAME …]

SUITE: a text classification whose teacher is like BERT. ROWS: how many gate rows to use (600), or 0 for all.
NAME: only rows of the table whose names contain this word (default: all). The teacher is built in the store
of the suite's runs. Each tool quantizes or prunes the teacher's artifact as its documentation says, and
predicts on the CPU. If a tool is missing or fails, its row has the reason. Bytes are those of the model's
files without the tokenizer, which all of them share. Run it by hand, in an environment that has the tools:

    pip install nncf openvino torchao onnx onnxruntime onnxscript torch-pruning
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import SlimgateError
from slimgate.judge.paired import compute_paired_interval
from slimgate.models.predict import predict_scores
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.plugins.rows import Rows
from slimgate.results.checks import TEACHER
from slimgate.run.run import SuiteRun
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.calibration import calibration_batches
from slimgate.store.store import Store, list_files
from slimgate.suite.reader import load_suite
from tools.peers.peer_case import Case, Result
from tools.peers.peer_tools import PEERS

Booleans = npt.NDArray[np.bool_]
WEIGHTS = (".safetensors", ".json")
NOT_WEIGHTS = ("tokenizer", "special_tokens", "vocab")
OURS: dict[str, list[dict[str, Any]]] = {
    "slimgate int8_dynamic": [{"int8_dynamic": {}}],
    "slimgate int8_dynamic, embeddings": [{"int8_dynamic": {"embeddings": True}}],
    "slimgate weight_only, 8 bits a channel, embeddings": [
        {"weight_only": {"bits": 8, "granularity": "channel", "embeddings": 8}}
    ],
    "slimgate weight_only, 4 bits, groups of 64, embeddings 8": [
        {"weight_only": {"bits": 4, "group_size": 64, "embeddings": 8}}
    ],
    "slimgate weight_only, 4 bits, groups of 64, embeddings 4": [
        {"weight_only": {"bits": 4, "group_size": 64, "embeddings": 4}}
    ],
    "slimgate gptq, 4 bits, groups of 64, embeddings 8": [
        {"gptq": {"bits": 4, "group_size": 64, "embeddings": 8}}
    ],
    "slimgate prune_heads + prune_ffn, half": [
        {"prune_heads": {"pruning_ratio": 0.5}},
        {"prune_ffn": {"pruning_ratio": 0.5}},
    ],
}


@dataclass(frozen=True)
class Line:
    """A row of the table.

    right: (gate rows,) whether each prediction is right. note: why there are no numbers.
    """

    name: str
    bytes: int | None = None
    right: Booleans | None = None
    seconds: float = 0.0
    note: str = ""


def main(arguments: Sequence[str]) -> int:
    """Writes the table to stdout."""
    rows = int(arguments[1]) if len(arguments) > 1 else 600
    run = SuiteRun(load_suite(Path(arguments[0])), Store(Path(".slimgate")), device="cpu")
    gate = Rows(run.rows.gate.table.slice(0, rows or None))
    with tempfile.TemporaryDirectory() as scratch:
        lines = [*compare(run, gate, Path(scratch), arguments[2:])]
    sys.stdout.write(format_table(lines))
    return 0


def compare(run: SuiteRun, gate: Rows, scratch: Path, names: Sequence[str] = ()) -> list[Line]:
    """The teacher, then slimgate's models and those of other tools whose names contain a word of `names`."""
    artifact, task = run.build(TEACHER).artifact, run.suite.setup.task
    classification: Any = task.object
    encoded = classification.encode_rows(task.params, gate, artifact.load("cpu").tokenizer)
    labels = classification.label_indices(task.params, gate, run.rows.facts)

    def attempt(name: str, make: Callable[[Case], Result]) -> Line:
        folder = scratch / str(len(list(scratch.iterdir())))
        folder.mkdir()
        model, start = artifact.load("cpu"), time.perf_counter()
        context = _make_context(run, artifact, folder)
        batches = calibration_batches(model, context, batch_size=1)[:200]
        try:
            result = make(Case(model, encoded, labels, batches, context, folder))
        except ImportError as error:
            return Line(name, note=f"skipped: {error}")
        except Exception as error:  # a tool may raise anything; its row says what
            problem = " ".join(str(error).split())[:120]
            return Line(name, note=f"failed: {type(error).__name__}: {problem}")
        right = result.scores.argmax(axis=1) == labels
        return Line(name, result.bytes, right, time.perf_counter() - start)

    makers = {**{name: make_ours(steps) for name, steps in OURS.items()}, **PEERS}
    chosen = {n: make for n, make in makers.items() if not names or any(word in n for word in names)}
    return [attempt("teacher", make_ours([])), *(attempt(name, make) for name, make in chosen.items())]


def make_ours(steps: list[dict[str, Any]]) -> Callable[[Case], Result]:
    """A function that applies steps of slimgate to the teacher."""

    def make(case: Case) -> Result:
        model = case.model
        for step in steps:
            for name, options in step.items():
                if name not in list_known_plugins("step"):
                    raise ImportError(f"there is no step {name}")
                plugin = load("step", name)
                model = plugin.apply(model, plugin.Params.model_validate(options), case.context)
                model.kind = plugin.gives or model.kind
        model.save(case.folder)
        files = [file for file in list_files(case.folder) if _is_weights_file(file)]
        size = sum((case.folder / file).stat().st_size for file in files)
        predictor = EagerPredictor(model.network, "cpu")
        return Result(size, predict_scores(predictor, case.encoded, batch_size=32))

    return make


def format_table(lines: Sequence[Line]) -> str:
    """The table in Markdown. Drops are against the first line, with Tango's interval (90 %)."""
    first = lines[0]
    if first.right is None or first.bytes is None:
        raise SlimgateError(f"the teacher itself cannot be measured: {first.note}")
    head = f"| of {len(first.right):,} gate rows | MB | times smaller | accuracy | drop in points | seconds |"
    written = [head, "|---|---|---|---|---|---|"]
    for line in lines:
        if line.right is None or line.bytes is None:
            written.append(f"| {line.name} | | | | {line.note} | |")
            continue
        lost, won = int((first.right & ~line.right).sum()), int((~first.right & line.right).sum())
        low, high = compute_paired_interval(lost, won, len(line.right))
        drop = f"{100 * (lost - won) / len(line.right):.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        written.append(
            f"| {line.name} | {line.bytes / 2**20:.2f} | {first.bytes / line.bytes:.2f} "
            f"| {line.right.mean():.4f} | {'' if line is first else drop} | {line.seconds:.0f} |"
        )
    return "\n".join(written) + "\n"


def _is_weights_file(file: str) -> bool:
    return file.endswith(WEIGHTS) and not file.startswith(NOT_WEIGHTS)


def _make_context(run: SuiteRun, artifact: Any, scratch: Path) -> BuildContext:
    task = run.suite.setup.task
    splits = {name: rows for name, rows in run.rows.splits.items() if name != "gate"}
    return BuildContext(
        task=task.object,
        task_params=task.params,
        facts=run.rows.facts,
        splits=splits,
        load_teacher=lambda: artifact.load("cpu"),
        seed=run.suite.seed,
        device="cpu",
        threads=run.suite.threads,
        scratch=scratch,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
