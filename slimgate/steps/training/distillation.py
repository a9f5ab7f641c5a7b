"""The loss of a student that learns from a teacher, and the rows that it learns from.

loss = DistillationLoss(student, teacher, params, context, targets=targets)     # two ReadRows
train_by_distillation(targets, loss, params, context)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from slimgate.steps.training.params import AnswerParams, InnerParams, TransferParams
from slimgate.steps.training.teacher_answers import (
    MOST_BYTES,
    compute_teacher_answers,
    count_stored_bytes,
    has_all_labels,
)
from slimgate.steps.training.trainer import Attached, train
from slimgate.steps.training.transfer import make_transfer_rows
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
    from slimgate.steps.training.callbacks import TrainingHook


@dataclass(frozen=True, eq=False)
class ReadRows:
    """Rows as a model reads them, with its own tokenizer."""

    model: TorchModel
    encoded: Encoded


def describe_mismatch(student: ReadRows, teacher: ReadRows) -> str | None:
    """How student and teacher differ in family or tokenizer; None if they do not."""
    families = [str(side.model.config.model_type).removeprefix("distil") for side in (student, teacher)]
    # two tokenizers may cut a document into different numbers of windows
    pairs = zip_longest(_list_tokens(student), _list_tokens(teacher))
    differing = sum(tokens != teacher_tokens for tokens, teacher_tokens in pairs)
    differences = []
    if families[0] != families[1]:
        differences.append(f"the student is of family {families[0]}, the teacher of {families[1]}")
    if differing:
        rows = len(student.encoded.lengths)
        differences.append(f"their tokenizers differ on {differing} of {rows} train rows")
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
        student: ReadRows,
        teacher: ReadRows,
        params: AnswerParams,
        context: BuildContext,
        *,
        targets: Targets | None = None,
        matches: Sequence[Match] | None = None,
        answers: KnownAnswers | None = None,
        ensemble: Callable[[Objective], KnownAnswers] | None = None,
        stored: bool | None = None,
    ) -> None:
        """student, teacher: the same rows.

        targets: the labels; if they and alpha leave nothing to the teacher, it does not run. matches: what to
        compare inside the models; default: hidden states if hidden_weight is set. answers: the teacher's, if
        they are known. ensemble: makes the answers of several teachers, and is called if any are needed.
        stored: compute them once, before training, not in each training step. Default: true if nothing inside
        the teacher is compared, because then it need not run every epoch (for answers that are tokens: if
        they have at most MOST_BYTES).
        context.log gets teacher_logits: their origin.
        """
        outputs, teacher_outputs = student.model.config.num_labels, teacher.model.config.num_labels
        if outputs != teacher_outputs:
            raise BuildError(f"distill: the student has {outputs} outputs, the teacher {teacher_outputs}")
        if matches is None:
            weight = params.hidden_weight
            matches = [HiddenMatch(student.model, teacher.model, weight=weight)] if weight else []
        if matches:
            _check_matches(student, teacher, params, [f"{match.name}_weight" for match in matches])
        self.student, self._teacher = student, teacher
        self._params, self._matches = params, list(matches)
        self._objective = make_objective(context.task, context.task_params)
        self._uses_teacher = self._learns_from_teacher(targets)
        by_token = self._uses_teacher and not self._objective.by_row
        if by_token and not has_same_tokens(student, teacher):
            raise BuildError(
                "distill: an answer is a token here, and student and teacher have different tokenizers, "
                "so their answers do not correspond; give the student the teacher's tokenizer"
            )
        self._terms: dict[str, list[float]] = defaultdict(list)
        self._too_large = ""
        self._answers: KnownAnswers | None = answers
        if ensemble is not None:
            self._answers = ensemble(self._objective) if self._uses_teacher else None
        elif answers is None and self._stores(targets, stored, context):
            self._answers = compute_teacher_answers(
                teacher.model, teacher.encoded, targets, self._objective, context, precision=params.precision
            )
        context.log["teacher_logits"] = self.source

    def _learns_from_teacher(self, targets: Targets | None) -> bool:
        """False if alpha = 1, every answer has a label, and nothing else needs the teacher."""
        params = self._params
        if self._matches or params.mse_weight or params.alpha < 1 or targets is None:
            return True
        return not has_all_labels(targets, self._objective)

    def _stores(self, targets: Targets | None, stored: bool | None, context: BuildContext) -> bool:
        """Whether the teacher's answers are computed once, before training. stored: the step's option."""
        objective = self._objective
        is_storable = objective.by_row or (targets is not None and objective.by_token)
        if stored and not is_storable:
            raise BuildError(
                "distill: stored_logits = true is only for answers that depend only on their own row; leave "
                "it out"
            )
        if not self._uses_teacher or not is_storable:
            return False
        if stored is not None:
            return stored
        if self._matches or objective.by_row:
            return not self._matches
        assert targets is not None
        size = count_stored_bytes(
            self._teacher.model, self._teacher.encoded, targets, objective, context.device
        )
        if size > MOST_BYTES:
            self._too_large = f" (stored they would have {size / 2**30:.1f} GB)"
        return size <= MOST_BYTES

    @property
    def modules_to_train(self) -> nn.Module | None:
        """The projections to train with the student; None if there are none."""
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
        teacher_logits, teacher = self._run_teacher(positions, labels)
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
        return {name: round(float(np.mean(values)), 4) for name, values in self._terms.items()}

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
        self._terms[name].append(float(value.detach()))
        return value

    def _list_names(self, side: str) -> list[str]:
        return [name for match in self._matches for name in getattr(match, side)]

    def _run_teacher(self, positions: list[int], labels: torch.Tensor) -> tuple[torch.Tensor, Outputs]:
        """The teacher's answers that count, and its inner outputs. Known answers are only selected."""
        device, outputs = labels.device, Outputs()
        logits: torch.Tensor | None = None
        if self._answers is None or self._matches:
            encoded, network = self._teacher.encoded, self._teacher.model.network
            batch = {name: torch.from_numpy(v).to(device) for name, v in encoded.batch(positions).items()}
            with torch.no_grad(), watch_outputs(network, self._list_names("teacher")) as outputs:
                logits, _ = self._objective.flat(network(**batch).logits, labels)
        if self._answers is not None:
            logits = torch.from_numpy(self._answers.select_answers(positions)).to(device)
        assert logits is not None
        return logits, outputs


def _check_matches(student: ReadRows, teacher: ReadRows, params: AnswerParams, weights: list[str]) -> None:
    """Raises BuildError for comparisons of tokens if a batch is split, or tokenizers differ.

    The comparisons are means over tokens, but parts of a batch are weighted by answers. weights: the options.
    """
    if (processes := getattr(params, "processes", 1)) > 1:
        raise BuildError(
            f"distill: processes = {processes}, but {' and '.join(weights)} compare token by token, and a "
            "batch is split by its answers; set processes = 1"
        )
    if not has_same_tokens(student, teacher):
        raise BuildError(
            f"distill: {' and '.join(weights)} compare token by token, and student and teacher have "
            f"different tokenizers; set {' = 0, '.join(weights)} = 0"
        )


def has_same_tokens(student: ReadRows, teacher: ReadRows) -> bool:
    """Whether positions hold the same tokens; tokens that a trimmed vocabulary lacks may be unknown."""
    unknown = student.model.tokenizer.unk_token
    padding_sides = [getattr(rows.encoded, "side", None) for rows in (student, teacher)]
    if padding_sides[0] != padding_sides[1] or len(student.encoded.lengths) != len(teacher.encoded.lengths):
        return False
    return all(
        len(tokens) == len(expected)
        and all(token in (right, unknown) for token, right in zip(tokens, expected, strict=True))
        for tokens, expected in zip(_list_tokens(student), _list_tokens(teacher), strict=True)
    )


def _list_tokens(rows: ReadRows) -> list[list[Any]]:
    """Tokens of each row as text, so that a trimmed vocabulary's other numbers do not count."""
    columns = getattr(rows.encoded, "columns", {})  # rows without text have none
    ids = columns.get("input_ids", ())
    tokenizer = getattr(rows.model, "tokenizer", None)
    if tokenizer is None:
        return [list(row) for row in ids]
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    return [[names.get(number, number) for number in row] for row in ids]


def load_student_and_teacher(model: TorchModel, context: BuildContext) -> tuple[ReadRows, ReadRows, Targets]:
    """The `train` rows as the student reads them, and as the teacher does; and their labels.

    context.log gets a warning if the two differ in family or tokenizer. Raises DataError without rows.
    """
    encoded, targets = encode_training_rows(model, context)
    teacher = context.load_teacher()
    student_rows = ReadRows(model, encoded)
    teacher_rows = ReadRows(teacher, encode_training_rows(teacher, context)[0])
    if warning := describe_mismatch(student_rows, teacher_rows):
        context.log["warning"] = warning
    return student_rows, teacher_rows, targets


def train_by_distillation(
    targets: Targets,
    loss: DistillationLoss,
    params: InnerParams,
    context: BuildContext,
    *,
    hooks: Sequence[TrainingHook] = (),
) -> None:
    """Trains the student of a loss, in place, with the loss's projections. context.log gets loss_parts too.

    targets: the labels of the loss's rows. hooks: as for `train`.
    """
    projections = loss.modules_to_train
    train(
        loss.student.model,
        (loss.student.encoded, targets),
        params,
        context,
        loss=loss,
        hooks=hooks,
        attached=None if projections is None else Attached(projections, params.projection_learning_rate),
    )
    context.log["loss_parts"] = loss.compute_mean_parts()


class DistillationRows:
    """`train` followed by the transfer set, for any model's tokenizer, always in the same order.

    Raises DataError if `train` is empty, or a transfer set has no row left.
    """

    def __init__(
        self, student: TorchModel, teacher: TorchModel, params: TransferParams, context: BuildContext
    ) -> None:
        """student: its mask token replaces masked words; teacher: the model that writes rows."""
        self._context, self._params = context, params
        self._transfer_rows = make_transfer_rows(
            params, context, tokenizer=student.tokenizer, teacher=teacher
        )

    def select_labelled_rows(self, student: TorchModel) -> Labelled:
        """The rows with labels: the transfer set has those in its rows, or none."""
        transfer_set, context = self.encode_transfer_set(student), self._context
        if transfer_set is None:
            return encode_training_rows(student, context)
        targets = context.task.targets_without_labels(context.task_params, transfer_set, context.facts)
        if self._params.only_transfer:
            return transfer_set, targets
        encoded, labels = encode_training_rows(student, context)
        return encoded.join(transfer_set), join_targets(labels, targets)

    def read_by(self, model: TorchModel) -> ReadRows:
        """The rows without labels, as a model reads them."""
        transfer_set = self.encode_transfer_set(model)
        if transfer_set is not None and self._params.only_transfer:
            return ReadRows(model, transfer_set)
        encoded, _ = encode_training_rows(model, self._context)
        return ReadRows(model, encoded if transfer_set is None else encoded.join(transfer_set))

    def encode_transfer_set(self, model: TorchModel) -> Encoded | None:
        """Only the transfer set; None if there is none."""
        if self._transfer_rows is None:
            return None
        context = self._context
        return context.task.encode_rows(context.task_params, self._transfer_rows, model.tokenizer)
