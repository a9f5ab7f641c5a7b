"""How long a call takes on the device that it runs on, and how much of the device's memory was in use.

    clock = device_clock("cuda:0")
    seconds = clock.time(predictor.forward, prepared)

A GPU works through a queue: the wall clock around a call that only fills the queue says nothing. So there
the time passes between two events in the queue itself, which is empty before the first and is waited for
after the second. On the CPU it is the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol


class DeviceClock(Protocol):
    """Times calls one by one."""

    def time(self, call: Callable[[Any], object], prepared: Any) -> float:
        """Seconds of one call."""


class WallClock:
    """A call that is finished when it returns."""

    def time(self, call: Callable[[Any], object], prepared: Any) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        call(prepared)
        return time.perf_counter() - start


class CudaClock:
    """A call whose work is done by a GPU, on the stream that is current."""

    def __init__(self, device: str) -> None:
        import torch

        self._device = torch.device(device)
        with torch.cuda.device(self._device):
            event: Any = torch.cuda.Event
            self._began, self._ended = event(enable_timing=True), event(enable_timing=True)

    def time(self, call: Callable[[Any], object], prepared: Any) -> float:
        """Seconds of one call, from an idle device until its work is done."""
        import torch

        with torch.cuda.device(self._device):
            torch.cuda.synchronize()
            self._began.record()
            call(prepared)
            self._ended.record()
            self._ended.synchronize()
        return float(self._began.elapsed_time(self._ended)) / 1000


def device_clock(device: str) -> DeviceClock:
    """The clock of a device: "cpu", "cuda", "cuda:1"."""
    return CudaClock(device) if device.startswith("cuda") else WallClock()


def reset_device_peak(device: str) -> None:
    """From now on the peak is counted anew; on the CPU nothing is counted."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def device_peak_bytes(device: str) -> int | None:
    """The most bytes of a GPU's memory that tensors of this process held at once; None on the CPU.

    Since the process began, or since reset_device_peak. What CUDA itself takes is not in it.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.max_memory_allocated(device))
