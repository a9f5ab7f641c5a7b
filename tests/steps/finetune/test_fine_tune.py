"""The step fine_tune: what it declares, its options, and that it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.refused_options import read_refusal

from fixtures.models.building import make_tiny_classifier
from slimgate.errors import DataError
from slimgate.steps.finetune import fine_tune


def test_it_declares_what_its_key_depends_on() -> None:
    assert fine_tune.step.reads == ("train", "selection")
    assert fine_tune.step.stochastic
    assert not fine_tune.step.uses_teacher
    assert fine_tune.step.gives is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        ({"learning_rate": 0.0}, "learning_rate: Input should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate: Input should be a finite number"),
        ({"batch_size": 1.5}, "batch_size: Input should be a valid integer"),
        ({"precision": "fp8"}, "precision: Input should be 'auto', 'float32' or 'bfloat16'"),
        ({"epoch": 1}, "unknown key epoch. Did you mean epochs?"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(fine_tune.Params, options).startswith(message)


def test_it_trains_the_model_and_says_how(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    before = model.network.classifier.weight.clone()
    assert fine_tune.step.apply(model, fine_tune.Params(precision="float32"), context) is model
    assert not torch.equal(before, model.network.classifier.weight)
    assert len(context.log["epochs"]) == 1
    assert context.log["rows"] == 48


def test_without_train_rows_it_says_so(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    context.splits = {}
    with pytest.raises(DataError, match="needs rows of the split train"):
        fine_tune.step.apply(model, fine_tune.Params(), context)
