"""Choices that a server scores: by its log-probabilities, and refused where it gives none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.answer_server import serving

from slimgate.errors import MeasureError
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.endpoint import EndpointPredictor, EndpointTable
from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts, ask_for_choices

# a word of n letters has log-probability -n, so that of a choice is minus its letters
QUESTIONS = EndpointPrompts(
    [("the sky is", (" blue", " very green")), ("one and one is", (" two", " three", " a pair"))], ["a", "b"]
)
SCORES = [[[-4, 1], [-9, 2], [0, 0]], [[-3, 1], [-5, 1], [-5, 2]]]


def predictor(url: str) -> EndpointPredictor:
    return EndpointPredictor(EndpointTable(url=url, model="m", retries=0))


def test_a_choice_has_the_scores_of_its_own_tokens() -> None:
    with serving() as server:
        scores = ask_for_choices(predictor(server.url), QUESTIONS, AnswerPlan(8))
        assert server.asked.total() == 2 + 5  # each context once
        body = server.bodies[0]
    np.testing.assert_allclose(scores, SCORES)
    assert {key: body[key] for key in ("echo", "logprobs", "max_tokens")} == {
        "echo": True,
        "logprobs": 1,
        "max_tokens": 1,
    }


def test_a_server_without_log_probabilities_is_refused() -> None:
    with (
        serving(lambda _prompt, _came: "no logprobs") as server,
        pytest.raises(MeasureError, match=r"gives no log-probabilities of the prompt .* vLLM gives them"),
    ):
        ask_for_choices(predictor(server.url), QUESTIONS, AnswerPlan(8))


def test_the_next_run_asks_only_failed_requests_again(tmp_path: Path) -> None:
    reply_file = tmp_path / "kept"
    with serving(lambda prompt, _: "status 500" if "pair" in prompt else "answer") as server:
        with pytest.raises(MeasureError, match=r"1 of 7 requests failed: status 500.* run again"):
            ask_for_choices(predictor(server.url), QUESTIONS, AnswerPlan(8, reply_file=reply_file))
        server.plan = lambda _prompt, _came: "answer"
        server.asked.clear()
        scores = ask_for_choices(predictor(server.url), QUESTIONS, AnswerPlan(8, reply_file=reply_file))
        assert dict(server.asked) == {"one and one is a pair": 1}
    np.testing.assert_allclose(scores, SCORES)
    assert len([line for line in reply_file.read_text().splitlines() if line and json.loads(line)]) == 8
