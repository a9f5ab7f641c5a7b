"""CLIP's symmetric contrastive loss between images and texts, and distillation of it."""

from __future__ import annotations

import torch
from torch import Tensor

from slimgate.tasks.parts.objectives import ClassObjective


class ContrastiveObjective(ClassObjective):
    """An answer selects the text for an image among the batch's texts, or the image for a text.

    Logits of a batch: (rows, rows), images by texts; labels: (rows,) classes. Texts and images of one class
    are right answers for each other, or the loss would push apart images of one digit (Khosla et al. 2020,
    the loss L_out). A student learns a teacher's answers in both directions (TinyCLIP, Wu et al. 2023,
    affinity mimicking). All rows of a batch are each other's wrong answers: a large batch is harder.
    """

    quality = "batch_accuracy"
    by_row = False
    across_rows = True

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(2 · rows, rows): images by texts, then texts by images; and the label of each row."""
        logits = logits.float()
        return torch.cat([logits, logits.t()]), torch.cat([labels, labels])

    def has_label(self, labels: Tensor) -> Tensor:
        """True for every row, because each has a caption."""
        return torch.ones_like(labels, dtype=torch.bool)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy against equal shares for all right answers."""
        right = _right(labels)
        return -(torch.log_softmax(logits, dim=-1) * right).sum(-1) / right.sum(-1)

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 if the best answer is a right one."""
        return _right(labels).gather(1, logits.argmax(-1, keepdim=True))[:, 0]


def _right(labels: Tensor) -> Tensor:
    """(2 · rows, rows) 1.0 if the answer has the class of the row."""
    return (labels[:, None] == labels[None, : len(labels) // 2]).float()
