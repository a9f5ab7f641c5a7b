"""slimgate.plugin.gates.behaviour: the way from the teacher to a variant, step by step."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.judge.metrics import compute_value, load_metric
from slimgate.plugin.gates.behaviour import list_stage_facts

pytest.importorskip("torch")

COMBINED = """[variants]
half = { steps = [{ keep_layers = [0, 2] }, { magnitude_prune = { sparsity = 0.5 } }] }
int8 = { from = "half", steps = [{ int8_dynamic = {} }] }
"""


def test_the_stages_go_from_the_teacher_through_the_parent(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{"[variants]\n": COMBINED})
    stages = list_stage_facts(run.make_handle("int8"))
    assert [(stage.variant, stage.step) for stage in stages] == [
        ("teacher", None),
        ("half", "keep_layers"),
        ("half", "magnitude_prune"),
        ("int8", "int8_dynamic"),
    ]
    assert [stage.kind for stage in stages] == ["torch", "torch", "torch", "torch_quantized"]
    assert stages[1].parameters < stages[0].parameters
    assert stages[2].nonzero_parameters < stages[1].nonzero_parameters
    assert stages[3].bytes < stages[2].bytes


def test_a_stage_is_measured_on_the_selection_rows(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{"[variants]\n": COMBINED})
    last = list_stage_facts(run.make_handle("half"))[-1]
    outcomes = run.measure_selection("half", run.build("half").artifact)
    assert outcomes.ids.tolist() == run.rows.splits["selection"].ids
    assert set(last.selection) == {"accuracy", "f1_macro", "log_loss"}
    for metric, value in last.selection.items():
        assert value == pytest.approx(compute_value(load_metric(metric), outcomes))


def test_one_step_needs_no_stages(tmp_path: Path) -> None:
    assert list_stage_facts(make_tiny_run(tmp_path).make_handle("shorter")) == []
