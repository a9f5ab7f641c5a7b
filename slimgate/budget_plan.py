"""Whether the gate's rows can decide each budget on quality, told before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

from slimgate.judge.budget_kinds import QualityBudget, allowed_drop
from slimgate.judge.flips import FlipsBudget
from slimgate.judge.proportion import share_rows
from slimgate.judge.rows_needed import ASSUMED_DISCORDANCE, planned_rows
from slimgate.metrics import load_metric
from slimgate.record import QualityFacts, RunRecord
from slimgate.suite import Suite
from slimgate.variant_budgets import BASELINE

_MOST_NAMES = 4


@dataclass(frozen=True)
class PlannedBudget:
    """One budget of some variants, and the gate rows that would decide it 80 % of the time.

    basis: what is assumed of the variants.
    """

    metric: str
    kind: str
    limit: float
    variants: tuple[str, ...]
    rows: int
    needed: int
    basis: str

    @property
    def decidable(self) -> bool:
        return self.rows >= self.needed

    @property
    def names(self) -> str:
        """The first few variants."""
        names = ", ".join(self.variants[:_MOST_NAMES])
        more = len(self.variants) - _MOST_NAMES
        return f"{names} and {more} more" if more > 0 else names

    @property
    def line(self) -> str:
        """`budget accuracy drop_points 0.5 (int8): takes about 12,366 gate rows (…), 6,000 CANNOT …`."""
        told = f"{self.rows:,} can decide it" if self.decidable else f"{self.rows:,} CANNOT decide it"
        return (
            f"budget {self.metric} {self.kind} {self.limit:g} ({self.names}): "
            f"takes about {self.needed:,} gate rows ({self.basis}), {told}"
        )


def planned_budgets(suite: Suite, rows: int, earlier: RunRecord | None) -> list[PlannedBudget]:
    """Every distinct budget on a drop or on flips, at the discordance of an earlier run or else 5 %.

    rows: of the gate split. A variant that is not gated has none to decide. Budgets on an absolute value
    (floor, ceiling) depend on how far the value is from them and are not planned; nor is a relative budget
    before a run has measured the teacher's value.
    """
    found: dict[tuple[str, str, float, int, str], list[str]] = {}
    gated = [(name, own) for name, own in suite.budgets.items() if suite.variants[name].gated]
    for name, own in gated:
        of_metrics = [(metric, metric, budgets) for metric, budgets in own.quality.items()]
        of_metrics += [(f"{BASELINE} {metric}", metric, budgets) for metric, budgets in own.baseline.items()]
        for what, metric, budgets in of_metrics:
            # how much a variant differs from its teacher says nothing of how it differs from its last release
            known = _measured(earlier, name, metric) if what == metric else None
            for budget in budgets:
                margin = _margin(budget, known)
                if margin is not None and _foreseeable(metric, known):
                    planned = (what, budget.kind, budget.limit, *_needed(margin, known))
                    found.setdefault(planned, []).append(name)
        if (flips := own.behaviour.flips) is not None:
            limit = flips.flips_max_percent
            key = ("flips", "flips_max_percent", limit, *_needed_for_flips(flips))
            found.setdefault(key, []).append(name)
    return [
        PlannedBudget(metric, kind, limit, tuple(names), rows, needed, basis)
        for (metric, kind, limit, needed, basis), names in sorted(found.items())
    ]


def _needed(margin: float, known: QualityFacts | None) -> tuple[int, str]:
    """Rows that pass an equally good variant, and what is assumed of it."""
    if known is None or known.variance is None:
        return planned_rows(margin), f"no true drop, {ASSUMED_DISCORDANCE:.0%} of rows changed, assumed"
    basis = "no true drop, as much change as an earlier run measured"
    return planned_rows(margin, discordance=known.variance), basis


def _needed_for_flips(budget: FlipsBudget) -> tuple[int, str]:
    """Rows that pass a variant which turns half as many as it may."""
    share = budget.flips_max_percent / 200
    return share_rows(share, 2 * share) or 0, "half of that turned, assumed"


def _measured(earlier: RunRecord | None, variant: str, metric: str) -> QualityFacts | None:
    """What an earlier run found of this metric; None where it has no interval."""
    for model in earlier.variants if earlier else ():
        if model.name == variant:
            facts = model.quality.get(metric)
            return facts if facts is not None and facts.interval is not None else None
    return None


def _foreseeable(metric: str, known: QualityFacts | None) -> bool:
    """Whether a share of changed rows says enough: of metrics of longer texts only an earlier run does."""
    found = load_metric(metric)
    by_row = found.per_row is not None or found.needs in ("prediction", "probabilities")
    return by_row or (known is not None and known.variance is not None)


def _margin(budget: QualityBudget, known: QualityFacts | None) -> float | None:
    """The largest drop that the budget allows, in the metric's unit; None where that is not known yet."""
    if budget.kind in ("floor", "ceiling") or (known is None and budget.kind != "drop_points"):
        return None
    margin = allowed_drop(budget, nan if known is None else known.teacher)
    return None if margin <= 0 else margin
