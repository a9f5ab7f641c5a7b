"""How long one call takes: what is called, how often, and what the times say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slimgate.protocols import Rows
from slimgate.run.measure.row_encoders import row_encoder
from slimgate.suite.suite import SuiteTask

MIN_ROUNDS = 5
# Rows over which all models are timed by turns, where the time of one depends on the row: a share of 20 % has
# a standard error of 1.8 points then.
ROWS_BY_TURNS = 512
# For a distribution-free 95 % upper bound of a percentile: 0.9^29, 0.95^59 and 0.99^299 are below 0.05.
ROUNDS_FOR = {90: 29, 95: 59, 99: 299}


@dataclass(frozen=True)
class Times:
    """Summary of the rounds of one workload, in milliseconds; None where they are too few."""

    p50_ms: float
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float
    std_ms: float
    min_ms: float
    rounds: int
    throughput_per_s: float


def workload_rows(lengths: Sequence[int], batch: int) -> list[int]:
    """Positions of `batch` rows whose lengths are spread evenly over the gate; of one, the median length."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    places = (np.arange(batch) + 0.5) / batch * len(order)
    return [int(order[min(int(place), len(order) - 1)]) for place in places]


def rows_of_length(lengths: Sequence[int], batch: int, tokens: int) -> list[int]:
    """Positions of the `batch` rows nearest to `tokens` in length; of two as near, the longer one first.

    A split with fewer rows than `batch` gives them again.
    """
    own = np.asarray(lengths)
    order = np.lexsort((-own, np.abs(own - tokens)))
    return [int(order[place % len(order)]) for place in range(batch)]


def row_batches(rows: int, batch: int, seed: int) -> list[list[int]]:
    """Positions of different rows in batches of that size, drawn at random: ROWS_BY_TURNS rows at most.

    One batch at least; no row is in two. A split with fewer rows than `batch` gives what it has.
    """
    order = np.random.default_rng(seed).permutation(rows)
    count = max(1, min(rows, max(ROWS_BY_TURNS, batch)) // batch)
    return [[int(row) for row in order[start : start + batch]] for start in range(0, count * batch, batch)]


def plan_rounds(
    call: Callable[[], object], *, warmup: int, rounds: int, max_seconds: float, least: int = MIN_ROUNDS
) -> tuple[int, int]:
    """Warms a call up and says how many rounds fit: (warm-up calls made, rounds).

    At most `warmup` calls or a third of `max_seconds`, whichever is less, but one at least. least: rounds
    that are made however long they take, if `rounds` allows them.
    """
    start = time.perf_counter()
    made, last = 0, 0.0
    while made < max(warmup, 1) and (made == 0 or time.perf_counter() - start < max_seconds / 3):
        before = time.perf_counter()
        call()
        last = time.perf_counter() - before
        made += 1
    fit = int(max_seconds / max(last, 1e-9))
    return made, min(rounds, max(MIN_ROUNDS, least, fit))


def summarise(
    seconds: Sequence[float] | npt.NDArray[np.float64], batch: int, *, by_turns: bool = False
) -> Times:
    """Times of all rounds as percentiles, mean and standard deviation; throughput in rows per second.

    by_turns: the rounds took different rows, so that the throughput is that of their mean, not the median.
    """
    ms = np.asarray(seconds) * 1000
    return Times(
        p50_ms=float(np.median(ms)),
        p90_ms=_percentile(ms, 90),
        p95_ms=_percentile(ms, 95),
        p99_ms=_percentile(ms, 99),
        mean_ms=float(ms.mean()),
        std_ms=float(ms.std(ddof=1)) if len(ms) > 1 else 0.0,
        min_ms=float(ms.min()),
        rounds=len(ms),
        throughput_per_s=batch / float(ms.mean() if by_turns else np.median(ms)) * 1000,
    )


def _percentile(ms: npt.NDArray[np.float64], percent: int) -> float | None:
    return float(np.percentile(ms, percent)) if len(ms) >= ROUNDS_FOR[percent] else None


def tokenize_ms(task: SuiteTask, rows: Rows, folder: Path, *, rounds: int = 5) -> float:
    """Median time to tokenise the rows of a workload, in milliseconds."""
    encode = row_encoder(task, folder)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        encode(rows)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) * 1000
