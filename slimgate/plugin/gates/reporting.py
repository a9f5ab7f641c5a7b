"""Helpers of all gates: they report parts of the record, and turn a verdict into a test's result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slimgate._system.escape import escape_invisible
from slimgate.models.quantized_files import COMPUTED_BY_KERNELS, COMPUTED_UNPACKED, read_weight_format
from slimgate.models.weight_shares import WeightShares, read_artifact_shares
from slimgate.record.build import ArtifactFacts, BuildFacts, ClaimFacts, StepFacts, StoredFacts, WeightFacts
from slimgate.results.base import has_run_ending_budget
from slimgate.results.facts import JudgedFacts
from slimgate.run.cascade import describe_cascade
from slimgate.run.claims import check_step_claims
from slimgate.run.gate_results import BUILD, GateResult
from slimgate.run.model_handle import ModelHandle
from slimgate.suite.named_plugin import SuiteStep
from slimgate.suite.suite import dump_params

Report = Callable[[GateResult], None]
SIZES = ("kind", "bytes", "parameters", "nonzero_parameters")


def report_builds(report: Report, *models: ModelHandle) -> None:
    """Reports how each model was built."""
    for model in models:
        report(GateResult(BUILD, model.name, "", _describe_build(model)))


def _describe_build(model: ModelHandle) -> BuildFacts:
    """The steps of a model, its size, its runtime and what its steps promised."""
    built, runtime = model.built, model.variant.runtime
    manifest = built.artifact.manifest
    stored = manifest.get("stored")
    if stored is not None:
        computes = read_weight_format(stored) in runtime.object.formats
        stored = StoredFacts(**stored, computed=COMPUTED_BY_KERNELS if computes else COMPUTED_UNPACKED)
    shares = read_artifact_shares(built.artifact.kind, built.artifact.folder)
    artifact = ArtifactFacts(
        **{key: manifest[key] for key in (*SIZES, "digest", "state_bytes")},
        runtime=runtime.name,
        runtime_params=dump_params(runtime.params),
        load_seconds=model.load_seconds,
        **model.compile_facts,
        stored=stored,
        weights=None if shares is None else describe_weights(shares),
        unreadable_rows=model.run.encoder.measure_unreadable(built.artifact),
        cascade=describe_cascade(built.artifact, model.passed_on),
        server=model.server_settings,
    )
    return BuildFacts(
        steps=_list_steps(model),
        artifact=artifact,
        from_store=built.from_store,
        claims=check_claims(model),
    )


def describe_weights(shares: WeightShares) -> WeightFacts:
    """The precision of weights, as the record stores it."""
    return WeightFacts(
        counts=shares.counts,
        quantized_share=shares.quantized_share,
        claim=shares.claim or None,
        unmatched=list(shares.unmatched),
    )


def _list_steps(model: ModelHandle) -> list[StepFacts]:
    """Facts about each step that was built, in order. The first may be the loading of the model."""
    stated = [
        {"given": dump_params(step.params, exclude_defaults=True), "reads": _count_rows_read(model, step)}
        for step in model.variant.steps
    ]
    # Loading a model is also a build step, but the suite does not list it as a step.
    all_stated: list[dict[str, Any]] = [{}] * (len(model.built.steps) - len(stated)) + stated
    return [
        StepFacts(
            name=step.manifest["step"],
            **{key: step.manifest[key] for key in ("params", "seconds", "log", *SIZES)},
            from_store=step.entry.from_store,
            **more,
        )
        for step, more in zip(model.built.steps, all_stated, strict=True)
    ]


def _count_rows_read(model: ModelHandle, step: SuiteStep) -> dict[str, int]:
    """How many rows of each split the step received."""
    splits = model.run.rows.splits
    return {name: len(splits[name]) for name in step.reads if len(splits.get(name, ()))}


def refuse_unmeasured(model: ModelHandle, reason: str | None, budget: str | None) -> None:
    """Ends the running test if there is a reason why the model cannot be measured.

    The test fails if the model is gated and has a budget on this, else it is skipped. budget: what has a
    budget, for the message; None without a budget.
    """
    if reason is None:
        return
    if budget is not None and model.variant.gated:
        pytest.fail(f"{model.name}: {budget}, but {reason}", pytrace=False)
    pytest.skip(reason)


def conclude(model: ModelHandle, *results: JudgedFacts) -> None:
    """Fails the running test if the model is gated and a budget of the results ends the run."""
    lines = [facts.message or "" for facts in results if has_run_ending_budget(facts.budgets)]
    if lines and model.variant.gated:
        pytest.fail("\n".join(map(escape_invisible, lines)), pytrace=False)


def check_claims(model: ModelHandle) -> list[ClaimFacts]:
    """Checks what each step promises (such as "smaller") on the artifacts before and after it."""
    built, parent = model.built, model.variant.parent
    chain = [artifact.manifest for artifact in built.steps]
    if parent is not None:
        chain.insert(0, model.run.build(parent).artifact.manifest)
    return [
        claim
        for step, before, after in zip(model.variant.steps, chain[:-1], chain[1:], strict=True)
        for claim in check_step_claims(step.name, step.object.claims, before, after)
    ]
