"""The call that a workload times: a forward pass, from text to answer, a whole answer, or a phase of one.

| part    | before it, not timed | timed                                         |
|---------|----------------------|-----------------------------------------------|
| forward |                      | forward                                       |
| e2e     |                      | tokenize, pad, prepare, forward, fetch, read  |
| answer  |                      | prefill, decode                               |
| ttft    |                      | prefill                                       |
| tpot    | prefill              | decode                                        |

The loop that writes is slimgate's own (models/greedy.py): calls with a key-value cache, and the likeliest
token. What `generate` of transformers does besides for each token is not in the times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate.errors import MeasureError
from slimgate.protocols import END_TO_END, Arrays, Predictor, TimedPart, TimedWriter
from slimgate.run.measure.end_to_end import Texts, read_texts


@dataclass(frozen=True)
class TimedCall:
    """call(begin()) is one call, of which `call` alone is timed. begins: whether begin does any work."""

    begin: Callable[[], Any]
    call: Callable[[Any], object]
    begins: bool = False

    def __call__(self) -> object:
        """Both, untimed."""
        return self.call(self.begin())


# What a call gets: the arrays of a batch, or of a call that is timed end to end its rows.
CallInputs = Arrays | Texts


def prepare_inputs(predictor: Predictor, inputs: Sequence[CallInputs]) -> list[Any]:
    """The inputs of calls, ready to be timed: the predictor's own tensors, or texts with their tokenizer.

    All inputs are of one artifact and one part.
    """
    texts = [one for one in inputs if isinstance(one, Texts)]
    if texts:
        return read_texts(texts)
    return [predictor.prepare(one) for one in inputs if not isinstance(one, Texts)]


def timed_call(predictor: Any, prepared: Any, part: TimedPart) -> TimedCall:
    """The call of a part. prepared: as `prepare_inputs` has it. Raises MeasureError where it cannot write in
    phases.
    """

    def begin() -> Any:
        return prepared

    if part == "forward":
        return TimedCall(begin, predictor.forward)
    if part == END_TO_END:
        return TimedCall(begin, lambda texts: texts.answer(predictor))
    if not isinstance(predictor, TimedWriter):
        raise MeasureError(f"{type(predictor).__name__} writes no answers that can be timed")
    if part == "ttft":
        return TimedCall(begin, predictor.prefill)
    if part == "tpot":
        return TimedCall(lambda: predictor.prefill(prepared), predictor.decode, begins=True)
    return TimedCall(begin, lambda inputs: predictor.decode(predictor.prefill(inputs)))
