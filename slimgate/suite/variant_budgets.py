"""The budgets of one variant: those of [budgets], and the variant's own, by metric and kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from slimgate.judge.behaviour import BehaviourBudgets
from slimgate.judge.budget_kinds import OnInconclusive, QualityBudget
from slimgate.judge.flips import KIND as FLIPS
from slimgate.judge.slices import slices_kind

# How budgets on metrics are corrected over all gated variants.
Family = Literal["holm"]
# What the budgets of [budgets.baseline] are of.
BASELINE = "baseline"
# The name of a budget, as Judged.name has it, and its kind: ("accuracy", "drop_points").
Key = tuple[str, str]
ByMetric = Mapping[str, tuple[QualityBudget, ...]]


@dataclass(frozen=True)
class SizeBudget:
    """teacher bytes / variant bytes must be at least `compression_min`."""

    compression_min: float
    reason: str | None = None


@dataclass(frozen=True)
class SpeedBudget:
    """teacher time / variant time must be at least `speedup_min`, on every workload."""

    speedup_min: float
    reason: str | None = None
    on_inconclusive: Literal["fail", "warn"] | None = None


@dataclass(frozen=True)
class MemoryBudget:
    """variant peak memory / teacher peak memory must be at most `memory_ratio_max`."""

    memory_ratio_max: float
    reason: str | None = None
    on_inconclusive: Literal["fail", "warn"] | None = None


class Limit(NamedTuple):
    """Of one budget. on_inconclusive: None where it is never undecided, or nobody knows."""

    limit: float
    reason: str | None
    on_inconclusive: OnInconclusive | None = None


@dataclass(frozen=True)
class SwitchedOff:
    """A budget of [budgets] that a variant does not have. limit: the common one."""

    budget: str
    kind: str
    limit: float
    reason: str


@dataclass(frozen=True)
class VariantBudgets:
    """The budgets of one variant. quality: by metric name; all of a metric's must hold.

    baseline: the same, on what the variant lost since the baseline. switched_off: what it takes away.
    """

    quality: ByMetric = field(default_factory=dict)
    size: SizeBudget | None = None
    speed: SpeedBudget | None = None
    behaviour: BehaviourBudgets = field(default_factory=BehaviourBudgets)
    memory: MemoryBudget | None = None
    baseline: ByMetric = field(default_factory=dict)
    switched_off: tuple[SwitchedOff, ...] = ()

    def over(self, common: VariantBudgets, off: Mapping[Key, str] | None = None) -> VariantBudgets:
        """These added to the common ones; of one metric and kind, this one replaces the common one.

        off: the common budgets to leave out, each with its reason.
        """
        reasons, limits = off or {}, common.limits()
        slices = {**common.behaviour.slices, **self.behaviour.slices}
        return VariantBudgets(
            _merged(common.quality, self.quality, reasons),
            self.size or (None if ("size", "compression_min") in reasons else common.size),
            self.speed or (None if ("latency", "speedup_min") in reasons else common.speed),
            BehaviourBudgets(
                self.behaviour.flips or (None if ("flips", FLIPS) in reasons else common.behaviour.flips),
                {name: one for name, one in slices.items() if ("slices", slices_kind(name)) not in reasons},
            ),
            self.memory or (None if ("memory", "memory_ratio_max") in reasons else common.memory),
            _merged(common.baseline, self.baseline, reasons, f"{BASELINE} "),
            tuple(SwitchedOff(*key, limits[key].limit, reason) for key, reason in reasons.items()),
        )

    def limits(self, otherwise: OnInconclusive | None = None) -> dict[Key, Limit]:
        """By budget and kind. otherwise: what INCONCLUSIVE does of those that do not say it."""
        found: dict[Key, Limit] = {}
        for prefix, by_metric in (("", self.quality), (f"{BASELINE} ", self.baseline)):
            for metric, budgets in by_metric.items():
                for one in budgets:
                    wish = one.on_inconclusive or otherwise
                    found[f"{prefix}{metric}", one.kind] = Limit(one.limit, one.reason, wish)
        for metric, slices in self.behaviour.slices.items():
            found["slices", slices_kind(metric)] = Limit(slices.drop_points, slices.reason, otherwise)
        if (flips := self.behaviour.flips) is not None:
            wish = flips.on_inconclusive or otherwise
            found["flips", FLIPS] = Limit(flips.flips_max_percent, flips.reason, wish)
        if self.size is not None:
            found["size", "compression_min"] = Limit(self.size.compression_min, self.size.reason)
        if (memory := self.memory) is not None:
            wish = memory.on_inconclusive or otherwise
            found["memory", "memory_ratio_max"] = Limit(memory.memory_ratio_max, memory.reason, wish)
        if (speed := self.speed) is not None:
            wish = speed.on_inconclusive or otherwise
            found["latency", "speedup_min"] = Limit(speed.speedup_min, speed.reason, wish)
        return found


def _merged(common: ByMetric, own: ByMetric, off: Collection[Key], prefix: str = "") -> ByMetric:
    """By metric, one budget of each kind; a metric without any is left out."""
    found = {
        metric: _by_kind((*common.get(metric, ()), *own.get(metric, ())), f"{prefix}{metric}", off)
        for metric in {**common, **own}
    }
    return {metric: budgets for metric, budgets in found.items() if budgets}


def _by_kind(budgets: Sequence[QualityBudget], name: str, off: Collection[Key]) -> tuple[QualityBudget, ...]:
    """The last of each kind."""
    last = {one.kind: one for one in budgets}
    return tuple(one for kind, one in last.items() if (name, kind) not in off)
