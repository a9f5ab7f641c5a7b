"""Means of values without an upper end: capped, with the share above the cap as a second limit.

A mean of something without a bound cannot be proved from a sample: damage that is rare and large enough is
not drawn. So a row counts for at most `cap`, and the share of rows above it is judged too.

| condition       | the hypothesis that must be rejected to pass                                         |
|-----------------|--------------------------------------------------------------------------------------|
| capped mean     | the mean loss, with each row at most `cap`, is at least the budget                    |
| share above cap | at least `above_cap_max` of the rows (by their sizes) lose more than `cap`            |
| both together   | the mean loss, with each row at most WORST caps, is at least the budget               |

The default of `above_cap_max` is the budget / (WORST × cap): that share of rows, with a loss of WORST caps
each, uses up the budget alone. The third condition holds with this default only. It stops a variant that uses
half of the budget in small losses and half in large ones. If the user sets `above_cap_max`, PASS does not
limit what the rows above the cap lose.

All are tested by the bound of `mean_bound`; with n rows of one size none of which is damaged, a share of
about 3 / n cannot be ruled out. FAIL: the capped mean is above its limit at a level of 5 %, or the share at
1 %, so that a variant at both limits fails in at most 6 %. reports/simulations has the error rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf, isfinite

import numpy as np

from slimgate.errors import SuiteError
from slimgate.judge.decision import ALPHA, StatedBudget, choose_verdict, decide
from slimgate.judge.mean_bound import UnitLosses, sum_by_unit
from slimgate.outcomes import Floats, Ints
from slimgate.results.base import BudgetFacts, CappedFacts, Verdict

# A row above the cap is taken to lose this many caps. For nats a token: a model that knows nothing of a text
# chooses among some 50,000 tokens, ln 50,000 = 10.8 nats, and a language model has about 3 on its own.
WORST = 8.0
# A FAIL by the share alone needs a p-value that is smaller by this factor.
_FAIL_BY_SHARE = 5.0
# A budget of half a cap or more would hold whatever happens below it, so the cap grows with the budget.
_CAPS_PER_BUDGET = 2.0


def choose_cap(default: float, allowed: float) -> float:
    """The cap of a budget that allows a mean loss of `allowed`: at least the default and twice `allowed`."""
    return max(default, _CAPS_PER_BUDGET * allowed)


def check_derived_share(name: str, cap: float, usual: float) -> None:
    """Raises SuiteError for a cap below the usual cap: the assumed worst loss, 8 caps, would be too small."""
    if cap < usual:
        raise SuiteError(
            f"budget cap of {name} is {cap:g}, under {usual:g}: also give above_cap_max, the largest share "
            "of the rows that may lose more than the cap"
        )


@dataclass(frozen=True, eq=False)
class CappedRows:
    """The losses of rows without an upper end.

    losses: (rows,) or, of several builds of one variant, (builds, rows); sizes: (rows,) what a loss is a rate
    of, such as tokens; groups: (rows,) ids of rows that are not independent, or None. cap: of a row's rate;
    lowest: below which no rate can be. run_length: as `UnitLosses` has it.
    """

    losses: Floats
    sizes: Floats
    groups: Ints | None
    cap: float
    lowest: float = -inf
    run_length: float = 1.0

    @property
    def mean(self) -> float:
        """The mean loss without a cap."""
        return float(np.atleast_2d(self.losses).mean(axis=0).sum() / self.sizes.sum())

    @cached_property
    def capped(self) -> UnitLosses:
        """The loss of each unit, each row at most the cap; gains too, unless they have an end."""
        return self._make_units(np.clip(self._rates, self._best, self.cap), self._best, self.cap)

    @cached_property
    def above(self) -> UnitLosses:
        """Which part of each unit, by the sizes of its rows, is above the cap."""
        return self._make_units((self._rates > self.cap).astype(np.float64), 0.0, 1.0)

    @cached_property
    def up_to_worst(self) -> UnitLosses:
        """As `capped`, with each row at most WORST caps, or the largest of the sample."""
        worst = max(WORST * self.cap, float(self._rates.max()))
        return self._make_units(np.maximum(self._rates, self._best), self._best, worst)

    @property
    def _best(self) -> float:
        """The lowest rate that counts: the lowest end, because a floor is about low values, or else -cap."""
        return self.lowest if isfinite(self.lowest) else -self.cap

    @cached_property
    def _rates(self) -> Floats:
        """(builds, rows) the loss per unit of size; 0 of rows without a size."""
        losses = np.atleast_2d(self.losses)
        return np.divide(losses, self.sizes, out=np.zeros_like(losses), where=self.sizes > 0)

    def _make_units(self, rates: Floats, best: float, worst: float) -> UnitLosses:
        units = sum_by_unit(rates.mean(axis=0) * self.sizes, self.sizes, self.groups, best=best, worst=worst)
        return replace(units, run_length=self.run_length)


def judge_capped_mean(budget: StatedBudget, rows: CappedRows, limit: float) -> BudgetFacts:
    """The first condition alone. limit: the largest mean loss, in the unit of the rows."""
    return decide(budget, rows.capped.p_at_least(limit), rows.capped.p_at_most(limit))


def judge_with_share_above(
    judged: BudgetFacts,
    rows: CappedRows,
    limit: float,
    *,
    allowed: float,
    above_max: float | None,
    uncapped: float,
    lost: CappedRows | None = None,
) -> BudgetFacts:
    """The verdict on a capped mean, with that on the share above the cap.

    judged: on the capped mean, with its p-values. limit: the largest mean of `rows`. allowed: the largest
    mean loss, from which the limit of the share is derived if `above_max` is None. uncapped: the mean without
    a cap, in the budget's unit. lost: the losses of the rows, if `rows` is another contrast.
    """
    above = (rows if lost is None else lost).above
    share = max(allowed, 0.0) / (WORST * rows.cap) if above_max is None else above_max
    conditions = [(rows.capped, limit), (above, share)]
    p_values = [1.0 if judged.p_value is None else judged.p_value, above.p_at_least(share)]
    if above_max is None:
        conditions.append((rows.up_to_worst, limit))
        p_values.append(rows.up_to_worst.p_at_least(limit))
    p_value = max(p_values)
    p_holds = min(1.0 if judged.p_holds is None else judged.p_holds, _FAIL_BY_SHARE * above.p_at_most(share))
    verdict = choose_verdict(inside=p_value <= ALPHA, outside=p_holds <= ALPHA)
    undecided = verdict is Verdict.INCONCLUSIVE
    return replace(
        judged,
        verdict=verdict,
        n_needed=_count_rows_needed(conditions, p_values, len(rows.sizes)) if undecided else None,
        p_value=p_value,
        p_holds=p_holds,
        capped=CappedFacts(
            cap=rows.cap,
            uncapped=uncapped,
            above=above.mean,
            above_interval=above.compute_interval(),
            above_max=share,
            derived=above_max is None,
            undecided=tuple(
                name for name, p in zip(("mean", "share", "sum"), p_values, strict=False) if p > ALPHA
            ),
        ),
    )


def _count_rows_needed(
    conditions: list[tuple[UnitLosses, float]], p_values: list[float], n: int
) -> int | None:
    """Rows that decide it 80 % of the time if all stays as measured: as FAIL if a limit is exceeded."""
    exceeded = [
        losses.compute_copies_needed(limit) for losses, limit in conditions[:2] if losses.mean > limit
    ]
    if exceeded:
        copies = [count for count in exceeded if count is not None]
        return ceil(min(copies) * n) if copies else None
    undecided = [pair for pair, p in zip(conditions, p_values, strict=True) if p > ALPHA]
    needed = [
        losses.compute_copies_needed(limit) if losses.mean < limit else None for losses, limit in undecided
    ]
    known = [count for count in needed if count is not None]
    return ceil(max(known) * n) if known and len(known) == len(needed) else None
