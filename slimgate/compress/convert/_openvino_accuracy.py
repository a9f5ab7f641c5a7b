"""The quality of a compiled OpenVINO graph on a split, as nncf's accuracy control asks for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from slimgate.compress.agreement import predictor_of
from slimgate.judge.metrics.base import value_of
from slimgate.judge.metrics.registry import load_metric
from slimgate.models.predicting import predict_scores
from slimgate.protocols import Arrays, BuildContext, Rows
from slimgate.runtimes.openvino import RequestPredictor

USUAL_METRIC = "accuracy"
BATCH_SIZE = 32


class Validation:
    """The task's first default metric, more is better, and of each row how near its scores are to float's.

    A perplexity p counts as -ln(p), so that percent of it are what is compared.
    """

    def __init__(self, model: Any, context: BuildContext, split: str) -> None:
        self._tokenizer, self._context = model.tokenizer, context
        self._rows = context.rows(split)
        names = getattr(context.task, "default_metrics", (USUAL_METRIC,))
        self._metric = load_metric(names[0])
        self._float = self._scores(predictor_of(model, context), range(len(self._rows)))
        self.log: dict[str, Any] = {
            "controlled_metric": names[0],
            "controlled_split": split,
            "values": [],
        }

    def __len__(self) -> int:
        return len(self._rows)

    def allowed(self, points: float) -> float:
        """What the value may drop by."""
        return math.log1p(points / 100) if self._metric.unit == "percent" else points / 100

    def inputs(self, row: int) -> Arrays:
        """What the graph gets for one row."""
        encoded = self._encoded([row])
        return encoded.batch(range(len(encoded.lengths)))  # type: ignore[no-any-return]

    def measure(self, compiled: Any, data: Iterable[int]) -> tuple[float, list[float]]:
        """The value on the given rows, and minus each row's mean distance from float's scores."""
        positions = list(data)
        scores = self._scores(RequestPredictor(compiled.create_infer_request()), positions)
        distances = np.abs(scores - self._float[positions]).reshape(len(positions), -1).mean(axis=1)
        value = self._value(scores, positions)
        if len(positions) == len(self):
            self.log["values"].append(round(value, 6))
        return value, [-float(distance) for distance in distances]

    def _value(self, scores: Any, positions: list[int]) -> float:
        context = self._context
        rows = self._taken(positions)
        outcomes = context.task.outcomes(context.facts, rows, scores, context.task_params, None)
        found = value_of(self._metric, outcomes)
        if self._metric.unit == "percent":
            found = math.log(found)
        return found if self._metric.higher_is_better else -found

    def _taken(self, positions: Iterable[int]) -> Rows:
        return Rows(self._rows.table.take(list(positions)))

    def _encoded(self, positions: Iterable[int]) -> Any:
        context = self._context
        return context.task.encode_rows(context.task_params, self._taken(positions), self._tokenizer)

    def _scores(self, predictor: Any, positions: Iterable[int]) -> Any:
        task, params = self._context.task, self._context.task_params
        read = getattr(task, "read_output", None)
        return predict_scores(
            predictor,
            self._encoded(positions),
            batch_size=BATCH_SIZE,
            read=None if read is None else lambda output, batch: read(params, output, batch),
        )
