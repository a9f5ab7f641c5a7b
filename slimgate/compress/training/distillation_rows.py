"""The rows that a student learns from: `train`, and the transfer set behind it."""

from __future__ import annotations

from typing import Any

from slimgate.compress.training.distillation import unlike
from slimgate.compress.training.transfer import transfer_rows
from slimgate.compress.training.transfer_params import TransferParams
from slimgate.protocols import BuildContext, Encoded
from slimgate.tasks.parts.learning import Labelled, joined_targets, training_rows


def lesson(model: Any, context: BuildContext) -> tuple[Labelled, Any, Encoded]:
    """The `train` rows as the student reads them, the teacher, and the rows as the teacher does.

    context.log gets a warning where the student is no kin of the teacher's. Raises DataError without rows.
    """
    data, teacher = training_rows(model, context), context.load_teacher()
    taught, _ = training_rows(teacher, context)
    if warning := unlike(model, teacher, data[0], taught):
        context.log["warning"] = warning
    return data, teacher, taught


class DistillationRows:
    """`train` with the transfer set behind it, as any model reads them, always in the same order.

    Raises DataError where `train` is empty, or a transfer set has no row left.
    """

    def __init__(self, student: Any, teacher: Any, params: TransferParams, context: BuildContext) -> None:
        """student: whose mask stands for masked words; teacher: the one that writes rows."""
        self._context, self._params = context, params
        self._more = transfer_rows(params, context, tokenizer=student.tokenizer, teacher=teacher)

    def labelled(self, student: Any) -> Labelled:
        """With labels: the transfer set has those that its rows say of themselves, or none."""
        own, context = self.transferred(student), self._context
        if own is None:
            return training_rows(student, context)
        targets = context.task.unlabelled(context.task_params, own, context.facts)
        if self._params.only_transfer:
            return own, targets
        encoded, labels = training_rows(student, context)
        return encoded.joined(own), joined_targets(labels, targets)

    def read_by(self, model: Any) -> Encoded:
        """Without labels."""
        own = self.transferred(model)
        if own is not None and self._params.only_transfer:
            return own
        encoded, _ = training_rows(model, self._context)
        return encoded if own is None else encoded.joined(own)

    def transferred(self, model: Any) -> Encoded | None:
        """The transfer set alone; None where there is none."""
        if self._more is None:
            return None
        options = self._context.task_params
        return self._context.task.encode_rows(options, self._more, model.tokenizer)  # type: ignore[no-any-return]
