"""The step new_student: a fresh model of the same family, of the shape asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.refused_options import read_refusal

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context, save_model
from slimgate.errors import BuildError
from slimgate.models.blocks import blocks
from slimgate.models.torch_model import load_torch_model
from slimgate.steps.factorize import factorize_embeddings
from slimgate.steps.finetune import new_student
from slimgate.tasks import text_classification

FAMILIES = ("bert", "distilbert", "roberta", "electra", "gpt2", "llama")


def fresh(folder: Path, architecture: str, *, seed: int = 0, **params: Any) -> tuple[Any, Any, Any]:
    """(old model, new model, context)."""
    context = make_tiny_context(folder / "rows", seed=seed)
    hub = write_tiny_classifier(folder / "hub", architecture)
    old = load_tiny(hub, context)
    return old, new_student.step.apply(old, new_student.Params(**params), context), context


@pytest.mark.parametrize("architecture", FAMILIES)
def test_what_is_left_out_stays_in_proportion(tmp_path: Path, architecture: str) -> None:
    old, new, context = fresh(tmp_path, architecture, layers=2, hidden=16)
    shapes = blocks(new.network)
    assert [(b.attention.heads, b.attention.head_dim, b.feed_forward.width) for b in shapes] == (
        [(2, 8, 64 if architecture == "gpt2" else 32)] * 2
    )
    assert new.config.num_labels == 2
    assert new.tokenizer is old.tokenizer
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("selection"), new.tokenizer)
    batch = {k: torch.from_numpy(v) for k, v in encoded.batch([0, 1, 2]).items()}
    with torch.no_grad():
        assert new.network(**batch).logits.shape == (3, 2)
    assert context.log["parameters_after"] < context.log["parameters_before"]
    save_model(new, tmp_path / "artifact")
    with torch.no_grad():
        again = load_torch_model(tmp_path / "artifact").network(**batch).logits
        assert torch.equal(again, new.network(**batch).logits)


def test_heads_and_width_are_as_asked_for(tmp_path: Path) -> None:
    _, new, context = fresh(tmp_path, "llama", layers=1, hidden=24, heads=6, intermediate=40)
    [block] = blocks(new.network)
    assert (block.attention.heads, block.attention.kv_heads, block.attention.head_dim) == (6, 3, 4)
    assert block.feed_forward.width == 40
    assert context.log["hidden_size"] == 24


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    weights = [fresh(tmp_path, "bert", seed=s, layers=1)[1].network.classifier.weight for s in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_embeddings_start_from_the_old_ones_principal_directions(tmp_path: Path) -> None:
    old, new, context = fresh(tmp_path, "bert", layers=1, hidden=8, embeddings="pca")
    table = old.network.bert.embeddings.word_embeddings.weight.detach().double().numpy()
    new_table = new.network.bert.embeddings.word_embeddings.weight.detach().double().numpy()
    left, values, _ = np.linalg.svd(table, full_matrices=False)
    best = (left[:, :8] * values[:8]) @ (left[:, :8] * values[:8]).T  # up to a rotation, by inner products
    np.testing.assert_allclose(new_table @ new_table.T, best, atol=1e-4)
    energy = (values[:8] ** 2).sum() / (values**2).sum()
    assert context.log["embedding_energy"] == pytest.approx(energy, abs=1e-4)


def test_embeddings_of_an_equal_width_are_copied(tmp_path: Path) -> None:
    old, new, context = fresh(tmp_path, "bert", layers=1, embeddings="pca")
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        tables = [getattr(model.network.bert.embeddings, name).weight for model in (old, new)]
        assert torch.equal(*tables)
    assert context.log["embedding_energy"] == 1.0


def test_a_shape_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for params, message in (
        ({}, "expected layers or hidden"),
        ({"heads": 2}, "expected layers or hidden"),
        ({"hidden": 10, "heads": 4}, "hidden = 10 is not a multiple of heads = 4"),
        ({"layers": 0}, "layers: Input should be greater than or equal to 1"),
        ({"width": 3}, "unknown key width"),
    ):
        assert read_refusal(new_student.Params, params).startswith(message)
    with pytest.raises(BuildError, match="hidden = 28 is not a multiple of 3 heads; give heads"):
        fresh(tmp_path, "bert", layers=1, hidden=28)


def test_groups_of_keys_and_values_divide_the_heads(tmp_path: Path) -> None:
    _, new, _ = fresh(tmp_path, "llama", layers=1, hidden=40, heads=5)
    [block] = blocks(new.network)
    assert (block.attention.heads, block.attention.kv_heads) == (5, 1)
    with torch.no_grad():
        assert new.network(input_ids=torch.tensor([[5, 6]])).logits.shape == (1, 2)


def test_factorised_tables_have_no_principal_directions_to_give(tmp_path: Path) -> None:
    old, _, context = fresh(tmp_path, "bert", layers=1)
    factorize_embeddings.step.apply(old, factorize_embeddings.Params(rank=4), context)
    with pytest.raises(BuildError, match="put new_student before it"):
        new_student.step.apply(old, new_student.Params(hidden=16, embeddings="pca"), context)
