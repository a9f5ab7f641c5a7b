"""A model's budgets, each with the measured value and its interval drawn next to the limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slimgate._system.escape import escape, escape_invisible
from slimgate._system.number_text import MISSING, format_apart
from slimgate.budgets.base import BudgetKind, MetricBudgetKind
from slimgate.budgets.registry import find_kind, is_in_points
from slimgate.data.quoting import LONGEST_QUOTE, shorten
from slimgate.judge.budget_kinds import list_point_limits
from slimgate.judge.budget_tables import VALUE_RATIO, QuantizedBudget, is_slices_kind
from slimgate.judge.message import format_builds, format_cap
from slimgate.judge.slices import select_budget_slices
from slimgate.record.run import VariantRecord
from slimgate.report.figures import (
    describe_speedup,
    format_compression,
    format_drop_words,
    format_with_bounds,
)
from slimgate.report.page.drawing import Drawn, draw_bar, draw_margin, make_scale
from slimgate.report.status import describe_budget, describe_workload
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import Result
from slimgate.results.figures import FlopsFacts, MeasurementFacts, MemoryFacts, SizeFacts
from slimgate.results.latency import SpeedupFacts, TimeLimitFacts
from slimgate.results.quality import QualityFacts, SinceFacts

_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True)
class BudgetLine:
    """A line of the budgets: name, measured value and limit in words.

    picture: the interval next to the limit. margin: the same as a share of what the budget allows.
    """

    name: str
    measured: str
    limit: str
    verdict: Verdict | None
    picture: Drawn | None = None
    margin: Drawn | None = None


@dataclass(frozen=True)
class ModelBudget:
    """A budget of a model."""

    model: str
    budget: BudgetLine


def rank_budgets(models: Iterable[VariantRecord]) -> list[ModelBudget]:
    """The budgets of gated models, the worst first: by verdict, then by the remaining margin."""
    lines = [
        ModelBudget(model.name, budget) for model in models if model.gated for budget in list_budgets(model)
    ]
    return sorted(lines, key=lambda line: _rank(line.budget))


def _rank(budget: BudgetLine) -> tuple[int, float]:
    verdict = len(_WORST_FIRST) if budget.verdict is None else _WORST_FIRST.index(budget.verdict)
    return verdict, 100.0 if budget.margin is None else budget.margin.low


def list_budgets(model: VariantRecord) -> list[BudgetLine]:
    """The budgets on quality, behaviour, size, memory and times."""
    return [_make_budget(result, budget) for result in model.results() for budget in result.facts.budgets]


def _make_budget(result: Result, budget: BudgetFacts) -> BudgetLine:
    match result.facts:
        case QualityFacts() as facts:
            return _make_quality_budget(escape(result.name), facts, budget)
        case SinceFacts() as since:
            return _make_quality_budget(f"{escape(result.name)}, since the baseline", since, budget)
        case BehaviourFacts() as behaviour:
            return make_behaviour_budget(behaviour, budget)
        case SizeFacts() if budget.kind == QuantizedBudget.kind:
            words = f"{_format_quantized_percent(budget)} of the blocks' weights"
            return _make_drawn_budget("quantized weights", words, budget, budget.value, None)
        case SizeFacts(compression=ratio):
            words = format_compression(ratio, [budget.limit]) or MISSING
            return _make_drawn_budget(result.subject, words, budget, ratio, None, zero=1.0)
        case MemoryFacts(ratio=ratio, spread=spread):
            words = _format_teacher_part(ratio, spread, budget.limit)
            return _make_drawn_budget(result.subject, words, budget, ratio, spread, zero=1.0)
        case FlopsFacts(ratio=ratio):
            words = _format_teacher_part(ratio, None, budget.limit)
            return _make_drawn_budget("FLOPs", words, budget, ratio, None, zero=1.0)
        case MeasurementFacts(title=title):
            name = f"{escape(title)}, {describe_budget(budget.kind)}"
            words = format_with_bounds(budget.value, budget.interval, limits=[budget.limit])
            zero = 1.0 if budget.kind == VALUE_RATIO else 0.0
            return _make_drawn_budget(name, words, budget, budget.value, budget.interval, zero=zero)
        case SpeedupFacts(speedup=speedup, speedup_interval=interval):
            name = f"{result.subject}, {describe_workload(result.name)}"
            words = describe_speedup(speedup, interval, [budget.limit]) or MISSING
            return _make_drawn_budget(name, words, budget, speedup, interval, zero=1.0)
        case TimeLimitFacts():
            name = f"{result.subject}, {describe_workload(result.name)}, {describe_budget(budget.kind)}"
            known = find_kind(budget.kind)
            unit = "" if known is None else known.unit
            words = format_with_bounds(budget.value, budget.interval, f" {unit}", [budget.limit])
            return _make_drawn_budget(name, words, budget, budget.value, budget.interval)
        case _:  # of files of other tools
            words = format_with_bounds(budget.value, budget.interval, limits=[budget.limit])
            name = f"{result.title}, {describe_budget(budget.kind)}"
            return _make_drawn_budget(escape(name), words, budget, budget.value, budget.interval)


def _format_teacher_part(ratio: float | None, spread: tuple[float, float] | None, limit: float) -> str:
    """`0.61 [0.60, 0.62] of the teacher's`."""
    return (
        MISSING if ratio is None else f"{format_with_bounds(ratio, spread, limits=[limit])} of the teacher's"
    )


def _format_quantized_percent(budget: BudgetFacts) -> str:
    if budget.value is None:
        return MISSING
    [share] = format_apart([100 * budget.value], [100 * budget.limit])
    return f"{share} %"


def _make_quality_budget(name: str, facts: QualityFacts | SinceFacts, budget: BudgetFacts) -> BudgetLine:
    value, interval = facts.find_limited_value(budget)
    limits = list_point_limits([budget]) or [budget.limit]
    words = format_drop_words(facts.drop_points, facts.interval, limits, unit=facts.unit) or MISSING
    words += format_cap([budget])
    if is_in_points(budget.kind) and budget.value is not None:
        words = format_drop_words(value, interval, limits) or MISSING
    elif value is not None and not is_in_points(budget.kind):
        known = find_kind(budget.kind)
        if known is not None and known.percent:
            value_shown, ends = 100 * value, interval and (100 * interval[0], 100 * interval[1])
            words = format_with_bounds(value_shown, ends, " %", [100 * budget.limit])
        else:
            words = format_with_bounds(value, interval, limits=[budget.limit])
    return _make_drawn_budget(f"{name}{format_builds(budget.builds)}", words, budget, value, interval)


def make_behaviour_budget(behaviour: BehaviourFacts, budget: BudgetFacts) -> BudgetLine:
    """A budget on flips, slices, calibration or the tokens of a language model."""
    value, interval = behaviour.find_limited_value(budget)
    unit = " %" if "percent" in budget.kind else ""
    words = MISSING if value is None else format_with_bounds(value, interval, unit, [budget.limit])
    if value is None and (sliced := select_budget_slices(behaviour.slices or [], budget.kind)):
        # a slice that has the budget's verdict: a small slice may have lost more by chance
        worst = max(sliced, key=lambda part: (part.verdict is budget.verdict, part.drop_points))
        value, interval = worst.drop_points, worst.interval
        drop = format_drop_words(value, interval, [budget.limit])
        words = f"{drop} in {escape_invisible(worst.column)} {shorten(worst.value, LONGEST_QUOTE)}"
    return _make_drawn_budget(describe_budget(budget.kind), words, budget, value, interval)


def _make_drawn_budget(
    name: str,
    words: str,
    budget: BudgetFacts,
    value: float | None,
    interval: tuple[float, float] | None,
    *,
    zero: float = 0.0,
) -> BudgetLine:
    ends = [end for end in (value, *(interval or ())) if end is not None]
    limits = list_point_limits([budget]) or [budget.limit]
    scale = make_scale(ends, limits, zero=zero, wide=True)
    picture = draw_bar(scale, value, interval, limits, zero=zero)
    kind = _find_any_kind(budget.kind)
    margin = None
    if kind is not None:
        two_sided = isinstance(kind, MetricBudgetKind) and kind.two_sided
        margin = draw_margin(
            value, interval, budget.limit, zero=zero, is_minimum=kind.is_minimum, two_sided=two_sided
        )
    return BudgetLine(
        name, words, format_limit_words(budget.kind, budget.limit), budget.verdict, picture, margin
    )


def format_limit_words(kind: str, limit: float) -> str:
    """`drop at most 2 points`; the name of an unknown kind."""
    known = _find_any_kind(kind)
    return f"{escape(kind)} {limit:g}" if known is None else known.format_limit(limit)


def _find_any_kind(name: str) -> BudgetKind | None:
    """The kind of that name in a record, where the kind of a budget on slices names the metric."""
    return find_kind("drop_points", "slices") if is_slices_kind(name) else find_kind(name)
