"""The JUnit properties of a gate: of a test of a suite, and of a result that `slimgate judge` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import (
    BEHAVIOUR,
    FLOPS,
    KL_LOG,
    LATENCY,
    LOAD_TEST,
    MEASUREMENT,
    MEMORY,
    QUALITY,
    SINCE,
    SIZE,
    SPEEDUP,
    JudgedFacts,
)
from slimgate.results.facts import Facts
from slimgate.results.figures import MeasurementFacts, MemoryFacts
from slimgate.results.latency import SpeedupFacts, TimesFacts
from slimgate.results.quality import QualityFacts, SinceFacts

# The name of a property and its value.
Property = tuple[str, object]
_GATES = frozenset(
    {QUALITY, SINCE, BEHAVIOUR, SIZE, MEMORY, FLOPS, MEASUREMENT, SPEEDUP, LATENCY, LOAD_TEST, KL_LOG}
)
_WORKLOAD_KINDS = frozenset({SPEEDUP, LATENCY, LOAD_TEST})
# The field of the judged value, which also names its property.
_VALUE_FIELDS = {
    QUALITY: "drop_points",
    SINCE: "drop_points",
    SIZE: "compression",
    MEMORY: "ratio",
    FLOPS: "ratio",
    MEASUREMENT: "ratio",
    SPEEDUP: "speedup",
}
# Each budget of these kinds limits another figure, so each has its own value and interval.
_FIGURE_PER_BUDGET = frozenset({LATENCY, LOAD_TEST, KL_LOG, MEASUREMENT})


def list_gate_properties(variant: str, kind: str, name: str, facts: Facts) -> list[Property]:
    """The JUnit properties of a result; empty if nothing was compared, as for the teacher's size.

    kind, name: of the result's check, such as quality and accuracy.
    """
    judged = facts.limits if kind == LATENCY and isinstance(facts, TimesFacts) else facts
    if kind not in _GATES or not isinstance(judged, JudgedFacts) or judged.message is None:
        return []
    properties = _iter_properties(variant, kind, name, judged)
    return [(f"slimgate.{key}", value) for key, value in properties if value is not None]


def _iter_properties(variant: str, kind: str, name: str, facts: JudgedFacts) -> Iterator[Property]:
    yield "variant", variant
    if isinstance(facts, QualityFacts | SinceFacts):
        yield "metric", name
        keys = ("teacher",) if isinstance(facts, QualityFacts) else ("baseline", "note")
        yield from ((key, getattr(facts, key)) for key in (*keys, "value", "n", "method"))
    if kind == MEASUREMENT:
        yield "measurement", name
    if kind in _WORKLOAD_KINDS:
        yield "workload", name
    if kind in _VALUE_FIELDS:
        yield _VALUE_FIELDS[kind], getattr(facts, _VALUE_FIELDS[kind])
    yield "interval", _format_interval(_find_interval(facts))
    if isinstance(facts, BehaviourFacts) and facts.flips is not None:
        yield "flips_percent", facts.flips.percent
    for budget in facts.budgets:
        if kind in _FIGURE_PER_BUDGET:
            yield f"value.{budget.kind}", budget.value
            yield f"interval.{budget.kind}", _format_interval(budget.interval)
        yield f"budget.{budget.kind}", budget.limit
        yield f"verdict.{budget.kind}", budget.verdict.value
    yield "verdict", facts.verdict.value if facts.verdict is not None else "not gated"


def _format_interval(interval: Sequence[float] | None) -> str | None:
    return None if interval is None else f"[{interval[0]:.6g}, {interval[1]:.6g}]"


def _find_interval(facts: JudgedFacts) -> Sequence[float] | None:
    """The interval of the judged value, or for memory the spread of its readings."""
    match facts:
        case QualityFacts() | SinceFacts():
            return facts.interval
        case SpeedupFacts():
            return facts.speedup_interval
        case MemoryFacts():
            return facts.spread
        case MeasurementFacts():
            return facts.interval
        case BehaviourFacts():
            return None if facts.flips is None else facts.flips.interval
        case _:
            return None
