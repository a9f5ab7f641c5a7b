"""Every method on a sentence encoder, of pairs and of single texts, runs and loads the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.embeddings import LABELS, PAIRS, embedding_context, load_encoder, vectors_of
from fixtures.models.method_examples import EMBEDDING_EXAMPLES, EXAMPLES
from slimgate.errors import BuildError
from slimgate.loading import load
from slimgate.models.torch_model import load_torch_model

torch.set_num_threads(1)
# What refuses embeddings, and how.
OF_CLASSES = {"active_distill": "probabilities of classes, and this task has none"}
# Rows are pairs; methods that look at the loss are run on single texts with labels as well.
BY_LABEL = ("cofi_prune", "distill", "low_rank", "prune_heads")
CASES = [
    *(
        pytest.param(name, PAIRS, tried[0], id=f"{name}-pairs")
        for name, tried in EXAMPLES.items()
        if name not in OF_CLASSES
    ),
    *(
        pytest.param(name, LABELS, example, id=f"{name}-labels-{number}")
        for name, tried in {**{name: EXAMPLES[name] for name in BY_LABEL}, **EMBEDDING_EXAMPLES}.items()
        for number, example in enumerate(tried)
    ),
    *(pytest.param(name, PAIRS, tried[-1], id=f"{name}-pairs") for name, tried in EMBEDDING_EXAMPLES.items()),
]
# The embeddings are the residual stream itself, so that there must be a layer behind it.
FIRST = {"prune_hidden": ("truncate_embeddings", {"dims": 8})}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "bert", "bert", initializer_range=0.2)


def applied(model: Any, name: str, example: Any, context: Any) -> Any:
    method = load("method", name)
    return method.apply(model, method.Params.model_validate(example), context)


@pytest.mark.parametrize(("name", "params", "example"), CASES)
def test_method(tmp_path: Path, folder: Path, name: str, params: Any, example: Any) -> None:
    context = embedding_context(
        tmp_path / "rows", params, calibration=16, train=16, teacher=lambda: load_encoder(folder, plain)
    )
    plain = copy.copy(context)
    plain.log = {}
    model = load_encoder(folder, plain)
    if name in FIRST:
        model = applied(model, *FIRST[name], plain)
    before = vectors_of(model, context)
    model = applied(model, name, example, context)
    given = vectors_of(model, context)
    assert given.shape[0] == before.shape[0]
    assert np.isfinite(given).all()
    (tmp_path / "after").mkdir()
    model.save(tmp_path / "after")
    again = load_torch_model(tmp_path / "after")
    assert np.array_equal(vectors_of(again, context), given)


def test_a_width_without_a_layer_behind_it_is_not_pruned(tmp_path: Path, folder: Path) -> None:
    context = embedding_context(tmp_path / "rows", calibration=16)
    with pytest.raises(BuildError, match="reads 32 features; truncate_embeddings before it puts one there"):
        applied(load_encoder(folder, context), "prune_hidden", {"pruning_ratio": 0.25}, context)


@pytest.mark.parametrize(("name", "said"), OF_CLASSES.items())
def test_what_needs_classes_says_so(tmp_path: Path, folder: Path, name: str, said: str) -> None:
    context = embedding_context(tmp_path / "rows", teacher=lambda: load_encoder(folder, context))
    with pytest.raises(BuildError, match=said):
        applied(load_encoder(folder, context), name, EXAMPLES[name][0], context)
