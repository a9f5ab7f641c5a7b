"""The evidence of the gate rows on the drop between two models, before any budget is considered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.contrast import Contrast, Interval, PairedByInterval, PairedValues, make_drop_contrast
from slimgate.judge.decision import ALPHA, t_quantile, z_quantile
from slimgate.judge.extremes import add_pseudo_changes
from slimgate.judge.mean_evidence import MEAN_METHOD, PairedMeans, make_paired_means
from slimgate.judge.metrics.base import Influence, Metric, call_statistic, compute_row_values
from slimgate.judge.paired import compute_design_effect, compute_paired_interval, compute_paired_p_value
from slimgate.judge.random_weights import (
    WEIGHTS_METHOD,
    choose_default_resamples,
    count_units,
    weigh_rows,
)
from slimgate.judge.rows_needed import count_rows, find_copies_until, make_unlucky
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes, check_same_rows


@dataclass(frozen=True)
class ChangedRows:
    """How many rows changed: b and c of the statistics."""

    right_to_wrong: int
    wrong_to_right: int


@dataclass(frozen=True, eq=False)
class Evidence:
    """The drop's 90 % interval and tests, as fractions of the metric's unit; positive is worse.

    n: rows. interval: None for a metric that is not resampled; nothing is then known below or above a margin.
    p_at_least(margin), p_at_most(margin): the p-values of a true drop of at least, and of at most, the
    margin. count_rows_needed(margin, drop): the rows that would decide it 80 % of the time if all stays as
    measured; None if no number would. variance: n times the squared standard error of the drop. paired: both
    values at once, for budgets on other contrasts than the drop; None without an interval.
    """

    n: int
    interval: tuple[float, float] | None
    method: str
    variance: float
    p_at_least: Callable[[float], float]
    p_at_most: Callable[[float], float]
    count_rows_needed: Callable[[float, float], int | None]
    paired: PairedValues | None
    groups: int | None = None
    design_effect: float | None = None
    changed: ChangedRows | None = None

    def shows_below(self, margin: float) -> bool:
        """Whether the rows show, at a one-sided 5 %, a drop below the margin."""
        return self.p_at_least(margin) <= ALPHA


def gather_evidence(
    metric: Metric, teacher: Outcomes, variant: Outcomes, *, seed: int, resamples: int | None
) -> Evidence:
    """The evidence on the drop of a metric.

    The method is Tango's test for a metric of 0/1 per row, a paired mean for other metrics of rows, influence
    values if a metric has them, else random weights. The rows of a group count as one unit.

    Raises MeasureError if there are no rows, if the rows are not paired, or if the metric is not defined.
    """
    check_same_rows(teacher, variant)
    if not len(teacher):
        raise MeasureError(f"{metric.name}: there are no gate rows to judge")
    if not metric.resampled:
        return Evidence(
            n=len(teacher),
            interval=None,
            method="no interval",
            variance=nan,
            p_at_least=lambda _margin: 1.0,
            p_at_most=lambda _margin: 1.0,
            count_rows_needed=lambda _margin, _drop: None,
            paired=None,
        )
    groups = find_shared_groups(teacher, variant)
    teacher, variant = replace(teacher, groups=groups), replace(variant, groups=groups)
    if metric.per_row is not None and not _has_fractions(metric, teacher, variant):
        before, after = (_read_zero_or_one(metric, outcomes) for outcomes in (teacher, variant))
        return make_tango_evidence(before, after, higher_is_better=metric.higher_is_better, groups=groups)
    method = describe_contrast_method(metric)
    return make_contrast_evidence(
        _make_paired(metric, teacher, variant, seed=seed, resamples=resamples),
        n=len(teacher),
        method=method if groups is None else f"{method}, grouped",
        higher_is_better=metric.higher_is_better,
        groups=None if groups is None else len(np.unique(groups)),
    )


def pair_values(
    metric: Metric, teacher: Outcomes, variant: Outcomes, *, seed: int, resamples: int | None
) -> PairedValues:
    """Both models' values of a metric, for any contrast between them. A metric of 0/1 is a mean here."""
    groups = find_shared_groups(teacher, variant)
    teacher, variant = replace(teacher, groups=groups), replace(variant, groups=groups)
    if metric.per_row is not None and not _has_fractions(metric, teacher, variant):
        before, after = (_read_zero_or_one(metric, outcomes) for outcomes in (teacher, variant))
        return _make_zero_one_means(before, after, groups)
    return _make_paired(metric, teacher, variant, seed=seed, resamples=resamples)


def _make_paired(
    metric: Metric, teacher: Outcomes, variant: Outcomes, *, seed: int, resamples: int | None
) -> PairedValues:
    if metric.row_mean is not None:
        return make_paired_means(metric, metric.row_mean, teacher, variant)
    if metric.influence is not None and isinstance(teacher, ClassOutcomes):
        assert isinstance(variant, ClassOutcomes)
        return make_paired_influence(metric, metric.influence, teacher, variant)
    return weigh_rows(metric, teacher, variant, seed=seed, resamples=resamples)


def find_shared_groups(teacher: Outcomes, variant: Outcomes) -> Ints | None:
    """(rows,) group ids; None if rows have none, or each has its own.

    Raises MeasureError if the groups of the two models differ.
    """
    stated = [outcomes.groups for outcomes in (teacher, variant) if outcomes.groups is not None]
    if not stated:
        return None
    if not np.array_equal(stated[0], stated[-1]):
        raise MeasureError(
            "outcomes are not paired: teacher and variant have different groups for the same ids"
        )
    return _find_real_groups(stated[0])


def _find_real_groups(groups: Ints) -> Ints | None:
    return groups if len(np.unique(groups)) < len(groups) else None


def gather_evidence_of_parts(
    metric: Metric, teacher: Outcomes, variant: Outcomes, parts: Sequence[Ints]
) -> list[Evidence]:
    """As `gather_evidence`, on several parts of the rows, for a metric of 0/1 per row: nothing is resampled.

    parts: positions. The rows are not copied, so that parts of millions of rows cost little.
    """
    if metric.per_row is None or not metric.resampled or _has_fractions(metric, teacher, variant):
        pairs = ((teacher.take(rows), variant.take(rows)) for rows in parts)
        return [gather_evidence(metric, *pair, seed=0, resamples=None) for pair in pairs]
    before, after = (_read_zero_or_one(metric, outcomes) for outcomes in (teacher, variant))
    find_shared_groups(teacher, variant)  # checks that both have the same groups
    groups = variant.groups if teacher.groups is None else teacher.groups
    return [
        make_tango_evidence(
            before[rows],
            after[rows],
            higher_is_better=metric.higher_is_better,
            groups=None if groups is None else _find_real_groups(groups[rows]),
        )
        for rows in parts
    ]


def _has_fractions(metric: Metric, teacher: Outcomes, variant: Outcomes) -> bool:
    """Whether a metric of 0/1 per row that may also be judged as a mean has values other than 0 and 1."""
    if metric.per_row is None or metric.row_mean is None:
        return False
    return not all(is_zero_or_one(compute_row_values(metric, outcomes)) for outcomes in (teacher, variant))


def _read_zero_or_one(metric: Metric, outcomes: Outcomes) -> Floats:
    rows = compute_row_values(metric, outcomes)
    if not is_zero_or_one(rows):
        raise MeasureError(f"{metric.name}: per_row gives values other than 0 and 1")
    return rows


def is_zero_or_one(rows: Floats) -> bool:
    """Whether all values are 0 or 1, as Tango's test needs."""
    return bool(np.isin(rows, (0.0, 1.0)).all())


def make_tango_evidence(
    before: Floats, after: Floats, *, higher_is_better: bool, groups: Ints | None = None
) -> Evidence:
    """The evidence of (rows,) values of 0 and 1: Tango's test, or Gaffke's bound for groups."""
    paired = _make_zero_one_means(before, after, groups)
    lost = before - after if higher_is_better else after - before
    n, b, c = len(lost), int((lost > 0).sum()), int((lost < 0).sum())
    changed = ChangedRows(right_to_wrong=b, wrong_to_right=c)
    if groups is not None:
        evidence = make_contrast_evidence(
            paired, n=n, method=f"{MEAN_METHOD}, grouped", higher_is_better=higher_is_better
        )
        effect, count = compute_design_effect(lost, groups), len(np.unique(groups))
        return replace(evidence, groups=count, design_effect=effect, changed=changed)

    def rows_needed(margin: float, drop: float) -> int | None:
        copies = find_copies_until(
            lambda copies: _compute_unlucky_p_value(b, c, n, margin, copies), drop, margin
        )
        return count_rows(copies, n)

    return Evidence(
        n=n,
        interval=compute_paired_interval(b, c, n),
        method="Tango",
        variance=(b + c) / n,
        p_at_least=lambda margin: compute_paired_p_value(b, c, n, margin),
        p_at_most=lambda margin: compute_paired_p_value(c, b, n, -margin),
        count_rows_needed=rows_needed,
        paired=paired,
        changed=changed,
    )


def _compute_unlucky_p_value(b: int, c: int, n: int, margin: float, copies: float) -> float:
    """The p-value that must fall to decide the budget, of an unlucky sample with `copies` times the rows."""
    drop, counts = (b - c) / n, np.array([b, c, n - b - c], dtype=np.float64)
    is_inside = drop < margin
    unlucky = make_unlucky(
        np.array([1.0, -1.0, 0.0]) - drop, counts, copies, towards=1.0 if is_inside else -1.0
    )
    lost, gained = (round(copies * count) for count in unlucky[:2].tolist())
    rows = round(copies * n)
    if is_inside:
        return compute_paired_p_value(lost, gained, rows, margin)
    return compute_paired_p_value(gained, lost, rows, -margin)


def _make_zero_one_means(before: Floats, after: Floats, groups: Ints | None) -> PairedMeans:
    return PairedMeans(before, after, np.ones(len(before)), groups, ends=(0.0, 1.0), most_lost=1.0)


def make_contrast_evidence(
    paired: PairedValues, *, n: int, method: str, higher_is_better: bool, groups: int | None = None
) -> Evidence:
    """The evidence of a drop from both models' values. n: rows; method: as a verdict names it."""
    drop = make_drop_contrast(higher_is_better=higher_is_better)

    def rows_needed(margin: float, _drop: float) -> int | None:
        return count_rows(paired.compute_copies_needed(drop, margin), n)

    return Evidence(
        n=n,
        interval=paired.compute_interval(drop),
        method=method,
        variance=n * paired.compute_standard_error(drop) ** 2,
        p_at_least=lambda margin: paired.p_at_least(drop, margin),
        p_at_most=lambda margin: paired.p_at_most(drop, margin),
        count_rows_needed=rows_needed,
        paired=paired,
        groups=groups,
    )


def count_resamples(metric: Metric) -> int | None:
    """How many resamples judge a metric; None for a mean, a rate, or a metric with influence values."""
    is_resampled = (metric.per_row, metric.row_mean, metric.influence, metric.documents) == (None,) * 4
    return choose_default_resamples(metric) if is_resampled else None


def describe_contrast_method(metric: Metric) -> str:
    """How a verdict names the method of the interval, for a metric that is not a share of right rows."""
    if metric.row_mean is not None:
        return MEAN_METHOD
    if metric.influence is not None:
        return f"paired {metric.influence_name}"
    return WEIGHTS_METHOD


@dataclass(frozen=True, eq=False)
class PairedInfluence(PairedByInterval):
    """A metric of teacher (index 0) and variant (index 1) by influence values, with pseudo-changes.

    An influence value says how much a row moves the metric, so the rows need not be resampled. For ROC-AUC
    the values are DeLong's structural components. Their plain normal interval is too short if few rows
    change. With 1 % of the scores negated, it passed a drop equal to its margin in 26 % of simulated runs at
    n = 200, and in 11 % at n = 3,000. One pseudo-change each way and a correction for skewness reduce that to
    at most 6 %; the pseudo-changes alone, to 8 %.

    In the bounds the variance of the pseudo-changes counts twice. If no row changed, a bound is then 3.3 of
    their effects away, and the rule of three asks for 3. Counted once, it is 2.3: with 40 positives it passed
    the loss of 6 % of them in 10 % of simulated runs, which is the chance to draw none of them.

    sample: (2,) the metric. influence: (2, units) of rows, or summed over the rows of each group. rows: how
    many. grouped: whether the units are groups, so that the variance is estimated from their number. made_up:
    how many of the last units are pseudo-changes.
    """

    sample: Floats
    influence: Floats
    rows: int
    grouped: bool
    made_up: int = 0

    def compute_value(self, contrast: Contrast) -> float:
        """The contrast of the sample."""
        return float(contrast(*self.sample))

    def compute_bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Normal bounds (Student's t for groups), both moved by the skewness.

        Source: Johnson 1978, JASA 73:536-544; Hall 1992, J. R. Stat. Soc. B 54:221-228: to the same order
        the shift of a bias-corrected bootstrap of a mean.
        """
        middle = self.compute_value(contrast)
        values = self._compute_influence(contrast)
        error = self._compute_error(values, counted_again=values[values.size - self.made_up :])
        if error == 0:
            return middle, middle
        skewness = (values**3).sum() / (6 * (values**2).sum() ** 1.5)
        normal = z_quantile(alpha)
        z = t_quantile(values.size - 1, alpha) if self.grouped else normal
        shift = float(skewness) * (2 * normal**2 + 1)
        return middle + (shift - z) * error, middle + (shift + z) * error

    def compute_standard_error(self, contrast: Contrast) -> float:
        """The root of the sum of the squared influence values, divided by the number of rows."""
        return self._compute_error(self._compute_influence(contrast))

    def _compute_error(self, values: Floats, counted_again: Sequence[float] | Floats = ()) -> float:
        """The root of the sum of the squares of the units' values, and of those that count again."""
        # a single group shows nothing about the variation between groups
        spread = values.size / max(values.size - 1, 0.5) if self.grouped else 1.0
        return sqrt(spread * float((values**2).sum() + np.square(counted_again).sum())) / self.rows

    def _compute_influence(self, contrast: Contrast) -> Floats:
        """(units,) the influence values of a linear contrast; a constant has none."""
        return np.asarray(contrast.teacher * self.influence[0] + contrast.variant * self.influence[1])


def make_paired_influence(
    metric: Metric, influence: Influence, teacher: ClassOutcomes, variant: ClassOutcomes
) -> PairedInfluence:
    """Influence values with one pseudo-change each way, summed over the rows of a group (Obuchowski 1997).

    Raises MeasureError if the metric is not defined on the rows.
    """
    padded = add_pseudo_changes(metric, teacher, variant)
    unit_weights = np.ones(len(padded[0]))
    values = np.stack([influence(outcomes) for outcomes in padded])
    groups = padded[0].groups
    if groups is not None:
        _, member = np.unique(groups, return_inverse=True)
        values = np.stack([np.bincount(member, weights=line) for line in values])
    return PairedInfluence(
        sample=np.array([float(call_statistic(metric, outcomes, unit_weights)) for outcomes in padded]),
        influence=values,
        rows=len(unit_weights),
        grouped=groups is not None,
        made_up=values.shape[1] - count_units(teacher),
    )
