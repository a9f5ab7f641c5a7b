"""Semantic textual similarity: does the cosine of two embeddings follow the scores that people gave?

    [task]
    kind = "sentence_similarity"
    pair = ["sentence1", "sentence2"]
    score = "label"
    score_range = [0.0, 5.0]              # scores from 0 to 5 are scaled to 0 … 1; default [0.0, 1.0]

Each text is embedded separately, and the cosine of the two is the answer. The metrics are the correlations of
Spearman and Pearson between the cosines and the scores. Pooling, prompts and training are those of
sentence_embedding. For a model that reads both texts at once see text_regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from slimgate.errors import DataError
from slimgate.outcomes import Floats, Ints, Outcomes
from slimgate.plugins.base import Json
from slimgate.plugins.rows import Encoded, Rows, TaskFacts, number_groups
from slimgate.tasks.parts.retrieval import normalize_vectors
from slimgate.tasks.parts.sentence_models import SentenceTask
from slimgate.tasks.parts.sentences import SentenceParams

if TYPE_CHECKING:
    from slimgate.data.guess_input import ExaminedRows
    from slimgate.tasks.parts.objectives import Objective

GOLD, SCORE = "gold", "score"


class Params(SentenceParams):
    """[task] of textual similarity."""

    pair: tuple[str, str]
    """The two columns of text that are compared."""
    score: str
    """The column of the human scores of similarity."""
    score_range: tuple[float, float] = (0.0, 1.0)
    """[lowest, highest] score; scores are scaled to 0 to 1, the range of cosines."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of texts."""
        return self.pair

    @model_validator(mode="after")
    def _check_options(self) -> Params:
        if self.score_range[0] >= self.score_range[1]:
            raise ValueError(f"score_range = {list(self.score_range)} was given, expected [lowest, highest]")
        if len(self.prompts) not in (0, 2):
            raise ValueError(
                f"prompts has {len(self.prompts)} entries, expected 2: one for each column of texts"
            )
        return self


class SentenceSimilarity(SentenceTask[Params]):
    default_metrics = ("spearman", "pearson")
    also_called = ("sts",)
    pipeline = "sentence-similarity"

    def guess(self, sample: ExaminedRows) -> tuple[Json, str] | None:
        """Guesses two texts and a score if the user names the task. Else None: text_regression guesses them.

        Raises DataError if there are not two texts.
        """
        score = sample.score() if sample.stated.task else None
        if score is None:
            return None
        pair = sample.texts((score,))
        if len(pair) != 2:
            raise DataError("--task sentence_similarity compares two texts; name both columns with --text")
        return {"pair": pair, "score": score}, f'the score "{score}"'

    def columns(self, params: Params) -> tuple[str, ...]:
        """The two texts and the score."""
        return (*params.pair, params.score)

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The pair of texts: it must not occur in two splits."""
        return params.pair

    def label_column(self, params: Params) -> None:
        """None: splits are not stratified, because a score is not a class."""

    def provides(self) -> frozenset[str]:
        """The values: the score that people gave, and the model's score."""
        return frozenset({GOLD, SCORE})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """No facts. Raises DataError for a score that is not a number, or is outside score_range."""
        low, high = params.score_range
        for name, rows in splits.items():
            scores = read_scaled_scores(params, rows)
            if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
                lowest, highest = (low + (high - low) * float(end) for end in (scores.min(), scores.max()))
                raise DataError(
                    f'column "{params.score}": {name} holds scores from {lowest:g} to {highest:g}, '
                    f"expected {low:g} to {high:g}; set [task] score_range = [lowest, highest]"
                )
        return TaskFacts(())

    def targets(
        self, params: Params, rows: Rows, facts: TaskFacts, encoded: Encoded
    ) -> npt.NDArray[np.float32]:
        """(rows,) the scores, which are the targets of the cosines."""
        return read_scaled_scores(params, rows).astype(np.float32)

    def targets_without_labels(
        self, params: Params, encoded: Encoded, facts: TaskFacts
    ) -> npt.NDArray[np.float32]:
        """(rows,) NaN for rows without a score."""
        return np.full(len(encoded.lengths), np.nan, dtype=np.float32)

    def objective(self, params: Params) -> Objective:
        """The loss between the cosine of a row's texts and its score."""
        from slimgate.tasks.parts.embedding_objective import SimilarityObjective

        return SimilarityObjective(params)

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
    ) -> Outcomes:
        """The similarity of each row's texts. scores: (rows, 2, dims)."""
        first, second = scores[:, 0], scores[:, 1]
        if params.similarity == "cosine":
            first, second = normalize_vectors(first), normalize_vectors(second)
        return Outcomes(
            ids=np.asarray(rows.ids, dtype=np.str_),
            values={
                GOLD: read_scaled_scores(params, rows),
                SCORE: (first.astype(np.float64) * second).sum(axis=-1),
            },
            given=(GOLD,),
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes with the given rows' similarities mirrored between the smallest and the largest."""
        score = outcomes.column(SCORE).copy()
        score[rows] = score.min() + score.max() - score[rows]
        return replace(outcomes, values={**outcomes.values, SCORE: score})


task = SentenceSimilarity()


def read_scaled_scores(params: Params, rows: Rows) -> Floats:
    """(rows,) people's scores, scaled from score_range to 0 … 1. Raises DataError for other values."""
    values = rows.table[params.score].to_pylist()
    try:
        scores = np.asarray([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f'column "{params.score}": a score is not a number: {error}') from error
    if not np.isfinite(scores).all():
        raise DataError(f'column "{params.score}": a score is NaN or infinite')
    low, high = params.score_range
    return (scores - low) / (high - low)
