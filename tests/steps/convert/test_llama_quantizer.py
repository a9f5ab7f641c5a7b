"""to_gguf by llama.cpp: its types, the importance matrix, tensors that keep a type of their own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.versions import needs_llama_cpp
from transformers import AutoConfig, AutoTokenizer

from fixtures.models.architectures import write_tiny
from fixtures.models.building import save_model
from fixtures.models.gguf_models import make_byte_level_llama, make_wide_llama
from slimgate.errors import BuildError
from slimgate.models.sentence_encoder import SentenceEncoder
from slimgate.models.served import Served, load_served
from slimgate.models.torch_model import TorchModel
from slimgate.steps.convert import to_gguf
from slimgate.steps.convert.to_gguf import measure_importance
from slimgate.tasks.parts.encoding import encode_texts
from slimgate.tasks.parts.sentences import EncodedPairs

gguf = pytest.importorskip("gguf")
# the fixture of the module has a worker of its own
pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a file in F32, and the context."""
    path = tmp_path_factory.mktemp("wide")
    model, context = make_wide_llama(path)
    converted = to_gguf.step.apply(model, to_gguf.Params(type="F32"), context)
    (path / "f32").mkdir()
    converted.save(path / "f32")
    return path / "f32", context


def quantize(floats: tuple[Path, Any], scratch: Path, **options: Any) -> tuple[Served, Any]:
    folder, context = floats
    scratch.mkdir(exist_ok=True)
    context.scratch, context.log = scratch, {}
    params = to_gguf.Params(**options)
    return to_gguf.step.resolve(params).apply(load_served(folder, "cpu"), params, context), context.log


def tensors_of(model: Served) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(model.folder / "model.gguf").tensors}


def error_of(model: Served, floats: tuple[Path, Any], name: str) -> float:
    """Mean square of what a tensor lost."""
    before = gguf.GGUFReader(floats[0] / "model.gguf").tensors
    exact = next(tensor.data for tensor in before if tensor.name == name)
    tensor = tensors_of(model)[name]
    return float(np.square(gguf.dequantize(tensor.data, tensor.tensor_type) - exact).mean())


@pytest.mark.slow
@needs_llama_cpp
@pytest.mark.parametrize(
    ("kind", "query", "name", "other"),
    [
        ("Q4_K_M", "Q4_K", "blk.1.ffn_down.weight", "Q6_K"),
        ("Q2_K", "Q2_K", "blk.0.ffn_down.weight", "Q3_K"),
        ("IQ4_XS", "IQ4_XS", "output.weight", "Q6_K"),
        ("IQ2_XXS", "IQ2_XXS", "blk.0.attn_v.weight", "Q2_K"),
    ],
)
def test_a_mix_has_its_types(
    floats: tuple[Path, Any], tmp_path: Path, kind: str, query: str, name: str, other: str
) -> None:
    quantized, log = quantize(floats, tmp_path, type=kind)
    types = {name: tensor.tensor_type.name for name, tensor in tensors_of(quantized).items()}
    assert (types["blk.0.attn_q.weight"], types[name]) == (query, other)
    assert log["tensor_types"] == dict(sorted(Counter(types.values()).items()))
    assert log["quantizer"] == "llama.cpp"
    assert (log.get("importance_tensors"), log.get("importance_unused")) == (
        (15, 0) if kind == "IQ2_XXS" else (None, None)
    )
    assert quantized.stored is not None
    assert quantized.stored["scheme"] == kind


@pytest.mark.slow
@needs_llama_cpp
@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q5_0", "Q4_1"])
def test_types_of_both_are_equal_to_the_bit(floats: tuple[Path, Any], tmp_path: Path, kind: str) -> None:
    quantized, _ = quantize(floats, tmp_path, type=kind, pure=True, tolerance=100.0)
    exact = {tensor.name: tensor.data for tensor in gguf.GGUFReader(floats[0] / "model.gguf").tensors}
    for name, tensor in tensors_of(quantized).items():
        if tensor.tensor_type.name == kind:
            written = gguf.quants.quantize(exact[name], tensor.tensor_type)
            assert np.array_equal(written, tensor.data), name


@pytest.mark.slow
@needs_llama_cpp
def test_tensors_keep_a_type_of_their_own(floats: tuple[Path, Any], tmp_path: Path) -> None:
    tensor_types = {"attn_v": "Q8_0", r"blk\.1\.ffn_down": "F16"}
    quantized, _ = quantize(floats, tmp_path, type="Q3_K_S", tensor_types=tensor_types)
    types = {name: tensor.tensor_type.name for name, tensor in tensors_of(quantized).items()}
    assert {types[f"blk.{block}.attn_v.weight"] for block in range(2)} == {"Q8_0"}
    assert (types["blk.1.ffn_down.weight"], types["blk.0.ffn_down.weight"]) == ("F16", "Q3_K")


@pytest.mark.slow
@needs_llama_cpp
def test_a_pattern_that_matches_no_tensor_is_one_line(floats: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        quantize(floats, tmp_path, type="Q4_K_M", tensor_types={"atn_v": "Q8_0"})
    assert str(caught.value).startswith(
        'tensor_types "atn_v" matches no tensor; there are blk.*.attn_k.weight,'
    )


@pytest.mark.slow
@needs_llama_cpp
def test_a_type_of_experts_is_refused_without_any(floats: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="MXFP4_MOE is a type of experts, and the model has none"):
        quantize(floats, tmp_path, type="MXFP4_MOE")


@pytest.mark.slow
@needs_llama_cpp
def test_importance_keeps_the_inputs_that_matter(floats: tuple[Path, Any], tmp_path: Path) -> None:
    plain, _ = quantize(floats, tmp_path / "plain", type="Q2_K", importance=False)
    weighed, log = quantize(floats, tmp_path / "weighed", type="Q2_K", importance=True)
    assert log["importance_tokens"] > 0
    name = "blk.0.ffn_down.weight"
    assert not np.array_equal(tensors_of(plain)[name].data, tensors_of(weighed)[name].data)
    assert error_of(weighed, floats, name) > 0


@pytest.mark.slow
@needs_llama_cpp
def test_the_network_of_pytorch_gives_the_same_file(floats: tuple[Path, Any], tmp_path: Path) -> None:
    by_file, _ = quantize(floats, tmp_path / "a", type="Q5_K_S")
    model, context = make_wide_llama(tmp_path / "b")
    params = to_gguf.Params(type="Q5_K_S")
    direct = to_gguf.step.resolve(params).apply(model, params, context)
    for name, tensor in tensors_of(direct).items():
        assert np.array_equal(tensor.data, tensors_of(by_file)[name].data), name


@pytest.mark.slow
@needs_llama_cpp
def test_a_file_that_is_quantized_is_not_quantized_again(floats: tuple[Path, Any], tmp_path: Path) -> None:
    quantized, _ = quantize(floats, tmp_path, type="Q4_K_M")
    (tmp_path / "twice").mkdir()
    save_model(quantized, tmp_path / "saved")
    with pytest.raises(
        BuildError, match="its weights are in Q4_K_M, expected a model of PyTorch, or a GGUF file"
    ):
        quantize((tmp_path / "saved", floats[1]), tmp_path / "twice", type="Q2_K")


def test_importance_is_the_mean_square_of_real_tokens(tmp_path: Path) -> None:
    model, _ = make_byte_level_llama(tmp_path)
    ids = np.array([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    inputs: list[Any] = []
    layer = model.network.model.layers[1].mlp.down_proj
    handle = layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    importance = measure_importance(
        model,
        [{"input_ids": ids, "attention_mask": mask}, {"input_ids": ids[:1], "attention_mask": mask[:1]}],
        "cpu",
    )
    assert sum(values.shape[:2].numel() for values in inputs) == 10, "no call has padding"
    inputs.clear()
    with torch.no_grad():
        for row in (ids[:1], ids[1:, :2], ids[:1]):
            model.network(input_ids=torch.from_numpy(row))
    handle.remove()
    tokens = torch.cat([values[0] for values in inputs])
    assert np.allclose(importance["model.layers.1.mlp.down_proj"], tokens.square().mean(0).numpy(), rtol=1e-5)
    assert set(importance) == {
        name for name, module in model.network.named_modules() if isinstance(module, torch.nn.Linear)
    }


def test_importance_of_an_encoder_of_pairs_is_that_of_its_texts(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(write_tiny(tmp_path / "hub", "bert"))
    config = AutoConfig.from_pretrained(tmp_path / "hub")
    config.sentence = {"texts": 2}
    network = SentenceEncoder(config)
    texts = [["hi", "hello there"], ["a longer document about", "word"]]
    pairs = EncodedPairs(*(encode_texts(tokenizer, [column], max_tokens=16) for column in texts))
    model = TorchModel(network, tokenizer, "slimgate.models.sentence_encoder:SentenceEncoder")
    importance = measure_importance(model, [pairs.batch([0, 1])], "cpu")
    assert "encoder.encoder.layer.0.output.dense" in importance
    assert network.config.sentence["texts"] == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"type": "F16", "importance": True}, 'type = "F16" is a float format'),
        ({"type": "Q4_K_M", "quantizer": "slimgate"}, 'quantizer = "slimgate" writes F32, F16, BF16, Q8_0'),
        ({"type": "IQ1_S", "importance": False}, 'type = "IQ1_S" needs importance'),
        ({"type": "Q4_K_M", "tensor_types": {"(": "Q8_0"}}, r'"\(" is not a regular expression'),
    ],
    ids=["floats", "slimgate", "importance", "pattern"],
)
def test_options_that_do_not_fit_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        to_gguf.Params(**options)
