"""How well scores of pairs follow human scores: Pearson and Spearman, by random weights of the pairs.

A made-up pair represents damage that the sample does not contain (random_weights.py). The teacher answers it
exactly right, and the variant as badly as it can. In a second made-up pair they are swapped.

For Spearman the worst answer is the last rank in place of the first. For Pearson there is no worst answer: a
single answer that is far off can cost all of the correlation, and no sample excludes it. So a budget on
Pearson's correlation can FAIL and never PASS. A budget on Spearman's can do both.

reports/simulations/metric_verdicts.md has the error rates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.evidence import Evidence, make_contrast_evidence
from slimgate.judge.group_sizes import add_groups
from slimgate.judge.metrics.regression import (
    METRICS,
    ValuesUnder,
    compute_correlation,
    prepare_ranks,
    prepare_values,
)
from slimgate.judge.random_weights import ROW_RESAMPLES, WEIGHTS_METHOD, draw_weights
from slimgate.judge.ranks import rank_values
from slimgate.judge.verdict import QualityJudgement, judge_evidence, withhold_pass
from slimgate.outcomes import Floats, Ints

Correlation = Literal["pearson", "spearman"]

# With fewer pairs the interval comes with a warning.
_FEW = 50
# A score that is as wrong as possible is this many standard deviations from the mean.
_FAR_OFF = 1e6
NO_PASS = (
    "a few extreme answers can change pearson without limit, so it can FAIL but not PASS: put the budget "
    "on spearman"
)


def judge_correlation(
    kind: Correlation,
    gold: Floats,
    teacher: Floats,
    variant: Floats,
    budgets: Sequence[QualityBudget],
    *,
    seed: int = 0,
    resamples: int = ROW_RESAMPLES,
    groups: Ints | None = None,
) -> QualityJudgement:
    """Judges the correlation of each model's scores with `gold`; Spearman ranks every resample again.

    gold, teacher, variant: (pairs,) in any unit. groups: (pairs,) the group of each pair; the pairs of a
    group are not independent, and are weighted together. Raises MeasureError for scores of different shapes,
    not finite, or all equal; SuiteError for a budget that does not suit.
    """
    metric = METRICS[kind]
    for budget in budgets:
        check_budget(metric, budget)
    scores_by_name = {"gold": gold, "teacher": teacher, "variant": variant}
    _check_scores(kind, scores_by_name)
    for name, scores in scores_by_name.items():
        if np.ptp(scores) == 0:
            raise MeasureError(f"{kind}: all scores of {name} are {scores[0]:g}, so there is no correlation")
    prepare = prepare_ranks if kind == "spearman" else prepare_values
    before, after = _compute_correlations(
        list(map(prepare, scores_by_name.values())), np.ones((1, len(gold)))
    )[:, 0]
    if kind == "spearman":  # so that a rising transform changes nothing
        gold, teacher, variant = (rank_values(scores) for scores in scores_by_name.values())
    evidence = _weigh_pairs(kind, (gold, teacher, variant), groups, seed=seed, resamples=resamples)
    warnings = (f"{len(gold)} rows, under {_FEW}",) if len(gold) < _FEW else ()
    judged = judge_evidence(metric, float(before), float(after), evidence, budgets, warnings=warnings)
    if kind == "spearman" or not budgets:
        return judged
    return replace(withhold_pass(judged, NO_PASS), warnings=(*warnings, NO_PASS))


def _weigh_pairs(
    kind: Correlation,
    scores: tuple[Floats, Floats, Floats],
    groups: Ints | None,
    *,
    seed: int,
    resamples: int,
) -> Evidence:
    """The evidence of random weights. scores: of gold, teacher and variant; ranks for Spearman."""
    is_ranked = kind == "spearman"
    added, groups = add_extreme_pairs(scores, groups, has_ends=is_ranked)
    columns = list(map(prepare_ranks if is_ranked else prepare_values, added))
    member = np.arange(len(added[0])) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(member.max()) + 1
    weights = draw_weights(
        kind,
        lambda drawn: _compute_correlations(columns, drawn[:, member]),
        np.ones(units),
        widest=len(member),
        rng=np.random.default_rng(seed),
        resamples=resamples,
    )
    return make_contrast_evidence(
        weights,
        n=len(scores[0]),
        method=WEIGHTS_METHOD if groups is None else f"{WEIGHTS_METHOD}, grouped",
        higher_is_better=True,
        groups=None if groups is None else units - 2,
    )


def add_extreme_pairs(
    columns: tuple[Floats, Floats, Floats], groups: Ints | None, *, has_ends: bool
) -> tuple[tuple[Floats, Floats, Floats], Ints | None]:
    """gold, teacher and variant with two made-up pairs at the end; for grouped pairs, two whole groups.

    In the first pair, gold and the teacher's score are the lowest, and the variant's score is the highest. In
    the second pair, gold and the variant's score are the lowest, and the teacher's score is the highest.

    has_ends: whether scores have ends, as ranks do. Then the lowest is just below the sample, and the highest
    just above it. Else they are the lowest and the highest of the sample, but the variant's highest score is
    far above it, because nothing limits how wrong a score is.
    """
    gold, teacher, variant = columns
    groups, size = add_groups(groups)
    step = 1.0 if has_ends else 0.0
    far_off = 0.0 if has_ends else _FAR_OFF * variant.std()
    made_up = (
        (gold, [gold.min() - step, gold.min() - step]),
        (teacher, [teacher.min() - step, teacher.max() + step]),
        (variant, [variant.max() + step + far_off, variant.min() - step]),
    )
    added = [np.append(scores, np.repeat(pair, size)) for scores, pair in made_up]
    return (added[0], added[1], added[2]), groups


def _check_scores(name: str, columns: Mapping[str, Floats]) -> None:
    """Raises MeasureError unless each column has one finite score for each row."""
    shapes = {column.shape for column in columns.values()}
    if len(shapes) > 1 or not all(column.ndim == 1 and len(column) for column in columns.values()):
        actual = ", ".join(f"{key} {column.shape}" for key, column in columns.items())
        raise MeasureError(f"{name}: shapes are {actual}, expected one score per row of each")
    for key, column in columns.items():
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise MeasureError(f"{name}: row {bad[0]} of {key} has a score of {column[bad[0]]}")


def _compute_correlations(columns: Sequence[ValuesUnder], weights: Floats) -> Floats:
    """(2, k) correlations of teacher and variant with gold, under each of k weightings.

    weights: (k, pairs). NaN if all values with a weight are equal.
    """
    gold, *models = (column(weights) for column in columns)
    return np.stack([compute_correlation(gold, scores, weights) for scores in models])
