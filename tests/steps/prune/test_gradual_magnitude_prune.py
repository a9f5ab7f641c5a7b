"""The step gradual_magnitude_prune: exact in the end, taught by the teacher, its zeros kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.models.linear_layers import find_linear_layers
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import gradual_magnitude_prune

pytestmark = pytest.mark.slow


@pytest.fixture
def built(tmp_path: Path) -> tuple[Any, Any]:
    folder = write_tiny_classifier(tmp_path / "hub")
    context = make_tiny_context(
        tmp_path / "rows", teacher=lambda: load_tiny(folder, make_tiny_context(tmp_path / "rows"))
    )
    return load_tiny(folder, context), context


def prune(built: tuple[Any, Any], **options: Any) -> Any:
    defaults = {"sparsity": 0.75, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32"}
    return gradual_magnitude_prune.step.apply(
        built[0], gradual_magnitude_prune.Params(**{**defaults, **options}), built[1]
    )


@pytest.mark.parametrize("scope", ["global", "layer", "row"])
def test_the_final_sparsity_is_exact_and_reached_step_by_step(built: tuple[Any, Any], scope: str) -> None:
    layers = find_linear_layers(prune(built, scope=scope, frequency=2, end=0.7))
    zeros = sum(int((layer.weight == 0).sum()) for layer in layers.values())
    assert zeros == 0.75 * sum(layer.weight.numel() for layer in layers.values())
    # 48 rows in batches of 8 are 6 steps; 0.75 · (1 - (1 - t / 4)³) at 0, 2 and 4
    assert built[1].log["schedule"] == [(0, 0.0), (2, 0.6562), (4, 0.75)]
    assert built[1].log["sparsity"] == 0.75
    assert set(built[1].log["loss_parts"]) == {"labels", "soft"}


def test_an_epoch_before_the_final_sparsity_is_never_the_best(built: tuple[Any, Any]) -> None:
    # so fast that what is learnt first is lost: the first epochs are the best, and not yet sparse
    prune(built, epochs=3, end=0.9, learning_rate=5e-2, frequency=1)
    assert built[1].log["sparsity"] == 0.75
    assert built[1].log.get("best_epoch", 3) == 3


def test_of_epochs_at_the_final_sparsity_the_best_is_kept(built: tuple[Any, Any]) -> None:
    prune(built, epochs=4, end=0.2, learning_rate=5e-2, frequency=1)
    accuracies = [epoch["accuracy_selection"] for epoch in built[1].log["epochs"]]
    best = built[1].log.get("best_epoch", 4)
    assert accuracies[best - 1] == max(accuracies)
    assert built[1].log["sparsity"] == 0.75


def test_later_training_keeps_the_zeros_and_moves_the_rest(built: tuple[Any, Any]) -> None:
    model = prune(built)
    before = {name: layer.weight.detach().clone() for name, layer in find_linear_layers(model).items()}
    fine_tune.step.apply(model, fine_tune.Params(learning_rate=1e-2, precision="float32"), built[1])
    for name, layer in find_linear_layers(model).items():
        assert (layer.weight[before[name] == 0] == 0).all()
        assert not torch.equal(layer.weight, before[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": 0.6, "end": 0.5}, "expected begin before end"),
        ({"initial_sparsity": 0.8}, "expected at most 0.75"),
        ({"frequency": 0}, "greater than or equal to 1"),
        ({"alpha": 2.0}, "less than or equal to 1"),
        ({"sparsity": 1.0}, "less than 1"),
    ],
)
def test_schedules_that_do_not_rise_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        gradual_magnitude_prune.Params(**{"sparsity": 0.75, **options})


def test_it_declares_that_it_needs_the_teacher() -> None:
    assert gradual_magnitude_prune.step.uses_teacher
    assert gradual_magnitude_prune.step.stochastic
    assert gradual_magnitude_prune.step.claims == ("sparser",)


def test_every_option_of_distill_counts(built: tuple[Any, Any]) -> None:
    prune(
        built,
        relation_weight=0.5,
        attention_weight=0.5,
        teacher="self",
        stored_logits=True,
        augment={"word_dropout": 0.3},
    )
    log = built[1].log
    assert set(log["loss_parts"]) == {"labels", "soft", "attention", "relation"}
    assert log["teacher"] == "self"
    assert log["teacher_logits"] == "computed once, read by memory map"
    assert log["transfer"]["augmented"] == 48


def test_teacher_and_added_rows_are_declared_as_in_distill(tmp_path: Path) -> None:
    params = gradual_magnitude_prune.Params(
        sparsity=0.5,
        teacher="assistant",
        transfer=str(tmp_path / "more.txt"),  # type: ignore[arg-type]
    )
    assert gradual_magnitude_prune.step.learns_from(params) == "assistant"
    assert gradual_magnitude_prune.step.row_files(params) == (tmp_path / "more.txt",)
    assert gradual_magnitude_prune.step.adds_rows(params)
