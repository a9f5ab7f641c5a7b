"""to_onnx_genai and its runtime: the answers and scores are those of PyTorch, and what the files hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.decoder_checks import (
    assert_another_model_is_found,
    assert_draws_no_answers,
    assert_ends_at_both_end_tokens,
    assert_ends_at_stop_texts,
    assert_same_answers,
    assert_same_scores_of_padded_texts,
    make_eager,
)

from fixtures.models import tiny_decoders
from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context, save_model
from fixtures.models.tiny_decoders import compute_answers, encode_prompts, make_timed_batch
from slimgate.errors import BuildError, MeasureError, MissingExtra, SuiteError
from slimgate.models.onnx_genai_model import load_onnx_genai_model
from slimgate.plugins.models import NEW_TOKENS, TimedWriter
from slimgate.runtimes import onnxruntime_genai as runtime
from slimgate.steps.convert import to_onnx_genai as step
from slimgate.suite.runtime_choice import find_runtime

pytest.importorskip("onnxruntime_genai")
# the fixture of the module has a worker of its own
pytestmark = pytest.mark.usefixtures("forked_workers")
# Heads of 16 numbers, and of 32 where half of them have a position (Phi).
HEADS: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
SHAPES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(step.FAMILIES, HEADS),
    "mistral": {**HEADS, "sliding_window": None},
    "phi": {"num_attention_heads": 1, "num_key_value_heads": 1},
    "phi3": {**HEADS, "original_max_position_embeddings": 64},
}
FAST = ("llama", "qwen2")  # with a sliding window in two of four blocks


def make_decoder(root: Path, architecture: str, **config: Any) -> tuple[Any, Any]:
    """A random model with heads that the package takes, with 12 calibration rows."""
    return tiny_decoders.make_tiny_decoder(root, architecture, **{**SHAPES[architecture], **config})


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_decoder(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def llama_fp32(llama: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return convert(llama, tmp_path_factory.mktemp("fp32"), precision="fp32")


def convert(pair: tuple[Any, Any], scratch: Path, **options: Any) -> Any:
    model, context = pair
    context.scratch, context.log = scratch, {}
    return step.step.apply(model, step.Params(**options), context)


def open_predictor(model: Any, context: Any) -> runtime.GenaiPredictor:
    return runtime.runtime.open_model(model, context)


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in step.FAMILIES],
)
def test_float32_answers_are_those_of_pytorch(tmp_path: Path, architecture: str) -> None:
    pair = model, context = make_decoder(tmp_path, architecture)
    variant = convert(pair, tmp_path, precision="fp32")
    assert context.log["agreement_rows"] == 12
    assert context.log["max_difference_relative"] < 0.01
    assert context.log["changed_answers"] == 0
    assert context.log["longest_text"] == 64
    save_model(variant, tmp_path / "saved")
    loaded = runtime.runtime.load(tmp_path / "saved", runtime.Params(), device="cpu", threads=1)
    assert_same_answers(model, context, loaded)


def test_answers_end_where_those_of_pytorch_end(tmp_path: Path) -> None:
    pair = make_decoder(tmp_path, "llama")
    assert_ends_at_both_end_tokens(
        pair, lambda: open_predictor(convert(pair, tmp_path, precision="fp32"), pair[1])
    )


def test_answers_end_at_stop_texts(llama: tuple[Any, Any], llama_fp32: Any) -> None:
    assert_ends_at_stop_texts(llama, open_predictor(llama_fp32, llama[1]))


def test_padding_and_end_tokens_within_a_prompt_are_read(llama: tuple[Any, Any], llama_fp32: Any) -> None:
    model, context = llama
    ends = [model.tokenizer.pad_token_id, model.tokenizer.eos_token_id]
    prompts = [
        [*ends, *prompt, ends[0], *prompt[:2]] for prompt in encode_prompts(context, model.tokenizer)[:6]
    ]
    before, after = (
        compute_answers(predictor, model.tokenizer, prompts)
        for predictor in (make_eager(model), open_predictor(llama_fp32, context))
    )
    assert after == before


@pytest.mark.parametrize(("precision", "share"), [("int8", 0.45), ("int4", 0.33)])
def test_integers_take_fewer_bytes(tmp_path: Path, precision: Any, share: float) -> None:
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    more = {"initializer_range": 0.1, "tie_word_embeddings": True}
    pair = model, context = make_decoder(tmp_path, "llama", **shape, **more)
    variant = convert(pair, tmp_path, precision=precision)
    assert context.log["tolerance"] is None
    assert context.log["max_difference_relative"] > 0.001
    before, after = model.measure_size(), variant.measure_size()
    assert after["parameters"] == before["parameters"]
    assert after["state_bytes"] < share * before["state_bytes"]
    save_model(variant, tmp_path / "saved")
    again = load_onnx_genai_model(tmp_path / "saved")
    assert again.measure_size() == after
    assert again.precision == precision
    prompts = encode_prompts(context, model.tokenizer)
    assert compute_answers(open_predictor(again, context), model.tokenizer, prompts) == compute_answers(
        open_predictor(variant, context), model.tokenizer, prompts
    )


def test_options_reach_the_weights(llama: tuple[Any, Any], tmp_path: Path) -> None:
    """Smaller blocks, a searched scale, and products in float32 lie nearer."""
    _, context = llama
    apart = []
    for number, options in enumerate(
        [
            {"block_size": 32, "activations": "int8"},
            {"block_size": 32, "activations": "float32"},
            {"block_size": 16, "method": "k_quant", "activations": "float32"},
        ]
    ):
        (tmp_path / str(number)).mkdir()
        convert(llama, tmp_path / str(number), precision="int4", **options)
        apart.append(context.log["max_difference_relative"])
    assert len(set(apart)) == 3
    assert apart[2] < apart[1]


def test_timed_answers_are_those_of_pytorch_past_the_end_token(
    llama: tuple[Any, Any], llama_fp32: Any
) -> None:
    model, context = llama
    predictor, eager = open_predictor(llama_fp32, context), make_eager(model)
    assert isinstance(predictor, TimedWriter)
    batch = make_timed_batch(context, model.tokenizer, 10, 20)
    prepared = predictor.prepare(batch)
    state = predictor.prefill(prepared)
    written = predictor.decode(state)
    expected = eager.decode(eager.prefill(eager.prepare(batch))).numpy()
    assert written.shape == (3, 20)
    end = model.tokenizer.eos_token_id
    ends = [list(row).index(end) if end in row else 20 for row in expected]
    assert sorted(ends)[0] < 20
    assert max(ends) == 20
    assert all((row[:n] == other[:n]).all() for row, other, n in zip(written, expected, ends, strict=True))
    assert (written >= 0).all()
    assert end not in written
    assert (predictor.fetch(predictor.forward(prepared)) == written).all()
    # 4 blocks of a head of 16 numbers of 4 bytes, keys and values of 3 rows of 30 tokens
    assert predictor.cache_bytes(state) == 4 * 16 * 4 * 2 * 3 * 30


def test_scores_of_padded_texts_are_those_of_pytorch(llama: tuple[Any, Any], llama_fp32: Any) -> None:
    assert_same_scores_of_padded_texts(llama, open_predictor(llama_fp32, llama[1]))


def test_more_rows_than_the_library_takes_are_answered_in_parts(
    llama: tuple[Any, Any], llama_fp32: Any
) -> None:
    model, context = llama
    predictor_of_graph, eager = open_predictor(llama_fp32, context), make_eager(model)
    prompts = [ids[:2] for ids in encode_prompts(context, model.tokenizer)] * 3
    assert len(prompts) > runtime.MAX_ROWS
    answers = [
        compute_answers(predictor, model.tokenizer, prompts) for predictor in (predictor_of_graph, eager)
    ]
    assert answers[0] == answers[1]
    batch = {"input_ids": np.asarray(prompts), "attention_mask": np.ones((len(prompts), 2), dtype=np.int64)}
    scores, expected = (
        predictor.fetch(predictor.forward(predictor.prepare(batch)))
        for predictor in (predictor_of_graph, eager)
    )
    np.testing.assert_allclose(scores, expected, rtol=0, atol=0.01 * expected.std())
    with pytest.raises(MeasureError, match="writes at most 32 answers at once, but 144 were given"):
        predictor_of_graph.prefill(predictor_of_graph.prepare(batch | {NEW_TOKENS: np.asarray([2])}))


@pytest.mark.parametrize(
    ("name", "value"), [("block_size", 16), ("method", "k_quant"), ("activations", "float32")]
)
def test_options_of_integers_are_refused_with_floats(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=f"{name} is for int8 and int4"):
        step.Params(precision="fp32", **{name: value})
    assert getattr(step.Params(precision="int8", **{name: value}), name) == value


def test_another_model_is_noticed_by_its_first_divergent_token(llama_fp32: Any, tmp_path: Path) -> None:
    assert_another_model_is_found(make_decoder(tmp_path, "llama", seed=1), llama_fp32)


def test_it_executes_artifacts_of_its_kind_by_default() -> None:
    assert find_runtime("onnx_genai").name == "onnxruntime_genai"


def test_it_draws_no_answers(llama: tuple[Any, Any], llama_fp32: Any) -> None:
    model, context = llama
    assert_draws_no_answers(model, open_predictor(llama_fp32, context))


def test_texts_beyond_the_positions_are_refused(llama: tuple[Any, Any], llama_fp32: Any) -> None:
    model, context = llama
    predictor = open_predictor(llama_fp32, context)
    with pytest.raises(MeasureError, match="have 68 tokens, but the model has positions for 64"):
        compute_answers(predictor, model.tokenizer, [[5] * 60])
    with pytest.raises(MeasureError, match="have 65 tokens, but the model has positions for 64"):
        predictor.prepare({"input_ids": np.ones((1, 60), dtype=np.int64), NEW_TOKENS: np.asarray([5])})


def test_texts_beyond_a_window_that_the_graph_lacks_are_refused(tmp_path: Path) -> None:
    pair = model, context = make_decoder(tmp_path, "mistral", sliding_window=32)
    variant = convert(pair, tmp_path, precision="fp32")
    assert context.log["longest_text"] == 32
    assert context.log["changed_answers"] == 0
    with pytest.raises(MeasureError, match="have 38 tokens, but the model has positions for 32"):
        compute_answers(open_predictor(variant, context), model.tokenizer, [[5] * 30])


def test_another_device_is_refused(llama_fp32: Any) -> None:
    with pytest.raises(BuildError, match="makes graphs for the CPU, and cuda was given as device"):
        runtime.GenaiPredictor(llama_fp32.written, llama_fp32.tokenizer, device="cuda", threads=1)


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert"])
def test_other_families_are_refused_before_a_model_loads(family: str) -> None:
    expected = f"the model is of type {family}, and slimgate converts llama, mistral, qwen2"
    with pytest.raises(SuiteError, match=expected):
        step.step.check(step.Params(), {"model_type": family})


def test_other_head_sizes_are_refused_before_a_model_loads() -> None:
    config = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4}
    with pytest.raises(SuiteError, match=r"the model has heads of 8, expected a multiple of 16"):
        step.step.check(step.Params(), config)


def test_a_config_without_sizes_is_checked_after_loading() -> None:
    config = {"model_type": "llama", "vocab_size": 100}
    assert step.step.check(step.Params(), config) == config


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=4)
    folder = write_tiny(tmp_path / "hub", "llama", labels=("neg", "pos"), **HEADS)
    with pytest.raises(BuildError, match="ONNX Runtime GenAI runs causal language models, and"):
        step.step.apply(load_tiny(folder, context), step.Params(), context)


def test_without_the_package_the_extra_is_named(
    llama: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", None)
    with pytest.raises(
        MissingExtra, match=r'to_onnx_genai needs an extra: pip install "slimgate\[onnx_genai\]"'
    ):
        convert(llama, tmp_path)
