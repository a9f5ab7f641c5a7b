"""The step distill: a student comes to answer as its teacher does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from support.refused_options import read_refusal

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context, save_model
from slimgate.models.predict import predict_scores
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune import distill
from slimgate.steps.prune import keep_layers
from slimgate.steps.training.distillation import ReadRows, describe_mismatch
from slimgate.tasks import text_classification
from slimgate.tasks.parts.encoding import EncodedTexts
from slimgate.tasks.parts.objectives import ClassObjective

pytestmark = pytest.mark.slow


def test_it_declares_that_it_needs_the_teacher() -> None:
    assert distill.step.uses_teacher
    assert distill.step.stochastic
    assert distill.step.reads == ("train", "selection")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.1}, "alpha: Input should be less than or equal to 1"),
        ({"alpha": -0.1}, "alpha: Input should be greater than or equal to 0"),
        ({"temperature": 0.0}, "temperature: Input should be greater than 0"),
        ({"mse_weight": -1.0}, "mse_weight: Input should be greater than or equal to 0"),
        ({"tempreature": 2.0}, "unknown key tempreature. Did you mean temperature?"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(distill.Params, options).startswith(message)


@pytest.mark.parametrize("hidden_weight", [0.0, 0.1], ids=["stored logits", "hidden states"])
def test_the_student_answers_more_like_its_teacher_than_before(tmp_path: Path, hidden_weight: float) -> None:
    folder = write_tiny_classifier(tmp_path / "hub")
    context = make_tiny_context(tmp_path / "rows")
    teacher = load_tiny(folder, context)
    context.load_teacher = lambda: load_tiny(folder, make_tiny_context(tmp_path / "rows"))
    student = keep_layers.step.apply(load_tiny(folder, context), keep_layers.Params((0, 3)), context)
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("selection"), teacher.tokenizer)

    def distance() -> float:
        scores = [
            predict_scores(EagerPredictor(m.network, "cpu"), encoded, batch_size=16)
            for m in (student, teacher)
        ]
        return ClassObjective().soft_losses(*map(torch.from_numpy, scores), 2.0).mean().item()

    before = distance()
    options = distill.Params(
        alpha=0.0,
        epochs=6,
        learning_rate=2e-3,
        batch_size=16,
        hidden_weight=hidden_weight,
        precision="float32",
    )
    assert distill.step.apply(student, options, context) is student
    assert distance() < 0.7 * before
    assert set(context.log["loss_parts"]) == ({"soft", "hidden"} if hidden_weight else {"soft"})
    assert all(np.isfinite(value) for value in context.log["loss_parts"].values())


@pytest.mark.parametrize(
    ("family", "ids", "warning"),
    [
        ("bert", [[1, 2], [3]], None),
        ("distilbert", [[1, 2], [3]], None),
        ("roberta", [[1, 2], [3]], "the student is of family roberta, the teacher of bert"),
        ("bert", [[1, 2], [4]], "their tokenizers differ on 1 of 2 train rows"),
    ],
)
def test_a_student_of_another_family_or_tokenizer_has_a_warning(
    family: str, ids: list[list[int]], warning: str | None
) -> None:
    student, teacher = (
        ReadRows(SimpleNamespace(config=SimpleNamespace(model_type=model_type)), encoded(tokens))
        for model_type, tokens in ((family, ids), ("bert", [[1, 2], [3]]))
    )
    assert describe_mismatch(student, teacher) == warning


def encoded(ids: list[list[int]]) -> EncodedTexts:
    return EncodedTexts({"input_ids": ids}, {"input_ids": 0}, "right", np.asarray([len(row) for row in ids]))


def tiny_pair(tmp_path: Path, **student: Any) -> tuple[Any, Any]:
    """A student that keeps two blocks, or of another shape, and the context whose teacher has all four."""
    folder = write_tiny_classifier(tmp_path / "hub")
    context = make_tiny_context(tmp_path / "rows")
    context.load_teacher = lambda: load_tiny(folder, make_tiny_context(tmp_path / "rows"))
    shape = {"num_hidden_layers": 2, **student}
    small = write_tiny_classifier(tmp_path / "small", seed=1, **shape)
    return load_tiny(small, context), context


def test_a_narrower_student_learns_by_a_projection_not_saved(tmp_path: Path) -> None:
    student, context = tiny_pair(tmp_path, hidden_size=16, intermediate_size=32)
    names = list(student.network.state_dict())
    params = distill.Params(
        alpha=0.0,
        hidden_weight=1.0,
        relation_weight=1.0,
        epochs=4,
        learning_rate=2e-3,
        projection_learning_rate=1e-2,
        precision="float32",
        keep_best=False,
    )
    distill.step.apply(student, params, context)
    assert list(student.network.state_dict()) == names
    losses = [epoch["loss"] for epoch in context.log["epochs"]]
    assert losses[-1] < 0.9 * losses[0]
    assert context.log["teacher_logits"] == "computed beside the student"
    save_model(student, tmp_path / "artifact")
    with safetensors.safe_open(str(tmp_path / "artifact/model.safetensors"), "pt") as stored:
        assert not [name for name in stored.keys() if "attached" in name]  # noqa: SIM118  no mapping
    assert all("slimgate_attached" not in name for name, _ in student.network.named_modules())


def test_a_transfer_set_is_learnt_from_and_reported(tmp_path: Path) -> None:
    student, context = tiny_pair(tmp_path)
    (tmp_path / "more.txt").write_text("good good film\nbad bad plot\n")
    params = distill.Params(
        transfer=str(tmp_path / "more.txt"),  # type: ignore[arg-type]
        augment={"copies": 1, "word_mask": 0.3},  # type: ignore[arg-type]
        precision="float32",
    )
    assert distill.step.adds_rows(params)
    assert distill.step.row_files(params) == (tmp_path / "more.txt",)
    distill.step.apply(student, params, context)
    transfer = context.log["transfer"]
    assert transfer["from_files"] == 2
    assert context.log["rows"] == 48 + transfer["rows"]
    assert set(context.log["loss_parts"]) == {"labels", "soft"}
    assert not distill.step.adds_rows(distill.Params())


def test_equal_seeds_give_equal_students_with_augmented_rows_too(tmp_path: Path) -> None:
    weights = []
    for seed in (3, 3, 4):
        student, context = tiny_pair(tmp_path)
        context.seed = seed
        options = {"augment": {"word_dropout": 0.2}, "dropout": 0.2, "layer_drop": 0.2, "batch_size": 64}
        distill.step.apply(student, distill.Params(precision="float32", **options), context)  # type: ignore[arg-type]
        weights.append(student.network.state_dict()["classifier.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_whom_it_learns_from_is_the_teacher_unless_it_says_so() -> None:
    assert distill.step.learns_from(distill.Params()) == "teacher"
    assert distill.step.learns_from(distill.Params(teacher="assistant")) == "assistant"
