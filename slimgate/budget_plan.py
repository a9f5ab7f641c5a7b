"""Whether the gate's rows can decide each quality budget, told before anything is built."""

from __future__ import annotations

from dataclasses import dataclass

from slimgate.judge.levels import Z_ALPHA
from slimgate.judge.rows_needed import ASSUMED_DISCORDANCE, planned_rows
from slimgate.judge.verdict import QualityBudget
from slimgate.record import QualityFacts, RunRecord
from slimgate.suite import Suite

_MOST_NAMES = 4


@dataclass(frozen=True)
class PlannedBudget:
    """One budget of some variants, and the gate rows that pass an equally good variant 80 % of the time.

    variance: n times the squared standard error of the drop, as an earlier run measured it; for
    0/1 metrics the discordance times the design effect. None: 5 % is assumed.
    """

    metric: str
    kind: str
    limit: float
    variants: tuple[str, ...]
    variance: float | None
    rows: int
    needed: int

    @property
    def decidable(self) -> bool:
        return self.rows >= self.needed

    @property
    def line(self) -> str:
        """`budget accuracy drop_points 0.5 (int8): takes about 12,366 gate rows (…), 6,000 CANNOT …`."""
        names = ", ".join(self.variants[:_MOST_NAMES])
        if len(self.variants) > _MOST_NAMES:
            names += f" and {len(self.variants) - _MOST_NAMES} more"
        basis = (
            f"{ASSUMED_DISCORDANCE:.0%} of rows changed, assumed"
            if self.variance is None
            else "as much change as an earlier run measured"
        )
        told = f"{self.rows:,} can decide it" if self.decidable else f"{self.rows:,} CANNOT decide it"
        return (
            f"budget {self.metric} {self.kind} {self.limit:g} ({names}): "
            f"takes about {self.needed:,} gate rows (no true drop, {basis}), {told}"
        )


def planned_budgets(suite: Suite, rows: int, earlier: RunRecord | None) -> list[PlannedBudget]:
    """Every distinct budget on a drop, at the discordance of an earlier run or else 5 %.

    rows: of the gate split. Budgets on an absolute value (floor, ceiling) depend on how far the value is from
    them and are not planned; nor is a relative budget before a run has measured the teacher's value.
    """
    found: dict[tuple[str, str, float, float | None, float], list[str]] = {}
    for name, own in suite.budgets.items():
        for metric, budgets in own.quality.items():
            known = _measured(earlier, name, metric)
            for budget in budgets:
                margin = _margin(budget, known)
                if margin is not None:
                    variance = None if known is None else _variance(known)
                    found.setdefault((metric, budget.kind, budget.limit, variance, margin), []).append(name)
    return [
        PlannedBudget(
            metric,
            kind,
            limit,
            tuple(names),
            variance,
            rows,
            planned_rows(margin, discordance=ASSUMED_DISCORDANCE if variance is None else variance),
        )
        for (metric, kind, limit, variance, margin), names in sorted(
            found.items(), key=lambda item: (item[0][0], item[0][1], item[0][2], item[1])
        )
    ]


def _measured(earlier: RunRecord | None, variant: str, metric: str) -> QualityFacts | None:
    """What an earlier run found of this metric; None where it has no interval."""
    for model in earlier.variants if earlier else ():
        if model.name == variant:
            facts = model.quality.get(metric)
            return facts if facts is not None and facts.interval is not None else None
    return None


def _margin(budget: QualityBudget, known: QualityFacts | None) -> float | None:
    """The largest drop that the budget allows, in the metric's unit; None where that is not known yet."""
    kind: str = budget.kind
    if kind == "drop_points":
        return budget.limit / 100
    if known is None:
        return None
    if kind in ("drop_relative", "increase_relative"):
        return budget.limit * known.teacher
    if kind == "error_increase_relative":
        return budget.limit * (1 - known.teacher)
    return None


def _variance(known: QualityFacts) -> float | None:
    """n times the squared standard error, from the width of the 90 % interval."""
    if known.interval is None:
        return None
    low, high = known.interval
    return known.n * ((high - low) / 100 / 2 / Z_ALPHA) ** 2
