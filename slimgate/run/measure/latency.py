"""Chooses the rows and the number of timed calls of a workload, and summarizes the times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slimgate.plugins.rows import Rows
from slimgate.run.measure.row_encoders import make_row_encoder
from slimgate.suite.named_plugin import SuiteTask

MIN_ROUNDS = 5
# Rows for timing in turns, if the time of a model depends on the row: a share of 20 % then has a standard
# error of 1.8 points.
ROWS_BY_TURNS = 512
# For a distribution-free 95 % upper bound of a percentile: 0.9^29, 0.95^59 and 0.99^299 are below 0.05.
ROUNDS_FOR = {90: 29, 95: 59, 99: 299}


@dataclass(frozen=True)
class Times:
    """Summary of the rounds of one workload, in milliseconds; None if there are too few rounds."""

    p50_ms: float
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float
    std_ms: float
    min_ms: float
    rounds: int
    throughput_per_s: float


def choose_workload_rows(lengths: Sequence[int], batch: int) -> list[int]:
    """Positions of `batch` rows with lengths spread evenly over the gate; of one row, the median length."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    ranks = (np.arange(batch) + 0.5) / batch * len(order)
    return [int(order[min(int(rank), len(order) - 1)]) for rank in ranks]


def choose_rows_of_length(lengths: Sequence[int], batch: int, tokens: int) -> list[int]:
    """Positions of the `batch` rows nearest to `tokens` in length; of two equally near, the longer one first.

    Rows are repeated if the split has fewer than `batch`.
    """
    row_lengths = np.asarray(lengths)
    order = np.lexsort((-row_lengths, np.abs(row_lengths - tokens)))
    return [int(order[number % len(order)]) for number in range(batch)]


def draw_row_batches(rows: int, batch: int, seed: int) -> list[list[int]]:
    """Random positions in batches, without repetition: ROWS_BY_TURNS rows at most, or one larger batch.

    rows: the number of rows of the split. If it is smaller than `batch`, so is the only batch.
    """
    order = np.random.default_rng(seed).permutation(rows)
    count = max(1, min(rows, max(ROWS_BY_TURNS, batch)) // batch)
    return [[int(row) for row in order[start : start + batch]] for start in range(0, count * batch, batch)]


def plan_rounds(
    call: Callable[[], object], *, warmup: int, rounds: int, max_seconds: float, min_rounds: int = MIN_ROUNDS
) -> tuple[int, int]:
    """Warms a call up, and plans how many rounds fit into `max_seconds`. Returns (warm-up calls, rounds).

    The warm-up ends after `warmup` calls or a third of `max_seconds`, but makes at least one call. rounds:
    the most rounds to plan. min_rounds: planned even if they take longer, but never more than `rounds`.
    """
    start = time.perf_counter()
    warmup_calls, last_seconds = 0, 0.0
    while warmup_calls < max(warmup, 1) and (
        warmup_calls == 0 or time.perf_counter() - start < max_seconds / 3
    ):
        before = time.perf_counter()
        call()
        last_seconds = time.perf_counter() - before
        warmup_calls += 1
    rounds_in_time = int(max_seconds / max(last_seconds, 1e-9))
    return warmup_calls, min(rounds, max(MIN_ROUNDS, min_rounds, rounds_in_time))


def summarise_times(
    seconds: Sequence[float] | npt.NDArray[np.float64], batch: int, *, by_turns: bool = False
) -> Times:
    """Times of all rounds as percentiles, mean and standard deviation; throughput in rows per second.

    by_turns: the rounds used different rows, so the throughput is computed from their mean, not the median.
    """
    ms = np.asarray(seconds) * 1000
    return Times(
        p50_ms=float(np.median(ms)),
        p90_ms=_find_percentile(ms, 90),
        p95_ms=_find_percentile(ms, 95),
        p99_ms=_find_percentile(ms, 99),
        mean_ms=float(ms.mean()),
        std_ms=float(ms.std(ddof=1)) if len(ms) > 1 else 0.0,
        min_ms=float(ms.min()),
        rounds=len(ms),
        throughput_per_s=batch / float(ms.mean() if by_turns else np.median(ms)) * 1000,
    )


def _find_percentile(ms: npt.NDArray[np.float64], percent: int) -> float | None:
    """The percentile; None if there are too few rounds for an upper bound of it."""
    return float(np.percentile(ms, percent)) if len(ms) >= ROUNDS_FOR[percent] else None


def time_tokenizing(task: SuiteTask, rows: Rows, folder: Path, *, rounds: int = 5) -> float:
    """Median time to tokenise the rows of a workload, in milliseconds. One more round warms up."""
    encode = make_row_encoder(task, folder)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        encode(rows)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) * 1000
