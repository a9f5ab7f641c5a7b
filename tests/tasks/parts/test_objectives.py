from __future__ import annotations

from math import log

import pytest
import torch
from torch import nn

from slimgate.tasks.parts.objectives import (
    NO_ANSWER,
    UNLABELLED,
    ClassObjective,
    LabelsObjective,
    Objective,
    ScoreObjective,
    TokenObjective,
)

NAN = float("nan")
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
ALL: list[tuple[Objective, torch.Tensor, torch.Tensor]] = [
    (ClassObjective(), LOGITS, torch.tensor([0, UNLABELLED])),
    (TokenObjective(shifted=False), LOGITS[None], torch.tensor([[2, UNLABELLED]])),
    (ScoreObjective(), torch.tensor([[0.5], [2.0]]), torch.tensor([1.5, NAN])),
    (LabelsObjective(), LOGITS, torch.tensor([[1.0, 0.0, 0.0], [NAN, NAN, NAN]])),
]
NAMES = ["class", "token", "score", "labels"]


@pytest.mark.parametrize(("objective", "logits", "labels"), ALL, ids=NAMES)
def test_a_perfect_mimic_loses_nothing_and_another_something(
    objective: Objective, logits: torch.Tensor, labels: torch.Tensor
) -> None:
    flat, _ = objective.flat(logits, labels)
    torch.testing.assert_close(objective.soft_losses(flat, flat, 2.0), torch.zeros(2))
    assert (objective.soft_losses(flat + torch.randn_like(flat), flat, 2.0) > 0).all()


@pytest.mark.parametrize(("objective", "logits", "labels"), ALL, ids=NAMES)
def test_an_answer_without_a_label_has_no_loss_by_labels(
    objective: Objective, logits: torch.Tensor, labels: torch.Tensor
) -> None:
    flat, targets = objective.flat(logits, labels)
    assert objective.has_label(targets).tolist() == [True, False]
    losses = objective.losses(flat, targets)
    assert losses[0] > 0
    assert losses[1] == 0


@pytest.mark.parametrize(("objective", "logits", "labels"), ALL, ids=NAMES)
def test_sampled_losses_are_reproducible_and_have_gradients(
    objective: Objective, logits: torch.Tensor, labels: torch.Tensor
) -> None:
    leaf = logits.clone().requires_grad_()
    flat, _ = objective.flat(leaf, labels)
    first = objective.drawn_losses(flat, torch.Generator().manual_seed(0))
    again = objective.drawn_losses(flat, torch.Generator().manual_seed(0))
    assert torch.equal(first, again)
    first.sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert bool(leaf.grad.abs().sum() > 0)


def test_a_next_token_is_predicted_by_the_place_before_it() -> None:
    logits = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    labels = torch.tensor([[NO_ANSWER, 1, 2], [NO_ANSWER, 3, NO_ANSWER]])
    flat, targets = TokenObjective(shifted=True).flat(logits, labels)
    assert targets.tolist() == [1, 2, 3]
    assert torch.equal(flat, torch.stack([logits[0, 0], logits[0, 1], logits[1, 0]]))


def test_known_losses() -> None:
    assert float(ScoreObjective().losses(torch.tensor([[0.5]]), torch.tensor([2.0]))) == 2.25
    assert float(LabelsObjective().losses(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))) == pytest.approx(
        log(2)
    )
    assert LabelsObjective().qualities(LOGITS, torch.tensor([[1.0, 1, 0], [1, 1, 1]])).tolist() == [
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    ]
    assert ClassObjective().qualities(LOGITS, torch.tensor([0, 2])).tolist() == [1, 0]


def test_the_soft_loss_of_labels_is_that_of_two_classes_a_label() -> None:
    student, teacher = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 3.0]])
    two = [torch.stack([-logits / 2, logits / 2], dim=-1)[0] for logits in (student, teacher)]
    expected = ClassObjective().soft_losses(two[0], two[1], 2.0).mean()
    torch.testing.assert_close(LabelsObjective().soft_losses(student, teacher, 2.0)[0], expected)


def test_cross_entropy_is_torchs() -> None:
    labels = torch.tensor([2, 1])
    losses = ClassObjective().losses(LOGITS, labels)
    torch.testing.assert_close(losses.mean(), nn.functional.cross_entropy(LOGITS, labels))
