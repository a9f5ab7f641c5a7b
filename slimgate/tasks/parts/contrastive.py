"""Image and text to each other: CLIP's symmetric contrastive loss, and learning it from a teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from slimgate.tasks.parts.objectives import ClassObjective


class ContrastiveObjective(ClassObjective):
    """An answer is an image asked for its text among the batch's, or a text asked for its image.

    Logits of a batch: (rows, rows), images by texts; labels: (rows,) classes. Texts and images of one class
    are right answers alike, or digits would be punished for being alike (Khosla et al. 2020, the loss L_out).
    A teacher's answers are learnt in both directions (TinyCLIP, Wu et al. 2023, affinity mimicking). All rows
    of a batch are each other's wrong answers: a large batch is a harder question.
    """

    quality = "batch_accuracy"
    by_row = False
    across_rows = True

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(2 · rows, rows): images to texts, then texts to images; the label of each."""
        logits = logits.float()
        return torch.cat([logits, logits.t()]), torch.cat([labels, labels])

    def has_label(self, labels: Tensor) -> Tensor:
        """Every row has a caption of its own."""
        return torch.ones_like(labels, dtype=torch.bool)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy against equal shares for all right answers."""
        right = _right(labels)
        return -(torch.log_softmax(logits, dim=-1) * right).sum(-1) / right.sum(-1)

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 where the best answer is a right one."""
        return _right(labels).gather(1, logits.argmax(-1, keepdim=True))[:, 0]


def _right(labels: Tensor) -> Tensor:
    """(2 · rows, rows) 1.0 where the answer is of the asker's class."""
    return (labels[:, None] == labels[None, : len(labels) // 2]).float()
