"""Checkpoints that other tools have quantized: loaded, described, saved and loaded again as what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.versions import needs

from fixtures.models.architectures import write_tiny
from fixtures.models.building import make_tiny_context, save_model
from fixtures.models.quantized import (
    BLOCKS,
    GROUP,
    LAYERS,
    QUANTIZED,
    WRITERS,
    quantize_by_auto_round,
    quantize_by_bitsandbytes,
    quantize_by_gguf,
    write_tiny_llama,
)
from slimgate._system.quiet import silent
from slimgate.errors import BuildError
from slimgate.models.checkpoint import list_checkpoint_files, load_checkpoint, make_checkpoint
from slimgate.models.gguf_model import load_gguf_tokenizer
from slimgate.models.model_ref import parse_model_ref
from slimgate.models.pretrained import load_or_train_tokenizer
from slimgate.models.quantized_files import CHECKPOINT
from slimgate.models.saved_files import read_stored_tensors
from slimgate.plugins.models import ModelRef
from slimgate.runtimes import eager
from slimgate.tasks import causal_lm

PARAMS = causal_lm.Params(text=("text",), max_tokens=8, stride=4)
IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
OUTPUTS = BLOCKS * sum(rows for rows, _ in LAYERS.values())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def written(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a format, written once."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = WRITERS[name](source, tmp_path_factory.mktemp(name))
        return folders[name]

    return folder


def load(path: Path, scratch: Path, **options: Any) -> Any:
    """As a suite's `model = path` is loaded."""
    ref = parse_model_ref(str(path), **options)
    context = make_tiny_context(scratch, task=causal_lm.task, params=PARAMS)
    model = causal_lm.task.load_model(PARAMS, ref, context)
    if ref.stored is None:
        return model
    assert ref.folder is not None
    return make_checkpoint(model, ref.folder, file=ref.file, dtype=ref.dtype, stored=ref.stored)


def answers(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=IDS).logits.float()


def by_transformers(folder: Path, **options: Any) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    with silent():
        return answers(AutoModelForCausalLM.from_pretrained(folder, **{"dtype": "auto", **options}).eval())


SCHEMES = {
    "auto_round": ("auto-round (auto_gptq)", "W4A16", GROUP),
    "awq": ("awq", "W4A16", GROUP),
    "compressed_tensors_fp8": ("compressed-tensors (float-quantized)", "WFP8AFP8", None),
    "compressed_tensors_w4a16": ("compressed-tensors (pack-quantized)", "W4A16", GROUP),
    "compressed_tensors_w8a8": ("compressed-tensors (int-quantized)", "W8A8", None),
    "gptq": ("gptq", "W4A16", GROUP),
    "mxfp4": ("compressed-tensors (mxfp4-pack-quantized)", "WFP4AFP4", 32),
    "torchao": ("torchao", "Int8WeightOnly", None),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_checkpoint_says_how_its_weights_are_stored(written: Any, name: str, tmp_path: Path) -> None:
    model = load(written(name), tmp_path)
    form, scheme, group = SCHEMES[name]
    expected = {
        "format": form,
        "scheme": scheme,
        "group_size": group,
        "left_out": [] if name == "torchao" else ["lm_head"],
        "dtype": "float16" if name in ("awq", "gptq") else "bfloat16",
    }
    assert model.stored == expected
    assert model.kind == CHECKPOINT


# Those that slimgate unpacks itself.
OWN = ("auto_round", "awq", "gptq")


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in OWN])
def test_answers_are_those_of_transformers_alone(written: Any, name: str, tmp_path: Path) -> None:
    assert torch.equal(answers(load(written(name), tmp_path).network), by_transformers(written(name)))


@pytest.mark.parametrize("name", ["auto_round", "gptq"])
def test_unpacked_weights_answer_as_auto_rounds_own_layers(written: Any, name: str, tmp_path: Path) -> None:
    from transformers import AutoRoundConfig

    ours = answers(load(written(name), tmp_path).network)
    options = {"quantization_config": AutoRoundConfig()} if name == "gptq" else {}
    theirs = by_transformers(written(name), **options)
    assert (ours - theirs).abs().max() <= 2e-3 * theirs.abs().max()  # sums of 16 bits in another order


PACKINGS = {
    "W2A16": ("auto_round:auto_gptq", {}),
    "W3A16": ("auto_round:auto_gptq", {}),
    "W4A16": ("auto_round:auto_gptq", {}),
    "W8A16": ("auto_round:auto_gptq", {}),
    "W3A16 with zero points": ("auto_round", {"sym": False}),
    "W2A16 with zero points": ("auto_round", {"sym": False}),
    "W4A16 and a layer of 8 bits": (
        "auto_round:auto_gptq",
        {"layer_config": {"model.layers.1.mlp.up_proj": {"bits": 8}}},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKINGS)
def test_integers_are_unpacked_as_auto_round_does_at_each_call(
    source: Path, name: str, tmp_path: Path
) -> None:
    """A layer without a bias answers the unit vectors with its weights, to the bit."""
    from transformers import AutoModelForCausalLM

    packing, options = PACKINGS[name]
    folder = quantize_by_auto_round(
        source, tmp_path / "written", "auto_round", name.partition(" ")[0], **options
    )
    stated = json.loads((folder / "config.json").read_text("utf-8"))["quantization_config"]
    assert stated["packing_format"] == packing
    ours = load(folder, tmp_path / "rows").network
    with silent():
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    for layer in (f"model.layers.{block}.{part}" for block in range(BLOCKS) for part in LAYERS):
        weight = ours.get_submodule(layer).weight
        with torch.no_grad():
            expected = theirs.get_submodule(layer)(torch.eye(weight.shape[1], dtype=weight.dtype)).T
        assert torch.equal(weight, expected), layer


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["auto_round", "auto_gptq"])
def test_the_last_group_of_a_layer_may_be_smaller(layout: str, tmp_path: Path) -> None:
    """96 and 160 inputs are one and two groups of 64, and one of 32."""
    shape = {"hidden_size": 96, "intermediate_size": 160, "num_key_value_heads": 4}
    source = write_tiny_llama(tmp_path / "source", **shape)
    folder = quantize_by_auto_round(source, tmp_path / layout, layout, group_size=64)
    quantized, plain = (load(path, tmp_path / f"rows-{path.name}").network for path in (folder, source))
    [file] = folder.glob("*.safetensors")
    without = {name: tensor for name, tensor in load_file(file).items() if not name.endswith(".g_idx")}
    save_file(without, file, metadata={"format": "pt"})
    in_order = load(folder, tmp_path / "rows").network
    for layer in (f"model.layers.{block}.{part}" for block in range(BLOCKS) for part in LAYERS):
        weight, rounded = (network.get_submodule(layer).weight for network in (plain, quantized))
        assert 0 < (rounded - weight).norm() <= 0.15 * weight.norm(), layer
        assert torch.equal(in_order.get_submodule(layer).weight, rounded), layer


@pytest.mark.slow
def test_auto_rounds_own_layout_of_awq_holds_the_levels_of_gptq(source: Path, tmp_path: Path) -> None:
    """On a CPU, transformers alone reads this layout only with gptqmodel."""
    folders = {
        layout: quantize_by_auto_round(source, tmp_path / layout, layout, sym=False)
        for layout in ("auto_round", "auto_gptq")
    }
    stated = json.loads((folders["auto_round"] / "config.json").read_text("utf-8"))["quantization_config"]
    assert stated["packing_format"] == "auto_round:auto_awq"
    awq, gptq = (
        load(folder, tmp_path / f"rows-{layout}", dtype="float16").network
        for layout, folder in folders.items()
    )
    for layer in (f"model.layers.{block}.{part}" for block in range(BLOCKS) for part in LAYERS):
        assert torch.equal(awq.get_submodule(layer).weight, gptq.get_submodule(layer).weight), layer


FAMILIES = {
    "gpt2": ({"n_embd": 64, "n_layer": 2}, 5e-3),  # Conv1D holds its weight transposed; float16 and float32
    "mixtral": ({"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}, 0.0),  # by auto-round
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_families_with_other_layers_answer_as_transformers_alone(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AR_DISABLE_META_LOAD", "1")  # which cannot read the experts of a tiny Mixtral
    shape, tolerance = FAMILIES[family]
    source = write_tiny(tmp_path / "source", family, causal=True, initializer_range=0.2, **shape)
    folder = quantize_by_auto_round(source, tmp_path / "quantized", "auto_round")
    ours, theirs = answers(load(folder, tmp_path / "rows").network), by_transformers(folder)
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_the_same_levels_in_two_layouts_answer_the_same(written: Any, tmp_path: Path) -> None:
    """AutoRound rounds alike for GPTQ's layout and for AWQ's."""
    gptq, awq = (load(written(name), tmp_path / name).network for name in ("gptq", "awq"))
    assert torch.equal(answers(gptq), answers(awq))


@pytest.mark.parametrize("name", WRITERS)
def test_saved_and_loaded_again_it_answers_the_same(written: Any, name: str, tmp_path: Path) -> None:
    model = load(written(name), tmp_path / "rows")
    saved = save_model(model, tmp_path / "saved")
    again = eager.runtime.load_model(saved, "cpu")
    assert torch.equal(answers(again.network), answers(model.network))
    assert again.stored == model.stored
    for file in list_checkpoint_files(written(name), None):
        assert (saved / file.name).read_bytes() == file.read_bytes()


# Bytes of the quantized layers by hand. 4 bits: half a byte a weight, and 2 bytes of scale a group. 8 bits: a
# byte a weight, and 2 bytes of scale an output. GPTQ has a zero point of half a byte a group and output, and
# 4 bytes of g_idx an input; compressed-tensors the two int64 of weight_shape a layer.
GROUPS = QUANTIZED // GROUP
INPUTS = BLOCKS * sum(columns for _, columns in LAYERS.values())
BYTES = {
    "auto_round": QUANTIZED // 2 + GROUPS * 2 + GROUPS // 2,
    "awq": QUANTIZED // 2 + GROUPS * 2 + GROUPS // 2,
    "compressed_tensors_fp8": QUANTIZED + OUTPUTS * 2,
    "compressed_tensors_w4a16": QUANTIZED // 2 + GROUPS * 2 + len(LAYERS) * BLOCKS * 16,
    "compressed_tensors_w8a8": QUANTIZED + OUTPUTS * 2,
    "gptq": QUANTIZED // 2 + GROUPS * 2 + GROUPS // 2 + INPUTS * 4,
    "mxfp4": QUANTIZED // 2 + GROUPS,
}
WIDTH = {"I64": 8, "I32": 4, "F32": 4, "BF16": 2, "F16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_of_the_quantized_layers(written: Any, name: str) -> None:
    tensors = read_stored_tensors(written(name))
    assert tensors is not None
    size = sum(
        WIDTH[tensor.dtype] * torch.Size(tensor.shape).numel()
        for key, tensor in tensors.items()
        if "_proj." in key
    )
    assert size == BYTES[name]


def test_counted_bytes_are_those_of_the_files(written: Any, tmp_path: Path) -> None:
    model = load(written("gptq"), tmp_path / "rows")
    saved = save_model(model, tmp_path / "saved")
    names = sorted(file.name for file in saved.iterdir())
    assert set(names) - set(model.select_counted_files(names)) == {"slimgate.json"}
    weights = (written("gptq") / "model.safetensors").stat().st_size
    assert model.measure_size()["state_bytes"] == weights


def test_parameters_are_those_of_the_architecture(source: Path, written: Any, tmp_path: Path) -> None:
    plain = load(source, tmp_path / "plain").measure_size()["parameters"]
    for name in ("gptq", "compressed_tensors_w8a8", "torchao", "auto_round"):
        assert load(written(name), tmp_path / name).measure_size()["parameters"] == plain


def test_dtype_of_a_suite_replaces_the_stored_one(written: Any, tmp_path: Path) -> None:
    model, saved = load(written("gptq"), tmp_path / "rows", dtype="float32"), tmp_path / "saved"
    assert model.network.dtype == torch.float32
    assert load_checkpoint(save_model(model, saved)).network.dtype == torch.float32


@pytest.mark.parametrize(
    ("scheme", "config"),
    [("W4A16 NF4", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}), ("W8A8", {"load_in_8bit": True})],
)
def test_bitsandbytes_answers_as_transformers_alone(
    source: Path, scheme: str, config: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    folder = quantize_by_bitsandbytes(source, tmp_path / "quantized", **config)
    model, saved = load(folder, tmp_path / "rows"), tmp_path / "saved"
    assert (model.kind, model.stored["format"], model.stored["scheme"]) == (
        CHECKPOINT,
        "bitsandbytes",
        scheme,
    )
    assert torch.equal(answers(model.network), by_transformers(folder))
    assert torch.equal(answers(load_checkpoint(save_model(model, saved)).network), answers(model.network))


@needs("transformers>=5.18")
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_a_gguf_file_is_judged_by_its_weights(source: Path, kind: str, tmp_path: Path) -> None:
    file = quantize_by_gguf(source, tmp_path / f"llama.{kind}.gguf", kind)
    model, saved = load(file, tmp_path / "rows"), tmp_path / "saved"
    assert model.kind == CHECKPOINT
    assert (model.stored["format"], model.stored["scheme"], model.stored["group_size"]) == ("gguf", kind, 32)
    assert torch.equal(answers(model.network), by_transformers(tmp_path, gguf_file=file.name))
    again = load_checkpoint(save_model(model, saved))
    assert torch.equal(answers(again.network), answers(model.network))
    assert again.select_counted_files(["config.json", file.name]) == [file.name]
    assert again.tokenizer("good film")["input_ids"] == model.tokenizer("good film")["input_ids"]


@needs("transformers>=5.18")
def test_a_tokenizer_beside_a_gguf_file_takes_no_token_away(source: Path, tmp_path: Path) -> None:
    file = quantize_by_gguf(source, tmp_path / "llama.gguf")
    alone = load_gguf_tokenizer(file)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, tmp_path / name)
    unpacked = load_or_train_tokenizer(ModelRef(str(file), tmp_path, file=file.name), (), None)
    assert alone.eos_token is not None
    assert [read.eos_token for read in (load_gguf_tokenizer(file), unpacked)] == [alone.eos_token] * 2


@needs("transformers>=5.18")
def test_a_gguf_file_in_bfloat16_answers_as_the_float_model(source: Path, tmp_path: Path) -> None:
    """So the rows of its q and k are in the right order: nothing of a bfloat16 weight is lost."""
    plain = answers(load(source, tmp_path / "plain", dtype="float32").network)
    model = load(quantize_by_gguf(source, tmp_path / "llama.gguf", "BF16"), tmp_path / "rows")
    assert torch.allclose(answers(model.network), plain, atol=1e-5)
    assert (model.stored["scheme"], model.stored["group_size"], model.stored["left_out"]) == (
        "BF16",
        None,
        [],
    )


def test_a_gguf_file_has_the_bytes_of_its_blocks(source: Path, tmp_path: Path) -> None:
    """Q4_0: 18 bytes for 32 weights, of all matrices, the embeddings and lm_head too."""
    small, large = (quantize_by_gguf(source, tmp_path / f"{kind}.gguf", kind) for kind in ("Q4_0", "Q8_0"))
    tensors = read_stored_tensors(source)
    assert tensors is not None
    blocks = sum(torch.Size(t.shape).numel() // 32 for t in tensors.values() if len(t.shape) == 2)
    assert large.stat().st_size - small.stat().st_size == blocks * (34 - 18)


def test_shards_tied_weights_generation_and_template_survive(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    source = write_tiny_llama(tmp_path / "source", tie_word_embeddings=True)
    (source / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    folder = WRITERS["compressed_tensors_w4a16"](source, tmp_path / "quantized")
    shutil.copyfile(source / "chat_template.jinja", folder / "chat_template.jinja")
    _shard(folder)
    model = load(folder, tmp_path / "rows")
    saved = save_model(model, tmp_path / "saved")
    names = {file.name for file in saved.iterdir()}
    assert {"chat_template.jinja", "generation_config.json", "model.safetensors.index.json"} <= names
    assert len(list(saved.glob("*.safetensors"))) == 2
    assert model.network.lm_head.weight is model.network.model.embed_tokens.weight
    with silent():
        alone = AutoModelForCausalLM.from_pretrained(saved, dtype="auto").eval()
    assert torch.equal(answers(alone), answers(load_checkpoint(saved).network))


def _shard(folder: Path) -> None:
    """The weights in two files with an index."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({name: weights[name] for name in keys}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, keys in parts.items() for name in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (folder / "model.safetensors").unlink()


def test_a_float_checkpoint_keeps_its_16_bits(source: Path, tmp_path: Path) -> None:
    model = load(source, tmp_path / "rows")
    saved = save_model(model, tmp_path / "saved")
    again = eager.runtime.load_model(saved, "cpu")
    assert {model.network.dtype, again.network.dtype} == {torch.bfloat16}
    assert torch.equal(answers(again.network), by_transformers(source))
    assert load(source, tmp_path / "wide", dtype="float32").network.dtype == torch.float32


def test_a_layer_that_is_packed_otherwise_is_one_line(written: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(written("awq"), tmp_path / "gemv")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"]["version"] = "gemv"
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(BuildError, match="version gemv, were given, expected 4 bits in the version gemm"):
        load(folder, tmp_path / "rows")
