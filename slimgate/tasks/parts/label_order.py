"""Checks on real rows that the outputs of a ready-made head mean what their names say.

Names can fit the data's labels and still be wrong: `LABEL_0` means nothing, and a head may have been trained
in another order than its config.json says. Then another order of the outputs is right far more often.
One half of the rows selects the best order, and the other half tests it. If the same rows did both, another
order would nearly always look better by chance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from slimgate.data.labels import format_label_map
from slimgate.errors import BuildError
from slimgate.outcomes import Ints
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Rows

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.text_classification import TextClassification

# How many rows of `selection` are predicted.
ROWS = 500
# The other order must be better by at least GAP in balanced accuracy, with a p-value below CHANCE.
GAP = 0.20
CHANCE = 0.001


@dataclass(frozen=True)
class OrderTrial:
    """The best order of the outputs, and how it does on rows that did not select it.

    order: for each class the output that means it, by the first half of the rows.
    accuracy_as_is, accuracy_in_order: balanced accuracy on the second half, with the outputs as they are and
    in `order`. p_value: of an exact McNemar test of both. rows: the number of rows in the second half.
    """

    order: tuple[int, ...]
    accuracy_as_is: float
    accuracy_in_order: float
    p_value: float
    rows: int

    @property
    def contradicts(self) -> bool:
        """Whether the rows show that the outputs are in the wrong order."""
        return self.accuracy_in_order - self.accuracy_as_is > GAP and self.p_value < CHANCE


def find_order(predictions: Ints, labels: Ints, classes: int) -> OrderTrial:
    """Selects the order of the outputs that fits one half of the rows best, and tests it on the other.

    predictions, labels: (rows,) indices of classes, the rows in random order.
    """
    from scipy.optimize import linear_sum_assignment

    first_recalls = _compute_recalls(predictions[::2], labels[::2], classes)
    # if two orders are equally good, the stated order is selected
    order = linear_sum_assignment(first_recalls + 1e-9 * np.eye(classes), maximize=True)[1]
    predictions, labels = predictions[1::2], labels[1::2]
    second_recalls = _compute_recalls(predictions, labels, classes)
    known = np.isin(np.arange(classes), labels)
    return OrderTrial(
        order=tuple(int(output) for output in order),
        accuracy_as_is=_average_recalls(np.diag(second_recalls)[known]),
        accuracy_in_order=_average_recalls(second_recalls[np.arange(classes), order][known]),
        p_value=_compute_mcnemar_p_value(stated=predictions == labels, other=predictions == order[labels]),
        rows=len(labels),
    )


def require_label_order(
    model: TorchModel,
    params: BaseModel,
    context: BuildContext,
    *,
    names: Sequence[str],
    order: Sequence[int],
    where: str,
) -> None:
    """Raises BuildError if another order of the outputs is right far more often than that of their names.

    Else it logs the balanced accuracies.

    Args:
        model: its outputs are already in the order of the data's classes.
        params: options of the task.
        context: has the rows of `selection`.
        names: the names of the outputs in the files of the model.
        order: for each class of the data, the output in the files that was assigned to it.
        where: the name of the model, for the message.
    """
    if not len(context.splits.get("selection", ())):
        context.log["label_order"] = "not tried: split selection has no rows"
        return
    rows = Rows(context.rows("selection").table.slice(0, ROWS))  # the rows of a split are in random order
    task = cast("TextClassification[Any]", context.task)
    labels = task.label_indices(context.task_params, rows, context.facts)
    classes = context.facts.classes
    trial = find_order(_predict_rows(model, rows, params, context), labels, len(classes))
    if trial.contradicts:
        best_order = [order[place] for place in trial.order]
        raise BuildError(
            _format_message(
                trial,
                where,
                names=names,
                stated=_sort_by_output(order, classes),
                best=_sort_by_output(best_order, classes),
            )
        )
    context.log["label_order"] = {
        "rows": trial.rows,
        "balanced_accuracy": round(trial.accuracy_as_is, 4),
        "in_the_best_order": round(trial.accuracy_in_order, 4),
    }


def _predict_rows(model: TorchModel, rows: Rows, params: BaseModel, context: BuildContext) -> Ints:
    from slimgate.models.predict import predict_scores
    from slimgate.runtimes.eager import EagerPredictor

    predictor = EagerPredictor(model.network, context.device)
    encoded = context.task.encode_rows(params, rows, model.tokenizer)
    scores = predict_scores(predictor, encoded, batch_size=32, progress=context.progress)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _compute_recalls(predictions: Ints, labels: Ints, classes: int) -> npt.NDArray[np.float64]:
    """For each class, the share of its rows that each output was predicted for: (classes, classes)."""
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes)
    table = counts.reshape(classes, classes).astype(np.float64)
    recalls: npt.NDArray[np.float64] = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    return recalls


def _average_recalls(recalls: npt.NDArray[np.float64]) -> float:
    return float(recalls.mean()) if len(recalls) else 0.0


def _compute_mcnemar_p_value(*, stated: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """The one-sided exact McNemar p-value of "the other order is right no more often than the stated one"."""
    from slimgate._system.special_functions import betainc

    gained, lost = int((other & ~stated).sum()), int((stated & ~other).sum())
    # the chance of at least `gained` heads in gained + lost tosses of a coin
    return float(betainc(gained, lost + 1, 0.5)) if gained else 1.0


def _sort_by_output(order: Sequence[int], classes: Sequence[str]) -> list[str]:
    """The class of each output. order: the output of each class."""
    return [name for _, name in sorted(zip(order, classes, strict=True))]


def _format_message(
    trial: OrderTrial, where: str, *, names: Sequence[str], stated: list[str], best: list[str]
) -> str:
    """names: of the model's outputs. stated, best: the class of each output, by its name or by the trial."""
    return (
        f"{where}: the order of its outputs is probably not the order of the classes. The model's names: "
        f"{format_label_map(names)}. "
        f"On {trial.rows} rows of selection, their balanced accuracy is {trial.accuracy_as_is:.3f} if they "
        f"mean {format_label_map(stated)}, and {trial.accuracy_in_order:.3f} if they mean "
        f"{format_label_map(best)}. If the second order is right, "
        f"set [task] labels = {json.dumps(best, ensure_ascii=False)}"
    )
