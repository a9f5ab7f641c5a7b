"""Judges a metric of teacher and variant on the same gate rows against its budgets.

Also compares a variant with itself in the baseline: the same paired tests, with the baseline in the teacher's
place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import numpy as np

from slimgate._system.number_text import format_points
from slimgate.budgets.base import MetricBudgetKind
from slimgate.budgets.registry import find_kind
from slimgate.errors import MeasureError, list_names
from slimgate.judge.budget_kinds import QualityBudget, check_budget, list_point_limits
from slimgate.judge.cannot_fail import withhold_sure_passes
from slimgate.judge.decision import make_budget_facts
from slimgate.judge.evidence import (
    Evidence,
    find_shared_groups,
    gather_evidence,
    make_contrast_evidence,
    pair_values,
)
from slimgate.judge.mean_evidence import MEAN_METHOD, PairedMeans, make_paired_means
from slimgate.judge.metrics.base import Metric, arrange_outcomes, compute_value, select_own_rows
from slimgate.judge.metrics.checked_forms import check_same_value
from slimgate.judge.metrics.classes import list_absent_labels, list_scarce_labels
from slimgate.judge.over_builds import combine_builds
from slimgate.judge.over_runs import OverRuns, RunScores, combine_runs
from slimgate.judge.random_weights import ROW_RESAMPLES
from slimgate.judge.unbounded import add_cap, add_range_of_rows, is_bounded, judge_rows_above
from slimgate.judge.verdict import QualityJudgement, convert_to_growth, judge_evidence, withhold_pass
from slimgate.outcomes import ClassOutcomes, Outcomes, check_same_rows
from slimgate.results.base import BudgetFacts, Verdict

# Below these there is a warning, which changes no verdict. By the rule of three, 50 rows without a loss
# leave a loss of 5.8 % open (0.942^50 = 5 %), and 30 groups leave 9.5 % open: more than most budgets allow.
_FEW_ROWS = 50
_FEW_GROUPS = 30
# A warning names each class of fewer rows with its recall: a single row is 10 points of it, or more.
_FEWEST_ROWS = 10
# The weights of n rows of a label vary by (n - 1) / (n + 1) of what they should, so not at all with one row.
# Artificial rows make up for it if few labels have few rows. Of too-large drops of the balanced accuracy,
# 16 % passed with 10 labels of one row; with 30 labels of one, two and three rows 29, 9 and 13 % passed.
_MOST_SCARCE = 10
_MOST_NAMED = 5
# How far a value may be outside of its range, as a share of the value.
_ROUNDING = 1e-6
# An interval of no width but for rounding: no row can change the metric, as precision of a single label.
_NO_WIDTH = 1e-12
UNCHANGED = "the same files, libraries and processor as then gave the same answers, so nothing can be lost"


def judge_quality(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    budgets: Sequence[QualityBudget],
    *,
    builds: Sequence[Outcomes] | None = None,
    seed: int = 0,
    resamples: int | None = None,
    runs: RunScores | None = None,
) -> QualityJudgement:
    """Judges one metric against its budgets, all of which must hold.

    A budget that no variant can break does not pass (`cannot_fail`).

    Args:
        metric: measures the answers.
        teacher: its answers.
        variant: its answers on the same rows.
        budgets: limits on the drop or the value.
        builds: the further builds of the variant on the same rows, for budgets over builds. Such a budget is
            judged over the rows if this is empty, since all builds are equal, and if it is None, since no
            other build is known.
        seed: seed of the random weights, if the metric uses them.
        resamples: number of random weights (default as in `weigh_rows`).
        runs: the scores of every run, if teacher and variant hold the means of several; for a metric that
            is a mean over rows.

    Raises:
        MeasureError: if the metric is not defined on the rows, and for several runs of a metric that is not
            a mean over rows.
        SuiteError: for a budget that cannot be judged.
    """
    for budget in budgets:
        check_budget(metric, budget)
    if builds is None:
        budgets, builds = [replace(budget, over="rows") for budget in budgets], ()
    teacher, variant, *builds = _select_rows(metric, (teacher, variant, *builds))
    _check_alike(metric, teacher, variant)
    if runs is not None and max(runs.counts) == 1:
        runs = None
    if metric.documents is not None or metric.correlated is not None:
        if runs is not None:
            raise _make_runs_error(metric)
        judged = _judge_whole(metric, teacher, variant, budgets, seed=seed, resamples=resamples)
    else:
        judged = _judge_rows(
            replace(metric, rows=None),
            teacher,
            variant,
            budgets,
            builds=builds,
            seed=seed,
            resamples=resamples,
            runs=runs,
        )
    return withhold_sure_passes(metric, judged)


def _select_rows(metric: Metric, models: Sequence[Outcomes]) -> list[Outcomes]:
    """The rows that the metric measures, of each model. Raises MeasureError if there are none."""
    check_same_rows(models[0], models[1])
    selected = [arrange_outcomes(metric, select_own_rows(metric, outcomes)) for outcomes in models]
    for outcomes in selected:
        outcomes.check_finite()
    if not len(selected[0]):
        raise MeasureError(f"{metric.name}: there are no gate rows to judge")
    return selected


def _judge_whole(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    budgets: Sequence[QualityBudget],
    *,
    seed: int,
    resamples: int | None,
) -> QualityJudgement:
    """Judges a figure of all rows together: perplexity or a correlation."""
    groups = find_shared_groups(teacher, variant)
    if metric.documents is not None:
        from slimgate.judge.perplexity import judge_perplexity

        (nats, tokens), (after, _) = metric.documents.of(teacher), metric.documents.of(variant)
        cap = metric.documents.cap
        judged = judge_perplexity(nats, after, tokens, budgets, groups=groups, cap=cap)
    else:
        from slimgate.judge.correlation import judge_correlation

        assert metric.correlated is not None
        (gold, scores), (_, variant_scores) = metric.correlated.of(teacher), metric.correlated.of(variant)
        kind, count = metric.correlated.kind, resamples or ROW_RESAMPLES
        judged = judge_correlation(
            kind, gold, scores, variant_scores, budgets, seed=seed, resamples=count, groups=groups
        )
    return replace(judged, metric=metric.name)


def _judge_rows(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    budgets: Sequence[QualityBudget],
    *,
    builds: Sequence[Outcomes],
    seed: int,
    resamples: int | None,
    runs: RunScores | None,
) -> QualityJudgement:
    """Judges a mean over rows, or a figure that is computed again for each resample of the rows."""
    declared = metric
    metric = add_range_of_rows(metric, teacher, variant)
    bounded = is_bounded(metric) or not metric.resampled
    if not bounded:
        metric = add_cap(metric, teacher, variant, budgets, _compute_checked_value(metric, teacher))
    evidence = gather_evidence(metric, teacher, variant, seed=seed, resamples=resamples)
    values = _compute_checked_value(declared, teacher), _compute_checked_value(declared, variant)
    for build in builds:
        _compute_checked_value(declared, build)
    over = None
    if builds and any(budget.over == "builds" for budget in budgets):
        over = combine_builds(metric, teacher, (variant, *builds), seed=seed, resamples=resamples)
    warnings = _list_warnings(metric, teacher, variant, evidence, budgets)
    of_runs = None
    if runs is not None:
        evidence, of_runs = _make_runs_evidence(metric, teacher, variant, evidence, runs)
    judged = judge_evidence(metric, *values, evidence, budgets, warnings=warnings, builds=over, runs=of_runs)
    judged = replace(judged, strays=_count_strays(teacher, variant))
    if not bounded:
        pairs = _make_row_pairs(metric, teacher, (variant, *builds))
        judged = judge_rows_above(metric, judged, pairs, budgets)
    if metric.unit == "percent":
        judged = convert_to_growth(metric, judged, evidence)
    return _withhold_unshown_passes(metric, judged, evidence, teacher)


def _withhold_unshown_passes(
    metric: Metric, judged: QualityJudgement, evidence: Evidence, teacher: Outcomes
) -> QualityJudgement:
    """The judgement without a PASS if the rows do not show how the metric varies."""
    has_width = evidence.interval is None or np.ptp(evidence.interval) > _NO_WIDTH
    if not has_width and any(budget.verdict is Verdict.PASS for budget in judged.budgets):
        judged = withhold_pass(judged, "one more wrong answer does not change it on these rows")
    if absent := list_absent_labels(teacher) if metric.over_labels else []:
        labels = list_names(absent, _MOST_NAMED)
        reason = f"no gate row has the label {labels}, which counts as much as every other"
        judged = withhold_pass(judged, reason)
    if not metric.over_labels:
        return judged
    if single := list_scarce_labels(teacher, 2):
        labels = list_names(single, _MOST_NAMED)
        judged = withhold_pass(judged, f"a single gate row has the label {labels}: add rows of it")
    scarce = list_scarce_labels(teacher, _FEWEST_ROWS)
    if metric.influence is None and len(scarce) > _MOST_SCARCE:
        reason = f"{len(scarce)} labels have under {_FEWEST_ROWS} gate rows, which hardly show how rows vary"
        judged = withhold_pass(judged, f"{reason}: add rows of them")
    return judged


def _make_runs_error(metric: Metric) -> MeasureError:
    return MeasureError(
        f"{metric.name}: it is not a mean over rows, so it cannot be judged over several runs"
    )


def _make_runs_evidence(
    metric: Metric, teacher: Outcomes, variant: Outcomes, evidence: Evidence, runs: RunScores
) -> tuple[Evidence, OverRuns]:
    """The evidence of rows and runs; if all runs are equal in every score, the evidence of the rows."""
    rows = pair_values(metric, teacher, variant, seed=0, resamples=None)
    if not isinstance(rows, PairedMeans):
        raise _make_runs_error(metric)
    crossed = combine_runs(rows, runs)
    if not crossed.varies:
        return evidence, crossed
    method = f"{MEAN_METHOD}, samples and runs"
    better = metric.higher_is_better
    return (
        make_contrast_evidence(
            crossed, n=evidence.n, method=method, higher_is_better=better, groups=evidence.groups
        ),
        crossed,
    )


def _count_strays(teacher: Outcomes, variant: Outcomes) -> tuple[int, int] | None:
    """The rows of teacher and variant whose prediction is no label; None if there are none."""
    if not (isinstance(teacher, ClassOutcomes) and isinstance(variant, ClassOutcomes)):
        return None
    counts = int(teacher.stray_rows.sum()), int(variant.stray_rows.sum())
    return counts if any(counts) else None


def _make_row_pairs(metric: Metric, teacher: Outcomes, builds: Sequence[Outcomes]) -> list[PairedMeans]:
    """The row values of teacher and each build, for a mean over rows; empty for any other metric."""
    if metric.row_mean is None:
        return []
    groups = find_shared_groups(teacher, builds[0])
    teacher = replace(teacher, groups=groups)
    return [
        make_paired_means(metric, metric.row_mean, teacher, replace(outcomes, groups=groups))
        for outcomes in builds
    ]


def _check_alike(metric: Metric, teacher: Outcomes, variant: Outcomes) -> None:
    """Raises MeasureError if the metric measures different things in the two models."""
    for name in metric.alike:
        differing = int((teacher.column(name) != variant.column(name)).sum())
        if differing:
            raise MeasureError(
                f"{metric.name} is per {name}, but teacher and variant have different {name} on {differing} "
                f"of {len(teacher)} rows, so it cannot compare the two models; use another metric, such as "
                "bits_per_byte"
            )
    if metric.why_incomparable is not None and (why := metric.why_incomparable(teacher, variant)):
        raise MeasureError(f"{metric.name}: {why}")


def _compute_checked_value(metric: Metric, outcomes: Outcomes) -> float:
    value = compute_value(metric, outcomes)
    if not isfinite(value):
        raise MeasureError(f"{metric.name} is {value}, so nothing can be judged")
    low, high = metric.value_range
    rounding = _ROUNDING * max(1.0, abs(value))
    if not low - rounding <= value <= high + rounding:
        raise MeasureError(
            f"{metric.name} is {value:.6g}, outside of its value_range {low:g} to {high:g}; correct its "
            "statistic or its value_range"
        )
    check_same_value(metric, outcomes, value)
    return value


def _list_warnings(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    evidence: Evidence,
    budgets: Sequence[QualityBudget],
) -> tuple[str, ...]:
    warnings = []
    if metric.row_sums is not None and metric.row_sums.missing_limit is not None:
        warnings += [reason for reason in [metric.row_sums.missing_limit(teacher)] if reason]
    if metric.per_row is None and isinstance(teacher, ClassOutcomes):
        warnings += _describe_small_classes(teacher)
        if isinstance(variant, ClassOutcomes):
            warnings += _describe_rare_recall(teacher, variant)
    if not isinstance(teacher, ClassOutcomes) and len(teacher) < _FEW_ROWS:
        warnings.append(f"{len(teacher)} rows, under {_FEW_ROWS}")
    if evidence.groups is not None and evidence.groups < _FEW_GROUPS:
        warnings.append(f"the gate rows come in {evidence.groups} groups, under {_FEW_GROUPS}")
    else:
        warnings += _describe_large_group(metric, teacher, variant, budgets)
    return tuple(warnings)


def _describe_large_group(
    metric: Metric, teacher: Outcomes, variant: Outcomes, budgets: Sequence[QualityBudget]
) -> list[str]:
    """A warning if the loss of one group may be larger than the strictest budget in points, for a mean."""
    limit = min((abs(limit) for limit in list_point_limits(budgets)), default=None)
    low, high = metric.value_range
    is_mean = metric.per_row is not None or metric.row_mean is not None
    if limit is None or not is_mean or not isfinite(high - low):
        return []  # before the groups are computed, which takes time for millions of rows
    groups = find_shared_groups(teacher, variant)
    if groups is None:
        return []
    sizes = np.unique(groups, return_counts=True)[1]
    share = 100 * sizes.max() / sizes.sum()
    if share * (high - low) <= limit:
        return []
    return [
        f"the largest of {len(sizes):,} groups has {share:.2g} % of the rows; if another group of this size "
        f"is lost, that alone may be more than {format_points(limit)}, so use smaller groups or many more "
        "of them"
    ]


def _describe_small_classes(teacher: ClassOutcomes) -> list[str]:
    sizes = np.bincount(teacher.labels, minlength=len(teacher.classes))
    small = np.flatnonzero((sizes > 0) & (sizes < _FEW_ROWS))
    if not len(small):
        return []
    smallest = small[sizes[small].argmin()]
    name, rows = teacher.classes[smallest], sizes[smallest]
    if len(small) == 1:
        return [f"class {name} has {rows} gate rows, under {_FEW_ROWS}"]
    return [f"{len(small)} classes have under {_FEW_ROWS} gate rows, fewest {name} with {rows}"]


def _describe_rare_recall(teacher: ClassOutcomes, variant: ClassOutcomes) -> list[str]:
    """The recall of both models on each class of under 10 gate rows, the rarest first."""
    sizes = np.bincount(teacher.labels, minlength=len(teacher.classes))
    rare = np.flatnonzero((sizes > 0) & (sizes < _FEWEST_ROWS))
    rare = rare[np.argsort(sizes[rare], kind="stable")]
    named = []
    for label in rare[:_MOST_NAMED]:
        rows = teacher.labels == label
        before, after = (int((model.predictions[rows] == label).sum()) for model in (teacher, variant))
        named.append(f"{teacher.classes[label]} {before} and {after} of {sizes[label]}")
    if not named:
        return []
    more = f" and {len(rare) - _MOST_NAMED} more classes" if len(rare) > _MOST_NAMED else ""
    return [f"rows that teacher and variant have right: {'; '.join(named)}{more}"]


def make_undecided_verdicts(budgets: Sequence[QualityBudget]) -> tuple[BudgetFacts, ...]:
    """The verdicts on rows that cannot be paired: no number of rows would decide."""
    return tuple(make_budget_facts(budget, Verdict.INCONCLUSIVE) for budget in budgets)


def judge_unchanged(judged: QualityJudgement) -> QualityJudgement:
    """The judgement if both sides are the same model and gave the same answer to every row.

    Its true drop is 0, and the ratio of its answers' lengths is 1. An interval for rows that were not drawn
    would say less than is known.
    """
    budgets = tuple(map(_judge_no_change, judged.budgets))
    return replace(
        judged,
        interval=judged.interval and (0.0, 0.0),
        n_needed=None,
        budgets=budgets,
        warnings=(*judged.warnings, UNCHANGED),
        withheld=None,
    )


def _judge_no_change(budget: BudgetFacts) -> BudgetFacts:
    """The verdict if nothing changed. Only a limit that demands a change, such as a ratio of 0.8, fails."""
    kind = find_kind(budget.kind)
    assert isinstance(kind, MetricBudgetKind)
    change = 1.0 if kind.question == "ratio" else 0.0
    holds = change >= budget.limit if kind.is_minimum else change <= budget.limit
    return replace(
        budget,
        verdict=Verdict.PASS if holds else Verdict.FAIL,
        interval=budget.interval and (change, change),
        fail_interval=budget.fail_interval and (change, change),
        n_needed=None,
        p_value=0.0 if holds else 1.0,
        p_holds=1.0 if holds else 0.0,
    )
