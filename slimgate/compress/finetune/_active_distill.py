"""Rounds of choosing rows, asking the teacher about them, and learning from its answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.compress.finetune._active_choice import (
    Floats,
    Ints,
    k_center,
    most_uncertain,
    round_sizes,
    uncertainty,
)
from slimgate.compress.training.distillation import DistillationLoss, DistillationRows, unlike
from slimgate.compress.training.matching import matches_of
from slimgate.compress.training.teacher_answers import Answers, teacher_answers
from slimgate.compress.training.trainer import train
from slimgate.errors import BuildError
from slimgate.models.blocks import output_layer
from slimgate.models.predict import predict_scores
from slimgate.protocols import BuildContext, Encoded, Json
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks.parts.heads import classifier_inputs
from slimgate.tasks.parts.objectives import (
    UNLABELLED,
    ClassObjective,
    labelled_rows,
    objective_of,
    training_rows,
)

if TYPE_CHECKING:
    from slimgate.compress.finetune.active_distill import Params


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows that may be chosen: as the student reads them, as the teacher does, and their labels.

    labels: (rows,) UNLABELLED, or indices of classes; name: where the rows come from.
    """

    name: str
    encoded: Encoded
    taught: Encoded
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Asked:
    """Positions in the pool, in the order of asking, and the teacher's logits of each: (rows, classes)."""

    positions: Ints
    logits: npt.NDArray[np.float32]


def distill_actively(model: Any, params: Params, context: BuildContext) -> None:
    """Trains `model.network` in place; context.log["active"] tells each round, the rest is the last's."""
    teacher = context.load_teacher()
    pool = _checked_pool(model, teacher, params, context)
    if warning := unlike(model, teacher, pool.encoded, pool.taught):
        context.log["warning"] = warning
    start = {name: tensor.detach().clone() for name, tensor in model.network.state_dict().items()}
    asked = Asked(np.empty(0, np.int64), np.empty((0, int(teacher.config.num_labels)), np.float32))
    rounds: list[Json] = []
    sizes = round_sizes(params.rows, 1 if params.strategy == "random" else params.rounds)
    for size in sizes:
        chosen, told = _choose(model, pool, asked, size, params, context)
        rows = pool.taught.take(chosen.tolist())
        found = teacher_answers(teacher, rows, None, ClassObjective(), context, precision=params.precision)
        answers = np.array(found.values)
        asked = Asked(np.append(asked.positions, chosen), np.concatenate([asked.logits, answers]))
        model.network.load_state_dict(start)
        own = replace(context, log={})
        _learn(model, teacher, pool, asked, params, own)
        rounds.append(
            {"asked": size, **told, "answers": _balance(answers, context), **_best_accuracy(own.log)}
        )
    context.log.update(own.log, teacher=params.teacher)
    context.log["active"] = {
        "strategy": params.strategy,
        "pool": pool.name,
        "pool_rows": len(pool),
        "asked": len(asked.positions),
        "rounds": rounds,
    }


def _checked_pool(model: Any, teacher: Any, params: Params, context: BuildContext) -> Pool:
    """Raises BuildError where there is nothing to choose by, or too little to choose from."""
    if type(objective_of(context.task, context.task_params)) is not ClassObjective:
        raise BuildError("rows are chosen by probabilities of classes, and this task has none; use distill")
    pool = _pool(model, teacher, params, context)
    if params.rows > len(pool):
        raise BuildError(
            f"rows = {params.rows} came, but the pool ({pool.name}) has {len(pool)} rows; ask for fewer"
        )
    return pool


def _pool(model: Any, teacher: Any, params: Params, context: BuildContext) -> Pool:
    """The transfer set, or `train`."""
    rows = DistillationRows(model, teacher, params, context)
    own, theirs = rows.encode_transfer_set(model), rows.encode_transfer_set(teacher)
    if own is None or theirs is None:
        (encoded, labels), (taught, _) = training_rows(model, context), training_rows(teacher, context)
        own_labels = np.asarray(labels)
        kept = own_labels if params.keep_labels else np.full_like(own_labels, UNLABELLED)
        return Pool("train", encoded, taught, kept)
    return Pool("transfer set", own, theirs, np.full(len(own.lengths), UNLABELLED, dtype=np.int64))


def _choose(
    model: Any, pool: Pool, asked: Asked, size: int, params: Params, context: BuildContext
) -> tuple[Ints, Json]:
    """Positions of the next rows, and what the log says of them."""
    free = np.setdiff1d(np.arange(len(pool)), asked.positions)
    if params.strategy == "random" or (params.first == "random" and not len(asked.positions)):
        return np.random.default_rng(context.seed).permutation(free)[:size], {"chosen": "random"}
    model.network.eval()
    if params.strategy == "k_center":
        layer = output_layer(model.network, len(context.facts.classes))
        features = classifier_inputs(model.network, layer, pool.encoded)
        return k_center(features, asked.positions, free, size), {"chosen": "k_center"}
    logits = predict_scores(EagerPredictor(model.network, context.device), pool.encoded, batch_size=64)
    scores = uncertainty(logits, params.strategy)
    chosen = most_uncertain(scores, free, size)
    means = {"mean_of_chosen": _mean(scores[chosen]), "mean_of_pool": _mean(scores[free])}
    return chosen, {"chosen": params.strategy, **means}


def _learn(model: Any, teacher: Any, pool: Pool, asked: Asked, params: Params, context: BuildContext) -> None:
    positions = asked.positions.tolist()
    own, theirs = pool.encoded.take(positions), pool.taught.take(positions)
    matches = matches_of(model, teacher, params, seed=context.seed)
    loss = DistillationLoss(
        model,
        teacher,
        own,
        theirs,
        params,
        context,
        matches=matches,
        answers=Answers.one_a_row(asked.logits),
    )
    train(
        model,
        (own, pool.labels[asked.positions]),
        params,
        context,
        selection=labelled_rows(model, "selection", context),
        loss=loss,
        attached=loss.modules_to_train,
        attached_learning_rate=params.projection_learning_rate,
    )
    context.log["loss_parts"] = loss.mean_parts()


def _balance(answers: npt.NDArray[np.float32], context: BuildContext) -> dict[str, int]:
    """Rows of each class by what the teacher answered."""
    classes = context.facts.classes
    counts = np.bincount(answers.argmax(axis=1), minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def _best_accuracy(log: Json) -> Json:
    """The accuracy on `selection` after the round, where there are such rows."""
    found = [epoch["accuracy_selection"] for epoch in log["epochs"] if "accuracy_selection" in epoch]
    return {"accuracy_selection": max(found)} if found else {}


def _mean(scores: Floats) -> float:
    return round(float(scores.mean()), 4)
