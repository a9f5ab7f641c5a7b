"""Does a converted language model write the same answers as the original? Calibration rows show it.

check_converted(model, converted, 0.01, context)   # scores and answers
check_answers(model, converted, 0.01, context)     # only answers
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.errors import BuildError
from slimgate.models.divergence import Divergence, find_divergence
from slimgate.models.special_tokens import list_end_tokens
from slimgate.models.write_answers import is_encoder_decoder, read_decoder_start
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import Predictor
from slimgate.plugins.rows import Rows
from slimgate.plugins.task import AnswerPlan
from slimgate.steps.agreement import (
    Scores,
    check_agreement,
    make_calibration_batches,
    make_default_predictor,
    score_batches,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.plugins.models import Model

_BATCH = 32
_END = "the end"


def check_converted(model: Model, converted: Model, tolerance: float | None, context: BuildContext) -> None:
    """Logs how far scores and answers differ. Raises BuildError if that is more than the tolerance."""
    batches = make_calibration_batches(model.tokenizer, context)
    before, after = (make_default_predictor(stage, context) for stage in (model, converted))
    check_agreement(
        score_batches(before, batches), score_batches(after, batches), batches, context, tolerance=tolerance
    )
    _check_written(before, after, model.tokenizer, tolerance, context)


def check_answers(model: Model, converted: Model, tolerance: float | None, context: BuildContext) -> None:
    """Compares the greedy answers to the calibration rows of a task that writes.

    Logs the share that changes, and the first divergent token. Raises BuildError if that token's score is
    lower than the expected one's by more than the tolerance: then it is no rounding of a near tie.
    """
    before, after = (make_default_predictor(stage, context) for stage in (model, converted))
    _check_written(before, after, model.tokenizer, tolerance, context)


def _check_written(
    before: Predictor,
    after: Predictor,
    tokenizer: PreTrainedTokenizerBase,
    tolerance: float | None,
    context: BuildContext,
) -> None:
    rows = context.rows("calibration")
    if getattr(context.task, "encode_prompts", None) is None:  # the task does not write
        return
    divergences = _list_divergences(before, after, tokenizer, rows, context)
    context.log["changed_answers"] = round(len(divergences) / len(rows), 4)
    if not divergences:
        return
    first, worst = divergences[0], max(divergences, key=lambda divergence: divergence.gap)
    format_token = partial(_format_token, tokenizer)
    context.log["first_divergence"] = {
        "row": first.row,
        "token": first.place + 1,
        "written": format_token(first.written),
        "expected": format_token(first.expected),
        "gap": round(first.gap, 4) if isfinite(first.gap) else None,
    }
    if tolerance is not None and worst.gap > tolerance:
        raise BuildError(
            "the converted model writes a different answer than the one it was made from: "
            f"{worst.describe('calibration row', tolerance, format_token)}. Set a larger `tolerance` if "
            "you accept this"
        )


def _list_divergences(
    before: Predictor,
    after: Predictor,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    context: BuildContext,
) -> list[Divergence]:
    """Where the greedy answers of two predictors begin to differ, for each row with different answers."""
    task: Any = context.task
    options = context.task_params.model_copy(update={"temperature": 0.0, "repeats": 1, "stop": ()})
    prompts = task.encode_prompts(options, rows, tokenizer)
    expected, written = (
        [answer.ids for answer in task.answer(options, predictor, prompts, AnswerPlan(_BATCH))[:, 0]]
        for predictor in (before, after)
    )
    ends = list_end_tokens(tokenizer, getattr(before, "network", None)) | {*getattr(before, "end_tokens", ())}
    divergences = []
    for row, name in enumerate(rows.ids):
        prompt = prompts.columns["input_ids"][row]
        next_scores = partial(_predict_next_scores, before, prompt, expected[row])
        divergence = find_divergence(name, expected[row], written[row], next_scores, ends)
        if divergence:
            divergences.append(divergence)
    return divergences


def _predict_next_scores(
    predictor: Predictor, prompt: Sequence[int], answer: Sequence[int], place: int
) -> Scores:
    """(vocabulary,) scores of the token after the first `place` tokens of the answer."""
    batch = _make_prompt_inputs(predictor, prompt, answer[:place])
    scores: Scores = predictor.fetch(predictor.forward(predictor.prepare(batch)))[0, -1]
    return scores


def _make_prompt_inputs(predictor: Predictor, prompt: Sequence[int], written: Sequence[int]) -> Arrays:
    """The inputs whose last scores belong to the token after the written ones."""
    network = getattr(predictor, "network", None)
    if network is not None and is_encoder_decoder(network):
        answer = np.array([[read_decoder_start(network), *written]], dtype=np.int64)
        text = np.array([prompt], dtype=np.int64)
        return {"input_ids": text, "attention_mask": np.ones_like(text), "decoder_input_ids": answer}
    text = np.array([[*prompt, *written]], dtype=np.int64)
    return {"input_ids": text, "attention_mask": np.ones_like(text)}


def _format_token(tokenizer: PreTrainedTokenizerBase, token: int | None) -> str:
    return _END if token is None else f"{token} ({tokenizer.decode([token])!r})"
