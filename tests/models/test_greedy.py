"""Greedy writing in two calls: the tokens of transformers' generate, by every kind of cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from slimgate.errors import BuildError, MeasureError
from slimgate.models.greedy import (
    StaticCaches,
    begin_answer,
    check_answers,
    count_cache_bytes,
    find_next_token,
    finish_answer,
    make_cache,
)
from slimgate.plugins.models import NEW_TOKENS
from slimgate.runtimes.compiled import CompiledPredictor
from slimgate.runtimes.compiled import Params as CompiledParams
from slimgate.runtimes.eager import EagerPredictor

pytestmark = pytest.mark.slow
IDS = torch.tensor([[5, 9, 12, 7, 6, 10, 11, 8], [6, 6, 9, 14, 5, 13, 7, 12]])
NEW = 6


def network_of(folder: Path, architecture: str, **shape: Any) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    write_tiny(folder, architecture, causal=True, **shape)
    auto = AutoModelForSeq2SeqLM if architecture in ("t5", "bart", "marian") else AutoModelForCausalLM
    return auto.from_pretrained(folder).eval()


def generated(network: Any) -> torch.Tensor:
    with torch.inference_mode():
        written: torch.Tensor = network.generate(
            input_ids=IDS,
            attention_mask=torch.ones_like(IDS),
            min_new_tokens=NEW,
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=None,
            forced_eos_token_id=None,
            pad_token_id=0,
        )
    return written[:, -NEW:]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "t5", "bart"])
def test_two_calls_write_what_generate_writes(tmp_path: Path, architecture: str) -> None:
    network = network_of(tmp_path, architecture)
    begun = begin_answer(network, IDS, NEW, make_cache(network))
    assert begun.token.shape == (2, 1)
    assert torch.equal(finish_answer(network, begun), generated(network))


def test_a_static_cache_writes_the_same_again_at_its_whole_size(tmp_path: Path) -> None:
    network, written = network_of(tmp_path, "llama"), []
    caches, expected = StaticCaches(network), generated(network)
    for _ in range(3):
        cache = caches.make_empty(2, 8 + NEW)
        written.append(finish_answer(network, begin_answer(network, IDS, NEW, cache)))
    assert all(torch.equal(answer, expected) for answer in written)
    growing = begin_answer(network, IDS, NEW, make_cache(network))
    assert count_cache_bytes(growing.cache) * (8 + NEW) == count_cache_bytes(cache) * 8
    assert caches.make_empty(2, 8 + NEW) is cache


def test_an_encoder_decoder_has_no_static_cache(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is an encoder-decoder, and a static cache is for decoders"):
        StaticCaches(network_of(tmp_path, "t5"))


def test_a_network_without_a_cache_is_refused(tmp_path: Path) -> None:
    network = network_of(tmp_path, "gpt2")
    plain, network.forward = network.forward, lambda **inputs: _forgetful(plain, inputs)
    with pytest.raises(MeasureError, match="keeps no key-value cache"):
        find_next_token(network, IDS, make_cache(network))


def _forgetful(forward: Any, inputs: dict[str, Any]) -> Any:
    output = forward(**inputs)
    output.past_key_values = None
    return output


def test_the_first_divergent_token_is_named(tmp_path: Path) -> None:
    network = network_of(tmp_path, "llama", initializer_range=0.5)
    written = generated(network).clone()
    assert check_answers(network, IDS, written, "it", tolerance=0.0) == []
    right = int(written[1, 2])
    wrong = (right + 1) % network.config.vocab_size
    written[1, 2] = wrong
    with pytest.raises(
        BuildError, match=f"it writes .* token 3 of row 2 is {wrong}, expected {right}, whose"
    ):
        check_answers(network, IDS, written, "it", tolerance=0.01)
    (divergence,) = check_answers(network, IDS, written, "it", tolerance=1e9)
    assert (divergence.row, divergence.place, divergence.written, divergence.expected) == (
        "2",
        2,
        wrong,
        right,
    )
    assert divergence.gap > 0


def batch(new_tokens: int) -> dict[str, Any]:
    ids = IDS.numpy()
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), NEW_TOKENS: np.asarray([new_tokens])}


def test_runtimes_write_the_answer_of_a_growing_cache(tmp_path: Path) -> None:
    network = network_of(tmp_path, "llama", num_hidden_layers=1)
    expected = generated(network)
    compiled = CompiledPredictor(network, CompiledParams(), "cpu")
    for predictor in (EagerPredictor(network, "cpu", static_cache=True), compiled):
        for _ in range(2):
            prepared = predictor.prepare(batch(NEW))
            assert torch.equal(predictor.decode(predictor.prefill(prepared)), expected)
    assert compiled.graphs == 1
    assert compiled.compile_seconds > 0


def test_a_compiled_token_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    predictor = CompiledPredictor(network_of(tmp_path, "llama", num_hidden_layers=1), CompiledParams(), "cpu")
    predictor._step = lambda ids, cache: find_next_token(predictor.network, ids, cache) * 0
    with pytest.raises(
        BuildError, match=r"runtime compiled writes a different answer .* token 2 of row 1 is 0"
    ):
        predictor.prepare(batch(NEW))
