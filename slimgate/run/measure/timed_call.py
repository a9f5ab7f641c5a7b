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

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from slimgate._system.number_text import format_number
from slimgate.errors import MeasureError
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import NEW_TOKENS, Predictor, TimedWriter
from slimgate.plugins.workloads import END_TO_END, TimedPart
from slimgate.run.measure.end_to_end import Texts, read_texts
from slimgate.runtimes.cascade import CascadePredictor

# The inputs of a call: the arrays of a batch, or the rows of a call that is timed end to end.
CallInputs = Arrays | Texts
# A whole call on new inputs may take this many times as long as its timed part on known inputs, and this many
# seconds more.
_WHOLE, _WHOLE_SECONDS = 3.0, 0.0005
# If it takes longer, both are timed again: the first calls allocate memory and compile, and threads that spin
# while another process has the core use time of the processor. Remembered answers are detected in every try.
_TRIES = 24


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


def check_forward(predictor: Predictor, inputs: CallInputs) -> None:
    """Checks that `forward` does the work of a call on the CPU, because only `forward` is timed.

    Raises MeasureError if `prepare` or `fetch` does it, or if the predictor remembers the answers to inputs
    that it knows. The times are those of the processor, because other processes may have the core. A cascade
    is not checked: new inputs may reach other models.
    """
    if isinstance(inputs, Texts) or NEW_TOKENS in inputs or isinstance(predictor, CascadePredictor):
        return
    prepared, new_seconds, known_seconds = predictor.prepare(inputs), inf, inf
    for number in range(_TRIES):
        new_inputs, start = change_inputs(inputs, number), time.process_time()
        predictor.fetch(predictor.forward(predictor.prepare(new_inputs)))
        new_seconds, start = min(new_seconds, time.process_time() - start), time.process_time()
        predictor.forward(prepared)
        known_seconds = min(known_seconds, time.process_time() - start)
        is_known = number > 0  # a first call has not been remembered yet
        if is_known and new_seconds <= _WHOLE * known_seconds + _WHOLE_SECONDS:
            return
    new, known = (format_number(1000 * seconds, 2) for seconds in (new_seconds, known_seconds))
    raise MeasureError(
        f"prepare, forward and fetch take {new} ms on new inputs, but forward takes {known} ms on "
        "inputs that it knows; only forward is timed, so it must compute the answers in each call, and have "
        "finished when it returns"
    )


def change_inputs(inputs: Arrays, number: int) -> Arrays:
    """The inputs of another call of the same shape. number: each gives other inputs.

    Pixels change, and tokens at places where no row has padding change places within their row.
    """
    changed = dict(inputs)
    for name, values in inputs.items():
        if np.issubdtype(values.dtype, np.floating):
            changed[name] = values * values.dtype.type(1 + 0.001 * (number + 1))
    tokens, mask = inputs.get("input_ids"), inputs.get("attention_mask")
    if tokens is not None and tokens.ndim == 2:
        has_mask = mask is not None and mask.shape == tokens.shape
        is_shared = mask.all(axis=0) if mask is not None and has_mask else np.ones(tokens.shape[1], np.bool_)
        inner = np.flatnonzero(is_shared)[1:-1]  # not the special tokens at both ends
        changed["input_ids"] = tokens.copy()
        changed["input_ids"][:, inner] = np.random.default_rng(number).permuted(tokens[:, inner], axis=1)
    return changed


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
