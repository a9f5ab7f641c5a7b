"""A model's budgets, each with the measured value and its interval drawn next to the limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slimgate._system.escape import escape, visible
from slimgate._system.number_text import MISSING, format_apart
from slimgate.budgets.base import MetricBudgetKind
from slimgate.budgets.registry import find_kind
from slimgate.data.quoting import LONGEST, shorten
from slimgate.judge.behaviour_budgets import is_slices_kind
from slimgate.judge.budget_kinds import is_in_points, list_point_limits
from slimgate.judge.budget_tables import VALUE_RATIO, QuantizedBudget
from slimgate.judge.message import format_builds
from slimgate.judge.slices import budget_slices
from slimgate.record.run import VariantRecord
from slimgate.report.figures import as_fast, drop_words, smaller, with_bounds
from slimgate.report.page.drawing import Drawn, draw_bar, draw_margin, scale_of
from slimgate.report.status import budget_words, workload_words
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.baseline import SinceFacts
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import Result
from slimgate.results.flops import FlopsFacts
from slimgate.results.kl_log import KlLogFacts
from slimgate.results.latency import SpeedupFacts, TimeLimitFacts
from slimgate.results.load_test import LoadTestFacts
from slimgate.results.measurement import MeasurementFacts
from slimgate.results.memory import MemoryFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.size import SizeFacts

_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True)
class Budget:
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
    budget: Budget


def rank_budgets(models: Iterable[VariantRecord]) -> list[ModelBudget]:
    """The budgets of gated models, the worst first: by verdict, then by the remaining margin."""
    lines = [ModelBudget(model.name, budget) for model in models if model.gated for budget in budgets(model)]
    return sorted(lines, key=lambda line: _rank(line.budget))


def _rank(budget: Budget) -> tuple[int, float]:
    verdict = len(_WORST_FIRST) if budget.verdict is None else _WORST_FIRST.index(budget.verdict)
    return verdict, 100.0 if budget.margin is None else budget.margin.low


def budgets(model: VariantRecord) -> list[Budget]:
    """The budgets on quality, behaviour, size, memory and times."""
    return [_budget(result, budget) for result in model.results() for budget in result.facts.budgets]


def _budget(result: Result, budget: BudgetFacts) -> Budget:
    match result.facts:
        case QualityFacts() as facts:
            return _quality(escape(result.name), facts, budget)
        case SinceFacts() as since:
            return _quality(f"{escape(result.name)}, since the baseline", since, budget)
        case BehaviourFacts() as behaviour:
            return behaviour_budget(behaviour, budget)
        case SizeFacts() if budget.kind == QuantizedBudget.kind:
            words = f"{_quantized_percent(budget)} of the blocks' weights"
            return _line("quantized weights", words, budget, budget.value, None)
        case SizeFacts(compression=ratio):
            words = smaller(ratio, [budget.limit]) or MISSING
            return _line(result.subject, words, budget, ratio, None, zero=1.0)
        case MemoryFacts(ratio=ratio, spread=spread):
            words = _part_of_teacher(ratio, spread, budget.limit)
            return _line(result.subject, words, budget, ratio, spread, zero=1.0)
        case FlopsFacts(ratio=ratio):
            words = _part_of_teacher(ratio, None, budget.limit)
            return _line("FLOPs", words, budget, ratio, None, zero=1.0)
        case MeasurementFacts(title=title):
            of = f"{escape(title)}, {budget_words(budget.kind)}"
            words = with_bounds(budget.value, budget.interval, limits=[budget.limit])
            zero = 1.0 if budget.kind == VALUE_RATIO else 0.0
            return _line(of, words, budget, budget.value, budget.interval, zero=zero)
        case SpeedupFacts(speedup=speedup, speedup_interval=interval):
            of = f"{result.subject}, {workload_words(result.name)}"
            words = as_fast(speedup, interval, [budget.limit]) or MISSING
            return _line(of, words, budget, speedup, interval, zero=1.0)
        case TimeLimitFacts():
            of = f"{result.subject}, {workload_words(result.name)}, {budget_words(budget.kind)}"
            known = find_kind(budget.kind)
            unit = "" if known is None else known.unit
            words = with_bounds(budget.value, budget.interval, f" {unit}", [budget.limit])
            return _line(of, words, budget, budget.value, budget.interval)
        case LoadTestFacts() | KlLogFacts():
            words = with_bounds(budget.value, budget.interval, limits=[budget.limit])
            of = f"{result.title}, {budget_words(budget.kind)}"
            return _line(escape(of), words, budget, budget.value, budget.interval)


def _part_of_teacher(ratio: float | None, spread: tuple[float, float] | None, limit: float) -> str:
    """`0.61 [0.60, 0.62] of the teacher's`."""
    return MISSING if ratio is None else f"{with_bounds(ratio, spread, limits=[limit])} of the teacher's"


def _quantized_percent(budget: BudgetFacts) -> str:
    if budget.value is None:
        return MISSING
    [share] = format_apart([100 * budget.value], [100 * budget.limit])
    return f"{share} %"


def _quality(name: str, facts: QualityFacts | SinceFacts, budget: BudgetFacts) -> Budget:
    value, interval = budget.value, budget.interval
    if value is None and is_in_points(budget.kind):
        value, interval = facts.drop_points, facts.interval
    limits = list_point_limits([budget]) or [budget.limit]
    words = drop_words(facts.drop_points, facts.interval, limits, unit=facts.unit) or MISSING
    if is_in_points(budget.kind) and budget.value is not None:
        words = drop_words(value, interval, limits) or MISSING
    elif value is not None and not is_in_points(budget.kind):
        known = find_kind(budget.kind)
        if known is not None and known.percent:
            value_shown, ends = 100 * value, interval and (100 * interval[0], 100 * interval[1])
            words = with_bounds(value_shown, ends, " %", [100 * budget.limit])
        else:
            words = with_bounds(value, interval, limits=[budget.limit])
    return _line(f"{name}{format_builds(budget.builds)}", words, budget, value, interval)


def behaviour_budget(behaviour: BehaviourFacts, budget: BudgetFacts) -> Budget:
    """A budget on flips, slices, calibration or the tokens of a language model."""
    value, interval = budget.value, budget.interval
    if value is None and budget.kind.startswith("flips") and behaviour.flips is not None:
        value, interval = behaviour.flips.percent, behaviour.flips.interval
    unit = " %" if "percent" in budget.kind else ""
    words = MISSING if value is None else with_bounds(value, interval, unit, [budget.limit])
    if value is None and (sliced := budget_slices(behaviour.slices or [], budget.kind)):
        # a slice that has the budget's verdict: a small slice may have lost more by chance
        worst = max(sliced, key=lambda part: (part.verdict is budget.verdict, part.drop_points))
        value, interval = worst.drop_points, worst.interval
        drop = drop_words(value, interval, [budget.limit])
        words = f"{drop} in {visible(worst.column)} {shorten(worst.value, LONGEST)}"
    return _line(budget_words(budget.kind), words, budget, value, interval)


def _line(
    name: str,
    words: str,
    budget: BudgetFacts,
    value: float | None,
    interval: tuple[float, float] | None,
    *,
    zero: float = 0.0,
) -> Budget:
    ends = [end for end in (value, *(interval or ())) if end is not None]
    limits = list_point_limits([budget]) or [budget.limit]
    scale = scale_of(ends, limits, zero=zero, wide=True)
    picture = draw_bar(scale, value, interval, limits, zero=zero)
    kind = find_kind("drop_points", "slices") if is_slices_kind(budget.kind) else find_kind(budget.kind)
    margin = None
    if kind is not None:
        two_sided = isinstance(kind, MetricBudgetKind) and kind.two_sided
        margin = draw_margin(
            value, interval, budget.limit, zero=zero, is_minimum=kind.is_minimum, two_sided=two_sided
        )
    return Budget(name, words, limit_words(budget.kind, budget.limit), budget.verdict, picture, margin)


def limit_words(kind: str, limit: float) -> str:
    """`drop at most 2 points`; the name of an unknown kind."""
    known = find_kind("drop_points", "slices") if is_slices_kind(kind) else find_kind(kind)
    return f"{escape(kind)} {limit:g}" if known is None else known.format_limit(limit)
