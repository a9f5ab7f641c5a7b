"""The rows that a student learns from: `train`, and the transfer set behind it."""

from __future__ import annotations

from typing import Any

from slimgate.distillation import unlike
from slimgate.learning import Labelled, joined_targets, training_rows
from slimgate.protocols import BuildContext, Encoded
from slimgate.transfer import transfer_rows
from slimgate.transfer_params import TransferParams


def lesson(model: Any, context: BuildContext) -> tuple[Labelled, Any, Encoded]:
    """The `train` rows as the student reads them, the teacher, and the rows as the teacher does.

    context.log gets a warning where the student is no kin of the teacher's. Raises DataError without rows.
    """
    data, teacher = training_rows(model, context), context.load_teacher()
    taught, _ = training_rows(teacher, context)
    if warning := unlike(model, teacher, data[0], taught):
        context.log["warning"] = warning
    return data, teacher, taught


def distillation_rows(
    model: Any, teacher: Any, params: TransferParams, context: BuildContext
) -> tuple[Labelled, Encoded]:
    """The rows as the student reads them, with labels, and as the teacher does.

    The transfer set has the labels that its rows say of themselves, or none. Raises DataError where `train`
    is empty, or a transfer set has no row left.
    """
    encoded, labels = training_rows(model, context)
    taught, _ = training_rows(teacher, context)
    more = transfer_lesson(model, teacher, params, context)
    if more is None:
        return (encoded, labels), taught
    own, theirs = more
    targets = joined_targets(labels, context.task.unlabelled(context.task_params, own, context.facts))
    return (encoded.joined(own), targets), taught.joined(theirs)


def transfer_lesson(
    model: Any, teacher: Any, params: TransferParams, context: BuildContext
) -> tuple[Encoded, Encoded] | None:
    """The transfer set alone, as the student reads it and as the teacher does; None where there is none."""
    rows = transfer_rows(params, context, tokenizer=model.tokenizer)
    if rows is None:
        return None
    task, options = context.task, context.task_params
    return (
        task.encode_rows(options, rows, model.tokenizer),
        task.encode_rows(options, rows, teacher.tokenizer),
    )
