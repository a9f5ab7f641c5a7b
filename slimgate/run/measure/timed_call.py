"""Makes the timed call of a workload: a forward pass, text to answer, a written answer, or a phase of it.

| part    | before it, not timed | timed                                         |
|---------|----------------------|-----------------------------------------------|
| forward |                      | forward                                       |
| e2e     |                      | tokenize, pad, prepare, forward, fetch, read  |
| answer  |                      | prefill, decode                               |
| ttft    |                      | prefill                                       |
| tpot    | prefill              | decode                                        |

The loop that writes is slimgate's own (models/greedy.py): calls with a key-value cache, and the likeliest
token. The extra work of transformers' `generate` for each token is not included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate.errors import MeasureError
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import Predictor, TimedWriter
from slimgate.plugins.workloads import END_TO_END, TimedPart
from slimgate.run.measure.end_to_end import Texts, read_texts

# The inputs of a call: the arrays of a batch, or the rows of a call that is timed end to end.
CallInputs = Arrays | Texts


@dataclass(frozen=True)
class TimedCall:
    """A call, `call(begin())`, of which only `call` is timed. begins: whether `begin` does any work."""

    begin: Callable[[], Any]
    call: Callable[[Any], object]
    begins: bool = False

    def __call__(self) -> object:
        """Makes one call without timing it."""
        return self.call(self.begin())


def prepare_inputs(predictor: Predictor, inputs: Sequence[CallInputs]) -> list[Any]:
    """Prepares the inputs of timed calls: the predictor's own tensors, or texts with their tokenizer.

    All inputs belong to one artifact and one part.
    """
    texts = [call_inputs for call_inputs in inputs if isinstance(call_inputs, Texts)]
    if texts:
        return read_texts(texts)
    return [predictor.prepare(call_inputs) for call_inputs in inputs if not isinstance(call_inputs, Texts)]


def make_timed_call(predictor: Predictor, prepared: object, part: TimedPart) -> TimedCall:
    """The call of a part. prepared: an item of `prepare_inputs`.

    Raises MeasureError if the predictor cannot write answers in phases.
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
