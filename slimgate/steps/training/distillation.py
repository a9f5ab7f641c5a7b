"""The loss of a student that learns from a teacher.

It also has the rows that a student learns from: `train`, followed by the transfer set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.module_outputs import Outputs, watch_outputs
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Encoded
from slimgate.steps.training.matching import HiddenMatch, Match
from slimgate.steps.training.teacher_answers import (
    MOST_BYTES,
    compute_teacher_answers,
    count_stored_bytes,
    has_all_labels,
)
from slimgate.steps.training.transfer import make_transfer_rows
from slimgate.steps.training.transfer_params import TransferParams
from slimgate.tasks.parts.objectives import (
    Labelled,
    Objective,
    Targets,
    encode_training_rows,
    join_targets,
    make_objective,
)

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class DistillationParams(Protocol):
    """The weights of the parts of the loss, and the format of arithmetic."""

    @property
    def alpha(self) -> float: ...
    @property
    def temperature(self) -> float: ...
    @property
    def mse_weight(self) -> float: ...
    @property
    def hidden_weight(self) -> float: ...
    @property
    def precision(self) -> str: ...


def describe_mismatch(
    student: TorchModel, teacher: TorchModel, encoded: Encoded, teacher_encoded: Encoded
) -> str | None:
    """Why student and teacher differ in family or tokenizer; None if they do not.

    encoded, teacher_encoded: the same rows, with the student's and with the teacher's tokenizer.
    """
    families = [str(model.config.model_type).removeprefix("distil") for model in (student, teacher)]
    # two tokenizers may cut a document into different numbers of windows
    pairs = zip_longest(_list_tokens(student, encoded), _list_tokens(teacher, teacher_encoded))
    differing = sum(mine != theirs for mine, theirs in pairs)
    differences = []
    if families[0] != families[1]:
        differences.append(f"the student is of family {families[0]}, the teacher of {families[1]}")
    if differing:
        differences.append(f"their tokenizers differ on {differing} of {len(encoded.lengths)} train rows")
    return "; ".join(differences) or None


class KnownAnswers(Protocol):
    """Answers of one or several teachers, computed before; source: their origin, for the log."""

    @property
    def source(self) -> str: ...
    def select_answers(self, positions: Sequence[int]) -> npt.NDArray[np.float32]: ...


class DistillationLoss:
    """Cross-entropy, soft targets, logits and comparisons inside the models, weighted by the Params.

    An answer without a label learns only from the teacher: alpha counts as 0 for it.
    """

    def __init__(
        self,
        student: TorchModel,
        teacher: TorchModel,
        encoded: Encoded,
        teacher_encoded: Encoded,
        params: DistillationParams,
        context: BuildContext,
        *,
        targets: Targets | None = None,
        matches: Sequence[Match] | None = None,
        answers: KnownAnswers | None = None,
        ensemble: Callable[[Objective], KnownAnswers] | None = None,
        stored: bool | None = None,
    ) -> None:
        """encoded, teacher_encoded: the same rows, with the student's and with the teacher's tokenizer.

        targets: the labels; if they and alpha leave nothing to the teacher, it does not run. matches: what to
        compare inside the models; default: hidden states if hidden_weight is set. answers: the teacher's, if
        they are known. ensemble: makes the answers of several teachers, and is called if any are needed.
        stored: compute them once, before training, not in each training step. Default: true if nothing inside
        the teacher is compared, because then it need not run every epoch (for answers that are tokens: if
        they have at most MOST_BYTES).
        context.log gets teacher_logits: their origin.
        """
        mine, theirs = student.config.num_labels, teacher.config.num_labels
        if mine != theirs:
            raise BuildError(f"distill: the student has {mine} outputs, the teacher {theirs}")
        if matches is None:
            weight = params.hidden_weight
            matches = [HiddenMatch(student, teacher, weight=weight)] if weight else []
        if matches:
            weights = [f"{match.name}_weight" for match in matches]
            _check_one_process(params, weights)
            _check_tokens(student, teacher, encoded, teacher_encoded, weights)
        self._params, self._matches = params, list(matches)
        self._objective = make_objective(context.task, context.task_params)
        self._uses_teacher = self._learns_from_teacher(targets)
        by_token = self._uses_teacher and not self._objective.by_row
        if by_token and not has_same_tokens(student, teacher, encoded, teacher_encoded):
            raise BuildError(
                "distill: an answer is a token here, and student and teacher have different tokenizers, "
                "so their answers do not correspond; give the student the teacher's tokenizer"
            )
        self._seen: dict[str, list[float]] = defaultdict(list)
        self._too_large = ""
        self._teacher, self._encoded = teacher.network, teacher_encoded
        self._answers: KnownAnswers | None = answers
        if ensemble is not None:
            self._answers = ensemble(self._objective) if self._uses_teacher else None
        elif answers is None and self._stores(teacher, targets, stored, context):
            rows = teacher_encoded
            self._answers = compute_teacher_answers(
                teacher, rows, targets, self._objective, context, precision=params.precision
            )
        context.log["teacher_logits"] = self.source

    def _learns_from_teacher(self, targets: Targets | None) -> bool:
        """False if alpha = 1, every answer has a label, and nothing else needs the teacher."""
        params = self._params
        if self._matches or params.mse_weight or params.alpha < 1 or targets is None:
            return True
        return not has_all_labels(targets, self._objective)

    def _stores(
        self, teacher: TorchModel, targets: Targets | None, stores: bool | None, context: BuildContext
    ) -> bool:
        objective = self._objective
        known = objective.by_row or (targets is not None and objective.by_token)
        if stores and not known:
            raise BuildError(
                "distill: stored_logits = true is only for answers that depend only on their own row; leave "
                "it out"
            )
        if not self._uses_teacher or not known or self._matches or objective.by_row or stores is not None:
            return self._uses_teacher and known and (not self._matches if stores is None else stores)
        assert targets is not None
        size = count_stored_bytes(teacher, self._encoded, targets, objective, context.device)
        if size > MOST_BYTES:
            self._too_large = f" (stored they would have {size / 2**30:.1f} GiB)"
        return size <= MOST_BYTES

    @property
    def modules_to_train(self) -> nn.Module | None:
        """The projections to train with the student, for `train(attached=…)`."""
        modules = {match.name: match.module for match in self._matches if match.module is not None}
        return nn.ModuleDict(modules) if modules else None

    @property
    def source(self) -> str:
        """The origin of the teacher's logits, for the log."""
        if self._answers is not None:
            return self._answers.source
        if not self._uses_teacher:
            return "not needed: all is learnt by labels"
        return "computed beside the student" + self._too_large

    def __call__(
        self, network: nn.Module, batch: dict[str, torch.Tensor], labels: torch.Tensor, positions: list[int]
    ) -> torch.Tensor:
        with watch_outputs(network, self._list_names("student")) as student:
            logits, flat = self._objective.flat(network(**batch).logits, labels)
        if not self._uses_teacher:
            return self._compute_answers_loss(logits, logits.detach(), flat)
        teacher_logits, teacher = self._teach(positions, labels)
        if self._select_compared_shape(logits) != self._select_compared_shape(teacher_logits):
            raise BuildError(
                f"distill: the student's answers have shape {tuple(logits.shape)}, the teacher's "
                f"{tuple(teacher_logits.shape)}; both need outputs of the same shape: the same "
                "vocabulary, the same labels, or vectors of the same width"
            )
        total = self._compute_answers_loss(logits, teacher_logits, flat)
        for match in self._matches:
            term = self._note_term(match.name, match(student, teacher, batch["attention_mask"]))
            total = total + match.weight * term
        return total

    def compute_mean_parts(self) -> dict[str, float]:
        """Mean of each part over the steps that had it, before weighting."""
        return {name: round(float(np.mean(values)), 4) for name, values in self._seen.items()}

    def _compute_answers_loss(
        self, logits: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """The parts that need only logits: the mean over all answers of each answer's own mixture."""
        params, labelled = self._params, self._objective.has_label(labels)
        total = torch.zeros((), device=logits.device)
        if params.alpha and bool(labelled.any()):
            loss = self._objective.losses(logits, labels).sum() / labelled.sum()
            total = total + params.alpha * labelled.float().mean() * self._note_term("labels", loss)
        shares = torch.where(labelled, 1 - params.alpha, 1.0)
        if bool(shares.any()):
            losses = self._objective.soft_losses(logits, teacher, params.temperature)
            self._note_term("soft", losses.mean())
            total = total + (shares * losses).mean()
        if params.mse_weight:
            loss = self._note_term("logits", self._objective.distance(logits, teacher))
            total = total + params.mse_weight * loss
        return total

    def _select_compared_shape(self, logits: torch.Tensor) -> torch.Size:
        """The part of the answers' shape that must equal the teacher's: for embeddings not the width."""
        return logits.shape[:-1] if self._objective.any_width else logits.shape

    def _note_term(self, name: str, value: torch.Tensor) -> torch.Tensor:
        self._seen[name].append(float(value.detach()))
        return value

    def _list_names(self, side: str) -> list[str]:
        return [name for match in self._matches for name in getattr(match, side)]

    def _teach(self, positions: list[int], labels: torch.Tensor) -> tuple[torch.Tensor, Outputs]:
        """The teacher's answers that count, and its inner outputs."""
        device = labels.device
        if self._answers is not None and not self._matches:
            return torch.from_numpy(self._answers.select_answers(positions)).to(device), Outputs()
        batch = {k: torch.from_numpy(v).to(device) for k, v in self._encoded.batch(positions).items()}
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            outputs = stack.enter_context(watch_outputs(self._teacher, self._list_names("teacher")))
            logits, _ = self._objective.flat(self._teacher(**batch).logits, labels)
        if self._answers is not None:
            logits = torch.from_numpy(self._answers.select_answers(positions)).to(device)
        return logits, outputs


def _check_one_process(params: DistillationParams, weights: list[str]) -> None:
    """Raises for losses that are means over tokens, because parts of a batch are weighted by answers."""
    if (processes := getattr(params, "processes", 1)) > 1:
        losses_named = f"{' and '.join(weights)} compare token by token, and a batch is split by its answers"
        raise BuildError(f"distill: processes = {processes}, but {losses_named}; set processes = 1")


def _check_tokens(
    student: TorchModel, teacher: TorchModel, encoded: Encoded, teacher_encoded: Encoded, weights: list[str]
) -> None:
    if not has_same_tokens(student, teacher, encoded, teacher_encoded):
        raise BuildError(
            f"distill: {' and '.join(weights)} compare token by token, and student and teacher have "
            f"different tokenizers; set {' = 0, '.join(weights)} = 0"
        )


def has_same_tokens(
    student: TorchModel, teacher: TorchModel, encoded: Encoded, teacher_encoded: Encoded
) -> bool:
    """Whether positions hold the same tokens; tokens that a trimmed vocabulary lacks may be unknown."""
    unknown = student.tokenizer.unk_token
    sides = [getattr(side, "side", None) for side in (encoded, teacher_encoded)]
    if sides[0] != sides[1] or len(encoded.lengths) != len(teacher_encoded.lengths):
        return False
    pairs = zip(_list_tokens(student, encoded), _list_tokens(teacher, teacher_encoded), strict=True)
    return all(
        len(mine) == len(theirs) and all(a in (b, unknown) for a, b in zip(mine, theirs, strict=True))
        for mine, theirs in pairs
    )


def _list_tokens(model: TorchModel, encoded: Encoded) -> list[list[Any]]:
    """Tokens of each row as text, so that a trimmed vocabulary's other numbers do not count."""
    columns = getattr(encoded, "columns", {})  # rows without text have none
    rows = columns.get("input_ids", ())
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return [list(row) for row in rows]
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    return [[names.get(number, number) for number in row] for row in rows]


def load_rows_and_teacher(model: TorchModel, context: BuildContext) -> tuple[Labelled, Any, Encoded]:
    """The `train` rows as the student reads them, the teacher, and the rows as the teacher reads them.

    context.log gets a warning if the two differ in family or tokenizer. Raises DataError without rows.
    """
    data, teacher = encode_training_rows(model, context), context.load_teacher()
    teacher_encoded, _ = encode_training_rows(teacher, context)
    if warning := describe_mismatch(model, teacher, data[0], teacher_encoded):
        context.log["warning"] = warning
    return data, teacher, teacher_encoded


class DistillationRows:
    """`train` followed by the transfer set, for any model's tokenizer, always in the same order.

    Raises DataError if `train` is empty, or a transfer set has no row left.
    """

    def __init__(
        self, student: TorchModel, teacher: TorchModel, params: TransferParams, context: BuildContext
    ) -> None:
        """student: its mask token replaces masked words; teacher: the model that writes rows."""
        self._context, self._params = context, params
        self._more = make_transfer_rows(params, context, tokenizer=student.tokenizer, teacher=teacher)

    def select_labelled_rows(self, student: TorchModel) -> Labelled:
        """The rows with labels: the transfer set has those in its rows, or none."""
        own_encoded, context = self.encode_transfer_set(student), self._context
        if own_encoded is None:
            return encode_training_rows(student, context)
        targets = context.task.targets_without_labels(context.task_params, own_encoded, context.facts)
        if self._params.only_transfer:
            return own_encoded, targets
        encoded, labels = encode_training_rows(student, context)
        return encoded.join(own_encoded), join_targets(labels, targets)

    def read_by(self, model: TorchModel) -> Encoded:
        """The rows without labels."""
        own_encoded = self.encode_transfer_set(model)
        if own_encoded is not None and self._params.only_transfer:
            return own_encoded
        encoded, _ = encode_training_rows(model, self._context)
        return encoded if own_encoded is None else encoded.join(own_encoded)

    def encode_transfer_set(self, model: TorchModel) -> Encoded | None:
        """Only the transfer set; None if there is none."""
        if self._more is None:
            return None
        options = self._context.task_params
        return self._context.task.encode_rows(options, self._more, model.tokenizer)
