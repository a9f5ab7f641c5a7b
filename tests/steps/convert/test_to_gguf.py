"""The step to_gguf: llama.cpp's names, types and vocabulary, and the answers that transformers reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.building import NEXT_TOKEN, load_tiny, make_tiny_context, save_model
from fixtures.models.embeddings import compute_vectors
from fixtures.models.gguf_models import SHAPE, make_bert_encoder, make_byte_level_llama
from slimgate.errors import BuildError
from slimgate.models.llama_cpp_converter import name_pre_tokenizer
from slimgate.models.served import load_served
from slimgate.plugins.models import ComparedModel
from slimgate.steps.convert import to_gguf
from slimgate.steps.convert._to_gguf_worker import quantize_q4_0
from slimgate.steps.embeddings import truncate_embeddings
from slimgate.steps.layers.float_layers import list_quantized_layers
from slimgate.steps.quantize import auto_round, gptq
from slimgate.tasks import causal_lm
from slimgate.tasks.parts.sentence_models import count_bytes

gguf = pytest.importorskip("gguf")

IDS = torch.tensor([[2, 7, 9, 11, 5], [2, 6, 8, 10, 12]])


def written(tmp_path: Path, **options: Any) -> tuple[Path, Any, Any]:
    model, context = make_byte_level_llama(tmp_path)
    converted = to_gguf.step.apply(model, to_gguf.Params(**options), context)
    folder = save_model(converted, tmp_path / "written")
    return folder, model, context


def logits(network: Any) -> Any:
    with torch.inference_mode():
        return network.eval()(IDS).logits.float().numpy()


@pytest.mark.slow
def test_float32_answers_the_same_and_reads_the_same_tokens(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, model, context = written(tmp_path, type="F32")

    alone = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32)
    assert np.abs(logits(alone) - logits(model.network)).max() < 1e-5, "queries and keys in the right order"
    assert np.array_equal(logits(load_served(folder, "cpu").network), logits(alone))
    texts = context.rows("selection").table["text"].to_pylist()
    of_file = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    assert of_file(texts)["input_ids"] == model.tokenizer(texts)["input_ids"]
    assert context.log["gguf"] == {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
    }


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "table", "bytes_of_query"),
    [("Q8_0", "Q8_0", 64 * 64 // 32 * 34), ("Q4_0", "Q8_0", 64 * 64 // 32 * 18), ("F16", "F16", 64 * 64 * 2)],
)
def test_matrices_have_the_type_and_its_bytes(
    tmp_path: Path, kind: str, table: str, bytes_of_query: int
) -> None:
    folder, model, context = written(tmp_path, type=kind)

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(folder / "model.gguf").tensors}
    query = tensors["blk.0.attn_q.weight"]
    assert (query.tensor_type.name, query.n_bytes) == (kind, bytes_of_query)
    assert tensors["token_embd.weight"].tensor_type.name == table
    assert tensors["output.weight"].tensor_type.name == table
    assert tensors["output_norm.weight"].tensor_type.name == "F32"
    assert context.log["tensor_types"]["F32"] == 5
    values = gguf.dequantize(
        tensors["blk.0.ffn_down.weight"].data, tensors["blk.0.ffn_down.weight"].tensor_type
    )
    float_weight = model.network.model.layers[0].mlp.down_proj.weight.detach().numpy()
    assert 0 < np.abs(values - float_weight).max() < 0.1 * np.abs(float_weight).max()
    assert np.isfinite(logits(load_served(folder, "cpu").network)).all()


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.slow
def test_q4_0_keeps_the_levels_of_gptq(tmp_path: Path) -> None:
    model, context = make_byte_level_llama(tmp_path)
    gptq.step.apply(model, gptq.Params(bits=4, group_size=32), context)
    before = {name: layer.weight for name, layer in list_quantized_layers(model.network).items()}
    assert len(before) == 14

    converted = to_gguf.step.apply(model, to_gguf.Params(type="Q4_0"), context)

    after = dict(converted.network.named_modules())
    assert all(torch.equal(after[name].weight.float(), weight) for name, weight in before.items())
    assert context.log["tensor_types"] == {"F32": 5, "Q4_0": 14, "Q8_0": 2}


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.slow
def test_auto_round_writes_the_file_too(tmp_path: Path) -> None:
    model, context = make_byte_level_llama(tmp_path)
    before = logits(model.network)
    quantized = auto_round.step.apply(
        model, auto_round.Params(scheme="W8A16", layout="gguf", iterations=0), context
    )
    [file] = quantized.folder.glob("*.gguf")
    assert {tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors} == {"F32", "Q8_0"}
    assert np.abs(logits(quantized.network) - before).max() < 0.5 * before.std()


@pytest.mark.parametrize("seed", range(3))
def test_searched_q4_0_is_read_by_gguf_and_never_worse(seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((8, 96), dtype=np.float32)
    values[0, :32] = 0
    kind = gguf.GGMLQuantizationType.Q4_0
    mine = gguf.dequantize(quantize_q4_0(values), kind)
    theirs = gguf.dequantize(gguf.quants.quantize(values, kind), kind)
    errors = [np.square((each - values).reshape(-1, 32)).sum(1) for each in (mine, theirs)]
    assert (errors[0] <= errors[1] + 1e-6).all()
    assert errors[0].sum() < errors[1].sum()
    assert np.array_equal(gguf.dequantize(quantize_q4_0(mine), kind), mine)


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.slow
def test_a_tokenizer_that_llama_cpp_has_not_is_one_line(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=8, task=causal_lm.task, params=NEXT_TOKEN)
    model = load_tiny(write_tiny(tmp_path / "hub", "llama", causal=True, **SHAPE), context)
    with pytest.raises(BuildError) as caught:
        to_gguf.step.apply(model, to_gguf.Params(), context)
    assert str(caught.value) == (
        "llama.cpp cannot read this tokenizer (WordLevel with the pre-tokenizer WhitespaceSplit), expected "
        "SentencePiece, WordPiece, byte-level BPE, or one of a released model"
    )


def test_only_the_pattern_of_gpt2_has_its_name() -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    assert name_pre_tokenizer({"model": {"type": "BPE"}, "pre_tokenizer": byte_level}) == "gpt-2"
    for other in ({"use_regex": False}, {"add_prefix_space": True}, {"type": "Whitespace"}):
        with pytest.raises(BuildError, match="cannot read this tokenizer"):
            name_pre_tokenizer({"model": {"type": "BPE"}, "pre_tokenizer": {**byte_level, **other}})


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pooling", "apart"), [("F32", "mean", 1e-6), ("Q8_0", "cls", 0.05)], ids=["float", "int8"]
)
def test_an_encoder_gives_its_vectors_again(tmp_path: Path, kind: str, pooling: str, apart: float) -> None:
    model, context = make_bert_encoder(tmp_path, pooling=pooling)
    before, parameters = compute_vectors(model, context), model.measure_size()["parameters"]

    converted = to_gguf.step.apply(model, to_gguf.Params(type=kind), context)

    folder = save_model(converted, tmp_path / "written")
    again = load_served(folder, "cpu")
    assert 0 <= np.abs(compute_vectors(again, context) - before).max() < apart
    assert again.measure_size() == converted.measure_size()
    assert again.measure_size()["parameters"] == parameters
    width = before.shape[-1]
    side = ComparedModel(None, None, folder, "cpu")  # type: ignore[arg-type]
    assert count_bytes(side, width) == 4 * width
    reader = gguf.GGUFReader(folder / "model.gguf")
    assert reader.fields["general.architecture"].contents() == "bert"
    expected = {"mean": gguf.PoolingType.MEAN, "cls": gguf.PoolingType.CLS}[pooling]
    assert reader.fields["bert.pooling_type"].contents() == expected
    assert reader.fields["tokenizer.ggml.model"].contents() == "bert"
    assert {file.name for file in folder.iterdir()} >= {"model.gguf", "config.json", "tokenizer.json"}


@pytest.mark.usefixtures("forked_workers")
def test_an_encoder_with_a_part_llama_cpp_lacks_is_refused(tmp_path: Path) -> None:
    model, context = make_bert_encoder(tmp_path)
    truncate_embeddings.step.apply(model, truncate_embeddings.Params(dims=8), context)
    with pytest.raises(BuildError) as caught:
        to_gguf.step.apply(model, to_gguf.Params(), context)
    assert str(caught.value) == (
        "llama.cpp does not support what truncate_embeddings or quantize_embeddings adds"
    )
