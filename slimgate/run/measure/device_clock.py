"""Measures how long a call takes on its device, and how much of the device's memory was in use.

    clock = make_device_clock("cuda:0")
    seconds = clock.time(predictor.forward, prepared)

A GPU works through a queue, so the wall clock around a call that only fills the queue says nothing. There the
time is taken between two events in the queue itself. The queue is empty before the first event and is waited
for after the second. On the CPU it is the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class DeviceClock(Protocol):
    """Times calls one by one."""

    def time(self, call: Callable[[T], object], prepared: T) -> float:
        """Seconds of one call."""


class WallClock:
    """Times a call that is finished when it returns."""

    def time(self, call: Callable[[T], object], prepared: T) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        call(prepared)
        return time.perf_counter() - start


class CudaClock:
    """Times a call whose work runs on a GPU, on the current stream."""

    def __init__(self, device: str) -> None:
        import torch

        self._device = torch.device(device)
        with torch.cuda.device(self._device):
            event: Any = torch.cuda.Event
            self._began, self._ended = event(enable_timing=True), event(enable_timing=True)

    def time(self, call: Callable[[T], object], prepared: T) -> float:
        """Seconds of one call, from an idle device until its work is done."""
        import torch

        with torch.cuda.device(self._device):
            torch.cuda.synchronize()
            self._began.record()
            call(prepared)
            self._ended.record()
            self._ended.synchronize()
        return float(self._began.elapsed_time(self._ended)) / 1000


def make_device_clock(device: str) -> DeviceClock:
    """The clock of a device: "cpu", "cuda", "cuda:1"."""
    return CudaClock(device) if device.startswith("cuda") else WallClock()


def read_device_peak(device: str) -> int | None:
    """The peak bytes of GPU memory that tensors used since this process began; None on the CPU.

    CUDA's own memory is not included.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.max_memory_allocated(device))
