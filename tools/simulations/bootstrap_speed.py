"""How long the judge takes, and how much memory, on many rows, variants and resamples.

python -m tools.simulations.bootstrap_speed --rows 100000 --variants 10 --resamples 10000

The metrics run one after the other, each in a separate process, so that a peak of memory is that of one
metric.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.judge import judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes

CASES = [
    ("accuracy", 2),
    ("accuracy", 77),
    ("f1", 2),
    ("f1_macro", 77),
    ("mcc", 77),
    ("log_loss", 2),
    ("brier", 2),
    ("ece", 2),
    ("roc_auc", 2),
    ("pr_auc", 2),
    ("log_loss", 77),
    ("roc_auc", 77),
]


HEADERS = ["metric", "classes", "method", "seconds", "CPU seconds", "MB of the outcomes", "MB at the peak"]


@dataclass(frozen=True)
class Load:
    """The size of the outcomes to judge."""

    rows: int
    variants: int
    resamples: int


def make_outcomes(classes: int, rows: int, variants: int) -> list[ClassOutcomes]:
    """A teacher that is right in nine of ten rows, and variants that add noise to its scores."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    scores = rng.normal(0, 1, (rows, classes))
    scores[np.arange(rows), labels] += 1.8 if classes == 2 else 3.7
    outcomes_of_models = [_make_class_outcomes(labels, scores)]
    for _ in range(variants):
        noisy = scores + rng.normal(0, 0.3, scores.shape)
        outcomes_of_models.append(_make_class_outcomes(labels, noisy))
    return outcomes_of_models


def _make_class_outcomes(labels: np.ndarray, scores: np.ndarray) -> ClassOutcomes:
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    ids = np.arange(len(labels)).astype(np.str_)
    return ClassOutcomes(ids, labels, p.argmax(axis=1), tuple(map(str, range(p.shape[1]))), p)


def read_peak_mib() -> float:
    """The largest resident memory of this process so far; Linux counts it in 1024 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_metric(name: str, classes: int, load: Load) -> tuple[str, int, str, float, float, float, float]:
    """Returns a line of the table.

    It has the metric, its classes and method, the seconds and CPU seconds of all variants, and MB before and
    at the peak.
    """
    metric = load_metric(name)
    teacher, *variants = make_outcomes(classes, load.rows, load.variants)
    peak, method = read_peak_mib(), ""
    began, began_cpu = time.perf_counter(), time.process_time()
    for variant in variants:
        method = judge_quality(metric, teacher, variant, [], resamples=load.resamples).method
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return name, classes, method, seconds, cpu, peak, read_peak_mib()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--variants", type=int, default=10)
    parser.add_argument("--resamples", type=int, default=10_000)
    options = parser.parse_args(arguments)
    load = Load(options.rows, options.variants, options.resamples)
    sys.stdout.write(f"{load.rows:,} rows, {load.variants} variants, {load.resamples:,} resamples\n\n")
    sys.stdout.write(f"| {' | '.join(HEADERS)} |\n|{'---|' * len(HEADERS)}\n")
    for name, classes in CASES:
        # spawned, because a forked process would begin with the peak of its parent
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            line = pool.apply(measure_metric, (name, classes, load))
        texts = [str(cell) if isinstance(cell, str | int) else f"{cell:.1f}" for cell in line]
        # written at once, because all metrics together take minutes
        sys.stdout.write(f"| {' | '.join(texts)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
