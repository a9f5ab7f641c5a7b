"""Rounds of choosing rows, letting the teacher answer them, and learning from its answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.blocks import find_output_linear
from slimgate.models.predict import predict_scores
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune._active_choice import (
    Floats,
    Ints,
    compute_round_sizes,
    compute_uncertainty,
    select_by_k_center,
    select_most_uncertain,
)
from slimgate.steps.training.distillation import (
    DistillationLoss,
    DistillationRows,
    ReadRows,
    describe_mismatch,
    train_by_distillation,
)
from slimgate.steps.training.matching import make_matches
from slimgate.steps.training.teacher_answers import TeacherAnswers, compute_teacher_answers
from slimgate.tasks.parts.heads import compute_classifier_inputs
from slimgate.tasks.parts.objectives import UNLABELLED, ClassObjective, encode_training_rows, make_objective

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.finetune.active_distill import Params


@dataclass(frozen=True, eq=False)
class RowPool:
    """The rows that may be chosen: as the student reads them, as the teacher reads them, and their labels.

    labels: (rows,) UNLABELLED, or indices of classes; name: the source of the rows.
    """

    name: str
    student: ReadRows
    teacher: ReadRows
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class AnsweredRows:
    """Positions in the pool, in the order of the questions, and the teacher's logits: (rows, classes)."""

    positions: Ints
    logits: npt.NDArray[np.float32]


def distill_actively(model: TorchModel, params: Params, context: BuildContext) -> None:
    """Trains `model.network` in place; context.log["active"] has each round, other entries are the last's."""
    teacher = context.load_teacher()
    pool = _make_pool(model, teacher, params, context)
    if warning := describe_mismatch(pool.student, pool.teacher):
        context.log["warning"] = warning
    start = {name: tensor.detach().clone() for name, tensor in model.network.state_dict().items()}
    answered = AnsweredRows(np.empty(0, np.int64), np.empty((0, int(teacher.config.num_labels)), np.float32))
    rounds: list[Json] = []
    sizes = compute_round_sizes(params.rows, 1 if params.strategy == "random" else params.rounds)
    for size in sizes:
        chosen, reason = _choose(pool, answered, size, params, context)
        rows = pool.teacher.encoded.take(chosen.tolist())
        answers = compute_teacher_answers(
            teacher, rows, None, ClassObjective(), context, precision=params.precision
        ).values
        answered = AnsweredRows(
            np.append(answered.positions, chosen), np.concatenate([answered.logits, answers])
        )
        model.network.load_state_dict(start)
        round_context = replace(context, log={})
        _learn(pool, answered, params, round_context)
        rounds.append(
            {
                "asked": size,
                **reason,
                "answers": _count_classes(answers, context),
                **_find_best_accuracy(round_context.log),
            }
        )
    context.log.update(round_context.log, teacher=params.teacher)
    context.log["active"] = {
        "strategy": params.strategy,
        "pool": pool.name,
        "pool_rows": len(pool),
        "asked": len(answered.positions),
        "rounds": rounds,
    }


def _make_pool(model: TorchModel, teacher: TorchModel, params: Params, context: BuildContext) -> RowPool:
    """Raises BuildError if the task has no class probabilities, or the pool has too few rows."""
    if type(make_objective(context.task, context.task_params)) is not ClassObjective:
        raise BuildError(
            "active_distill chooses rows by class probabilities, and this task has none; use distill"
        )
    pool = _read_pool(model, teacher, params, context)
    if params.rows > len(pool):
        raise BuildError(
            f"rows = {params.rows} was given, but the pool ({pool.name}) has {len(pool)} rows; ask for fewer"
        )
    return pool


def _read_pool(model: TorchModel, teacher: TorchModel, params: Params, context: BuildContext) -> RowPool:
    """The transfer set, or `train`."""
    rows = DistillationRows(model, teacher, params, context)
    encoded, teacher_encoded = rows.encode_transfer_set(model), rows.encode_transfer_set(teacher)
    if encoded is not None and teacher_encoded is not None:
        name, labels = "transfer set", np.full(len(encoded.lengths), UNLABELLED, dtype=np.int64)
    else:
        encoded, targets = encode_training_rows(model, context)
        teacher_encoded, _ = encode_training_rows(teacher, context)
        name, labels = "train", np.asarray(targets)
        if not params.keep_labels:
            labels = np.full_like(labels, UNLABELLED)
    return RowPool(name, ReadRows(model, encoded), ReadRows(teacher, teacher_encoded), labels)


def _choose(
    pool: RowPool, answered: AnsweredRows, size: int, params: Params, context: BuildContext
) -> tuple[Ints, Json]:
    """Positions of the next rows, and their entries for the log."""
    network, encoded = pool.student.model.network, pool.student.encoded
    free = np.setdiff1d(np.arange(len(pool)), answered.positions)
    if params.strategy == "random" or (params.first == "random" and not len(answered.positions)):
        return np.random.default_rng(context.seed).permutation(free)[:size], {"chosen": "random"}
    network.eval()
    if params.strategy == "k_center":
        layer = find_output_linear(network, len(context.facts.classes))
        features = compute_classifier_inputs(network, layer, encoded)
        return select_by_k_center(features, answered.positions, free, size), {"chosen": "k_center"}
    logits = predict_scores(EagerPredictor(network, context.device), encoded, batch_size=64)
    scores = compute_uncertainty(logits, params.strategy)
    chosen = select_most_uncertain(scores, free, size)
    means = {"mean_of_chosen": _compute_mean(scores[chosen]), "mean_of_pool": _compute_mean(scores[free])}
    return chosen, {"chosen": params.strategy, **means}


def _learn(pool: RowPool, answered: AnsweredRows, params: Params, context: BuildContext) -> None:
    """Trains the student on the rows that are answered so far."""
    positions = answered.positions.tolist()
    student, teacher = (
        ReadRows(side.model, side.encoded.take(positions)) for side in (pool.student, pool.teacher)
    )
    loss = DistillationLoss(
        student,
        teacher,
        params,
        context,
        matches=make_matches(student.model, teacher.model, params, seed=context.seed),
        answers=TeacherAnswers.one_a_row(answered.logits),
    )
    train_by_distillation(pool.labels[answered.positions], loss, params, context)


def _count_classes(answers: npt.NDArray[np.float32], context: BuildContext) -> dict[str, int]:
    """The number of rows of each class in the teacher's answers."""
    classes = context.facts.classes
    counts = np.bincount(answers.argmax(axis=1), minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def _find_best_accuracy(log: Json) -> Json:
    """The accuracy on `selection` of the round's best epoch, if there are such rows."""
    qualities = [epoch["accuracy_selection"] for epoch in log["epochs"] if "accuracy_selection" in epoch]
    return {"accuracy_selection": max(qualities)} if qualities else {}


def _compute_mean(scores: Floats) -> float:
    return round(float(scores.mean()), 4)
