"""A model's budgets, each with what was measured and its interval drawn beside the limit."""

from __future__ import annotations

from dataclasses import dataclass

from slimgate._system.escape import escape, visible
from slimgate.data.quoting import LONGEST, shorten
from slimgate.judge.budget_kinds import POINT_KINDS, list_point_limits
from slimgate.judge.message import format_builds
from slimgate.judge.slices import budget_slices
from slimgate.judge.verdict import Verdict
from slimgate.record import (
    BehaviourFacts,
    BudgetFacts,
    FlopsFacts,
    LatencyFacts,
    MemoryFacts,
    QualityFacts,
    SinceFacts,
    SizeFacts,
    TimeLimitFacts,
    VariantRecord,
)
from slimgate.record.results import Result
from slimgate.report.figures import MISSING, as_fast, drop_words, significant, smaller
from slimgate.report.page.drawing import Drawn, draw_bar, scale_of
from slimgate.report.status import budget_words, workload_words

_LIMITS = {
    "drop_points": "drop at most {:g} points",
    "equivalent_points": "drop within ±{:g} points",
    "flips_max_percent": "at most {:g} % of the rows right to wrong",
    "compression_min": "at least {:g}× smaller",
    "memory_ratio_max": "peak at most {:g} of the teacher's",
    "ratio_max": "at most {:g} of the teacher's FLOPs",
    "speedup_min": "at least {:g}× as fast",
    "p50_ms_max": "median at most {:g} ms",
    "p95_ms_max": "95 % of the calls under {:g} ms",
    "ttft_speedup_min": "first token at least {:g}× as fast",
    "tpot_speedup_min": "later tokens at least {:g}× as fast",
    "ttft_p95_ms_max": "95 % of the first tokens under {:g} ms",
    "tokens_per_second_min": "at least {:g} tokens a second",
    "end_to_end_speedup_min": "at least {:g}× as fast end to end",
    "end_to_end_p50_ms_max": "median end to end at most {:g} ms",
    "end_to_end_p95_ms_max": "95 % of the calls under {:g} ms end to end",
    "goodput_min": "at least {:g} good requests a second",
    "drop_relative": "loses at most {:g} % of the teacher's value",
    "error_increase_relative": "errors grow by at most {:g} %",
    "increase_relative": "grows by at most {:g} %",
    "mean_max": "at most {:g} nats a token",
    "p99_max": "at most {:g} nats in 99 % of the tokens",
    "p999_max": "at most {:g} nats in 99.9 % of the tokens",
    "floor": "at least {:g}",
    "ceiling": "at most {:g}",
}
_SLICES = "drop at most {:g} points in every slice"


@dataclass(frozen=True)
class Budget:
    """A line of the budgets: name, measured value and limit in words.

    picture: the interval beside the limit.
    """

    name: str
    measured: str
    limit: str
    verdict: Verdict | None
    picture: Drawn | None = None


def budgets(model: VariantRecord) -> list[Budget]:
    """Of quality, behaviour, size, memory, times."""
    return [_budget(result, budget) for result in model.results() for budget in result.facts.budgets]


def _budget(result: Result, budget: BudgetFacts) -> Budget:
    match result.facts:
        case QualityFacts() as facts:
            return _quality(escape(result.name), facts, budget)
        case SinceFacts() as since:
            return _quality(f"{escape(result.name)}, since the baseline", since, budget)
        case BehaviourFacts() as behaviour:
            return _behaviour(behaviour, budget)
        case SizeFacts(compression=ratio):
            return _line(result.of, smaller(ratio) or MISSING, budget, ratio, None, zero=1.0)
        case MemoryFacts(ratio=ratio, spread=spread):
            words = MISSING if ratio is None else f"{significant(ratio)}{_bounds(spread)} of the teacher's"
            return _line(result.of, words, budget, ratio, spread, zero=1.0)
        case FlopsFacts(ratio=ratio):
            words = MISSING if ratio is None else f"{significant(ratio)} of the teacher's"
            return _line("FLOPs", words, budget, ratio, None, zero=1.0)
        case LatencyFacts(speedup=speedup, speedup_interval=interval):
            of = f"{result.of}, {workload_words(result.name)}"
            return _line(of, as_fast(speedup, interval) or MISSING, budget, speedup, interval, zero=1.0)
        case TimeLimitFacts():
            of = f"{result.of}, {workload_words(result.name)}, {budget_words(budget.kind)}"
            unit = "ms" if budget.kind.endswith("_ms_max") else "tokens a second"
            words = f"{significant(budget.value)} {unit}{_bounds(budget.interval)}"
            return _line(of, words, budget, budget.value, budget.interval)


def _quality(name: str, facts: QualityFacts | SinceFacts, budget: BudgetFacts) -> Budget:
    value, interval = budget.value, budget.interval
    if value is None and budget.kind in POINT_KINDS:
        value, interval = facts.drop_points, facts.interval
    limits = list_point_limits([budget]) or [budget.limit]
    words = drop_words(facts.drop_points, facts.interval, limits, unit=facts.unit) or MISSING
    if budget.kind in POINT_KINDS and budget.value is not None:
        words = drop_words(value, interval, limits) or MISSING
    elif value is not None and budget.kind not in POINT_KINDS:
        words = f"{significant(value)}{_bounds(interval)}"
    return _line(f"{name}{format_builds(budget.builds)}", words, budget, value, interval)


def _behaviour(behaviour: BehaviourFacts, budget: BudgetFacts) -> Budget:
    value, interval = budget.value, budget.interval
    if value is None and budget.kind.startswith("flips") and behaviour.flips is not None:
        value, interval = behaviour.flips.percent, behaviour.flips.interval
    unit = " %" if "percent" in budget.kind else ""
    words = MISSING if value is None else f"{significant(value)}{unit}{_bounds(interval)}"
    if value is None and (sliced := budget_slices(behaviour.slices or [], budget.kind)):
        # one that has the budget's verdict: a small slice may have lost more by chance
        worst = max(sliced, key=lambda part: (part.verdict is budget.verdict, part.drop_points))
        value, interval = worst.drop_points, worst.interval
        words = f"{drop_words(value, interval)} in {visible(worst.column)} {shorten(worst.value, LONGEST)}"
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
    return Budget(name, words, limit_words(budget.kind, budget.limit), budget.verdict, picture)


def limit_words(kind: str, limit: float) -> str:
    """`drop at most 2 points`; a kind that is not known here by its name."""
    if kind.startswith("slices."):
        return _SLICES.format(limit)
    shown = 100 * limit if kind.endswith("_relative") else limit
    return _LIMITS[kind].format(shown) if kind in _LIMITS else f"{escape(kind)} {limit:g}"


def _bounds(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{significant(interval[0])}, {significant(interval[1])}]"
