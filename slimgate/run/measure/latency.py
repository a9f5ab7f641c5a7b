"""How long one call takes: what is called, how often, and what the times say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slimgate.protocols import Rows
from slimgate.suite.suite import Suite

MIN_ROUNDS = 5
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


def summarise(seconds: Sequence[float] | npt.NDArray[np.float64], batch: int) -> Times:
    """Times of all rounds as percentiles, mean and standard deviation; throughput in rows per second."""
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
        throughput_per_s=batch / float(np.median(ms)) * 1000,
    )


def _percentile(ms: npt.NDArray[np.float64], percent: int) -> float | None:
    return float(np.percentile(ms, percent)) if len(ms) >= ROUNDS_FOR[percent] else None


def tokenize_ms(
    suite: Suite, rows: Rows, positions: Sequence[int], folder: Path, *, rounds: int = 5
) -> float:
    """Median time to tokenise the rows of a workload, in milliseconds."""
    task = suite.setup.task
    few = Rows(rows.table.take(list(positions)))
    encode = task.object.row_encoder(task.params, folder)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        encode(few)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) * 1000
