"""slimgate.run.measure.latency: which rows are timed, how many rounds fit, and what the times say."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import PARAMS
from slimgate.plugins.rows import Rows
from slimgate.plugins.workloads import Workload
from slimgate.run.measure.latency import (
    choose_rows_of_length,
    choose_workload_rows,
    plan_rounds,
    summarise_times,
    time_tokenizing,
)
from slimgate.tasks import text_classification
from slimgate.tasks.parts.encoding import EncodedTexts

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("lengths", "batch", "positions"),
    [
        ([9, 1, 5], 1, [2]),
        ([9, 1, 5, 7], 1, [3]),
        ([9, 1, 5, 7], 4, [1, 2, 3, 0]),
        ([10, 20, 30, 40, 50, 60], 2, [1, 4]),
        ([4, 8], 4, [0, 0, 1, 1]),
        ([4], 3, [0, 0, 0]),
    ],
    ids=["median", "upper median", "all", "spread", "more than there are", "one row"],
)
def test_rows_of_a_workload_are_spread_evenly_over_the_lengths(
    lengths: list[int], batch: int, positions: list[int]
) -> None:
    assert choose_workload_rows(lengths, batch) == positions


def test_the_mean_length_of_a_batch_is_near_that_of_the_gate() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 1000)
    chosen = choose_workload_rows(lengths.tolist(), 32)
    assert lengths[chosen].mean() == pytest.approx(lengths.mean(), rel=0.05)
    assert len(set(chosen)) == 32


@pytest.mark.parametrize(
    ("lengths", "batch", "tokens", "positions"),
    [
        ([9, 26, 25, 90], 1, 25, [2]),
        ([24, 26, 9], 1, 25, [1]),
        ([24, 9, 26, 40], 3, 25, [2, 0, 3]),
        ([5, 7], 3, 128, [1, 0, 1]),
    ],
    ids=["nearest", "the longer of two", "in order", "more than there are"],
)
def test_rows_of_a_length_are_the_nearest(
    lengths: list[int], batch: int, tokens: int, positions: list[int]
) -> None:
    assert choose_rows_of_length(lengths, batch, tokens) == positions


def encoded_of(lengths: list[int]) -> EncodedTexts:
    ids = [[i + 1] * n for i, n in enumerate(lengths)]
    return EncodedTexts({"input_ids": ids}, {"input_ids": 0}, "right", np.asarray(lengths, np.int64))


def test_inputs_have_the_rows_own_lengths_or_the_stated_one() -> None:
    encoded = encoded_of([2, 6, 4])
    assert encoded.batch(choose_workload_rows(encoded.lengths.tolist(), 3), None)["input_ids"].tolist() == [
        [1, 1, 0, 0, 0, 0],
        [3, 3, 3, 3, 0, 0],
        [2, 2, 2, 2, 2, 2],
    ]
    assert encoded.batch(choose_workload_rows(encoded.lengths.tolist(), 1), 3)["input_ids"].tolist() == [
        [3, 3, 3]
    ]
    assert encoded.batch(choose_workload_rows(encoded.lengths.tolist(), 2), 8)["input_ids"].shape == (2, 8)
    assert (Workload(1).id, Workload(32, 64).id) == ("b1", "b32x64")


class Clock:
    """A call that takes a stated time, by a clock that only it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.now, self.calls, self._seconds = 0.0, 0, seconds
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self) -> None:
        self.calls += 1
        self.now += self._seconds


@pytest.mark.parametrize(
    ("seconds", "warmup", "rounds", "expected"),
    [
        (0.001, 10, 100, (10, 100)),
        (0.001, 10, 5000, (10, 2000)),
        (0.1, 10, 100, (7, 20)),
        (1.0, 10, 100, (1, 5)),
        (60.0, 10, 100, (1, 5)),
        (60.0, 10, 3, (1, 3)),
        (0.001, 0, 100, (1, 100)),
        (0.001, 10, 1, (10, 1)),
    ],
    ids=[
        "quick",
        "time limits",
        "slow",
        "very slow",
        "slower than all",
        "fewer rounds asked",
        "no warm-up",
        "one round",
    ],
)
def test_rounds_fit_in_the_time_and_never_exceed_the_limit(
    monkeypatch: pytest.MonkeyPatch, seconds: float, warmup: int, rounds: int, expected: tuple[int, int]
) -> None:
    call = Clock(monkeypatch, seconds)
    calls, planned = plan_rounds(call, warmup=warmup, rounds=rounds, max_seconds=2.0)
    assert calls == call.calls
    assert calls == expected[0]
    assert planned == pytest.approx(expected[1], abs=1 if planned > 5 else 0)
    assert planned <= rounds


def test_times_by_hand() -> None:
    times = summarise_times([0.010, 0.030, 0.020, 0.020], batch=8)
    assert times.p50_ms == pytest.approx(20)
    assert times.mean_ms == pytest.approx(20)
    assert times.std_ms == pytest.approx((200 / 3) ** 0.5)
    assert times.min_ms == pytest.approx(10)
    assert times.rounds == 4
    assert times.throughput_per_s == pytest.approx(8 / 0.020)
    assert times.p95_ms is None


@pytest.mark.parametrize(
    ("name", "share", "rounds"), [("p90", 0.9, 29), ("p95", 0.95, 59), ("p99", 0.99, 299)]
)
def test_a_percentile_needs_the_rounds_that_bound_it(name: str, share: float, rounds: int) -> None:
    """The largest of n times is an upper bound of the percentile with 95 %: share^n < 0.05."""
    assert share**rounds < 0.05 < share ** (rounds - 1)
    assert getattr(summarise_times([0.001 * i for i in range(1, rounds)], 1), f"{name}_ms") is None
    enough = summarise_times([0.001 * i for i in range(rounds)], 1)
    assert getattr(enough, f"{name}_ms") == pytest.approx(share * (rounds - 1))


def test_one_round_has_no_deviation() -> None:
    assert summarise_times([0.5], 1).std_ms == 0.0


def test_tokenising_is_timed_on_the_rows_of_the_workload(tmp_path: Path) -> None:
    write_tiny(tmp_path, "bert")
    rows = Rows(
        pa.table({"id": ["a", "b", "c"], "text": ["good", "bad film", "plot"], "label": ["x", "y", "x"]})
    )
    seen: list[Any] = []
    real = text_classification.task.row_encoder

    def watched(params: Any, folder: Path) -> Any:
        encode = real(params, folder)
        return lambda batch: seen.append(batch.ids) or encode(batch)

    task: Any = SimpleNamespace(object=SimpleNamespace(row_encoder=watched), params=PARAMS)
    assert 0 < time_tokenizing(task, Rows(rows.table.take([2, 0])), tmp_path, rounds=3) < 1000
    assert seen == [["c", "a"]] * 4
