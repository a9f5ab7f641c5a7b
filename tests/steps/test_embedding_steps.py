"""truncate_embeddings and quantize_embeddings: what is kept, what is merged, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.embeddings import LABELS, PAIRS, compute_vectors, make_embedding_context
from slimgate.errors import BuildError, DataError
from slimgate.models.embedding_forms import LeadingDimensions
from slimgate.plugins.loading import load
from slimgate.steps.embeddings._steps import compute_principal_directions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "bert", "bert", initializer_range=0.2)


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return make_embedding_context(tmp_path / "rows", LABELS, calibration=64)


def apply_step(model: Any, name: str, options: dict[str, Any], context: Any) -> Any:
    step = load("step", name)
    return step.apply(model, step.Params.model_validate(options), context)


def test_directions_are_those_of_the_singular_values() -> None:
    vectors = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    directions, energy = compute_principal_directions(vectors, 2)
    _, values, right = np.linalg.svd(vectors.numpy())
    np.testing.assert_allclose(np.abs(directions.numpy() @ right[:2].T), np.eye(2), atol=1e-5)
    assert energy == pytest.approx((values[:2] ** 2).sum() / (values**2).sum())


def test_all_directions_but_idle_ones_keep_every_cosine(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    before = compute_vectors(model, context)
    apply_step(model, "truncate_embeddings", {"dims": 31}, context)
    after = compute_vectors(model, context)
    assert after.shape == (16, 31)
    assert context.log["energy_kept"] > 0.99
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-5)


def test_the_first_dimensions_are_those_of_the_model(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    before = compute_vectors(model, context)[:, :8]
    apply_step(model, "truncate_embeddings", {"dims": 8, "by": "first"}, context)
    assert isinstance(model.network.reduce, LeadingDimensions)
    expected = before / np.linalg.norm(before, axis=1, keepdims=True)
    np.testing.assert_allclose(compute_vectors(model, context), expected, atol=1e-6)


def test_a_second_projection_goes_into_the_first(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    apply_step(model, "truncate_embeddings", {"dims": 16}, context)
    sixteen = compute_vectors(model, context)
    apply_step(model, "truncate_embeddings", {"dims": 4, "by": "first"}, context)
    assert context.log["merged"] is True
    assert model.network.reduce.weight.shape == (4, 32)
    expected = sixteen[:, :4] / np.linalg.norm(sixteen[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(compute_vectors(model, context), expected, atol=1e-5)


@pytest.mark.parametrize(("to", "size"), [("int8", 32), ("binary", 4)])
def test_the_log_says_what_an_embedding_takes(folder: Path, context: Any, to: str, size: int) -> None:
    model = load_tiny(folder, context)
    before = compute_vectors(model, context)
    apply_step(model, "quantize_embeddings", {"to": to}, context)
    after = compute_vectors(model, context)
    assert context.log["bytes_per_embedding"] == size
    assert len(np.unique(after)) == 2 or to == "int8"
    cosines = (before * after).sum(1) / np.linalg.norm(after, axis=1)
    assert cosines.min() > (0.99 if to == "int8" else 0.6)


def test_float_queries_of_pairs_are_the_teachers(folder: Path, tmp_path: Path) -> None:
    context = make_embedding_context(tmp_path / "rows", PAIRS, calibration=16)
    model = load_tiny(folder, context)
    before = compute_vectors(model, context)
    apply_step(model, "quantize_embeddings", {"to": "binary", "query": "float"}, context)
    after = compute_vectors(model, context)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert len(np.unique(after[:, 1])) == 2


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("truncate_embeddings", {"dims": 32})], "dims = 32, but the embeddings have 32"),
        (
            [("quantize_embeddings", {}), ("truncate_embeddings", {"dims": 8})],
            "quantized already; put truncate_embeddings before quantize_embeddings",
        ),
        ([("quantize_embeddings", {}), ("quantize_embeddings", {})], "quantized already; use it only once"),
        (
            [("truncate_embeddings", {"dims": 16, "by": "first"}), ("truncate_embeddings", {"dims": 8})],
            "an earlier step has cut the embeddings",
        ),
    ],
    ids=["as many", "quantized", "quantized twice", "cut twice"],
)
def test_what_cannot_be_cut_is_refused(folder: Path, context: Any, steps: Any, message: str) -> None:
    model = load_tiny(folder, context)
    for name, options in steps[:-1]:
        apply_step(model, name, options, context)
    with pytest.raises(BuildError, match=message):
        apply_step(model, *steps[-1], context)


def test_a_classifier_gives_no_embeddings(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=8)
    model = load_tiny(write_tiny(tmp_path / "m", "bert", labels=("neg", "pos")), context)
    with pytest.raises(BuildError, match="BertForSequenceClassification gives no embeddings"):
        apply_step(model, "quantize_embeddings", {}, context)


def test_calibration_rows_are_needed(folder: Path, tmp_path: Path) -> None:
    context = make_embedding_context(tmp_path / "rows", LABELS)
    with pytest.raises(DataError, match="calibration"):
        apply_step(load_tiny(folder, context), "truncate_embeddings", {"dims": 8}, context)
