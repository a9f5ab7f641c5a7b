"""Two towers that can be seen as one: what is shown, and that names and state stay those of the whole."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPConfig

from fixtures.models.tiny_clip import TOWER
from slimgate.models.blocks import blocks, list_block_names
from slimgate.models.two_towers import TOWERS, Tower, TwoTowers


@pytest.fixture(scope="module")
def network() -> TwoTowers:
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "vocab_size": 9}
    config = CLIPConfig(
        text_config={**TOWER, **special, "num_hidden_layers": 2},
        vision_config={**TOWER, "image_size": 8, "patch_size": 4},
        projection_dim=16,
    )
    return TwoTowers.from_config(config).eval()


def test_every_parameter_but_the_scale_is_of_one_tower(network: TwoTowers) -> None:
    parameters = {name for name, _ in network.named_parameters()}
    parts: list[set[str]] = []
    for tower in TOWERS:
        with network.view_as(tower):
            parts.append({name for name, _ in network.named_parameters()})
    assert parts[0].isdisjoint(parts[1])
    assert parameters - parts[0] - parts[1] == {"clip.logit_scale"}
    assert {name for name, _ in network.named_parameters()} == parameters


@pytest.mark.parametrize(("tower", "count"), [("vision", 4), ("text", 2)])
def test_blocks_are_the_towers_under_their_names_in_the_whole(
    network: TwoTowers, tower: Tower, count: int
) -> None:
    with network.view_as(tower):
        names = list_block_names(network)
        assert network.config.num_hidden_layers == count
        assert [block.attention.heads for block in blocks(network)] == [4] * count
        assert len(network.state_dict()) > len(list(network.named_parameters()))
    assert names == [f"clip.{tower}_model.encoder.layers.{number}" for number in range(count)]
    assert all(network.get_submodule(name) is not None for name in names)


def test_an_image_s_answers_do_not_depend_on_the_batch(network: TwoTowers) -> None:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, 8, 8, generator=draws)
    texts = {"input_ids": torch.tensor([[0, 5, 1], [0, 6, 1]]), "attention_mask": torch.ones(2, 3).long()}
    with torch.no_grad():
        together = network(pixel_values=pixels, **texts).logits
        alone = network(pixel_values=pixels[1:2], **texts).logits
    assert together.shape == (3, 2)
    torch.testing.assert_close(alone[0], together[1])
