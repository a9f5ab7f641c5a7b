"""The error rates of every verdict, how two p-values decide a budget, and how a PASS is withheld."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isclose
from typing import Protocol

from slimgate.results.base import BudgetFacts, Verdict

# A too-large drop passes, or a harmless one fails, at most this often (one-sided).
ALPHA = 0.05
# The two-sided level of every reported interval, so that its bounds agree with the one-sided verdict.
LEVEL = 0.90
# The chance that `rows needed` gives an honest variant to pass.
POWER = 0.80
Z_ALPHA = 1.6448536269514722
Z_POWER = 0.8416212335729143
# A limit that is this many times as far from the value as a bound is decided 80 % of the time.
POWER_FACTOR = (Z_ALPHA + Z_POWER) / Z_ALPHA


def z_quantile(alpha: float) -> float:
    """The one-sided point of the normal distribution at level `alpha`."""
    from slimgate._system.special_functions import ndtri

    return float(-ndtri(alpha))


def t_quantile(degrees: float, alpha: float = ALPHA) -> float:
    """The one-sided point of Student's t distribution, for a variance that is estimated from few groups."""
    from slimgate._system.special_functions import stdtrit

    return float(stdtrit(max(degrees, 1), 1 - alpha))


def choose_verdict(*, inside: bool, outside: bool) -> Verdict:
    """PASS if the rows show that the budget holds, FAIL if they show that it does not, else INCONCLUSIVE."""
    if inside:
        return Verdict.PASS
    return Verdict.FAIL if outside else Verdict.INCONCLUSIVE


def is_at_limit(value: float, limit: float) -> bool:
    """Whether a value equals a limit up to rounding, so that no number of rows shows on which side it is."""
    return isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12)


class StatedBudget(Protocol):
    """A budget as the user states it."""

    @property
    def kind(self) -> str: ...
    @property
    def limit(self) -> float: ...
    @property
    def reason(self) -> str | None: ...


def make_budget_facts(
    budget: StatedBudget,
    verdict: Verdict,
    *,
    value: float | None = None,
    interval: tuple[float, float] | None = None,
    n_needed: int | None = None,
    p_value: float | None = None,
) -> BudgetFacts:
    """A budget with its verdict. The figures are those of BudgetFacts."""
    return BudgetFacts(
        kind=budget.kind,
        limit=budget.limit,
        verdict=verdict,
        reason=budget.reason,
        value=value,
        interval=interval,
        n_needed=n_needed,
        p_value=p_value,
    )


def decide(
    budget: StatedBudget,
    p_value: float,
    p_holds: float,
    *,
    find_rows: Callable[[], int | None] = lambda: None,
    value: float | None = None,
    interval: tuple[float, float] | None = None,
    fail_interval: tuple[float, float] | None = None,
) -> BudgetFacts:
    """Judges a budget by two p-values, each at the level of 5 %.

    Args:
        budget: its kind, limit and reason.
        p_value: that of the hypothesis that the budget does not hold.
        p_holds: that of the hypothesis that it holds.
        find_rows: finds the rows that would decide it; called only if the p-values do not.
        value: what the budget limits, in the unit of the limit.
        interval: its 90 % interval.
        fail_interval: for a two-sided budget, the 95 % interval of the drop.
    """
    verdict = choose_verdict(inside=p_value <= ALPHA, outside=p_holds <= ALPHA)
    return BudgetFacts(
        kind=budget.kind,
        limit=budget.limit,
        verdict=verdict,
        reason=budget.reason,
        n_needed=find_rows() if verdict is Verdict.INCONCLUSIVE else None,
        value=value,
        interval=interval,
        p_value=p_value,
        p_holds=p_holds,
        fail_interval=fail_interval,
    )


def withhold_budget_pass(judged: BudgetFacts) -> BudgetFacts:
    """The judged budget if it FAILs, else INCONCLUSIVE, with no number of rows that would decide it."""
    if judged.verdict is Verdict.FAIL:
        return judged
    return replace(
        judged,
        verdict=Verdict.INCONCLUSIVE,
        n_needed=None,
        builds_needed=None,
        runs_needed=None,
        needs_both=False,
        p_value=1.0,
    )


def choose_band(drop_points: float) -> str:
    """The word for a drop: gain < -1 point <= negligible <= 1 < small <= 2 < depends on use <= 5 < bad.

    These limits are a convention of this project. They decide no verdict.
    """
    if drop_points < -1:
        return "gain"
    if drop_points <= 1:
        return "negligible"
    if drop_points <= 2:
        return "small"
    return "depends on the use" if drop_points <= 5 else "bad"
