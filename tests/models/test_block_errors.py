"""Faults planted in one block of a small Llama or GPT-2: the block is named."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.models.architectures import write_tiny
from slimgate.errors import BuildError
from slimgate.models.block_errors import EMBEDDINGS, OUTPUT, measure_block_errors

INPUTS = {
    "input_ids": torch.arange(24).reshape(3, 8) % 11,
    "attention_mask": torch.ones(3, 8, dtype=torch.long),
}


def network_of(folder: Path, architecture: str, **config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        write_tiny(folder, architecture, causal=True, **config)
    ).eval()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return network_of(tmp_path_factory.mktemp("llama"), "llama", num_hidden_layers=6)


def rounded(network: Any, bits: int) -> Any:
    """All linear layers of the blocks on a grid of one scale a row."""
    copy = deepcopy(network)
    for name, module in copy.named_modules():
        if isinstance(module, torch.nn.Linear) and "layers" in name:
            scale = module.weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            module.weight.data = (module.weight / scale).round() * scale
    return copy


def scale_wrongly(network: Any) -> None:
    network.model.layers[3].mlp.down_proj.weight.data *= 2


def shift_the_zero_point(network: Any) -> None:
    weight = network.model.layers[3].self_attn.v_proj.weight.data
    weight += weight.abs().amax(1, keepdim=True) / 7


def transpose(network: Any) -> None:
    weight = network.model.layers[3].self_attn.o_proj.weight
    weight.data = weight.data.T.contiguous()


FAULTS = [scale_wrongly, shift_the_zero_point, transpose]


@pytest.mark.parametrize(
    ("fault", "bits"), [*((fault, 8) for fault in FAULTS), (transpose, 4), (transpose, 3)]
)
def test_the_block_of_a_fault_stands_out_of_a_quantized_model(llama: Any, fault: Any, bits: int) -> None:
    variant = rounded(llama, bits)
    fault(variant)
    errors = measure_block_errors(llama, variant, INPUTS)
    assert (errors.worst.name, errors.stands_out) == ("model.layers.3", True), errors


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_no_block_stands_out_where_the_error_is_everywhere(llama: Any, bits: int) -> None:
    errors = measure_block_errors(llama, rounded(llama, bits), INPUTS)
    assert not errors.stands_out, errors


def test_parts_are_in_order_and_a_copy_has_no_error(llama: Any) -> None:
    errors = measure_block_errors(llama, deepcopy(llama), INPUTS)
    names = [EMBEDDINGS, *(f"model.layers.{block}" for block in range(6)), OUTPUT]
    assert [part.name for part in errors.parts] == names
    assert all(part.own == part.after == 0 for part in errors.parts)
    assert not errors.stands_out


def test_an_error_goes_on_behind_its_block_and_is_not_before_it(llama: Any) -> None:
    variant = deepcopy(llama)
    transpose(variant)
    parts = {part.name: part for part in measure_block_errors(llama, variant, INPUTS).parts}
    assert parts["model.layers.2"].after == 0
    assert parts["model.layers.3"].after > 0 < parts["model.layers.5"].after
    assert parts["model.layers.5"].own == 0


@pytest.mark.parametrize(
    ("part", "layer"), [(EMBEDDINGS, "model.embed_tokens"), (OUTPUT, "lm_head")], ids=["embeddings", "output"]
)
def test_a_fault_outside_the_blocks_is_named(llama: Any, part: str, layer: str) -> None:
    variant = rounded(llama, 8)
    table = variant.get_submodule(layer)
    table.weight = torch.nn.Parameter(table.weight * 3)
    errors = measure_block_errors(llama, variant, INPUTS)
    assert (errors.worst.name, errors.stands_out) == (part, True)


def test_another_family_is_followed_too(tmp_path: Path) -> None:
    teacher = network_of(tmp_path, "gpt2", n_layer=4)
    variant = deepcopy(teacher)
    variant.transformer.h[1].mlp.c_proj.weight.data *= 3
    errors = measure_block_errors(teacher, variant, INPUTS)
    assert (errors.worst.name, errors.stands_out) == ("transformer.h.1", True)


def test_networks_of_other_blocks_are_refused(llama: Any, tmp_path: Path) -> None:
    other = network_of(tmp_path, "llama", num_hidden_layers=2)
    with pytest.raises(BuildError, match="the teacher has 6 blocks, the variant 2"):
        measure_block_errors(llama, other, INPUTS)
