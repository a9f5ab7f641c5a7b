from __future__ import annotations

import math

import pytest
import torch

from slimgate.errors import BuildError
from slimgate.steps.training.trainer import Workers
from slimgate.tasks.parts.embedding_objective import ContrastiveObjective

OBJECTIVE = ContrastiveObjective()


def test_the_loss_of_distinct_captions_is_clips() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 1.0, -1.0], [0.0, 3.0, 2.0]])
    loss = OBJECTIVE.losses(*OBJECTIVE.flat(logits, torch.tensor([4, 5, 6]))).mean()
    targets = torch.arange(3)
    expected = [torch.nn.functional.cross_entropy(matrix, targets) for matrix in (logits, logits.t())]
    assert float(loss) == pytest.approx(float(sum(expected)) / 2)


def test_captions_of_one_class_share_the_answer() -> None:
    logits, labels = OBJECTIVE.flat(torch.zeros(2, 2), torch.tensor([7, 7]))
    assert OBJECTIVE.losses(logits, labels).tolist() == pytest.approx([math.log(2)] * 4)
    assert OBJECTIVE.qualities(logits, labels).tolist() == [1.0] * 4


def test_a_perfect_mimic_loses_nothing() -> None:
    logits, _ = OBJECTIVE.flat(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), torch.arange(3))
    assert OBJECTIVE.soft_losses(logits, logits, 2.0).abs().max() < 1e-6


def test_rows_without_labels_have_their_own_caption() -> None:
    logits, labels = OBJECTIVE.flat(torch.eye(2) * 9, torch.tensor([-1, -2]))
    assert OBJECTIVE.has_label(labels).all()
    assert float(OBJECTIVE.losses(logits, labels).max()) < 1e-3


def test_a_batch_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from slimgate.steps.training import trainer

    monkeypatch.setattr(trainer.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(trainer.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(trainer.distributed, "get_world_size", lambda: 2)
    with pytest.raises(BuildError, match="compares all rows of a batch with each other"):
        Workers.join(2, OBJECTIVE)
