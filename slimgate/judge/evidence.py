"""What the gate rows say about the drop between two models, before any budget is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import nan

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.bootstrap import paired_resamples
from slimgate.judge.clusters import clustered_share, clusters
from slimgate.judge.contrast import Paired, drop_contrast
from slimgate.judge.influence import paired_influence
from slimgate.judge.tango import tango_interval, tango_z
from slimgate.metrics.base import Metric, PerRow
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes, same_rows


@dataclass(frozen=True)
class Changed:
    """Rows that turned: b and c of the statistics."""

    right_to_wrong: int
    wrong_to_right: int


@dataclass(frozen=True)
class Share:
    """The exact interval of the variant's own share of rows, and its design effect."""

    interval: tuple[float, float]
    design_effect: float


def _as_measured(margin: float) -> float:  # noqa: ARG001
    """What multiplies the variance where nothing does."""
    return 1.0


@dataclass(frozen=True)
class Evidence:
    """The drop's 90 % interval and test, as fractions of the metric's unit; positive is worse.

    n: rows. interval: None for a metric that is not resampled; nothing is then known below or above a margin.
    below(margin), above(margin): whether the rows show, at a one-sided 5 %, a drop on that side of it.
    variance: n times the squared standard error of the drop.
    paired(): both values at once, for budgets on other contrasts than the drop; drawn when first asked for.
    share(): of a metric of 0/1 per row, for budgets on the variant's own value; None for others.
    widened(margin): what multiplies the variance where a drop of that margin is to be ruled out.
    """

    n: int
    interval: tuple[float, float] | None
    method: str
    variance: float
    below: Callable[[float], bool]
    above: Callable[[float], bool]
    paired: Callable[[], Paired]
    share: Callable[[], Share] | None = None
    widened: Callable[[float], float] = _as_measured
    groups: int | None = None
    design_effect: float | None = None
    changed: Changed | None = None


def _neither(margin: float) -> bool:  # noqa: ARG001
    """Whether a drop is on one side of a margin, where nothing tells."""
    return False


def _no_pairs() -> Paired:
    raise MeasureError("this metric is not resampled")


_NO_INTERVAL = Evidence(
    n=0, interval=None, method="no interval", variance=nan, below=_neither, above=_neither, paired=_no_pairs
)


def gather(
    metric: Metric, teacher: Outcomes, variant: Outcomes, *, seed: int, resamples: int | None
) -> Evidence:
    """Tango's test for a metric of 0/1 per row, influence values where a metric has them, else the bootstrap.

    Rows of a group count as one unit, where there are groups.

    Raises MeasureError where the rows are none, not paired, or the metric is not defined on them.
    """
    same_rows(teacher, variant)
    if not len(teacher):
        raise MeasureError(f"{metric.name}: there are no gate rows to judge")
    if not metric.resampled:
        return replace(_NO_INTERVAL, n=len(teacher))
    groups = shared_groups(teacher, variant)
    teacher, variant = replace(teacher, groups=groups), replace(variant, groups=groups)

    @cache
    def paired() -> Paired:
        if (
            metric.influence is not None
            and isinstance(teacher, ClassOutcomes)
            and isinstance(variant, ClassOutcomes)
        ):
            return paired_influence(metric, metric.influence, teacher, variant)
        return paired_resamples(metric, teacher, variant, seed=seed, resamples=resamples)

    if metric.per_row is not None:
        before, after = (_zero_or_one(metric, metric.per_row, one) for one in (teacher, variant))
        return by_tango(before, after, paired, higher_is_better=metric.higher_is_better, groups=groups)
    count = None if groups is None else len(np.unique(groups))
    return by_contrast(
        paired,
        n=len(teacher),
        method=contrast_method(metric) if groups is None else f"{contrast_method(metric)}, grouped",
        higher_is_better=metric.higher_is_better,
        groups=count,
    )


def shared_groups(teacher: Outcomes, variant: Outcomes) -> Ints | None:
    """(rows,) group ids; None where rows have none, or each has its own. Both models must agree."""
    given = [outcomes.groups for outcomes in (teacher, variant) if outcomes.groups is not None]
    if not given:
        return None
    if not np.array_equal(given[0], given[-1]):
        raise MeasureError("outcomes are not paired: the two hold other groups for the same ids")
    return _repeated(given[0])


def _repeated(groups: Ints) -> Ints | None:
    return groups if len(np.unique(groups)) < len(groups) else None


def gather_parts(
    metric: Metric, teacher: Outcomes, variant: Outcomes, parts: Sequence[Ints]
) -> list[Evidence]:
    """As `gather`, on each of several parts of the rows, of a metric of 0/1 per row: nothing is resampled.

    parts: positions. The rows are not copied, so that parts of millions of rows cost little.
    """
    if metric.per_row is None or not metric.resampled:
        both = ((teacher.take(rows), variant.take(rows)) for rows in parts)
        return [gather(metric, *one, seed=0, resamples=None) for one in both]
    before, after = (_zero_or_one(metric, metric.per_row, one) for one in (teacher, variant))
    shared_groups(teacher, variant)  # that they agree
    groups = variant.groups if teacher.groups is None else teacher.groups
    return [
        by_tango(
            before[rows],
            after[rows],
            _no_pairs,
            higher_is_better=metric.higher_is_better,
            groups=None if groups is None else _repeated(groups[rows]),
        )
        for rows in parts
    ]


def _zero_or_one(metric: Metric, per_row: PerRow, outcomes: Outcomes) -> Floats:
    rows = per_row(outcomes)
    if not is_zero_or_one(rows):
        raise MeasureError(f"{metric.name}: per_row gives values other than 0 and 1")
    return rows


def is_zero_or_one(rows: Floats) -> bool:
    """Whether Tango's test is for these values."""
    return bool(np.isin(rows, (0.0, 1.0)).all())


def by_tango(
    before: Floats,
    after: Floats,
    paired: Callable[[], Paired],
    *,
    higher_is_better: bool,
    groups: Ints | None = None,
) -> Evidence:
    """The evidence of (rows,) values of 0 and 1 of teacher and variant."""
    lost = before - after if higher_is_better else after - before
    n, b, c = len(lost), int((lost > 0).sum()), int((lost < 0).sum())
    found = clusters(lost, groups)
    effect, quantile = found.measured, found.quantile

    def z(margin: float, effect: float) -> float:
        return tango_z(b, c, n, margin, design_effect=effect)

    return Evidence(
        n=n,
        interval=tango_interval(b, c, n, design_effect=effect, above=found.at, z=quantile),
        method="Tango" if groups is None else "Tango, grouped",
        variance=(b + c) / n * effect,
        # a margin of 1 or more is met by whatever happens, and has no z
        below=lambda margin: margin >= 1 or z(margin, found.at(margin)) <= -quantile,
        above=lambda margin: margin < 1 and z(margin, effect) >= quantile,
        paired=paired,
        share=lambda: _own_share(after, groups, higher_is_better=higher_is_better),
        widened=lambda margin: found.at(margin) / effect,
        groups=found.groups,
        design_effect=None if groups is None else effect,
        changed=Changed(right_to_wrong=b, wrong_to_right=c),
    )


def _own_share(after: Floats, groups: Ints | None, *, higher_is_better: bool) -> Share:
    """What a floor or a ceiling limits is the share of bad rows, whichever value stands for good."""
    bad = clustered_share(1.0 - after if higher_is_better else after, groups)
    low, high = bad.interval
    return Share((1 - high, 1 - low) if higher_is_better else (low, high), bad.effect)


def by_contrast(
    paired: Callable[[], Paired], *, n: int, method: str, higher_is_better: bool, groups: int | None = None
) -> Evidence:
    """The evidence of intervals of contrasts alone. n: rows; method: as a verdict quotes it."""
    drop = drop_contrast(higher_is_better=higher_is_better)
    low, high = paired().interval(drop)
    return Evidence(
        n=n,
        interval=(low, high),
        method=method,
        variance=n * paired().standard_error(drop) ** 2,
        below=lambda margin: high < margin,
        above=lambda margin: low > margin,
        paired=paired,
        groups=groups,
    )


def contrast_method(metric: Metric) -> str:
    """How a verdict names the way to the interval of a metric that is no share of right rows."""
    return "paired BCa bootstrap" if metric.influence is None else f"paired {metric.influence_name}"
