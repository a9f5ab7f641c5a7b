"""Whether the outputs of a ready-made head mean what their names say, looked for on real rows.

Names can fit the data's labels and still be wrong: `LABEL_0` tells nothing, and a head may have been trained
in another order than its config.json says. Such a model is not bad, its answers are renamed: another order of
its outputs is right far more often. The order is sought on half of the rows and tried on the other half, so
that chance, which always finds some better order, is not taken for a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.data.labels import label_map
from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Rows

# How many rows of `selection` are predicted.
ROWS = 500
# Another order must be better by so much balanced accuracy, and by chance no more often than that.
GAP = 0.20
CHANCE = 0.001

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OrderFound:
    """What the trial says.

    order: the output that means each class, as the first half of the rows has it. own, other: balanced
    accuracy on the second half, of the outputs as they are and in that order. p_value: of an exact McNemar
    test there. rows: of the second half.
    """

    order: tuple[int, ...]
    own_order: float
    other: float
    p_value: float
    rows: int

    @property
    def contradicts(self) -> bool:
        """Whether the outputs as they stand are surely in the wrong order."""
        return self.other - self.own_order > GAP and self.p_value < CHANCE


def find_order(predictions: Ints, labels: Ints, classes: int) -> OrderFound:
    """The order of the outputs that fits the rows best.

    predictions, labels: (rows,) indices of classes, the rows in random order.
    """
    from scipy.optimize import linear_sum_assignment

    sought = _recalls(predictions[::2], labels[::2], classes)
    order = linear_sum_assignment(sought + 1e-9 * np.eye(classes), maximize=True)[1]  # ties: as it is
    predictions, labels = predictions[1::2], labels[1::2]
    tried = _recalls(predictions, labels, classes)
    known = np.isin(np.arange(classes), labels)
    return OrderFound(
        order=tuple(int(output) for output in order),
        own_order=_mean(np.diag(tried)[known]),
        other=_mean(tried[np.arange(classes), order][known]),
        p_value=_chance(stated=predictions == labels, other=predictions == order[labels]),
        rows=len(labels),
    )


def require_label_order(
    model: Any, params: Any, context: BuildContext, *, names: Sequence[str], order: Sequence[int], where: str
) -> None:
    """Raises BuildError where another order of the outputs is right far more often than that of the names.

    names: of the model's own outputs; order: for each class of the data, the model's own output that was
    taken for it (the network's outputs stand in that order already). What was seen goes into the log.
    """
    if not len(context.splits.get("selection", ())):
        context.log["label_order"] = "not tried: split selection has no rows"
        return
    rows = Rows(context.rows("selection").table.slice(0, ROWS))  # a split's rows stand in random order
    labels = context.task.label_indices(context.task_params, rows, context.facts)
    classes = context.facts.classes
    label_order = find_order(_predictions(model, rows, params, context), labels, len(classes))
    if label_order.contradicts:
        classes_in_order = dict(zip(order, classes, strict=True))
        right = {order[place]: name for place, name in zip(label_order.order, classes, strict=True)}
        raise BuildError(
            _format_message(
                label_order,
                where,
                names=names,
                classes_in_order=_names_in_order(classes_in_order),
                right=_names_in_order(right),
            )
        )
    context.log["label_order"] = {
        "rows": label_order.rows,
        "balanced_accuracy": round(label_order.own_order, 4),
        "in_the_best_order": round(label_order.other, 4),
    }


def _predictions(model: Any, rows: Rows, params: Any, context: BuildContext) -> Ints:
    from slimgate.models.predict import predict_scores
    from slimgate.runtimes.eager import EagerPredictor

    predictor = EagerPredictor(model.network, context.device)
    encoded = context.task.encode_rows(params, rows, model.tokenizer)
    scores = predict_scores(predictor, encoded, batch_size=32, progress=context.progress)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _recalls(predictions: Ints, labels: Ints, classes: int) -> npt.NDArray[np.float64]:
    """For each class the share of its rows that each output was given: (classes, classes)."""
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes)
    table = counts.reshape(classes, classes).astype(np.float64)
    recalls: npt.NDArray[np.float64] = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    return recalls


def _mean(recalls: npt.NDArray[np.float64]) -> float:
    return float(recalls.mean()) if len(recalls) else 0.0


def _chance(*, stated: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """How often the other order would be right where its own is wrong, as it is here or more, by chance."""
    from scipy.stats import binomtest

    gained, lost = int((other & ~stated).sum()), int((stated & ~other).sum())
    return float(binomtest(gained, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0


def _names_in_order(by_output: dict[int, str]) -> list[str]:
    return [by_output[output] for output in sorted(by_output)]


def _format_message(
    order: OrderFound, where: str, *, names: Sequence[str], classes_in_order: list[str], right: list[str]
) -> str:
    return (
        f"{where}: its outputs do not mean what they are taken for. The model's names: {label_map(names)}. "
        f"On {order.rows} rows of selection, taken for {label_map(classes_in_order)} they have "
        "balanced accuracy "
        f"{order.own_order:.3f}, taken for {label_map(right)} {order.other:.3f}. Where the "
        "second order is right, "
        f"set [task] labels = {json.dumps(right, ensure_ascii=False)}"
    )
