"""to_openvino_decoder and its runtime: answers and scores are those of PyTorch, in 8 and 4 bits near them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
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
from support.versions import needs

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context, save_model
from fixtures.models.tiny_decoders import compute_answers, encode_prompts, make_timed_batch, make_tiny_decoder
from slimgate.errors import BuildError, MeasureError, MissingExtra, SuiteError
from slimgate.models.write_answers import SamplingParams
from slimgate.plugins.models import NEW_TOKENS, TimedWriter
from slimgate.runtimes import openvino_decoder as runtime
from slimgate.steps.convert import openvino_weights
from slimgate.steps.convert import to_openvino_decoder as step
from slimgate.suite.runtime_choice import find_runtime

pytest.importorskip("openvino")
pytestmark = needs("transformers>=5.18")
FAST = ("qwen2",)  # heads that share keys, a sliding window of 8 in one of two blocks
WIDE = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "initializer_range": 0.1}
TWO: dict[str, Any] = {"num_hidden_layers": 2, "max_window_layers": 1}  # the latter is Qwen2's


@dataclass(frozen=True)
class Exported:
    """pair: the model and its context; graph, log: what the step made, and said."""

    pair: tuple[Any, Any]
    graph: Any
    log: dict[str, Any]


@pytest.fixture(scope="module")
def by_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """by_family(architecture): one of two blocks, exported once: an export takes ten seconds."""

    @cache
    def export(architecture: str) -> Exported:
        pair = make_tiny_decoder(tmp_path_factory.mktemp(architecture), architecture, **TWO)
        return Exported(pair, apply(pair), pair[1].log)

    return export


@pytest.fixture(scope="module")
def llama(by_family: Callable[[str], Exported]) -> tuple[Any, Any]:
    return by_family("llama").pair


@pytest.fixture(scope="module")
def exported(by_family: Callable[[str], Exported]) -> Any:
    return by_family("llama").graph


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """The model, its context, and its graph."""
    pair = make_tiny_decoder(tmp_path_factory.mktemp("wide"), "llama", **WIDE)
    return *pair, apply(pair)


def apply(pair: tuple[Any, Any], **options: Any) -> Any:
    model, context = pair
    context.log = {}
    return step.step.apply(model, step.Params(**options), context)


def compressed(graph: Any, context: Any, **options: Any) -> Any:
    context.log = {}
    return openvino_weights.step.apply(graph, openvino_weights.Params(**options), context)


def opened(model: Any, **options: Any) -> runtime.DecoderPredictor:
    return runtime.DecoderPredictor(model, runtime.Params(**options), device="cpu", threads=1)


def reopened(graph: Any, folder: Path) -> Any:
    """What a folder of the saved model gives."""
    return runtime.runtime.load(save_model(graph, folder), runtime.Params(), device="cpu", threads=1)


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in step.FAMILIES],
)
def test_answers_are_those_of_pytorch(
    tmp_path: Path, by_family: Callable[[str], Exported], architecture: str
) -> None:
    exported = by_family(architecture)
    assert exported.log["agreement_rows"] == 12
    assert exported.log["max_difference_relative"] < 0.001
    assert exported.log["changed_answers"] == 0
    assert_same_answers(*exported.pair, reopened(exported.graph, tmp_path / "saved"))


@pytest.mark.slow
def test_answers_past_a_sliding_window_are_those_of_pytorch(by_family: Callable[[str], Exported]) -> None:
    """A window of 8 tokens in every block."""
    exported, sampling = by_family("mistral"), SamplingParams(max_new_tokens=30)
    model, context = exported.pair
    prompts = encode_prompts(context, model.tokenizer)
    eager, ours = (
        compute_answers(predictor, model.tokenizer, prompts, sampling)
        for predictor in (make_eager(model), opened(exported.graph))
    )
    assert ours == eager
    assert max(len(answer.ids) for answer in ours) > 8


def test_answers_end_where_those_of_pytorch_end(tmp_path: Path) -> None:
    pair = make_tiny_decoder(tmp_path, "llama", num_hidden_layers=2)
    assert_ends_at_both_end_tokens(pair, lambda: reopened(apply(pair), tmp_path / "saved"))


def test_answers_end_at_stop_texts_and_not_before_least(llama: tuple[Any, Any], exported: Any) -> None:
    assert_ends_at_stop_texts(llama, opened(exported))
    assert_writes_at_least(llama, opened(exported))


@pytest.mark.parametrize(
    ("options", "kind", "share", "same"),
    [
        ({"mode": "int8_asym"}, "u8", 0.32, 0.3),
        ({"mode": "int4_sym", "group_size": 32, "ratio": 1.0}, "i4", 0.25, 0.05),
        ({"mode": "int4_asym", "group_size": 32, "awq": True, "rows": 4}, "u4", 0.27, 0.05),
    ],
)
def test_weights_in_few_bits(
    wide: tuple[Any, Any, Any], tmp_path: Path, options: Any, kind: str, share: float, same: float
) -> None:
    model, context, graph = wide
    quantized = compressed(graph, context, **options)
    assert quantized.kind == "openvino_decoder"
    assert context.log["weights"][kind] > 0.5 * model.measure_size()["parameters"]
    assert 0.0001 < context.log["max_difference_relative"] < 1.5
    assert 0 <= context.log["changed_answers"] <= 1
    assert quantized.measure_size()["state_bytes"] < share * graph.measure_size()["state_bytes"]
    save_model(quantized, tmp_path / "saved")
    again = runtime.runtime.load_model(tmp_path / "saved", "cpu")
    assert again.measure_size() == quantized.measure_size()
    prompts = encode_prompts(context, model.tokenizer)
    answers = [compute_answers(opened(side), model.tokenizer, prompts) for side in (quantized, again)]
    assert answers[0] == answers[1]
    eager = compute_answers(make_eager(model), model.tokenizer, prompts)
    # of 8 tokens each: a wrong graph gives none of them
    assert np.mean([answer.ids == other.ids for answer, other in zip(answers[0], eager, strict=True)]) > same


def test_an_8_bit_cache_is_smaller_and_answers_nearly_the_same(wide: tuple[Any, Any, Any]) -> None:
    model, context, graph = wide
    batch = make_timed_batch(context, model.tokenizer, 20, 30)
    written, sizes = [], []
    for options in ({}, {"kv_cache": "f32"}, {"kv_cache": "f16"}, {"kv_cache": "u8"}):
        predictor = opened(graph, **options)
        state = predictor.prefill(predictor.prepare(batch))
        written.append(predictor.decode(state))
        sizes.append(predictor.cache_bytes(state))
    # 2 blocks, keys and values, 3 rows of 49 tokens (the last new one is not read), 2 heads of 32 numbers
    numbers = 2 * 2 * 3 * 49 * 2 * 32
    assert sizes[:3] == [4 * numbers, 4 * numbers, 2 * numbers]
    assert numbers < sizes[3] < 1.5 * numbers
    assert (written[0] == written[1]).all()
    assert (written[3] == written[0]).mean() > 0.3
    scores = [
        predictor.fetch(predictor.forward(predictor.prepare({"input_ids": np.arange(5, 35)[None] % 10})))
        for predictor in (opened(graph), opened(graph, kv_cache="u8"))
    ]
    assert np.allclose(*scores, atol=0.05)


def test_timed_answers_are_those_of_pytorch_past_end_tokens(llama: tuple[Any, Any], exported: Any) -> None:
    model, context = llama
    predictor, eager = opened(exported), make_eager(model)
    assert isinstance(predictor, TimedWriter)
    batch = make_timed_batch(context, model.tokenizer, 10, 20)
    prepared = predictor.prepare(batch)
    state = predictor.prefill(prepared)
    written = predictor.decode(state)
    expected = eager.decode(eager.prefill(eager.prepare(batch))).numpy()
    assert written.shape == (3, 20)
    assert (written == expected).all()
    assert model.tokenizer.eos_token_id in written
    assert (predictor.fetch(predictor.forward(prepared)) == written).all()
    # 2 blocks of 2 heads of 8 numbers of 4 bytes, keys and values of 3 rows of 29 tokens
    assert predictor.cache_bytes(state) == 2 * 2 * 8 * 4 * 2 * 3 * 29


def test_scores_of_padded_texts_are_those_of_pytorch(llama: tuple[Any, Any], exported: Any) -> None:
    assert_same_scores_of_padded_texts(llama, opened(exported))


def test_another_model_is_noticed_by_its_first_divergent_token(exported: Any, tmp_path: Path) -> None:
    other = make_tiny_decoder(tmp_path, "llama", seed=1)
    assert_another_model_is_found(other, exported)


def test_it_executes_artifacts_of_its_kind_by_default() -> None:
    assert find_runtime("openvino_decoder").name == "openvino_decoder"


def test_it_draws_no_answers(llama: tuple[Any, Any], exported: Any) -> None:
    assert_draws_no_answers(llama[0], opened(exported))


def test_texts_beyond_the_positions_are_refused(llama: tuple[Any, Any], exported: Any) -> None:
    predictor = opened(exported)
    with pytest.raises(MeasureError, match="have 68 tokens, but the model has positions for 64"):
        compute_answers(predictor, llama[0].tokenizer, [[5] * 60])
    with pytest.raises(MeasureError, match="have 65 tokens, but the model has positions for 64"):
        predictor.prepare({"input_ids": np.ones((1, 60), dtype=np.int64), NEW_TOKENS: np.asarray([5])})


def test_another_device_is_refused(exported: Any) -> None:
    with pytest.raises(BuildError, match="runs on the CPU, not on cuda"):
        runtime.DecoderPredictor(exported, runtime.Params(), device="cuda", threads=1)


@pytest.mark.parametrize("family", ["mixtral", "t5", "bert"])
def test_other_families_are_refused_before_a_model_loads(family: str) -> None:
    expected = f"the model is of type {family}, and slimgate exports llama, mistral, qwen2"
    with pytest.raises(SuiteError, match=expected):
        step.step.check(step.Params(), {"model_type": family})


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=4)
    folder = write_tiny(tmp_path / "hub", "llama", labels=("neg", "pos"))
    with pytest.raises(BuildError, match="is not a causal language model, so it needs no key-value cache"):
        step.step.apply(load_tiny(folder, context), step.Params(), context)


def test_without_the_package_the_extra_is_named(
    llama: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        MissingExtra, match=r'to_openvino_decoder needs an extra: pip install "slimgate\[openvino\]"'
    ):
        apply(llama)
