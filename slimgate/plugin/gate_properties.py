"""What a gate found, as properties of its test: JUnit readers get numbers, not a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimgate.record.results import FLOPS, SINCE, TIMES
from slimgate.run.gate_results import Part

Property = tuple[str, object]
_GATES = frozenset({"quality", SINCE, "behaviour", "size", "memory", FLOPS, "speedup", TIMES})
_UNITS = {
    "quality": "drop_points",
    SINCE: "drop_points",
    "size": "compression",
    "memory": "ratio",
    FLOPS: "ratio",
    "speedup": "speedup",
}


def gate_properties(part: Part) -> list[Property]:
    """Names and values; none for parts that are no judgement, and for the teacher's own."""
    if part["kind"] == TIMES:
        part = {**part, "facts": part["facts"].get("limits") or {}}
    if part["kind"] not in _GATES or "verdict" not in part["facts"]:
        return []
    return [(f"slimgate.{name}", value) for name, value in _iter_properties(part) if value is not None]


def _iter_properties(part: Part) -> Iterator[Property]:
    facts, kind = part["facts"], part["kind"]
    yield "variant", part["variant"]
    if kind == "quality":
        yield "metric", part["name"]
        yield from ((key, facts.get(key)) for key in ("teacher", "value", "n", "method"))
    if kind == SINCE:
        yield "metric", part["name"]
        yield from ((key, facts.get(key)) for key in ("baseline", "value", "n", "method", "note"))
    if kind in ("speedup", TIMES):
        yield "workload", part["name"]
    if kind in _UNITS:
        yield _UNITS[kind], facts.get(_UNITS[kind])
    yield "interval", _bounds(facts.get("interval") or facts.get("speedup_interval") or facts.get("spread"))
    flips = facts.get("flips")
    if kind == "behaviour" and flips:
        yield "flips_percent", flips.get("percent")
        yield "interval", _bounds(flips.get("interval"))
    for budget in facts.get("budgets", ()):
        if kind == TIMES:
            yield f"value.{budget['kind']}", budget["value"]
        yield f"budget.{budget['kind']}", budget["limit"]
        yield f"verdict.{budget['kind']}", budget["verdict"]
    yield "verdict", facts["verdict"] or "not gated"


def _bounds(interval: Sequence[float] | None) -> str | None:
    """`[-0.2, 0.8]`, with what digits they have."""
    return None if interval is None else f"[{interval[0]:.6g}, {interval[1]:.6g}]"
