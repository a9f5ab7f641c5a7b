"""The budgets of one variant: those of [budgets], and the variant's own, by metric and kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from slimgate.judge.behaviour import BehaviourBudgets
from slimgate.judge.budget_kinds import OnInconclusive, QualityBudget
from slimgate.judge.budget_tables import (
    GOODPUT,
    TOKENS_PER_SECOND,
    Budget,
    FlopsBudget,
    LimitBudget,
    MemoryBudget,
    SizeBudget,
    SpeedBudget,
    limits_part,
)
from slimgate.judge.slices import SliceName, slices_kind
from slimgate.protocols import Load, Workload

# How budgets on metrics are corrected over all gated variants.
Family = Literal["holm"]
# What the budgets of [budgets.baseline] are of.
BASELINE = "baseline"
# The table of limits on the time of a call.
LATENCY = "latency"
# The name of a budget, as Judged.name has it, and its kind: ("accuracy", "drop_points").
Key = tuple[str, str]
ByMetric = Mapping[str, tuple[QualityBudget, ...]]
B = TypeVar("B", bound=Budget)
L = TypeVar("L", bound=QualityBudget | LimitBudget)


class Limit(NamedTuple):
    """Of one budget. on_inconclusive: None where it is never undecided, or nobody knows.

    options: what else its table says of it, where that is not the default, such as over = "builds".
    """

    limit: float
    reason: str | None
    on_inconclusive: OnInconclusive | None = None
    options: Mapping[str, Any] = MappingProxyType({})


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
    times: on milliseconds of a call. part_speeds: on speed-ups of the first token,
    of the later ones, or from end to end.
    """

    quality: ByMetric = field(default_factory=dict)
    size: SizeBudget | None = None
    speed: SpeedBudget | None = None
    behaviour: BehaviourBudgets = field(default_factory=BehaviourBudgets)
    memory: MemoryBudget | None = None
    baseline: ByMetric = field(default_factory=dict)
    switched_off: tuple[SwitchedOff, ...] = ()
    times: tuple[LimitBudget, ...] = ()
    flops: FlopsBudget | None = None
    part_speeds: tuple[LimitBudget, ...] = ()

    def speed_of(self, workload: Workload | Load) -> SpeedBudget | LimitBudget | None:
        """The budget on the speed-up of a workload, or of a part of a load."""
        speeds = (*(() if self.speed is None else (self.speed,)), *self.part_speeds)
        return next((one for one in speeds if limits_part(one.kind, workload.part)), None)

    def of_one_build(self) -> tuple[VariantBudgets, list[str]]:
        """These without the budgets over builds, and the metrics that had one."""
        kept = {
            metric: tuple(one for one in own if one.over == "rows") for metric, own in self.quality.items()
        }
        lost = [metric for metric, own in self.quality.items() if len(kept[metric]) < len(own)]
        return replace(self, quality={metric: own for metric, own in kept.items() if own}), lost

    def times_of(self, workload: Workload | Load) -> tuple[LimitBudget, ...]:
        """The budgets on the times of a workload, or of a part of a load."""
        if isinstance(workload, Load):
            unfit = {TOKENS_PER_SECOND} if workload.level is not None else {TOKENS_PER_SECOND, GOODPUT}
        else:
            unfit = {GOODPUT}
        kept = (one for one in self.times if one.kind not in unfit)
        return tuple(one for one in kept if limits_part(one.kind, workload.part))

    @property
    def on_times(self) -> tuple[SpeedBudget | LimitBudget, ...]:
        """Every budget on speed-ups and times."""
        return (*(() if self.speed is None else (self.speed,)), *self.part_speeds, *self.times)

    def over(self, common: VariantBudgets, off: Mapping[Key, str] | None = None) -> VariantBudgets:
        """These added to the common ones; of one metric and kind, this one replaces the common one.

        off: the common budgets to leave out, each with its reason.
        """
        reasons, limits = off or {}, common.limits()
        slices = {**common.behaviour.slices, **self.behaviour.slices}
        named = {**common.behaviour.named_slices, **self.behaviour.named_slices}
        return VariantBudgets(
            _merge_budgets(common.quality, self.quality, reasons),
            _over("size", self.size, common.size, reasons),
            _over(LATENCY, self.speed, common.speed, reasons),
            BehaviourBudgets(
                _over("flips", self.behaviour.flips, common.behaviour.flips, reasons),
                {name: one for name, one in slices.items() if ("slices", slices_kind(name)) not in reasons},
                _merge_budgets(common.behaviour.tokens, self.behaviour.tokens, reasons),
                {name: one for name, one in named.items() if ("slices", _named_kind(name)) not in reasons},
            ),
            _over("memory", self.memory, common.memory, reasons),
            _merge_budgets(common.baseline, self.baseline, reasons, f"{BASELINE} "),
            tuple(SwitchedOff(*key, limits[key].limit, reason) for key, reason in reasons.items()),
            _by_kind((*common.times, *self.times), LATENCY, reasons),
            _over("flops", self.flops, common.flops, reasons),
            _by_kind((*common.part_speeds, *self.part_speeds), LATENCY, reasons),
        )

    def limits(self, otherwise: OnInconclusive | None = None) -> dict[Key, Limit]:
        """By budget and kind. otherwise: what INCONCLUSIVE does of those that do not say it."""
        found: dict[Key, Limit] = {}
        for prefix, by_metric in (("", self.quality), (f"{BASELINE} ", self.baseline)):
            for metric, budgets in by_metric.items():
                for one in budgets:
                    wish = one.on_inconclusive or otherwise
                    options = _options(one)
                    found[f"{prefix}{metric}", one.kind] = Limit(one.limit, one.reason, wish, options)
        for table, limits in {**self.behaviour.tokens, LATENCY: (*self.times, *self.part_speeds)}.items():
            for limit in limits:
                wish = limit.on_inconclusive or otherwise
                found[table, limit.kind] = Limit(limit.limit, limit.reason, wish, _options(limit))
        for name, kind, budget in self._of_one_limit():
            wish = budget.on_inconclusive_or(otherwise)
            found[name, kind] = Limit(budget.limit, budget.reason, wish, _options(budget))
        return found

    def _of_one_limit(self) -> Iterator[tuple[str, str, Budget]]:
        """Each table of one limit, with the name and the kind of its budget."""
        for metric, slices in self.behaviour.slices.items():
            yield "slices", slices_kind(metric), slices
        for key, slices in self.behaviour.named_slices.items():
            yield "slices", _named_kind(key), slices
        tables = {
            "flips": self.behaviour.flips,
            "size": self.size,
            "memory": self.memory,
            "flops": self.flops,
        }
        for name, one in {**tables, LATENCY: self.speed}.items():
            if one is not None:
                yield name, one.kind, one


def _options(budget: Budget | QualityBudget | LimitBudget) -> dict[str, Any]:
    """What a budget says beside its limit, its reason and what INCONCLUSIVE does; a default is not said."""
    if isinstance(budget, Budget):
        defaults = {name: field.default for name, field in type(budget).model_fields.items()}
    else:
        defaults = {field.name: field.default for field in fields(budget)}
    about_limit = ("kind", "limit", "reason", "on_inconclusive", budget.kind)
    values = {name: getattr(budget, name) for name in defaults if name not in about_limit}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _named_kind(name: SliceName) -> str:
    return slices_kind(name.metric, name.column, name.value)


def _over(name: str, own: B | None, common: B | None, off: Collection[Key]) -> B | None:
    """The own budget, else the common one where it is not switched off."""
    if own is not None or common is None:
        return own
    return None if (name, common.kind) in off else common


def _merge_budgets(
    common: Mapping[str, tuple[L, ...]],
    own: Mapping[str, tuple[L, ...]],
    off: Collection[Key],
    prefix: str = "",
) -> dict[str, tuple[L, ...]]:
    """By metric or table, one budget of each kind; what has none is left out."""
    found = {
        metric: _by_kind((*common.get(metric, ()), *own.get(metric, ())), f"{prefix}{metric}", off)
        for metric in {**common, **own}
    }
    return {metric: budgets for metric, budgets in found.items() if budgets}


def _by_kind(budgets: Sequence[L], name: str, off: Collection[Key]) -> tuple[L, ...]:
    """The last of each kind."""
    last = {one.kind: one for one in budgets}
    return tuple(one for kind, one in last.items() if (name, kind) not in off)
