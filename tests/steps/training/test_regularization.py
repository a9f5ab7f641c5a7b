"""slimgate.steps.training.options: dropout and LayerDrop, only while training, and only for that
time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fixtures.models.architectures import write_tiny, write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_classifier, make_tiny_context
from slimgate.models.blocks import find_only_block_list
from slimgate.steps.training.options import with_regularization, without_block

IDS = torch.tensor([[2, 6, 7, 3], [2, 8, 9, 3]])
INPUTS = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_dropout_is_set_everywhere_and_put_back(tmp_path: Path, architecture: str) -> None:
    folder = write_tiny(tmp_path / "hub", architecture, labels=("neg", "pos"))
    network = load_tiny(folder, make_tiny_context(tmp_path / "rows")).network

    def chances() -> list[float]:
        layers = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)]
        return layers + [m.attention_dropout for m in network.modules() if hasattr(m, "attention_dropout")]

    before = chances()
    with with_regularization(network, dropout=0.3):
        assert set(chances()) == {0.3}
    assert chances() == before
    with with_regularization(network):
        assert chances() == before


def test_blocks_are_left_out_in_training_by_their_chance(tmp_path: Path) -> None:
    folder = write_tiny_classifier(tmp_path / "hub", initializer_range=0.3)
    network = load_tiny(folder, make_tiny_context(tmp_path / "rows")).network
    block = find_only_block_list(network)[1]
    runs = 0
    with torch.no_grad(), with_regularization(network, dropout=0.0, layer_drop=0.25):
        expected = network(**INPUTS).logits
        torch.testing.assert_close(network(**INPUTS).logits, expected)  # evaluation leaves nothing out
        network.train()
        torch.manual_seed(0)
        hidden = torch.randn(1, 4, 32)
        for _ in range(400):
            output = block(hidden)
            output = output[0] if isinstance(output, tuple) else output
            runs += not torch.equal(output, hidden)
        network.eval()
    assert runs / 400 == pytest.approx(0.75, abs=0.06)
    assert not block._forward_hooks


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "llama"])
def test_a_skipped_block_is_as_if_it_were_not_there(tmp_path: Path, architecture: str) -> None:
    from slimgate.steps.prune import keep_layers

    model, context = make_tiny_classifier(tmp_path, architecture, shape={"initializer_range": 0.3})
    with torch.no_grad(), without_block(find_only_block_list(model.network)[2]):
        without = model.network(**INPUTS).logits
    keep_layers.step.apply(model, keep_layers.Params((0, 1, 3)), context)
    with torch.no_grad():
        torch.testing.assert_close(model.network(**INPUTS).logits, without)
