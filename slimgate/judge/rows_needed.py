"""The number of gate rows that a budget needs, before and after anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, inf, log, log1p, sqrt

from slimgate.judge.decision import ALPHA, POWER, Z_ALPHA, Z_POWER, is_at_limit, z_quantile
from slimgate.judge.group_sizes import estimate_unseen_size
from slimgate.judge.root import find_root
from slimgate.outcomes import Floats

_MOST_COPIES = 1e6
# Changes by which the exact test of few changes needs more than the normal approximation; by simulation.
_MORE_CHANGES, _MORE_CHANGES_TWO_SIDED = 2.0, 3.0
_MOST_LOSSES = 20
# Tolerance on the log scale.
_COPIES_TOLERANCE = 0.005

# Correlation of the changes of two rows of a group, for plans; documentation files have about this (a design
# effect of 1.1 to 2 in groups of 2 to 15 rows).
USUAL_CORRELATION = 0.09


def count_planned_rows(
    margin: float, *, discordance: float, sizes: Floats | None = None, two_sided: bool = False
) -> int:
    """The rows with which an equally good variant passes 80 % of the time.

    margin: of the budget. discordance (psi): the share of rows that change. Both are fractions. sizes:
    (groups,) rows of each group, for a plan with more such groups; None if rows do not come in groups.
    two_sided: whether the budget limits a gain too; then each of the two tests must pass 90 % of the time.

    The closed form is (1.645 + 0.842)² psi / margin². For groups it is multiplied by a usual design effect.
    2 / psi rows are added (3 / psi for two sides), because the exact test of few changes is stricter. If few
    rows change, `_count_rows_with_losses` needs fewer rows, and its number counts. The result is never less
    than the rows with which a variant that changes nothing passes.
    """
    effect = unseen = 1.0
    if sizes is not None:
        expected_size = float((sizes**2).sum() / sizes.sum())
        effect, unseen = 1 + USUAL_CORRELATION * (expected_size - 1), estimate_unseen_size(sizes)
    z_power = z_quantile((1 - POWER) / 2) if two_sided else Z_POWER
    rows = (Z_ALPHA + z_power) ** 2 * discordance * effect / margin**2
    if discordance > 0:
        more = _MORE_CHANGES_TWO_SIDED if two_sided else _MORE_CHANGES
        rows = min(
            rows + more / discordance,
            max(rows, effect * _count_rows_with_losses(margin, discordance, two_sided)),
        )
    return max(1, ceil(max(rows, unseen * count_rows_without_change(margin))))


def _count_rows_with_losses(margin: float, discordance: float, two_sided: bool) -> float:
    """The fewest rows with which k losses pass, and at most k losses occur 80 % of the time.

    k is the number of losses that needs fewest rows. Losses are Poisson, with half of the changes as their
    mean; gains are not counted. If a gain is limited too, at most k losses and at most k gains occur 90 % of
    the time each.
    """
    from scipy.special import gammaincc, gammaincinv

    power = (1 + POWER) / 2 if two_sided else POWER
    for losses in range(_MOST_LOSSES):
        bound = float(gammaincinv(losses + 1, 1 - ALPHA))  # of a Poisson mean
        rows = bound / margin if losses else count_rows_without_change(margin)
        if gammaincc(losses + 1, rows * discordance / 2) >= power:
            return rows
    return inf


def count_rows_without_change(margin: float) -> int:
    """How many rows must be unchanged for a bound under the margin: the rule of three, 299 for 1 point.

    margin: a fraction above 0.
    """
    return ceil(log(ALPHA) / log1p(-margin)) if margin < 1 else 1


def find_two_sided_stretch(drop: float, margin: float) -> float | None:
    """The factor on the standard errors from the drop to its nearer limit, compared with a one-sided budget.

    A one-sided budget needs Z_ALPHA + Z_POWER of them; the rows grow with the square of the factor. Inside
    the limits both tests must pass together 80 % of the time: the factor is 1.18 at a drop of 0, 1 near a
    limit. Outside them FAIL takes half of the 5 %: 1.13. None if the drop is at a limit.
    """
    from slimgate._system.special_functions import ndtr

    near, far = margin - abs(drop), margin + abs(drop)
    if is_at_limit(abs(drop), margin):
        return None
    one_sided = Z_ALPHA + Z_POWER
    if near < 0:
        return (z_quantile(ALPHA / 2) + Z_POWER) / one_sided

    def power_beyond(stretch: float) -> float:
        passes_near = ndtr(stretch * one_sided - Z_ALPHA)
        return float(passes_near + ndtr(stretch * one_sided * far / near - Z_ALPHA) - 1 - POWER)

    return 1.0 if power_beyond(1.0) >= 0 else find_root(power_beyond, 1.0, 2.0)


def count_rows(copies: float | None, n: int) -> int | None:
    """`copies` times n rows, rounded up; None without a factor."""
    return None if copies is None else ceil(copies * n)


def find_copies_until(p_value: Callable[[float], float], value: float, limit: float) -> float | None:
    """The factor on the rows with which a test finds on which side of `limit` a value is, 80 % of the time.

    p_value(copies): the p-value of the hypothesis that the quantity is on the other side, for a sample of
    `copies` times the rows. That sample is unlucky: only one in five is worse (`make_unlucky`). The test
    decides when the p-value is ALPHA or less. None if value and limit are equal, or if even a million times
    the rows would not decide.
    """
    if is_at_limit(value, limit):
        return None
    low, high = 0.0, log(_MOST_COPIES)
    if p_value(_MOST_COPIES) > ALPHA:
        return None
    while high - low > _COPIES_TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(exp(middle)) <= ALPHA else (middle, high)
    return exp(high)


def make_unlucky(deviations: Floats, repeats: Floats, copies: float, *, towards: float) -> Floats:
    """(kinds,) the rows of each kind in a sample of `copies` times the rows with an unlucky mean.

    One sample in five has a mean that far, or farther. If no row differs from the mean, the sample stays the
    same. A stricter level instead of an unlucky sample would ask for 613 rows where 299 unchanged rows show 1
    point.

    deviations: (kinds,) from the mean; repeats: (kinds,) the rows of each kind in the sample itself. towards:
    1 if a larger mean is unlucky, else -1.
    """
    spread = float(repeats @ deviations**2)
    if spread == 0:
        return repeats
    # above 0, because no deviation exceeds the root of the spread; the number of rows stays the same
    unlucky: Floats = repeats * (1 + towards * Z_POWER * deviations / sqrt(copies * spread))
    return unlucky


def find_copies_from_interval(value: float, bound: float, limit: float) -> float | None:
    """As `find_copies_until`, from an interval. Its half width shrinks with the root of the rows.

    bound: the end of the interval on the limit's side.
    """
    if is_at_limit(value, limit):
        return None
    return max(1.0, ((bound - value) * (Z_ALPHA + Z_POWER) / Z_ALPHA / (limit - value)) ** 2)
