"""The call that a workload times: a forward pass, a whole answer, or a phase of one.

| part    | before it, not timed | timed           |
|---------|----------------------|-----------------|
| forward |                      | forward         |
| answer  |                      | prefill, decode |
| ttft    |                      | prefill         |
| tpot    | prefill              | decode          |

The loop that writes is slimgate's own (models/greedy.py): calls with a key-value cache, and the likeliest
token. What `generate` of transformers does besides for each token is not in the times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slimgate.errors import MeasureError
from slimgate.protocols import TimedPart, TimedWriter


@dataclass(frozen=True)
class TimedCall:
    """call(begin()) is one call, of which `call` alone is timed. begins: whether begin does any work."""

    begin: Callable[[], Any]
    call: Callable[[Any], object]
    begins: bool = False

    def __call__(self) -> object:
        """Both, untimed."""
        return self.call(self.begin())


def timed_call(predictor: Any, prepared: Any, part: TimedPart) -> TimedCall:
    """The call of a part. prepared: the predictor's. Raises MeasureError where it cannot write in phases."""

    def begin() -> Any:
        return prepared

    if part == "forward":
        return TimedCall(begin, predictor.forward)
    if not isinstance(predictor, TimedWriter):
        raise MeasureError(f"{type(predictor).__name__} writes no answers that can be timed")
    if part == "ttft":
        return TimedCall(begin, predictor.prefill)
    if part == "tpot":
        return TimedCall(lambda: predictor.prefill(prepared), predictor.decode, begins=True)
    return TimedCall(begin, lambda inputs: predictor.decode(predictor.prefill(inputs)))
