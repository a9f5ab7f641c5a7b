"""to_ctranslate2 and its runtime with decoders: answers and scores are those of PyTorch, near in int8."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.decoder_checks import (
    assert_another_model_is_found,
    assert_draws_no_answers,
    assert_ends_at_both_end_tokens,
    assert_ends_at_stop_texts,
    assert_same_answers,
    assert_same_scores_of_padded_texts,
    assert_writes_at_least,
    make_eager,
)

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context, save_model
from fixtures.models.tiny_decoders import compute_answers, encode_prompts, make_timed_batch, make_tiny_decoder
from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.errors import BuildError, MeasureError, SuiteError
from slimgate.models.ctranslate2_model import load_ctranslate2_model
from slimgate.models.write_answers import SamplingParams
from slimgate.plugins.models import NEW_TOKENS, TimedWriter
from slimgate.runtimes import ctranslate2 as runtime
from slimgate.runtimes.ctranslate2 import GeneratorPredictor
from slimgate.steps.convert import to_ctranslate2 as step

# What a converter may forget of a family: another base of the positions, biases, wide heads, an epsilon.
TURNS = {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"layer_norm_epsilon": 0.1},
    "llama": {
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50.0},
        "attention_bias": True,
        "mlp_bias": True,
    },
    "mistral": {**TURNS, "sliding_window": None, "head_dim": 16},
    "qwen2": {**TURNS, "use_sliding_window": False},
    "qwen3": TURNS,
}
TWO = {"num_hidden_layers": 2}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_tiny_decoder(tmp_path_factory.mktemp("llama"), "llama", **TWO)


@pytest.fixture(scope="module")
def float32(llama: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return converted(llama, tmp_path_factory.mktemp("float32"))


def converted(pair: tuple[Any, Any], scratch: Path, **options: Any) -> Any:
    model, context = pair
    context.scratch, context.log = scratch, {}
    return step.step.apply(model, step.Params(**{"quantization": "float32", **options}), context)


def opened(model: Any) -> GeneratorPredictor:
    return GeneratorPredictor(model, device="cpu", threads=1)


def reopened(variant: Any, folder: Path) -> Any:
    """What a folder of the saved model gives."""
    return runtime.runtime.load(save_model(variant, folder), runtime.Params(), device="cpu", threads=1)


@pytest.mark.parametrize("architecture", step.DECODERS)
def test_float32_answers_are_those_of_pytorch(tmp_path: Path, architecture: str) -> None:
    pair = model, context = make_tiny_decoder(tmp_path, architecture, **SHAPES[architecture])
    variant = converted(pair, tmp_path)
    assert context.log["agreement_rows"] == 12
    assert context.log["max_difference_relative"] < 0.001
    assert context.log["changed_answers"] == 0
    assert context.log["longest_text"] == 64
    assert_same_answers(model, context, reopened(variant, tmp_path / "saved"))


def test_answers_end_where_those_of_pytorch_end(tmp_path: Path) -> None:
    pair = make_tiny_decoder(tmp_path, "llama", **TWO)
    assert_ends_at_both_end_tokens(pair, lambda: reopened(converted(pair, tmp_path), tmp_path / "saved"))


def test_answers_end_at_stop_texts_and_not_before_least(llama: tuple[Any, Any], float32: Any) -> None:
    assert_ends_at_stop_texts(llama, opened(float32))
    assert_writes_at_least(llama, opened(float32))


def test_a_predictor_is_freed_by_who_drops_it(llama: tuple[Any, Any], float32: Any) -> None:
    """Not by the library's thread, which drops the call of a stop text later, and would wait for itself."""
    model, context = llama
    prompts = encode_prompts(context, model.tokenizer)[:2]
    for _ in range(20):
        ours = opened(float32)
        gone = weakref.ref(ours)
        compute_answers(
            ours, model.tokenizer, prompts, SamplingParams(max_new_tokens=4, stop=("never written",))
        )
        del ours
        assert gone() is None


def test_int8_takes_a_third_of_the_bytes_and_stays_near(tmp_path: Path) -> None:
    pair = model, context = make_tiny_decoder(
        tmp_path, "llama", hidden_size=128, intermediate_size=256, initializer_range=0.1, **TWO
    )
    variant = converted(pair, tmp_path, quantization="int8")
    assert context.log["tolerance"] is None
    # without VNNI the sums of oneDNN's int8 products saturate
    limit = 3.0 if has_saturating_sums(list_cpu_instructions()) else 0.5
    assert 0.0001 < context.log["max_difference_relative"] < limit
    before, after = model.measure_size(), variant.measure_size()
    assert after["parameters"] == before["parameters"]
    assert after["state_bytes"] < 0.35 * before["state_bytes"]
    save_model(variant, tmp_path / "saved")
    again = load_ctranslate2_model(tmp_path / "saved")
    assert (again.measure_size(), again.quantization, again.answers) == (after, "int8", variant.answers)
    prompts = encode_prompts(context, model.tokenizer)
    answers = [compute_answers(opened(side), model.tokenizer, prompts) for side in (variant, again)]
    assert answers[0] == answers[1]


def test_timed_answers_are_those_of_pytorch_past_end_tokens(llama: tuple[Any, Any], float32: Any) -> None:
    model, context = llama
    predictor, eager = opened(float32), make_eager(model)
    assert isinstance(predictor, TimedWriter)
    batch = make_timed_batch(context, model.tokenizer, 10, 20)
    prepared = predictor.prepare(batch)
    predictor.prefill(prepared)  # and never decoded
    state = predictor.prefill(prepared)
    written = predictor.fetch(predictor.decode(state))
    expected = eager.decode(eager.prefill(eager.prepare(batch))).numpy()
    assert (written == expected).all()
    assert written.shape == (3, 20)
    assert model.tokenizer.eos_token_id in written
    predictor.prefill(prepared)
    assert (predictor.fetch(predictor.forward(prepared)) == written).all()
    # 2 blocks of 4 heads, each with its copy of shared keys, of 8 numbers of 4 bytes; 3 rows of 29 tokens
    assert predictor.cache_bytes(state) == 2 * 4 * 8 * 4 * 2 * 3 * 29
    predictor.prefill(prepared)
    predictor.close()


def test_scores_of_padded_texts_are_those_of_pytorch(llama: tuple[Any, Any], float32: Any) -> None:
    assert_same_scores_of_padded_texts(llama, opened(float32))


def test_texts_beyond_a_sliding_window_are_refused(tmp_path: Path) -> None:
    """The library gives the scores of the last window alone. Up to it they are those of PyTorch."""
    pair = model, context = make_tiny_decoder(tmp_path, "mistral", sliding_window=32, **TWO)
    variant = converted(pair, tmp_path)
    assert context.log["longest_text"] == 32
    assert context.log["changed_answers"] == 0
    window = "CTranslate2 computes texts up to the model's sliding window of 32 tokens; lower max_new_tokens"
    with pytest.raises(MeasureError, match=f"have 38 tokens, but {window}"):
        compute_answers(opened(variant), model.tokenizer, [[5] * 30])
    with pytest.raises(MeasureError, match=f"have 33 tokens, but {window}"):
        opened(variant).prepare({"input_ids": np.ones((1, 30), dtype=np.int64), NEW_TOKENS: np.asarray([3])})
    model.config.sliding_window = 4
    context.log = {}
    with pytest.raises(
        MeasureError, match=r"a text has \d+ tokens, but .* window of 4 tokens; shorten the texts"
    ):
        step.step.apply(model, step.Params(), context)
    assert not context.log  # nothing is converted


def test_another_model_is_noticed_by_its_first_divergent_token(float32: Any, tmp_path: Path) -> None:
    other = make_tiny_decoder(tmp_path, "llama", seed=1, **TWO)
    assert_another_model_is_found(other, float32)


def test_it_draws_no_answers(llama: tuple[Any, Any], float32: Any) -> None:
    assert_draws_no_answers(llama[0], opened(float32))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "llama", "hidden_act": "gelu"}, "hidden_act is gelu, expected silu"),
        (
            {"model_type": "llama", "head_dim": 16},
            "head_dim is 16, expected hidden_size / num_attention_heads = 8",
        ),
        ({"model_type": "qwen3", "rope_scaling": {"type": "yarn"}}, "rope_type is yarn, expected default or"),
        (
            {"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True},
            "its attention is scaled by something",
        ),
    ],
)
def test_what_the_library_computes_otherwise_is_refused_early(config: dict[str, Any], expected: str) -> None:
    shape = {"hidden_size": 32, "num_attention_heads": 4}
    with pytest.raises(SuiteError, match=f"CTranslate2 does not compute this .*: {expected}"):
        step.step.check(step.Params(), {**shape, **config})


def test_a_config_without_sizes_is_checked_after_loading() -> None:
    config = {"model_type": "llama", "head_dim": 16}
    assert step.step.check(step.Params(), config) == config


@pytest.mark.parametrize("family", ["gemma2", "phi", "phi3", "mixtral"])
def test_other_families_are_refused_before_a_model_loads(family: str) -> None:
    with pytest.raises(
        SuiteError, match=f"the model is of type {family}, and slimgate converts .* gpt2, llama"
    ):
        step.step.check(step.Params(), {"model_type": family})


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=4)
    folder = write_tiny(tmp_path / "hub", "llama", labels=("neg", "pos"))
    with pytest.raises(BuildError, match="is not a causal language model, which CTranslate2 runs"):
        step.step.apply(load_tiny(folder, context), step.Params(), context)
