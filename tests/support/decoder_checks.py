"""Checks for every converted decoder: its answers and scores are those of PyTorch's eager model.

model, context: of `fixtures.models.tiny_decoders.make_tiny_decoder`; ours: the predictor of its conversion.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fixtures.models.tiny_decoders import PARAMS, compute_answers, encode_prompts
from slimgate.errors import BuildError, MeasureError
from slimgate.models.write_answers import SamplingParams
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.answer_agreement import check_answers
from slimgate.tasks import text_generation


def make_eager(model: Any) -> EagerPredictor:
    return EagerPredictor(model.network, "cpu")


def assert_same_answers(model: Any, context: Any, ours: Any) -> None:
    """Checks text, ids and end of the answers. The prompts have several lengths, and the answers differ."""
    prompts = encode_prompts(context, model.tokenizer)
    eager, answers = (compute_answers(side, model.tokenizer, prompts) for side in (make_eager(model), ours))
    assert answers == eager
    assert len({answer.ids for answer in answers}) > 4
    assert len({len(prompt) for prompt in prompts}) > 1


def assert_ends_at_both_end_tokens(pair: tuple[Any, Any], convert: Callable[[], Any]) -> None:
    """Checks that answers end at each of two end tokens, of which the tokenizer names only one.

    convert: converts the model after its end tokens were changed, and returns a predictor.
    """
    model, context = pair
    prompts, eager = encode_prompts(context, model.tokenizer), make_eager(model)
    common = compute_answers(eager, model.tokenizer, prompts)[0].ids[2]
    model.network.generation_config.eos_token_id = [model.tokenizer.eos_token_id, common]
    before, after = (compute_answers(side, model.tokenizer, prompts) for side in (eager, convert()))
    assert after == before
    assert sum(answer.ended for answer in after) > 1
    assert len({len(answer.ids) for answer in after if answer.ended}) > 1


def assert_ends_at_stop_texts(pair: tuple[Any, Any], ours: Any) -> None:
    model, context = pair
    prompts, eager = encode_prompts(context, model.tokenizer), make_eager(model)
    stop = compute_answers(eager, model.tokenizer, prompts)[0].text.split()[3]
    sampling = SamplingParams(max_new_tokens=8, stop=(stop,))
    before, after = (compute_answers(side, model.tokenizer, prompts, sampling) for side in (eager, ours))
    assert [answer.text for answer in after] == [answer.text for answer in before]
    assert after[0].ended
    assert len(after[0].ids) < 8


def assert_writes_at_least(pair: tuple[Any, Any], ours: Any) -> None:
    """Checks that no end token ends an answer before `min_new_tokens`."""
    model, context = pair
    prompts = encode_prompts(context, model.tokenizer)
    sampling = SamplingParams(max_new_tokens=20)
    assert min(map(len, ours.write(prompts, sampling))) < 15
    assert min(map(len, ours.write(prompts, sampling, min_new_tokens=15))) >= 15


def assert_same_scores_of_padded_texts(pair: tuple[Any, Any], ours: Any) -> None:
    model, context = pair
    encoded = text_generation.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    batch = encoded.batch(list(range(8)))
    assert not batch["attention_mask"].all()
    real = batch["attention_mask"].astype(bool)
    scores, eager = (
        side.fetch(side.forward(side.prepare(batch)))[real] for side in (ours, make_eager(model))
    )
    assert np.allclose(scores, eager, atol=1e-3)


def assert_another_model_is_found(other: tuple[Any, Any], converted: Any) -> None:
    """Checks that a conversion of a model other than `other` is refused, and that the error names a token."""
    model, context = other
    with pytest.raises(BuildError, match=r"token 1 of calibration row \d+ is \d+ \('.+'\), expected \d+ \("):
        check_answers(model, converted, 0.01, context)
    assert context.log["changed_answers"] > 0.8
    named = context.log["first_divergence"]
    assert named["row"] in context.rows("calibration").ids
    assert named["gap"] > 0
    assert re.fullmatch(r"\d+ \('.+'\)", named["expected"])
    check_answers(model, converted, None, context)  # without a tolerance, the difference is only logged


def assert_draws_no_answers(model: Any, ours: Any) -> None:
    with pytest.raises(MeasureError, match="can only choose the most likely token; set temperature = 0"):
        compute_answers(ours, model.tokenizer, [[5]], SamplingParams(4, temperature=1.0))
