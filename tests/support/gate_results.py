"""Results as gates report them, for tests of the code that uses them."""

from __future__ import annotations

from typing import Any

from slimgate.report.gate_properties import list_gate_properties
from slimgate.run.gate_results import BUILD, GateResult

# The required fields of each kind of result, for tests that are about other fields.
_REQUIRED: dict[str, dict[str, Any]] = {
    "quality": {"teacher": 0.9, "value": 0.9, "n": 100},
    "size": {"compression": 2.0},
    "error": {"message": "it broke"},
}


def make_gate_result(kind: str, variant: str, name: str = "", **facts: Any) -> GateResult:
    """A result with these facts. Required facts that are not given are filled in."""
    when = {} if kind in (BUILD, "shapes", "stages") else {"measured": "now"}
    if kind == "speedup":
        when = {"duel_measured": "now"}
    return GateResult.from_json(
        {
            "kind": kind,
            "variant": variant,
            "name": name,
            "facts": {**_REQUIRED.get(kind, {}), **when, **facts},
        }
    )


def make_build_result(name: str, digest: str | None = None) -> GateResult:
    """The build of a model, which every test of the model reports."""
    sizes = {"bytes": 9, "parameters": 3, "nonzero_parameters": 3}
    artifact = {"kind": "torch", "digest": digest or f"artifact of {name}", "runtime": "eager", **sizes}
    return make_gate_result(BUILD, name, steps=[], artifact=artifact, from_store=True, claims=[])


def list_result_properties(result: GateResult) -> dict[str, object]:
    """The JUnit properties of the test that reports this result."""
    return dict(list_gate_properties(result.variant, result.kind, result.name, result.facts))
