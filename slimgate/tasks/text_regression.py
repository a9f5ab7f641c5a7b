"""Text regression: a number for a text, or for two texts (semantic textual similarity, ratings).

[task]
kind = "text_regression"
text = ["sentence1", "sentence2"]   # one column, or two for sentence pairs
score = "similarity"                # a column of numbers
max_tokens = 128
pooling = "mean"                    # default "model": the architecture's own head, with one output

Metrics: pearson, spearman, mse, mae. A ready-made model must have one output; any other model gets a fresh
head, fitted by ridge regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import DataError
from slimgate.outcomes import Floats, Ints, Outcomes
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Encoded, Rows, TaskFacts, number_groups
from slimgate.tasks.parts.classifiers import SEQUENCE_CLASSIFIER, Head, load_classifier
from slimgate.tasks.parts.text_task import TextParams, TextTask, list_train_texts, make_head_data

if TYPE_CHECKING:
    from slimgate.data.guess_input import ExaminedRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.objectives import Objective


class Params(TextParams):
    """[task] of a text regression."""

    score: str
    """The column of numbers."""


class TextRegression(TextTask[Params]):
    default_metrics = ("spearman", "pearson", "mse")
    pipeline = "text-classification"
    snippet_tail = "for text, row in zip(texts, scores):\n    print(text, float(row[0]))"
    auto_class = SEQUENCE_CLASSIFIER
    guess_rank = 30
    distill_options = MappingProxyType[str, float]({})

    def guess(self, sample: ExaminedRows) -> tuple[dict[str, Any], str] | None:
        """Guesses text and a column of measured numbers, or of any numbers if the user names the task."""
        score = sample.score()
        if score is None:
            return None
        return {"text": sample.texts((score,)), "score": score}, f'numbers in "{score}"'

    def columns(self, params: Params) -> tuple[str, ...]:
        """The text columns and the score."""
        return (*params.text, params.score)

    def label_column(self, params: Params) -> None:
        """None: splits are not stratified, because a number is not a class."""

    def provides(self) -> frozenset[str]:
        """The model's score, which metrics compare with the true score."""
        return frozenset({"score"})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """No classes. Raises DataError if a score is missing or is no number."""
        for name, rows in splits.items():
            scores = read_gold_scores(params, rows)
            if len(scores) > 1 and (scores == -1).all():  # how data sets on the hub withhold scores
                raise DataError(
                    f'split {name} is unlabelled: column "{params.score}" is -1 in all of its '
                    f"{len(scores)} rows; name a labelled part"
                )
        return TaskFacts(())

    def targets(
        self, params: Params, rows: Rows, facts: TaskFacts, encoded: Encoded
    ) -> npt.NDArray[np.float32]:
        """(rows,) the training targets: the score of each row."""
        return read_gold_scores(params, rows).astype(np.float32)

    def targets_without_labels(
        self, params: Params, encoded: Encoded, facts: TaskFacts
    ) -> npt.NDArray[np.float32]:
        """(rows,) targets for rows without scores: NaN, so that nothing is learnt by labels."""
        return np.full(len(encoded.lengths), np.nan, dtype=np.float32)

    def objective(self, params: Params) -> Objective:
        """The loss for one number per row."""
        from slimgate.tasks.parts.objectives import ScoreObjective

        return ScoreObjective()

    def head(self, params: Params, classes: tuple[str, ...] = ()) -> Head:
        """A head with one output."""
        mean = params.pooling == "mean"
        return Head(SEQUENCE_CLASSIFIER, (params.score,), mean=mean, ordered=False, problem_type="regression")

    def load_model(self, params: Params, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a folder; a missing head is fitted on `train` by ridge regression."""
        loaded = load_classifier(
            self.head(params), ref, context, texts=list_train_texts(params.text, context)
        )
        if not loaded.ready:
            from slimgate.tasks.parts.heads import fit_score_head

            train, held_out = make_head_data(loaded, context)
            context.log.update(fit_score_head(loaded.layer, train, held_out))
        return loaded.model

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
    ) -> Outcomes:
        """The model's score next to the true score; scores: (rows, 1)."""
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values={"gold": read_gold_scores(params, rows), "score": scores[:, 0].astype(np.float64)},
            given=("gold",),
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes in which these rows score the end of the scale that is farther from the true score."""
        gold, score = outcomes.column("gold"), outcomes.column("score").copy()
        low, high = gold.min(), gold.max()
        score[rows] = np.where(gold[rows] < (low + high) / 2, high, low)
        return replace(outcomes, values={**outcomes.values, "score": score})


task = TextRegression()


def read_gold_scores(params: Params, rows: Rows) -> Floats:
    """(rows,) the numbers of the score column. Raises DataError with the first row that has none."""
    values = rows.table[params.score].to_pylist()
    scores = np.array([_to_number(value) for value in values], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise DataError(
            f'column "{params.score}" has no finite number in {len(bad)} of {len(scores)} rows (first: '
            f"{rows.ids[bad[0]]}, {values[bad[0]]!r}); a regression needs one in every row"
        )
    return scores


def _to_number(value: float | str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
