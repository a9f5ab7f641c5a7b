"""Times and memory of a device: the wall clock on the CPU, events in the queue of a GPU."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from slimgate.run.measure.device_clock import (
    WallClock,
    make_device_clock,
    read_device_peak,
)
from slimgate.run.measure.duel_worker import TimedModel
from slimgate.run.measure.timed_call import make_timed_call

pytestmark = pytest.mark.slow

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_the_wall_clock_times_the_call_with_what_was_prepared() -> None:
    batches: list[Any] = []

    def call(prepared: Any) -> None:
        batches.append(prepared)
        time.sleep(0.02)

    seconds = make_device_clock("cpu").time(call, "a batch")
    assert batches == ["a batch"]
    assert 0.02 <= seconds < 1


def test_a_cpu_has_no_memory_of_its_own_to_count() -> None:
    assert read_device_peak("cpu") is None


def test_a_contender_times_every_call_by_its_clock() -> None:
    contender, forwarded = TimedModel(), []

    class Counting:
        def forward(self, prepared: Any) -> None:
            forwarded.append(prepared)

    class Ticking(WallClock):
        def time(self, call: Any, prepared: Any) -> float:
            super().time(call, prepared)
            return 0.25

    contender._calls, contender._clock = [make_timed_call(Counting(), "rows", "forward")], Ticking()
    answer = contender.answer({"calls": 3, "discard": 2, "turns": [0]})
    assert answer["seconds"] == [0.25, 0.25, 0.25]
    assert forwarded == ["rows"] * 5


@needs_gpu
def test_a_gpu_is_waited_for_though_the_call_only_queues() -> None:
    matrix = torch.rand(4096, 4096, device="cuda")

    def call(times: int) -> None:
        for _ in range(times):
            torch.mm(matrix, matrix)

    clock = make_device_clock("cuda")
    clock.time(call, 2)
    short, long = clock.time(call, 2), clock.time(call, 40)
    assert long > 5 * short > 0


@needs_gpu
def test_the_peak_of_a_gpu_holds_freed_memory() -> None:
    tensor = torch.zeros(2**20, dtype=torch.uint8, device="cuda")
    peak = read_device_peak("cuda")
    assert peak is not None
    assert peak >= 2**20
    del tensor
    assert read_device_peak("cuda") == peak
