"""CLIP's symmetric contrastive loss between images and texts, and its distillation."""

from __future__ import annotations

import torch
from torch import Tensor

from slimgate.tasks.parts.objectives import ClassObjective


class ContrastiveObjective(ClassObjective):
    """For each image, the model selects a text of the batch; for each text, an image.

    Logits of a batch: (rows, rows), images by texts; labels: (rows,) classes. All texts of an image's class
    are right answers, and all images of a text's class. Otherwise the loss would push apart images of one
    digit (Khosla et al. 2020, the loss L_out). All other rows of the batch are wrong answers, so a larger
    batch is harder. A student learns a teacher's answers in both directions (TinyCLIP, Wu et al. 2023,
    affinity mimicking).
    """

    quality = "batch_accuracy"
    by_row = False
    across_rows = True

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(2 · rows, rows) logits, images by texts and then texts by images; and the label of each row."""
        logits = logits.float()
        return torch.cat([logits, logits.t()]), torch.cat([labels, labels])

    def has_label(self, labels: Tensor) -> Tensor:
        """True for every row, because each has a caption."""
        return torch.ones_like(labels, dtype=torch.bool)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy; all right answers of a row have equal probabilities."""
        right = _mark_right_answers(labels)
        return -(torch.log_softmax(logits, dim=-1) * right).sum(-1) / right.sum(-1)

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 if the answer with the largest logit is right, else 0."""
        return _mark_right_answers(labels).gather(1, logits.argmax(-1, keepdim=True))[:, 0]


def _mark_right_answers(labels: Tensor) -> Tensor:
    """(2 · rows, rows): 1.0 for each answer of the row's class, else 0.0."""
    return (labels[:, None] == labels[None, : len(labels) // 2]).float()
