"""The JUnit properties of a gate: of a test of a suite, and of a result that `slimgate judge` writes."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate.results.checks import CONFIRMED
from slimgate.results.facts import Facts, Interval, JudgedFacts
from slimgate.results.latency import TimesFacts
from slimgate.results.quality import QualityFacts, SinceFacts

# The name of a property and its value.
Property = tuple[str, object]


def list_gate_properties(variant: str, kind: str, name: str, facts: Facts) -> list[Property]:
    """The JUnit properties of a result; empty if nothing was compared, as for the teacher's size.

    kind, name: of the result's check, such as quality and accuracy.
    """
    judged = facts.limits if isinstance(facts, TimesFacts) and not isinstance(facts, JudgedFacts) else facts
    if kind == CONFIRMED or not isinstance(judged, JudgedFacts) or judged.message is None:
        return []
    properties = _iter_properties(variant, name, judged)
    return [(f"slimgate.{key}", value) for key, value in properties if value is not None]


def _iter_properties(variant: str, name: str, facts: JudgedFacts) -> Iterator[Property]:
    yield "variant", variant
    if facts.named_by is not None:
        yield facts.named_by, name
    if isinstance(facts, QualityFacts | SinceFacts):
        keys = ("teacher",) if isinstance(facts, QualityFacts) else ("baseline", "note")
        yield from ((key, getattr(facts, key)) for key in (*keys, "value", "n", "method"))
    if facts.figure is not None:
        yield facts.figure.name, facts.figure.value
        yield "interval", _format_interval(facts.figure.interval)
    for budget in facts.budgets:
        if facts.has_figure_per_budget:
            yield f"value.{budget.kind}", budget.value
            yield f"interval.{budget.kind}", _format_interval(budget.interval)
        yield f"budget.{budget.kind}", budget.limit
        yield f"verdict.{budget.kind}", budget.verdict.value
    yield "verdict", facts.verdict.value if facts.verdict is not None else "not gated"


def _format_interval(interval: Interval | None) -> str | None:
    return None if interval is None else f"[{interval[0]:.6g}, {interval[1]:.6g}]"
