"""Does a converted language model write the answers of the one that it was made from? On calibration rows.

check_converted(model, converted, 0.01, context)   its scores and its answers
check_answers(model, converted, 0.01, context)     its answers alone

Greedy answers leave each other at a near tie, and are others from there on. So what is compared is the first
token that differs: how far it scores under the expected one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slimgate.compress.agreement import calibration_arrays, check_agreement, predictor_of, scores
from slimgate.errors import BuildError
from slimgate.models.write_answers import end_tokens
from slimgate.protocols import AnswerPlan, BuildContext, Predictor

_BATCH = 32
_END = "the end"


@dataclass(frozen=True)
class Divergence:
    """The first token at which an answer leaves the expected one. place: 0 is the first new token.

    written, expected: tokens of the vocabulary, None for the end; gap: how much higher the expected one
    scores, in standard deviations of the scores there.
    """

    row: str
    place: int
    written: int | None
    expected: int | None
    gap: float


def check_converted(model: Any, converted: Any, tolerance: float | None, context: BuildContext) -> None:
    """Logs how far scores and answers lie apart. Raises BuildError where that is more than the tolerance."""
    batches = calibration_arrays(model.tokenizer, context)
    before, after = (predictor_of(one, context) for one in (model, converted))
    check_agreement(scores(before, batches), scores(after, batches), batches, context, tolerance=tolerance)
    _check_written(before, after, model.tokenizer, tolerance, context)


def check_answers(model: Any, converted: Any, tolerance: float | None, context: BuildContext) -> None:
    """Compares the greedy answers to the calibration rows of a task that writes.

    Logs the share that changes, and the first divergent token. Raises BuildError where that token's score
    lies further than the tolerance under the expected one's: then it is no rounding of a near tie.
    """
    before, after = (predictor_of(one, context) for one in (model, converted))
    _check_written(before, after, model.tokenizer, tolerance, context)


def _check_written(
    before: Predictor, after: Predictor, tokenizer: Any, tolerance: float | None, context: BuildContext
) -> None:
    task, rows = context.task, context.rows("calibration")
    if getattr(task, "encode_prompts", None) is None:
        return
    options = context.task_params.model_copy(update={"temperature": 0.0, "repeats": 1, "stop": ()})
    prompts = task.encode_prompts(options, rows, tokenizer)
    expected, written = (
        [one.ids for one in task.answer(options, predictor, prompts, AnswerPlan(_BATCH))[:, 0]]
        for predictor in (before, after)
    )
    found = [
        _find_divergence(
            before,
            tokenizer,
            rows.ids[row],
            prompts.columns["input_ids"][row],
            expected[row],
            written[row],
        )
        for row in range(len(rows))
        if expected[row] != written[row]
    ]
    context.log["changed_answers"] = round(len(found) / len(rows), 4)
    if not found:
        return
    first, worst = found[0], max(found, key=lambda one: one.gap)
    context.log["first_divergence"] = {
        "row": first.row,
        "token": first.place + 1,
        "written": _format_token(tokenizer, first.written),
        "expected": _format_token(tokenizer, first.expected),
        "gap": round(first.gap, 4),
    }
    if tolerance is not None and worst.gap > tolerance:
        raise BuildError(
            "the converted model writes another answer than the one it was made from: token "
            f"{worst.place + 1} of calibration row {worst.row} is "
            f"{_format_token(tokenizer, worst.written)}, expected "
            f"{_format_token(tokenizer, worst.expected)}, whose score is higher by {worst.gap:.3g} of "
            f"their standard deviation; expected at most {tolerance:g}. Give another `tolerance` if that is "
            "meant"
        )


def _find_divergence(
    predictor: Predictor,
    tokenizer: Any,
    row: str,
    prompt: Sequence[int],
    expected: Sequence[int],
    written: Sequence[int],
) -> Divergence:
    """Where two answers part that are not equal, by the scores of the model before the step."""
    pairs = enumerate(zip(expected, written, strict=False))
    place = next((i for i, (one, other) in pairs if one != other), min(len(expected), len(written)))
    wanted, own = (one[place] if place < len(one) else None for one in (expected, written))
    text = np.array([[*prompt, *expected[:place]]], dtype=np.int64)
    batch = {"input_ids": text, "attention_mask": np.ones_like(text)}
    logits = predictor.fetch(predictor.forward(predictor.prepare(batch)))[0, -1]
    ends = sorted(
        end_tokens(tokenizer, getattr(predictor, "network", None)) | {*getattr(predictor, "end_tokens", ())}
    )
    high, low = (float(logits[ends].max() if one is None else logits[one]) for one in (wanted, own))
    return Divergence(row, place, own, wanted, (high - low) / float(logits.std()))


def _format_token(tokenizer: Any, token: int | None) -> str:
    return _END if token is None else f"{token} ({tokenizer.decode([token])!r})"
