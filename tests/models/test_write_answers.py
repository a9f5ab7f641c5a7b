"""Answers of tiny models: greedy as transformers writes them, sampled by their own noise, in any batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from fixtures.models.architectures import write_tiny
from slimgate.errors import MeasureError
from slimgate.models.write_answers import SamplingParams, Written, draw_gumbel_noise, write_answers
from slimgate.runtimes.eager import EagerPredictor

PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12, 13]]
KEYS = ["a", "b", "c"]
GREEDY = SamplingParams(max_new_tokens=8)
DRAWN = SamplingParams(max_new_tokens=8, temperature=1.0, seed=3)


class WithoutNetwork:
    """A predictor as a graph's is: it gives logits, and cannot generate."""

    def __init__(self, network: Any) -> None:
        self._inner = EagerPredictor(network, "cpu")
        self.prepare, self.forward, self.fetch = self._inner.prepare, self._inner.forward, self._inner.fetch


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    write_tiny(folder, request.param, causal=True, initializer_range=0.5)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    return network, AutoTokenizer.from_pretrained(folder)


def written(
    model: tuple[PreTrainedModel, Any], sampling: SamplingParams, places: list[int] | None = None
) -> list[Written]:
    network, tokenizer = model
    chosen = list(range(3)) if places is None else places
    ids, keys = [PROMPTS[k] for k in chosen], [KEYS[k] for k in chosen]
    return write_answers(EagerPredictor(network, "cpu"), tokenizer, ids, keys, sampling)


def test_greedy_answers_are_transformers_of_one_prompt_alone(model: tuple[Any, Any]) -> None:
    network, tokenizer = model
    for prompt, answer in zip(PROMPTS, written(model, GREEDY), strict=True):
        ids = torch.tensor([prompt])
        alone = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, pad_token_id=3
        )[0, len(prompt) :].tolist()
        ended = tokenizer.eos_token_id in alone
        expected = alone[: alone.index(tokenizer.eos_token_id)] if ended else alone
        assert (list(answer.ids), answer.ended) == (expected, ended)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_an_answer_is_the_same_alone_and_in_a_batch(model: tuple[Any, Any], sampling: SamplingParams) -> None:
    together = written(model, sampling)
    assert together == [written(model, sampling, [place])[0] for place in range(3)]
    assert together[::-1] == written(model, sampling, [2, 1, 0])


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_a_model_without_a_network_writes_the_same(model: tuple[Any, Any], sampling: SamplingParams) -> None:
    network, tokenizer = model
    assert write_answers(WithoutNetwork(network), tokenizer, PROMPTS, KEYS, sampling) == written(
        model, sampling
    )


def test_other_seeds_and_rows_draw_other_answers(model: tuple[Any, Any]) -> None:
    first, other = written(model, DRAWN), written(model, SamplingParams(8, 1.0, seed=4))
    assert first != other
    network, tokenizer = model
    keys = ["d", "e", "f"]
    assert write_answers(EagerPredictor(network, "cpu"), tokenizer, PROMPTS, keys, DRAWN) != first


def test_the_noise_draws_from_the_softmax() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    drawn = [
        int((logits + draw_gumbel_noise(0, str(key), place, 3)).argmax())
        for key in range(500)
        for place in range(8)
    ]
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)  # 4 standard errors


def test_an_answer_ends_before_a_stop_text(model: tuple[Any, Any]) -> None:
    answer = written(model, GREEDY)[0]
    stop = answer.text.split()[2]
    cut = written(model, SamplingParams(8, stop=(stop,)))[0]
    assert cut.ended
    assert cut.text == answer.text[: answer.text.index(stop)]
    network, tokenizer = model
    answers = write_answers(
        WithoutNetwork(network), tokenizer, PROMPTS, KEYS, SamplingParams(8, stop=(stop,))
    )
    assert answers[0].text == cut.text


def test_what_a_folder_says_of_generation_changes_nothing(model: tuple[Any, Any]) -> None:
    network, _ = model
    expected = written(model, GREEDY)
    network.generation_config.repetition_penalty = 10.0
    network.generation_config.do_sample = True
    try:
        assert written(model, GREEDY) == expected
        assert network.generation_config.repetition_penalty == 10.0
    finally:
        network.generation_config.repetition_penalty = None
        network.generation_config.do_sample = None


def test_answers_beyond_the_positions_are_refused(model: tuple[Any, Any]) -> None:
    with pytest.raises(MeasureError, match=r"a prompt has 5 tokens and max_new_tokens is 60, but .* for 64"):
        written(model, SamplingParams(60))


def test_an_end_token_ends_an_answer_and_is_no_part_of_it(tmp_path: Path) -> None:
    write_tiny(tmp_path, "gpt2", causal=True, initializer_range=0.5)
    network = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():  # whatever comes, the end token is the likeliest
        network.transformer.ln_f.bias.copy_(100 * network.lm_head.weight[3])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert written((network, tokenizer), GREEDY) == [Written("", (), True)] * 3
