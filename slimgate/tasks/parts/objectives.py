"""Objectives of training: what counts as an answer, and its losses by labels and by a teacher.

| objective       | an answer is        | labels                | loss by labels       | by a teacher   |
|-----------------|---------------------|-----------------------|----------------------|----------------|
| ClassObjective  | a row               | (rows,) class         | cross-entropy        | T² · KL        |
| TokenObjective  | a token that counts | (rows, tokens) class  | cross-entropy        | T² · KL        |
| ScoreObjective  | a row               | (rows,) number        | squared error        | squared error  |
| LabelsObjective | a row               | (rows, labels) 0 or 1 | binary cross-entropy | T² · binary KL |

An answer with the label UNLABELLED (NaN for numbers) has no loss by labels, so it learns from a teacher only.

The module also prepares the rows that models are trained on: encoded rows with their targets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Encoded

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

# The label that torch's cross-entropy ignores.
UNLABELLED = -100
# The label of a position that is no answer, such as padding. It has no loss by labels or by a teacher.
NO_ANSWER = -200


class Targets(Protocol):
    """The training targets of rows, such as an array (rows, …)."""

    def __len__(self) -> int: ...

    def __getitem__(self, positions: Sequence[int]) -> npt.NDArray[Any]:
        """The targets of the rows at these positions: (rows, …), padded like their inputs."""


Labelled = tuple[Encoded, Targets]


class TokenTargets:
    """A label for every token of every row, padded on the same side as the inputs."""

    def __init__(self, rows: Sequence[Sequence[int]], *, side: str) -> None:
        self.rows, self.side = rows, side

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Sequence[int]) -> npt.NDArray[np.int64]:
        """(rows, tokens) int64, with NO_ANSWER as padding."""
        chosen = [self.rows[i] for i in positions]
        width = max(map(len, chosen))
        targets = np.full((len(chosen), width), NO_ANSWER, dtype=np.int64)
        for line, labels in zip(targets, chosen, strict=True):
            line[slice(len(labels)) if self.side == "right" else slice(width - len(labels), width)] = labels
        return targets


def join_targets(first: Targets, second: Targets) -> Targets:
    """The targets of the first rows, then of the second. Both must be of the same kind."""
    if isinstance(first, TokenTargets):
        assert isinstance(second, TokenTargets)
        return TokenTargets([*first.rows, *second.rows], side=first.side)
    return np.concatenate([np.asarray(first), np.asarray(second)])


def encode_labelled_rows(model: TorchModel, split: str, context: BuildContext) -> Labelled | None:
    """A split's encoded rows and targets; None if the split is empty."""
    if not len(context.splits.get(split, ())):
        return None
    rows = context.rows(split)
    with context.time_stage("tokenise"):
        encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
        return encoded, context.task.targets(context.task_params, rows, context.facts, encoded)


def encode_training_rows(model: TorchModel, context: BuildContext) -> Labelled:
    """The encoded rows and targets of split `train`. Raises DataError if it is empty."""
    context.rows("train")
    data = encode_labelled_rows(model, "train", context)
    assert data is not None
    return data


class Objective(ABC):
    """How models of a task are trained. Its methods work on answers, which `flat` extracts from logits.

    quality: the name of the figure that `qualities` returns, for logs, such as accuracy; higher is better.
    by_row: whether logits are (rows, outputs). by_token: whether an answer is a token, which depends on its
    own row only. across_rows: whether a loss compares the rows of a batch. any_width: whether a student may
    have more or fewer outputs than its teacher.
    """

    quality: str
    by_row: bool
    by_token: bool = False
    across_rows: bool = False
    any_width: bool = False

    @abstractmethod
    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(answers, outputs) float32 and the label of each answer."""

    @abstractmethod
    def has_label(self, labels: Tensor) -> Tensor:
        """(answers,) bool: whether the answer has a label."""

    @abstractmethod
    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(answers,) the loss by labels, 0 for an answer without a label."""

    @abstractmethod
    def soft_losses(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """(answers,) the loss by a teacher's answers; 0 if the student's are equal."""

    @abstractmethod
    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(answers,) how good each answer is; higher is better. Every answer must have a label."""

    @abstractmethod
    def drawn_losses(self, logits: Tensor, draws: torch.Generator) -> Tensor:
        """(answers,) the loss by labels that are drawn from the model's own answers, for Fisher information.

        logits: (answers, outputs), as `flat` gives them.
        """

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The distance of a student's outputs from the teacher's, a scalar. `mse_weight` is its weight."""
        return nn.functional.mse_loss(student, teacher)


class ClassObjective(Objective):
    """One class per row."""

    quality = "accuracy"
    by_row = True

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits and labels as they are."""
        return logits.float(), labels

    def has_label(self, labels: Tensor) -> Tensor:
        """Whether there is a class."""
        return labels != UNLABELLED

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none")

    def soft_losses(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """T² · KL(softmax(teacher / T) ‖ softmax(student / T)). Source: Hinton et al. 2015, section 2."""
        divergence = nn.functional.kl_div(
            torch.log_softmax(student / temperature, dim=-1),
            torch.softmax(teacher / temperature, dim=-1),
            reduction="none",
        )
        return divergence.sum(-1) * temperature**2

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 if the label has the largest logit, else 0."""
        return (logits.argmax(-1) == labels).float()

    def drawn_losses(self, logits: Tensor, draws: torch.Generator) -> Tensor:
        """Cross-entropy with a class drawn by the model's probabilities."""
        chances = logits.detach().softmax(-1).cpu()
        labels = torch.multinomial(chances, 1, generator=draws)[:, 0].to(logits.device)
        return nn.functional.cross_entropy(logits, labels, reduction="none")


class TokenObjective(ClassObjective):
    """One class per token. shifted: the logits of a position predict the label of the next one."""

    by_row = False
    by_token = True

    def __init__(self, *, shifted: bool) -> None:
        self._shifted = shifted

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens that count; logits: (rows, tokens, classes), labels: (rows, tokens)."""
        if self._shifted:
            logits, labels = logits[:, :-1], labels[:, 1:]
        counted = labels != NO_ANSWER
        return logits[counted].float(), labels[counted]


class ScoreObjective(Objective):
    """One number per row; logits: (rows, 1), labels: (rows,) float."""

    quality = "minus_mse"
    by_row = True

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits and labels as they are."""
        return logits.float(), labels.float()

    def has_label(self, labels: Tensor) -> Tensor:
        """Whether there is a number."""
        return ~labels.isnan()

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Squared error."""
        return torch.where(labels.isnan(), 0.0, (logits[:, 0] - labels.nan_to_num()) ** 2)

    def soft_losses(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Squared error from the teacher's number; a temperature has no meaning here."""
        return ((student - teacher) ** 2).mean(-1)

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the squared error."""
        return -((logits[:, 0] - labels) ** 2)

    def drawn_losses(self, logits: Tensor, draws: torch.Generator) -> Tensor:
        """Half the squared distance from a number drawn around the model's own with variance 1."""
        noise = torch.randn(logits.shape, generator=draws).to(logits.device)
        return ((logits.float() - logits.detach().float() - noise) ** 2).flatten(1).sum(-1) / 2


class LabelsObjective(Objective):
    """Any number of labels per row; logits and labels: (rows, labels), labels 0 or 1, NaN where unknown."""

    quality = "label_accuracy"
    by_row = True

    def flat(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Converts logits and labels to float32. An answer is a row, so their shapes stay.

        Args:
            logits: (rows, labels) of the model.
            labels: (rows, labels) 0 or 1, NaN if unknown.

        Returns:
            Both as float32, as the other methods take them.
        """
        return logits.float(), labels.float()

    def has_label(self, labels: Tensor) -> Tensor:
        """Whether all labels of a row are known.

        Args:
            labels: (rows, labels) 0 or 1, NaN if unknown.

        Returns:
            (rows,) bool.
        """
        return ~labels.isnan().any(-1)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss by labels: binary cross-entropy, the mean over the labels of a row.

        Args:
            logits: (rows, labels) float32.
            labels: (rows, labels) 0 or 1, NaN if unknown.

        Returns:
            (rows,) in nats; 0 if a label of the row is unknown.
        """
        by_label = nn.functional.binary_cross_entropy_with_logits(
            logits, labels.nan_to_num(), reduction="none"
        )
        return torch.where(self.has_label(labels), by_label.mean(-1), 0.0)

    def soft_losses(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """The loss by a teacher's answers: T² · KL(teacher ‖ student) of each label, the mean over labels.

        Args:
            student: (rows, labels) logits.
            teacher: (rows, labels) logits.
            temperature: T, above 0. Logits are divided by it.

        Returns:
            (rows,) in nats; 0 if the logits are equal.
        """
        t, s = teacher / temperature, student / temperature
        logsigmoid = nn.functional.logsigmoid
        chance = t.sigmoid()
        yes, no = logsigmoid(t) - logsigmoid(s), logsigmoid(-t) - logsigmoid(-s)
        divergence = chance * yes + (1 - chance) * no
        return divergence.mean(-1) * temperature**2

    def qualities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The share of labels that are right at a threshold of one half.

        Args:
            logits: (rows, labels) float32.
            labels: (rows, labels) 0 or 1, all known.

        Returns:
            (rows,) 0 to 1.
        """
        return ((logits > 0) == (labels > 0.5)).float().mean(-1)

    def drawn_losses(self, logits: Tensor, draws: torch.Generator) -> Tensor:
        """The loss by labels that are drawn from the model's own probabilities. Fisher information needs it.

        Args:
            logits: (rows, labels) of the model.
            draws: the random numbers, on the CPU.

        Returns:
            (rows,) binary cross-entropy in nats, with gradients.
        """
        labels = torch.bernoulli(logits.detach().float().sigmoid().cpu(), generator=draws).to(logits.device)
        return self.losses(logits.float(), labels)


def make_objective(task: object, params: object) -> Objective:
    """The objective of a task with these options."""
    objective: Objective = task.objective(params)  # type: ignore[attr-defined]
    return objective
