"""The budgets of one variant, by metric and kind: the common ones of [budgets] and the variant's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import (
    BehaviourBudgets,
    Budget,
    FlopsBudget,
    LimitBudget,
    MeasuredBudget,
    MemoryBudget,
    QuantizedBudget,
    SizeBudget,
    SliceName,
    make_slices_kind,
)
from slimgate.judge.latency_budgets import GOODPUT, TOKENS_PER_SECOND, SpeedBudget, is_limit_on_part
from slimgate.plugins.workloads import Load, Workload
from slimgate.results.base import OnInconclusive, SwitchedOffBudget
from slimgate.results.checks import BASELINE, LATENCY, MEASUREMENT, MEASUREMENTS
from slimgate.suite.errors import Loc, make_suite_error

# How budgets on metrics are corrected over all gated variants.
Family = Literal["holm"]
# The table of limits on files.
SIZE = "size"
# The name of a budget, as Judged.name has it, and its kind: ("accuracy", "drop_points").
BudgetKey = tuple[str, str]
ByMetric = Mapping[str, tuple[QualityBudget, ...]]
B = TypeVar("B", bound=Budget)
L = TypeVar("L", bound=QualityBudget | LimitBudget)


class Limit(NamedTuple):
    """The limit of one budget. on_inconclusive: None if the budget is never undecided, or if it is not known.

    options: the other keys of its table that differ from their defaults, such as over = "builds".
    """

    limit: float
    reason: str | None
    on_inconclusive: OnInconclusive | None = None
    options: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class VariantBudgets:
    """The budgets of one variant. quality: by metric name; all budgets of a metric must hold.

    baseline: the same, on losses since the baseline. switched_off: the common budgets that it switches off.
    times: on milliseconds of a call. part_speeds: on speed-ups of the first token, of the later tokens, or
    from end to end. quantized: on the share of weights that have fewer than 16 bits. measurements: on other
    figures, by the name of the measurement.
    """

    quality: ByMetric = field(default_factory=dict)
    size: SizeBudget | None = None
    speed: SpeedBudget | None = None
    behaviour: BehaviourBudgets = field(default_factory=BehaviourBudgets)
    memory: MemoryBudget | None = None
    baseline: ByMetric = field(default_factory=dict)
    switched_off: tuple[SwitchedOffBudget, ...] = ()
    times: tuple[LimitBudget, ...] = ()
    flops: FlopsBudget | None = None
    part_speeds: tuple[LimitBudget, ...] = ()
    quantized: QuantizedBudget | None = None
    measurements: Mapping[str, tuple[LimitBudget, ...]] = field(default_factory=dict)

    def find_speed_budget(self, workload: Workload | Load) -> SpeedBudget | LimitBudget | None:
        """The budget on the speed-up of a workload, or of a part of a load."""
        return next(
            (budget for budget in self.on_speedups if is_limit_on_part(budget.kind, workload.part)), None
        )

    def drop_over_builds(self) -> tuple[VariantBudgets, list[str]]:
        """The same without budgets over builds, and the metrics that had one."""
        over_rows = {
            metric: tuple(budget for budget in budgets if budget.over == "rows")
            for metric, budgets in self.quality.items()
        }
        lost = [metric for metric, budgets in self.quality.items() if len(over_rows[metric]) < len(budgets)]
        return replace(
            self, quality={metric: budgets for metric, budgets in over_rows.items() if budgets}
        ), lost

    def find_time_budgets(self, workload: Workload | Load) -> tuple[LimitBudget, ...]:
        """The budgets on the times of a workload, or of a part of a load."""
        if isinstance(workload, Load):
            unfit = {TOKENS_PER_SECOND} if workload.level is not None else {TOKENS_PER_SECOND, GOODPUT}
        else:
            unfit = {GOODPUT}
        limits = (limit for limit in self.times if limit.kind not in unfit)
        return tuple(limit for limit in limits if is_limit_on_part(limit.kind, workload.part))

    @property
    def on_speedups(self) -> tuple[SpeedBudget | LimitBudget, ...]:
        """All budgets on speed-ups."""
        return self.part_speeds if self.speed is None else (self.speed, *self.part_speeds)

    @property
    def on_times(self) -> tuple[SpeedBudget | LimitBudget, ...]:
        """All budgets on speed-ups and times."""
        return (*self.on_speedups, *self.times)

    def add_to(self, common: VariantBudgets, off: Mapping[BudgetKey, str]) -> VariantBudgets:
        """These budgets added to the common ones. A budget replaces the common one of its metric and kind.

        off: the common budgets to leave out, each with its reason.
        """
        limits = common.list_limits()
        slices = {**common.behaviour.slices, **self.behaviour.slices}
        named = {**common.behaviour.named_slices, **self.behaviour.named_slices}
        return VariantBudgets(
            quality=merge_budgets(common.quality, self.quality, off),
            size=_choose_budget(SIZE, self.size, common.size, off),
            speed=_choose_budget(LATENCY, self.speed, common.speed, off),
            behaviour=BehaviourBudgets(
                flips=_choose_budget("flips", self.behaviour.flips, common.behaviour.flips, off),
                slices={
                    name: budget
                    for name, budget in slices.items()
                    if ("slices", make_slices_kind(name)) not in off
                },
                tokens=merge_budgets(common.behaviour.tokens, self.behaviour.tokens, off),
                named_slices={
                    name: budget
                    for name, budget in named.items()
                    if ("slices", _format_named_kind(name)) not in off
                },
            ),
            memory=_choose_budget("memory", self.memory, common.memory, off),
            baseline=merge_budgets(common.baseline, self.baseline, off, f"{BASELINE} "),
            switched_off=tuple(
                SwitchedOffBudget(*key, limits[key].limit, reason) for key, reason in off.items()
            ),
            times=_keep_last((*common.times, *self.times), LATENCY, off),
            flops=_choose_budget("flops", self.flops, common.flops, off),
            part_speeds=_keep_last((*common.part_speeds, *self.part_speeds), LATENCY, off),
            quantized=_choose_budget(SIZE, self.quantized, common.quantized, off),
            measurements=merge_budgets(common.measurements, self.measurements, off, f"{MEASUREMENT} "),
        )

    def list_limits(self, default: OnInconclusive | None = None) -> dict[BudgetKey, Limit]:
        """The limits by budget and kind. default: on_inconclusive of budgets that do not set it."""
        budgets_by_name: dict[str, Sequence[QualityBudget | LimitBudget]] = {
            **self.quality,
            **{f"{BASELINE} {metric}": budgets for metric, budgets in self.baseline.items()},
            **self.behaviour.tokens,
            LATENCY: (*self.times, *self.part_speeds),
            **{f"{MEASUREMENT} {name}": budgets for name, budgets in self.measurements.items()},
        }
        by_key = {
            (name, budget.kind): _make_limit(budget, budget.on_inconclusive or default)
            for name, budgets in budgets_by_name.items()
            for budget in budgets
        }
        for name, kind, single in self._list_single_limits():
            on_inconclusive = None  # the figures of other budgets are exact, so they are never undecided
            if isinstance(single, MeasuredBudget):
                on_inconclusive = single.on_inconclusive or default
            by_key[name, kind] = _make_limit(single, on_inconclusive)
        return by_key

    def _list_single_limits(self) -> Iterator[tuple[str, str, Budget]]:
        """Each table with a single limit, with the name and the kind of its budget."""
        for metric, slices in self.behaviour.slices.items():
            yield "slices", make_slices_kind(metric), slices
        for key, slices in self.behaviour.named_slices.items():
            yield "slices", _format_named_kind(key), slices
        tables: list[tuple[str, Budget | None]] = [
            ("flips", self.behaviour.flips),
            (SIZE, self.size),
            (SIZE, self.quantized),
            ("memory", self.memory),
            ("flops", self.flops),
            (LATENCY, self.speed),
        ]
        for name, budget in tables:
            if budget is not None:
                yield name, budget.kind, budget


def _make_limit(
    budget: Budget | QualityBudget | LimitBudget, on_inconclusive: OnInconclusive | None
) -> Limit:
    return Limit(budget.limit, budget.reason, on_inconclusive, _list_options(budget))


def _list_options(budget: Budget | QualityBudget | LimitBudget) -> dict[str, Any]:
    """The options of a budget that differ from their defaults, without limit, reason and on_inconclusive."""
    if isinstance(budget, Budget):
        defaults = {name: field.default for name, field in type(budget).model_fields.items()}
    else:
        defaults = {field.name: field.default for field in fields(budget)}
    about_limit = ("kind", "limit", "reason", "on_inconclusive", budget.kind)
    values = {name: getattr(budget, name) for name in defaults if name not in about_limit}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _format_named_kind(name: SliceName) -> str:
    return make_slices_kind(name.metric, name.column, name.value)


def _choose_budget(name: str, budget: B | None, common: B | None, off: Collection[BudgetKey]) -> B | None:
    """The variant's budget, else the common one if it is not switched off."""
    if budget is not None or common is None:
        return budget
    return None if (name, common.kind) in off else common


def merge_budgets(
    common: Mapping[str, tuple[L, ...]],
    added: Mapping[str, tuple[L, ...]],
    off: Collection[BudgetKey],
    prefix: str = "",
) -> dict[str, tuple[L, ...]]:
    """For each metric or table one budget of each kind; those without a budget are left out."""
    merged = {
        metric: _keep_last((*common.get(metric, ()), *added.get(metric, ())), f"{prefix}{metric}", off)
        for metric in {**common, **added}
    }
    return {metric: budgets for metric, budgets in merged.items() if budgets}


def _keep_last(budgets: Sequence[L], name: str, off: Collection[BudgetKey]) -> tuple[L, ...]:
    """The last budget of each kind that is not switched off."""
    last = {budget.kind: budget for budget in budgets}
    return tuple(budget for kind, budget in last.items() if (name, kind) not in off)


MakeKey = Callable[[Sequence[str], str, str], BudgetKey]
# The path of a table of limits, its budget's name, and the table itself.
_Limits = tuple[tuple[str, ...], str, Mapping[str, Any]]

OFF = "off"
# Name of a table that holds tables of limits -> the first word of the names of its budgets.
_PREFIXES = {BASELINE: BASELINE, MEASUREMENTS: MEASUREMENT}
# Keys of a budget's table that are not limits.
NOT_LIMITS = frozenset({"reason", "on_inconclusive", "over"})


def read_switched_off(
    table: Mapping[str, Any],
    common_budgets: Collection[BudgetKey],
    prefix: Loc,
    data: object,
    file: str,
    make_key: MakeKey | None = None,
) -> tuple[dict[str, Any], dict[BudgetKey, str]]:
    """The table without the budgets that it switches off, and the reason for each of those.

    table: [budgets.variants.NAME], found at `prefix`. common_budgets: the keys of the budgets in
    [budgets]. make_key: makes the key of a budget from the path of its table, its name and its kind; the
    default makes the keys of VariantBudgets.
    Raises SuiteError if a reason is missing, or if [budgets] has no such budget.
    """
    limits_left, off = dict(table), dict[BudgetKey, str]()
    for path, budget, sub in _list_budget_tables(table):
        for kind in [key for key, value in sub.items() if value == OFF and key not in NOT_LIMITS]:
            key = (make_key or _make_key)(path, budget, kind)
            loc = (*prefix, *path, kind)
            if key not in common_budgets:
                known = ", ".join(f"{name} {kind}" for name, kind in common_budgets) or "none"
                problem = f"there is no such budget in [budgets] to switch off; its budgets are: {known}"
                raise make_suite_error(file, loc, data, problem)
            off[key] = _read_reason(sub, loc, data, file)
        _remove_off(limits_left, path, sub)
    return limits_left, off


def _list_budget_tables(table: Mapping[str, Any]) -> Iterator[_Limits]:
    for key, sub in _list_tables(table):
        if key == "slices":
            yield from _list_slice_tables(sub)
        elif key in _PREFIXES:
            for name, limits in _list_tables(sub):
                yield (key, name), f"{_PREFIXES[key]} {name}", limits
        else:
            yield (key,), key, sub


def _list_slice_tables(slices: Mapping[str, Any]) -> Iterator[_Limits]:
    """The tables slices.METRIC and slices.COLUMN.VALUE.METRIC."""
    for name, sub in _list_tables(slices):
        if not all(isinstance(value, Mapping) for value in sub.values()):
            yield ("slices", name), "slices", sub
            continue
        for value, by_metric in sub.items():
            for metric, limits in _list_tables(by_metric):
                yield ("slices", name, value, metric), "slices", limits


def _list_tables(table: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries that are tables. The code that reads the budgets reports all other entries."""
    return [(key, sub) for key, sub in table.items() if isinstance(sub, Mapping)]


def _make_key(path: Sequence[str], budget: str, kind: str) -> BudgetKey:
    """The key of a budget. The tables of slices are slices.METRIC and slices.COLUMN.VALUE.METRIC."""
    return budget, make_slices_kind(path[-1], *path[1:-1]) if budget == "slices" else kind


def _remove_off(table: dict[str, Any], path: tuple[str, ...], sub: Mapping[str, Any]) -> None:
    """Removes the limits that are "off" from the table at `path`; also the table if no limit is left."""
    rest = {key: value for key, value in sub.items() if value != OFF or key in NOT_LIMITS}
    if rest == dict(sub):
        return
    if len(path) == 1:
        table[path[0]] = rest
    else:
        table[path[0]] = dict(table[path[0]])
        _remove_off(table[path[0]], path[1:], sub)
    if table[path[0]].keys() <= NOT_LIMITS:
        del table[path[0]]


def _read_reason(sub: Mapping[str, Any], loc: Loc, data: object, file: str) -> str:
    reason = sub.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        problem = '"off" needs a reason = "…" next to it, which the report shows'
        raise make_suite_error(file, loc, data, problem)
    return str(reason)
