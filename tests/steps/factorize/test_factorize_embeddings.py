"""The step factorize_embeddings: the narrow table is the best of its width, and other steps reach it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.decomposition import PCA

from fixtures.models.building import compute_scores, make_tiny_classifier, save_and_load
from slimgate.errors import BuildError
from slimgate.steps.factorize import factorize_embeddings
from slimgate.steps.factorize.factorize_embeddings import compute_weighted_directions
from slimgate.steps.finetune import fine_tune
from slimgate.steps.layers.int8_linear import Int8Embedding, Int8Linear
from slimgate.steps.layers.low_rank import FactorizedEmbedding
from slimgate.steps.quantize import int8_dynamic

scores = partial(compute_scores, split="train")


def apply(model: Any, context: Any, **options: Any) -> FactorizedEmbedding:
    factorize_embeddings.step.apply(model, factorize_embeddings.Params(**options), context)
    (embedding,) = [m for m in model.network.modules() if isinstance(m, FactorizedEmbedding)]
    return embedding


def vectors(model: Any) -> Any:
    (name,) = [
        n for n, m in model.network.named_modules() if n.endswith(("word_embeddings", "wte", "embed_tokens"))
    ]
    with torch.no_grad():
        return model.network.get_submodule(name)(torch.arange(model.config.vocab_size)).numpy()


@pytest.mark.parametrize("architecture", ["bert", "electra", "gpt2"])
def test_the_table_is_narrow(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_classifier(tmp_path, architecture)
    before, tokens = model.measure_size()["parameters"], model.config.vocab_size
    embedding = apply(model, context, rank=6)
    width = embedding.embedding_dim
    assert width == (16 if architecture == "electra" else 32)
    assert model.measure_size()["parameters"] == before - tokens * width + 6 * (tokens + width)
    assert context.log["shape"] == [tokens, width]


def test_unweighted_vectors_are_numpys_best_of_that_rank(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    old = vectors(model)
    apply(model, context, rank=5, weighting="none")
    left, values, right = np.linalg.svd(old, full_matrices=False)
    assert np.allclose(vectors(model), left[:, :5] * values[:5] @ right[:5], atol=1e-5)
    energy = (values[:5] ** 2).sum() / (values**2).sum()
    assert context.log["energy_kept"] == pytest.approx(energy, abs=1e-4)


def test_centred_vectors_are_scikit_learns_principal_components(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    old = vectors(model)
    apply(model, context, rank=5, weighting="none", centre=True)
    pca = PCA(5).fit(old)
    assert np.allclose(vectors(model), pca.inverse_transform(pca.transform(old)), atol=1e-5)


def test_frequent_tokens_lose_least() -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 8)))
    counts = torch.tensor([1000.0] * 3 + [1.0] * 17)
    _, directions, values = compute_weighted_directions(weight, counts, centre=False)
    projected = weight @ directions[:, :3] @ directions[:, :3].T
    error = (weight - projected).norm(dim=1)
    assert error[:3].max() < 0.1 * error[3:].min() + 0.1
    weighted = np.linalg.svd(
        weight.numpy() * (counts / counts.sum()).sqrt().numpy()[:, None], compute_uv=False
    )
    assert np.allclose(values, weighted)


def test_energy_chooses_the_rank(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    values = np.linalg.svd(vectors(model), compute_uv=False) ** 2
    embedding = apply(model, context, energy=0.6, weighting="none")
    assert values[: embedding.rank].sum() >= 0.6 * values.sum() > values[: embedding.rank - 1].sum()


@pytest.mark.slow
def test_other_steps_train_it_and_make_it_int8(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    embedding = apply(model, context, rank=6)
    before = embedding.table.weight.detach().clone()
    fine_tune.step.apply(model, fine_tune.Params(learning_rate=1e-2), context)
    assert not torch.equal(embedding.table.weight, before)
    int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=True), context)
    model.kind = "torch_quantized"
    assert [type(m) for m in embedding.children()] == [Int8Embedding, Int8Linear]
    assert np.array_equal(scores(save_and_load(model, tmp_path / "saved"), context), scores(model, context))


def test_a_table_that_is_gone_or_would_not_shrink_is_an_error(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    with pytest.raises(BuildError, match=r"rank 14 of a token table of 23 × 32 .* expected a rank below 14"):
        apply(model, context, rank=14)
    apply(model, context, rank=13)
    with pytest.raises(BuildError, match="no float table of 23 token vectors; it is already factorized or"):
        apply(model, context, rank=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of them given, expected exactly one of rank, energy"),
        ({"rank": 4, "energy": 0.9}, "rank and energy given"),
        ({"rank": 0}, "greater than or equal to 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        factorize_embeddings.Params.model_validate(options)
