"""Objectives of embedding models: embeddings that belong together move closer, among the rows of a batch.

| objective            | a row is            | loss by labels                              | source         |
|----------------------|---------------------|---------------------------------------------|----------------|
| PairObjective        | query and document  | multiple negatives ranking, in-batch others | Henderson 2017 |
| LabelObjective       | a text with a label | supervised contrastive, in-batch positives  | Khosla 2020    |
| SimilarityObjective  | two texts, a score  | (similarity - score)²                       | Reimers 2019   |
| ContrastiveObjective | image and caption   | cross-entropy in both directions            | Radford 2021   |

With a teacher, the loss of each objective is T² · KL of the softmax over a row's similarities to the batch.
So a student may have any width. `mse_weight` is the weight of the distance between the embeddings. The
negatives are the other rows of the batch, so a larger batch_size makes training harder and better. With
matryoshka, each loss is the sum over prefixes of the embeddings (Kusupati et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.tasks.parts.objectives import UNLABELLED, ClassObjective, Objective
from slimgate.tasks.parts.sentences import SentenceParams


class EmbeddingObjective(Objective):
    """The base of the objectives of text. logits: embeddings (rows, dims), for pairs (rows, 2, dims)."""

    quality = "accuracy_in_batch"
    by_row = True
    any_width = True
    across_rows = True

    def __init__(self, params: SentenceParams) -> None:
        self._params = params

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings and labels, unchanged."""
        return logits.float(), labels

    def has_label(self, labels: Tensor) -> Tensor:
        """Whether a row's counterpart, label or score is known."""
        return labels != UNLABELLED

    def soft_losses(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """T² · KL of the similarities to the batch, as softmaxes of scale · similarity / T."""
        expected = self.compute_similarities(teacher) / temperature

        def loss(part: Tensor) -> Tensor:
            predicted = self.compute_similarities(part) / temperature
            divergence = _compute_row_divergence(predicted, expected)
            if self._params.symmetric and student.dim() == 3:
                divergence = (divergence + _compute_row_divergence(predicted.t(), expected.t())) / 2
            return divergence * temperature**2

        return self._average_over_prefixes(loss, student)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared error of the embeddings, or 1 - cosine. Raises BuildError for unequal widths."""
        if student.shape != teacher.shape:
            raise BuildError(
                f"distill: mse_weight compares embeddings, the student's have {student.shape[-1]} numbers, "
                f"the teacher's {teacher.shape[-1]}; learn from a variant of the teacher with "
                f"truncate_embeddings = {{ dims = {student.shape[-1]} }}, or set mse_weight = 0"
            )
        if self._params.distance == "mse":
            return nn.functional.mse_loss(student, teacher)
        return (1 - nn.functional.cosine_similarity(student, teacher, dim=-1)).mean()

    def drawn_losses(self, logits: Tensor, draws: torch.Generator) -> Tensor:
        """Cross-entropy with a row of the batch that is drawn by the model's own similarities."""
        similarities = self.compute_similarities(logits.float())
        if similarities.shape[1] == 0:
            return logits.flatten(1).sum(-1) * 0
        chances = similarities.detach().softmax(-1).cpu()
        drawn = torch.multinomial(chances, 1, generator=draws)[:, 0].to(logits.device)
        return nn.functional.cross_entropy(similarities, drawn, reduction="none")

    def compute_similarities(self, logits: Tensor) -> Tensor:
        """Scaled similarities: for pairs (rows, rows), query by document; for texts (rows, rows - 1)."""
        first, second = (logits[:, 0], logits[:, 1]) if logits.dim() == 3 else (logits, logits)
        if self._params.similarity == "cosine":
            first, second = (nn.functional.normalize(vectors, dim=-1) for vectors in (first, second))
        products = self._params.scale * first @ second.t()
        return products if logits.dim() == 3 else _remove_diagonal(products)

    def _average_over_prefixes(self, loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
        if not self._params.matryoshka:
            return loss(logits)
        # If a step has made the embedding narrower, all wider prefixes equal the whole embedding and count
        # once.
        prefixes = {min(dims, logits.shape[-1]) for dims in self._params.matryoshka}
        return torch.stack([loss(logits[..., :dims]) for dims in sorted(prefixes)]).sum(0)


class PairObjective(EmbeddingObjective):
    """A query belongs to its own document; documents of other rows are its negatives, except equal ones.

    labels: (rows,) the number of the document, equal for equal documents.
    """

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """-log softmax of the query's own document (with `symmetric` the mean of both directions)."""

        def loss(part: Tensor) -> Tensor:
            scores = self._mask_candidates(part, labels)
            losses = -scores.log_softmax(-1).diagonal()
            if self._params.symmetric:
                losses = (losses - scores.log_softmax(0).diagonal()) / 2
            return losses

        return torch.where(self.has_label(labels), self._average_over_prefixes(loss, logits), 0.0)

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 if the query's own document is the most similar one."""
        scores = self._mask_candidates(logits, labels)
        return (scores.argmax(-1) == torch.arange(len(scores), device=scores.device)).float()

    def _mask_candidates(self, logits: Tensor, labels: Tensor) -> Tensor:
        same = (labels[:, None] == labels[None, :]).fill_diagonal_(False)
        return self.compute_similarities(logits).masked_fill(same, -torch.inf)


class LabelObjective(EmbeddingObjective):
    """Texts of one label belong together. labels: (rows,) class. A row without a positive has loss 0."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the mean of log softmax over the row's positives."""
        positive = self._mark_positives(labels)
        count = positive.sum(-1).clamp(min=1)

        def loss(part: Tensor) -> Tensor:
            chances = self._mask_candidates(part, labels).log_softmax(-1)
            return -torch.where(positive, chances, 0.0).sum(-1) / count

        return self._average_over_prefixes(loss, logits)

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 if the most similar other row has the same label."""
        if len(labels) < 2:
            return torch.zeros(len(labels), device=logits.device)
        nearest = self._mask_candidates(logits, labels).argmax(-1, keepdim=True)
        return self._mark_positives(labels).gather(1, nearest)[:, 0].float()

    def _mark_positives(self, labels: Tensor) -> Tensor:
        same = labels[:, None] == labels[None, :]
        return _remove_diagonal(same) & self.has_label(labels)[:, None]

    def _mask_candidates(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Masks out rows without a label as negatives of rows with a label."""
        unknown = _remove_diagonal(~self.has_label(labels)[None, :].expand(len(labels), -1))
        unknown = unknown & self.has_label(labels)[:, None]
        return self.compute_similarities(logits).masked_fill(unknown, torch.finfo(torch.float32).min)


class SimilarityObjective(EmbeddingObjective):
    """Two texts get the similarity that people gave. labels: (rows,) in [0, 1], NaN if unknown."""

    quality = "minus_mse"

    def has_label(self, labels: Tensor) -> Tensor:
        """Whether the row has a score."""
        return ~labels.isnan()

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(similarity - score)²."""

        def loss(part: Tensor) -> Tensor:
            return (self._compute_scores(part) - labels.nan_to_num()) ** 2

        return torch.where(labels.isnan(), 0.0, self._average_over_prefixes(loss, logits))

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the squared error of the whole embeddings' similarity."""
        return -((self._compute_scores(logits) - labels) ** 2)

    def _compute_scores(self, logits: Tensor) -> Tensor:
        """(rows,) the cosine, or the dot product if the task uses it."""
        if self._params.similarity == "dot":
            return (logits[:, 0] * logits[:, 1]).sum(-1)
        return nn.functional.cosine_similarity(logits[:, 0], logits[:, 1], dim=-1)


def _compute_row_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """(rows,) KL(softmax(teacher) ‖ softmax(student)); 0 for rows without candidates."""
    if student.shape[1] == 0:
        return student.sum(-1)
    parts = nn.functional.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="none")
    return parts.sum(-1)


def _remove_diagonal(square: Tensor) -> Tensor:
    """(n, n) -> (n, n - 1): each row without its diagonal element."""
    n = len(square)
    return square[~torch.eye(n, dtype=torch.bool, device=square.device)].view(n, n - 1)


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
