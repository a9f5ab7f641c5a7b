"""Helpers of all gates: they report parts of the record, and turn a verdict into a test's outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from slimgate._system.escape import visible
from slimgate.judge.budget_kinds import ends_run
from slimgate.judge.verdict import Verdict
from slimgate.models.quantized_files import COMPUTED_BY_KERNELS, COMPUTED_UNPACKED, weight_format_of
from slimgate.models.weight_shares import WeightShares, read_artifact_shares
from slimgate.record.results import FLOPS, SINCE, TIMES
from slimgate.run.cascade import describe_cascade
from slimgate.run.claims import Claim, check_step_claims
from slimgate.run.gate_results import Part, make_part
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import SuiteStep, dump_params

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

Report = Callable[[Part], None]
SIZES = ("kind", "bytes", "parameters", "nonzero_parameters")
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


def report_build(model: ModelHandle, report: Report) -> None:
    """Reports the steps of a model, its size, its runtime and what its steps promised."""
    built = model.built
    manifest = built.artifact.manifest
    artifact = {key: manifest[key] for key in (*SIZES, "digest", "state_bytes")}
    runtime = model.variant.runtime
    artifact.update(runtime=runtime.name, runtime_params=dump_params(runtime.params))
    artifact.update(load_seconds=model.load_seconds, **model.compile_facts)
    if (stored := manifest.get("stored")) is not None:
        computes = weight_format_of(stored) in runtime.object.formats
        artifact["stored"] = {**stored, "computed": COMPUTED_BY_KERNELS if computes else COMPUTED_UNPACKED}
    artifact["weights"] = describe_weights(read_artifact_shares(built.artifact.kind, built.artifact.folder))
    artifact["unreadable_rows"] = model.run.encoder.measure_unreadable(built.artifact)
    artifact["cascade"] = describe_cascade(built.artifact, model.passed_on)
    facts = {
        "steps": _list_steps(model),
        "artifact": artifact,
        "from_store": built.from_store,
        "claims": check_claims(model),
    }
    report(make_part("build", model.name, "", facts))


def describe_weights(shares: WeightShares | None) -> dict[str, Any] | None:
    """The precision of weights, as the record has it."""
    if shares is None:
        return None
    return {
        "counts": shares.counts,
        "quantized_share": shares.quantized_share,
        "claim": shares.claim or None,
        "unmatched": list(shares.unmatched),
    }


def _list_steps(model: ModelHandle) -> list[dict[str, Any]]:
    """Facts about each step that was built, in order. The first may be the loading of the model."""
    built = [
        {
            "name": step.manifest["step"],
            **{key: step.manifest[key] for key in ("params", "seconds", "log", *SIZES)},
            "from_store": step.entry.from_store,
        }
        for step in model.built.steps
    ]
    stated = [
        {"given": dump_params(step.params, exclude_defaults=True), "reads": _count_rows_read(model, step)}
        for step in model.variant.steps
    ]
    # The loading of a model is built too, but the suite does not state it as a step.
    all_stated: list[dict[str, Any]] = [{}] * (len(built) - len(stated)) + stated
    return [{**step, **more} for step, more in zip(built, all_stated, strict=True)]


def _count_rows_read(model: ModelHandle, step: SuiteStep) -> dict[str, int]:
    """How many rows of each split the step was given."""
    splits = model.run.rows.splits
    return {name: len(splits[name]) for name in step.object.reads if len(splits.get(name, ()))}


def conclude(model: ModelHandle, *results: Json) -> None:
    """Fails the running test if the model is gated and a budget of the results ends the run.

    results: the reported facts, each with its `budgets` and `message`.
    """
    lines = [facts["message"] for facts in results if any(map(_ends_run, facts.get("budgets", ())))]
    if lines and model.variant.gated:
        pytest.fail("\n".join(map(visible, lines)), pytrace=False)


def _ends_run(budget: Json) -> bool:
    return ends_run(Verdict(budget["verdict"]), budget["on_inconclusive"])


def check_claims(model: ModelHandle) -> list[Claim]:
    """Compares what each step promises (such as "smaller") with the artifacts before and after it."""
    built, parent = model.built, model.variant.parent
    chain = [artifact.manifest for artifact in built.steps]
    if parent is not None:
        chain.insert(0, model.run.build(parent).artifact.manifest)
    return [
        claim
        for step, before, after in zip(model.variant.steps, chain[:-1], chain[1:], strict=True)
        for claim in check_step_claims(step.name, step.object.claims, before, after)
    ]


def list_gate_properties(part: Part) -> list[Property]:
    """JUnit properties of a test; empty for parts without a verdict, such as those of the teacher."""
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
    yield (
        "interval",
        _format_interval(facts.get("interval") or facts.get("speedup_interval") or facts.get("spread")),
    )
    flips = facts.get("flips")
    if kind == "behaviour" and flips:
        yield "flips_percent", flips.get("percent")
        yield "interval", _format_interval(flips.get("interval"))
    for budget in facts.get("budgets", ()):
        if kind == TIMES:
            yield f"value.{budget['kind']}", budget["value"]
        yield f"budget.{budget['kind']}", budget["limit"]
        yield f"verdict.{budget['kind']}", budget["verdict"]
    yield "verdict", facts["verdict"] or "not gated"


def _format_interval(interval: Sequence[float] | None) -> str | None:
    """`[-0.2, 0.8]`, with up to 6 digits."""
    return None if interval is None else f"[{interval[0]:.6g}, {interval[1]:.6g}]"
