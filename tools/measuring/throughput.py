"""Measures how fast slimgate's `predict_scores`, bare forward calls and other libraries evaluate a split.

    python -m tools.measuring.throughput SUITE [ROWS] [ROUNDS] [BATCH]

SUITE: a text classification, such as bench/library_docs.toml. The model is that of its teacher's folder, with
a random head, because speed does not depend on the weights. ROWS: the number of gate rows (default 6,000).
ROUNDS: default 3. BATCH: the rows of a batch (default 64). Each round runs all ways forwards and then
backwards (ABBA), in one process, on the suite's threads. The table has medians. Run it on an otherwise idle
machine.

| way                        | what is timed                                                            |
|----------------------------|--------------------------------------------------------------------------|
| bare forward               | the network on the same sorted batches, with prepared tensors            |
| slimgate                   | predict_scores: cuts batches, runs the network, restores the row order   |
| slimgate from text         | the same, with tokenization before it                                    |
| pipeline                   | transformers' text-classification pipeline at its defaults, from text    |
| pipeline, batches of 32    | the same with batch_size=32                                              |
| evaluator                  | evaluate's text-classification evaluator at its defaults, local metric   |

Pipelines are given truncation to the suite's max_tokens, so that all ways compute the same rows.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import SlimgateError
from slimgate.models.predict import predict_scores, split_into_batches
from slimgate.plugins.rows import Rows
from slimgate.run.run import SuiteRun
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts

BARE, OURS = "bare forward", "slimgate"
Predictions = npt.NDArray[np.int64]
Way = Callable[[], Predictions | None]


@dataclass(frozen=True)
class Case:
    """A network in evaluation mode with its tokenizer, and a text and a label for each row."""

    network: Any
    tokenizer: Any
    texts: list[str]
    labels: npt.NDArray[np.int64]
    max_tokens: int
    batch_size: int = 64

    def encode(self) -> EncodedTexts:
        """The rows as the network's inputs."""
        return encode_texts(self.tokenizer, [self.texts], max_tokens=self.max_tokens)


@dataclass(frozen=True)
class Line:
    """A way's median rate, and the share of rows that it answers as slimgate does; None if unknown."""

    name: str
    rows_per_second: float
    same_answers: float | None


def main(arguments: Sequence[str]) -> int:
    """Writes the table to stdout."""
    import torch

    numbers = [int(number) for number in arguments[1:]]
    rows, rounds, batch_size = (*numbers, *(6000, 3, 64)[len(numbers) :])
    run = SuiteRun(load_suite(Path(arguments[0])), Store(Path(".slimgate")), device="cpu")
    torch.set_num_threads(run.suite.threads)
    lines = measure(make_ways(_make_case(run, rows, batch_size)), rows=rows, rounds=rounds)
    sys.stdout.write(format_table(lines, rows=rows, threads=run.suite.threads, rounds=rounds))
    return 0


def _make_case(run: SuiteRun, rows: int, batch_size: int) -> Case:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    task, ref = run.suite.setup.task, run.suite.teacher.ref
    if ref is None or ref.folder is None or len(task.params.text) != 1:
        raise SlimgateError("the suite needs a teacher in a folder, and one column of text")
    classification: Any = task.object
    gate = run.rows.gate.table.slice(0, rows)
    if len(gate) < rows:
        raise SlimgateError(f"{rows} rows were given, the gate has {len(gate)}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForSequenceClassification.from_pretrained(
            ref.folder, num_labels=len(run.rows.facts.classes), dtype=torch.float32
        )
    return Case(
        network=network.eval(),
        tokenizer=AutoTokenizer.from_pretrained(ref.folder),
        texts=gate[task.params.text[0]].to_pylist(),
        labels=classification.label_indices(task.params, Rows(gate), run.rows.facts),
        max_tokens=task.params.max_tokens,
        batch_size=batch_size,
    )


def make_ways(case: Case) -> dict[str, Way]:
    """Every way by its name; each call evaluates all rows once."""
    encoded, predictor = case.encode(), EagerPredictor(case.network, "cpu")

    def ours(rows: EncodedTexts) -> Predictions:
        return np.asarray(predict_scores(predictor, rows, batch_size=case.batch_size).argmax(axis=1))

    return {
        BARE: make_bare_way(case, encoded),
        OURS: lambda: ours(encoded),
        "slimgate from text": lambda: ours(case.encode()),
        "pipeline": run_pipeline(case),
        "pipeline, batches of 32": run_pipeline(case, batch_size=32),
        "evaluator": run_evaluator(case),
    }


def make_bare_way(case: Case, encoded: EncodedTexts) -> Way:
    """Only the forward calls, on prepared tensors."""
    import torch

    order = np.argsort(-encoded.lengths, kind="stable").tolist()
    prepared = [
        {name: torch.from_numpy(values) for name, values in encoded.batch(positions).items()}
        for positions in split_into_batches(encoded.lengths, order, case.batch_size)
    ]

    def way() -> None:
        with torch.inference_mode():
            for batch in prepared:
                case.network(**batch)

    return way


def run_pipeline(case: Case, **options: Any) -> Way:
    """transformers' pipeline."""
    pipe = _make_pipeline(case, **options)
    number = case.network.config.label2id
    return lambda: np.asarray([number[answer["label"]] for answer in pipe(case.texts)])


def run_evaluator(case: Case) -> Way:
    """evaluate's evaluator. It makes its own pipeline and returns only the metric, not the answers."""
    from datasets import Dataset
    from evaluate import evaluator

    from slimgate.judge.metrics.as_evaluate import make_evaluate_metric

    judge, metric = evaluator("text-classification"), make_evaluate_metric("accuracy")
    tokenizer = copy.deepcopy(case.tokenizer)
    tokenizer.model_max_length = case.max_tokens  # where the pipeline truncates
    data = Dataset.from_dict({"text": case.texts, "label": case.labels})
    number = case.network.config.label2id

    def way() -> None:
        # a network, because evaluate 0.4 checks a pipeline against a class that transformers 5 removed
        judge.compute(
            model_or_pipeline=case.network,
            tokenizer=tokenizer,
            data=data,
            metric=metric,
            label_mapping=number,
        )

    return way


def _make_pipeline(case: Case, **options: Any) -> Any:
    from transformers import pipeline

    cut = {"truncation": True, "max_length": case.max_tokens}
    return pipeline(
        "text-classification", model=case.network, tokenizer=case.tokenizer, device="cpu", **cut, **options
    )


def measure(
    calls: Mapping[str, Way], *, rows: int, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> list[Line]:
    """Times each way twice in a round, in opposite orders. Slimgate and the bare forward warm up first."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    answers: dict[str, Predictions | None] = {}
    for name in (BARE, OURS):
        calls[name]()
    for _ in range(rounds):
        for name in (*calls, *reversed(list(calls))):
            start = clock()
            answers[name] = calls[name]()
            seconds[name].append(clock() - start)
    own_answers = answers[OURS]
    return [
        Line(name, rows / median(times), _compute_agreement(answers[name], own_answers))
        for name, times in seconds.items()
    ]


def _compute_agreement(answers: Predictions | None, own_answers: Predictions | None) -> float | None:
    return None if answers is None or own_answers is None else float((answers == own_answers).mean())


def format_table(lines: Sequence[Line], *, rows: int, threads: int, rounds: int) -> str:
    """Markdown; the ratio is to the bare forward's rate."""
    bare_rate = next(line.rows_per_second for line in lines if line.name == BARE)
    written = [
        f"| {rows:,} rows, {threads} threads, {rounds} rounds | rows/s | of bare forward | same answers |",
        "|---|---:|---:|---:|",
    ]
    for line in lines:
        same = "" if line.same_answers is None else f"{100 * line.same_answers:.2f} %"
        rate = line.rows_per_second
        written.append(f"| {line.name} | {rate:,.1f} | {100 * rate / bare_rate:.1f} % | {same} |")
    return "\n".join(written) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
