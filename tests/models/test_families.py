"""The families: their parts, what takes another form before a step, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fixtures.models.architectures import ENCODER_DECODERS, SHAPES, write_tiny
from fixtures.models.building import save_and_load
from fixtures.models.masking import INPUTS
from slimgate.errors import BuildError, SuiteError
from slimgate.models.blocks import blocks, list_block_names
from slimgate.models.families import FAMILIES, check_family, find_family
from slimgate.models.module_outputs import watch_outputs
from slimgate.models.plain_layers import Experts, ScaledEmbedding, convert_scaled_tables_, convert_to_linear_
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.steps.training.matching import AttentionOutputs


def language_model(root: Path, architecture: str) -> TorchModel:
    """A random model that predicts tokens."""
    import transformers

    auto = "AutoModelForSeq2SeqLM" if architecture in ENCODER_DECODERS else "AutoModelForCausalLM"
    folder = write_tiny(root / "hub", architecture, causal=True, initializer_range=0.2, init_std=0.2)
    network = getattr(transformers, auto).from_pretrained(folder).eval()
    return TorchModel(network, transformers.AutoTokenizer.from_pretrained(folder), f"transformers:{auto}")


def answers(model: Any) -> torch.Tensor:
    inputs = dict(INPUTS)
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[3, 5, 6], [3, 7, 8], [3, 9, 1]])
    with torch.inference_mode():
        logits: torch.Tensor = model.network(**inputs).logits
    return logits


def test_every_family_has_a_tiny_model_and_occurs_once() -> None:
    kinds = [kind for family in FAMILIES for kind in family.model_types]
    assert len(set(kinds)) == len(kinds)
    assert {family.model_types[0] for family in FAMILIES} - {"clip_text_model"} <= set(SHAPES)


def test_a_step_changes_only_parts_that_families_speak_of() -> None:
    named = {part for name in list_known_plugins("step") for part in load("step", name).changes}
    assert named == {"blocks", "heads", "neurons", "stream"}
    assert {part for family in FAMILIES for part in family.without} <= named


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("mixtral", Experts),
        ("qwen3_moe", Experts),
        ("gemma2", ScaledEmbedding),
        ("gemma3_text", ScaledEmbedding),
        ("bart", ScaledEmbedding),
    ],
)
def test_plain_layers_give_the_same_answers_and_load_again(
    tmp_path: Path, architecture: str, kind: type[nn.Module]
) -> None:
    model = language_model(tmp_path, architecture)
    before, size = answers(model), model.measure_size()["parameters"]
    convert_to_linear_(model)
    convert_scaled_tables_(model)
    assert any(isinstance(module, kind) for module in model.network.modules())
    torch.testing.assert_close(answers(model), before, atol=1e-5, rtol=1e-5)
    assert model.measure_size()["parameters"] == size  # a tied table is still one
    assert torch.equal(answers(save_and_load(model, tmp_path / "saved")), answers(model))


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text", "opt", "qwen3"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("weight_only", {"bits": 8, "embeddings": 8}), ("int8_dynamic", {"embeddings": True}), ("cast", {})],
)
def test_a_table_in_few_bits_keeps_the_answers(
    tmp_path: Path, architecture: str, name: str, options: dict[str, Any]
) -> None:
    model = language_model(tmp_path, architecture)
    before, step = answers(model), load("step", name)
    variant = step.apply(model, step.Params(**options), _Logging())
    assert (answers(variant) - before).abs().mean() < 0.05 * before.std()
    assert torch.equal(answers(save_and_load(variant, tmp_path / "saved")), answers(variant))


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("weight_only", {"bits": 8, "group_size": 16}),
        ("int8_dynamic", {}),
        ("magnitude_prune", {"sparsity": 0.1}),
        ("prune_ffn", {"pruning_ratio": 0.25, "importance": "magnitude"}),
    ],
)
def test_steps_without_rows_change_encoder_and_decoder(
    tmp_path: Path, architecture: str, name: str, options: dict[str, Any]
) -> None:
    model = language_model(tmp_path, architecture)
    weights = [dict(network_block(model, name)) for name in list_block_names(model.network)]
    before, step = answers(model), load("step", name)
    variant = step.apply(model, step.Params(**options), _Logging())
    assert len(weights) == 4
    difference = (answers(variant) - before).abs().mean()
    assert 0 < difference < (0.05 if name in ("weight_only", "int8_dynamic") else 1.0) * before.std()
    for number, block in enumerate(list_block_names(variant.network)):
        after = dict(network_block(variant, block))
        assert after.keys() != weights[number].keys() or any(
            tensor.shape != weights[number][key].shape or not torch.equal(tensor, weights[number][key])
            for key, tensor in after.items()
        )
    assert torch.equal(answers(save_and_load(variant, tmp_path / "saved")), answers(variant))


def network_block(model: Any, name: str) -> dict[str, torch.Tensor]:
    state = model.network.get_submodule(name).state_dict()
    return {key: tensor.clone() for key, tensor in state.items()}


def test_the_blocks_of_an_encoder_decoder_are_no_one_list(tmp_path: Path) -> None:
    model = language_model(tmp_path, "t5")
    assert [block.feed_forward.width for block in blocks(model.network)] == [64] * 4
    step = load("step", "keep_layers")
    with pytest.raises(BuildError, match=r"2 lists of blocks \(encoder.block, decoder.block\), expected one"):
        step.apply(model, step.Params([0]), _Logging())


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "gemma3_text", "phi", "phi3", "opt"])
def test_attention_scores_are_those_of_the_model(tmp_path: Path, architecture: str) -> None:
    model = language_model(tmp_path, architecture)
    model.network.set_attn_implementation("eager")
    attention = AttentionOutputs.of_attention(model, blocks(model.network)[0].attention)
    ids = INPUTS["input_ids"][:1]
    with watch_outputs(model.network, attention.names) as seen, torch.inference_mode():
        theirs = model.network(input_ids=ids, output_attentions=True).attentions[0]
        scores = attention.compute_scores(seen)
    later = torch.ones(scores.shape[-2:]).triu(1).bool()
    ours = torch.softmax(scores.masked_fill(later, float("-inf")), dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_step_a_family_cannot_do_is_refused_by_configuration() -> None:
    with pytest.raises(SuiteError, match="prune_heads cannot change Phi-3: its attention reads") as caught:
        check_family("prune_heads", load("step", "prune_heads"), {"model_type": "phi3"})
    assert "it can change BERT, DistilBERT, ModernBERT, GPT-2" in str(caught.value)
    check_family("prune_ffn", load("step", "prune_ffn"), {"model_type": "phi3"})
    assert find_family({"model_type": "mamba"}) is None


def test_unknown_blocks_are_an_error_that_lists_the_families(tmp_path: Path) -> None:
    model = language_model(tmp_path, "llama")
    model.config.model_type = "else"
    assert len(blocks(model.network)) == 4  # by the names of its layers
    model.network.model.layers[0].mlp = nn.Identity()
    with pytest.raises(BuildError, match="known are the families BERT, DistilBERT, ModernBERT, GPT-2, OPT"):
        blocks(model.network)


class _Logging:
    """The part of a context that steps without rows use."""

    device = "cpu"

    def __init__(self) -> None:
        self.log: dict[str, Any] = {}
