"""What a model's config.json says of its blocks and positions."""

from __future__ import annotations

import pytest
import torch

from slimgate.models.config import OFFSET_POSITIONS, count_blocks, read_max_positions


def test_a_key_that_is_null_is_a_key_that_is_not_stated() -> None:
    assert count_blocks({"num_hidden_layers": None, "n_layer": 12}) == 12
    assert count_blocks({"num_hidden_layers": None}) is None


@pytest.mark.parametrize(
    ("stated", "longest"), [({}, 512), ({"pad_token_id": None}, 512), ({"pad_token_id": 0}, 513)]
)
def test_positions_of_roberta_begin_after_the_padding_token(stated: dict[str, object], longest: int) -> None:
    config = {"model_type": "roberta", "max_position_embeddings": 514, **stated}
    assert read_max_positions(config) == longest


@pytest.mark.parametrize("family", sorted(OFFSET_POSITIONS - {"longformer"}))  # which pads to its window
def test_transformers_has_positions_for_the_longest_text_alone(family: str) -> None:
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {
        "esm": {"position_embedding_type": "absolute", "mask_token_id": 3},
        "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    }.get(family, {})
    config = AutoConfig.for_model(
        family, vocab_size=8, max_position_embeddings=20, pad_token_id=1, **sizes, **special
    )
    network = AutoModel.from_config(config).eval()
    longest = read_max_positions(config.to_dict())
    assert longest == 18
    network(torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError)):
        network(torch.full((1, longest + 1), 5))
