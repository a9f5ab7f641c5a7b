"""The gate on size and FLOPs: both are exact, and what is not known is refused where it has a budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import MeasureError, SuiteError
from slimgate.plugin.gates.figures import test_size as gate
from slimgate.results.checks import TEACHER
from slimgate.results.figures import FlopsFacts
from slimgate.run.gate_results import GateResult, GateResults, list_awaited_budgets, list_budgeted_checks
from slimgate.run.measure.operations import Operations
from slimgate.run.run import SuiteRun

BUDGET = "[budgets.variants.{name}]\nflops = {{ ratio_max = {limit} }}\n\n[measure]\n"


def run_with(folder: Path, name: str, limit: float, **more: str) -> SuiteRun:
    return make_tiny_run(folder, **{"[measure]\n": BUDGET.format(name=name, limit=limit), **more})


def judged(run: SuiteRun, name: str) -> list[GateResult]:
    """The results that the gate reports; raises where its test fails."""
    reported: list[GateResult] = []
    gate(run.suite, run.make_handle(TEACHER), run.make_handle(name), reported.append)
    return reported


def flops_of(parts: list[GateResult], name: str) -> FlopsFacts:
    return next(part.facts for part in parts if isinstance(part.facts, FlopsFacts) and part.variant == name)


def test_fewer_layers_compute_less_and_zeros_do_not(tmp_path: Path) -> None:
    run = run_with(tmp_path, "shorter", 0.8)
    parts = judged(run, "shorter")
    before, after = flops_of(parts, TEACHER), flops_of(parts, "shorter")
    assert before.flops == 2 * before.macs
    assert after.ratio == after.macs / before.macs < 0.8
    assert after.tokens == before.tokens > 0
    assert after.verdict == "PASS"
    assert after.budgets[0].value == after.ratio
    assert "of the teacher's, budget 0.8: PASS" in after.message
    assert list_awaited_budgets(run.suite, "shorter", GateResults(parts)) == []
    pruned = flops_of(judged(run, "pruned"), "pruned")
    assert pruned.ratio == 1.0
    assert (pruned.budgets, pruned.verdict) == ([], None)


def test_a_variant_that_computes_more_than_its_limit_fails(tmp_path: Path) -> None:
    run = run_with(tmp_path, "pruned", 0.5)
    with pytest.raises(pytest.fail.Exception, match=r"1\.000 of the teacher's, budget 0\.5: FAIL$"):
        judged(run, "pruned")
    assert [quantity for quantity, _ in list_budgeted_checks(run.suite, "pruned")] == ["flops"]


def test_a_budget_on_unknown_flops_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with(tmp_path, "pruned", 0.5)
    monkeypatch.setattr(
        run, "count_operations", lambda _: Operations(None, 8, "the operation x.y is not counted")
    )
    with pytest.raises(MeasureError) as error:
        judged(run, "pruned")
    assert str(error.value) == (
        "pruned: the FLOPs of teacher are not known (the operation x.y is not counted), so the budget on "
        "them cannot be judged; switch it off: [budgets.variants.pruned] flops = "
        '{ ratio_max = "off", reason = "not counted" }'
    )
    facts = flops_of(judged(run, "shorter"), "shorter")  # without a budget
    assert (facts.flops, facts.note) == (None, "the operation x.y is not counted")


def test_a_runtime_without_counts_refuses_the_budget_early(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    shorter = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
    graph = "shorter = { steps = [{ to_openvino = {} }] }"
    with pytest.raises(SuiteError, match="runtime openvino of shorter does not count operations; switch"):
        run_with(tmp_path, "shorter", 0.5, **{shorter: graph, "calibration = 0": "calibration = 16"})


def test_operations_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with(tmp_path, "pruned", 2.0)
    first = run.count_operations("pruned")
    runtime = run.suite.model("pruned").runtime.object
    monkeypatch.setattr(type(runtime), "count_macs", lambda *_, **__: pytest.fail("counted again"))
    assert run.count_operations("pruned") == first
