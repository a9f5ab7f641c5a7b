"""Means of per-query scores (MRR, recall@k), both models on the same queries, which are resampled whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.bootstrap import CELL_RESAMPLES, PairedResamples, resample_sums
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.evidence import by_contrast, by_tango, is_zero_or_one
from slimgate.judge.resampled_sums import ResampledSums
from slimgate.judge.verdict import QualityJudgement, judgement_of
from slimgate.metrics.base import Unit
from slimgate.outcomes import Floats

_FEW = 50


@dataclass(frozen=True)
class QueryScore:
    """A score as a budget is checked against it. value_range: of a query's score, or of the correlation."""

    name: str
    value_range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool = True
    resampled: bool = True
    own_interval: bool = True
    unit: Unit = "points"


def judge_query_means(
    score: QueryScore,
    teacher: Floats,
    variant: Floats,
    budgets: Sequence[QualityBudget],
    *,
    seed: int = 0,
    resamples: int = CELL_RESAMPLES,
) -> QualityJudgement:
    """Judges the mean of per-query scores, such as 1 / rank for MRR; by Tango's test where all are 0 or 1.

    teacher, variant: (queries,) in the score's range. Two made-up queries, one that falls from the range's
    top to its bottom and one that rises, keep few changed queries from passing for none possible.
    Raises MeasureError for scores that do not fit, SuiteError for a budget that does not suit.
    """
    for budget in budgets:
        check_budget(score, budget)
    check_scores(score.name, {"teacher": teacher, "variant": variant})
    low, high = score.value_range
    out = (np.minimum(teacher, variant) < low) | (np.maximum(teacher, variant) > high)
    if out.any():
        raise MeasureError(f"{score.name}: query {np.argmax(out)} scores outside {low:g} to {high:g}")
    before, after = np.append(teacher, [high, low]), np.append(variant, [low, high])
    ones = np.ones(len(before))
    sums = ResampledSums(
        np.stack([before, ones, after, ones], axis=1), lambda s: np.asarray(s[..., 0] / s[..., 1])
    )
    drawn = resample_sums(score.name, sums, np.random.default_rng(seed), resamples)
    means = float(teacher.mean()), float(variant.mean())
    if is_zero_or_one(np.concatenate([teacher, variant])):
        evidence = by_tango(teacher, variant, lambda: drawn, higher_is_better=score.higher_is_better)
        return judgement_of(score, *means, evidence, budgets, warnings=_warnings(score, len(teacher)))
    return judged_score(score, *means, drawn, budgets, n=len(teacher))


def check_scores(name: str, columns: Mapping[str, Floats]) -> None:
    """Raises MeasureError unless all columns are finite numbers, one a row of the same rows."""
    shapes = {column.shape for column in columns.values()}
    if len(shapes) > 1 or not all(column.ndim == 1 and len(column) for column in columns.values()):
        came = ", ".join(f"{key} {column.shape}" for key, column in columns.items())
        raise MeasureError(f"{name}: shapes are {came}, expected one score a row of each")
    for key, column in columns.items():
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise MeasureError(f"{name}: row {bad[0]} of {key} has a score of {column[bad[0]]}")


def judged_score(
    score: QueryScore,
    before: float,
    after: float,
    drawn: PairedResamples,
    budgets: Sequence[QualityBudget],
    *,
    n: int,
) -> QualityJudgement:
    """The judgement of n queries' or pairs' resamples. before, after: the plain scores."""
    evidence = by_contrast(
        lambda: drawn, n=n, method="paired BCa bootstrap", higher_is_better=score.higher_is_better
    )
    return judgement_of(score, before, after, evidence, budgets, warnings=_warnings(score, n))


def _warnings(score: QueryScore, n: int) -> tuple[str, ...]:
    return (f"{score.name} is of {n} rows, under {_FEW}",) if n < _FEW else ()
