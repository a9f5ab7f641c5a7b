"""What a model's config.json says of its blocks and positions."""

from __future__ import annotations

import pytest

from slimgate.models.config import blocks_of, longest_text


def test_a_key_that_is_null_is_a_key_that_is_not_stated() -> None:
    assert blocks_of({"num_hidden_layers": None, "n_layer": 12}) == 12
    assert blocks_of({"num_hidden_layers": None}) is None


@pytest.mark.parametrize(
    ("stated", "longest"), [({}, 512), ({"pad_token_id": None}, 512), ({"pad_token_id": 0}, 513)]
)
def test_positions_of_roberta_begin_after_the_padding_token(stated: dict[str, object], longest: int) -> None:
    config = {"model_type": "roberta", "max_position_embeddings": 514, **stated}
    assert longest_text(config) == longest
