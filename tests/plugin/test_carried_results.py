"""Which results of an earlier run a run carries over: only those whose inputs are the same."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gate_results import make_build_result, make_gate_result

from fixtures.models.tiny import write_rows
from slimgate._system import digests
from slimgate.plugin import suite_session
from slimgate.plugin.run_settings import RunSettings
from slimgate.plugin.session import Session
from slimgate.record.run import RunRecord, format_record_json, read_record
from slimgate.record.task import PeakRates
from slimgate.run.gate_results import GateResult
from slimgate.suite.reader import load_suite

SUITE = """
[suite]
title = "what is carried over"
threads = 1

[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv", real = false }
text = ["text"]
label = "label"
slices = ["file"]
max_tokens = 16
splits = { train = 60, calibration = 16, selection = 24, gate = 100 }

[teacher]
model = "teacher"

[variants]
int8 = { steps = [{ int8_dynamic = {} }] }
own = { steps = [{ "carried_steps:Same" = {} }] }
released = { model = "student", new_head = true }

[budgets]
accuracy = { drop_points = 5.0 }
[budgets.variants.int8]
latency = { speedup_min = 0.5 }

[measure]
metrics = ["accuracy", "carried_metrics:OWN"]
workloads = [{ batch = 1 }]
"""
STEPS = """
from carried_helpers import unchanged
from slimgate.plugins.params import Table

class Same:
    class Params(Table):
        pass
    takes = frozenset({"torch"})
    gives = None
    reads = ()
    uses_teacher = False
    stochastic = False
    def apply(self, model, params, context):
        return unchanged(model)
"""
HELPERS = "def unchanged(model):\n    return model\n"
METRICS = """
from dataclasses import replace
from slimgate.judge.metrics.classification import METRICS
OWN = replace(METRICS["accuracy"], name="own_accuracy")
"""
EARLIER = "2026-11-20T14:02:03+00:00"
VARIANTS = ("int8", "own", "released")
JUDGED = {"budgets": [{"kind": "drop_points", "limit": 5.0, "verdict": "PASS"}], "verdict": "PASS"}
ACCURACY = {"teacher": 0.9, "value": 0.9, "drop_points": 0.0, "interval": [-1, 1], "n": 100, **JUDGED}
DUEL = {"speedup": 2.0, "speedup_interval": [1.9, 2.1], "clearance": 1.3, "duel_rounds": 9, "verdict": "PASS"}


@pytest.fixture
def files(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A suite with two model folders, rows, and modules of a user's own."""
    for name in ("teacher", "student"):
        shutil.copytree(tiny_model, tmp_path / name)
    write_rows(tmp_path / "rows.csv", 300)
    (tmp_path / "s.toml").write_text(SUITE)
    for name, text in (("steps", STEPS), ("helpers", HELPERS), ("metrics", METRICS)):
        (tmp_path / f"carried_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget_modules()


def forget_modules() -> None:
    """As a new process begins: neither modules nor what was read of them is known."""
    for name in [name for name in sys.modules if name.startswith("carried_")]:
        del sys.modules[name]
    digests.forget()


def results(variant: str, measured: str = EARLIER) -> list[GateResult]:
    """What the tests of one variant report: a metric, behaviour, size, and the times of a workload."""
    facts: dict[tuple[str, str], dict[str, Any]] = {
        ("quality", "accuracy"): ACCURACY,
        ("behaviour", ""): {"n": 100},
        ("size", ""): {"compression": 2.0},
        ("latency", "b1"): {"p50_ms": 1.5, "rounds": 3},
        ("speedup", "b1"): DUEL,
    }
    parts = [
        make_gate_result(
            kind, variant, name, **fields, **{"duel_measured" if kind == "speedup" else "measured": measured}
        )
        for (kind, name), fields in facts.items()
    ]
    return [make_build_result("teacher"), make_build_result(variant), *parts]


def run(folder: Path, *parts: GateResult) -> RunRecord:
    """The record that a run leaves whose tests report these parts."""
    forget_modules()
    path = folder / "s.toml"
    state = Session(
        {path: load_suite(path, "s.toml")},
        RunSettings(
            store_root=folder / ".slimgate",
            report_root=folder / "reports",
            rebuild_mark=None,
            device="cpu",
            workers=1,
            command="pytest s.toml",
        ),
    )
    state.add(path, "test", parts)
    return read_record(folder / "reports/s/run.json")


@pytest.fixture
def folder(files: Path) -> Path:
    """The folder, after an earlier run of everything but the self-test."""
    run(files, *(part for name in VARIANTS for part in results(name)))
    return files


@pytest.fixture
def earlier(folder: Path) -> RunRecord:
    """The record that the earlier run left."""
    return read_record(folder / "reports/s/run.json")


def list_carried(record: RunRecord, variant: str) -> set[str]:
    """The kinds of results of a variant that are of an earlier run."""
    return {carried.kind for carried in record.variant(variant).carried}


ALL = {"quality", "behaviour", "size", "latency", "speedup"}
SIZE = make_gate_result("size", "int8", measured="2026-11-22T09:00:00+00:00")


def test_a_run_of_one_test_keeps_what_is_valid_with_its_time(folder: Path, earlier: RunRecord) -> None:
    assert earlier.carried_results == []
    after = run(folder, SIZE)
    assert list_carried(after, "int8") == ALL - {"size"}
    assert list_carried(after, "released") == ALL
    assert {carried.measured for carried in after.carried_results} == {EARLIER}
    times = after.variant("int8").latency["b1"]
    assert times == earlier.variant("int8").latency["b1"]
    assert (times.measured, times.duel_measured, times.clearance) == (EARLIER, EARLIER, 1.3)
    assert (after.verdict.status, after.verdict.carried, after.verdict.passed) == ("partial", 14, 6)


def test_latency_measured_again_leaves_the_duel_and_its_time(folder: Path) -> None:
    now = "2026-11-22T09:00:00+00:00"
    after = run(folder, make_gate_result("latency", "int8", "b1", p50_ms=1.0, measured=now))
    times = after.variant("int8").latency["b1"]
    assert (times.p50_ms, times.measured) == (1.0, now)
    assert (times.speedup, times.duel_measured, times.clearance) == (2.0, EARLIER, 1.3)


def change_weights(folder: Path, model: str) -> None:
    weights = folder / model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))


def test_results_of_a_model_whose_files_changed_are_void(folder: Path) -> None:
    change_weights(folder, "student")
    after = run(folder, SIZE)
    assert list_carried(after, "released") == set()
    assert after.variant("released").quality == {}
    assert after.variant("released").awaited == ["accuracy"]
    assert list_carried(after, "own") == ALL


def test_another_teacher_voids_all_results(folder: Path) -> None:
    change_weights(folder, "teacher")
    after = run(folder, SIZE)
    assert after.carried_results == []
    assert after.verdict.passed == 0


@pytest.mark.slow
def test_results_of_a_model_whose_settings_changed_are_void(folder: Path) -> None:
    (folder / "student/config.json").write_text('{"num_hidden_layers": 3, "max_position_embeddings": 64}')
    assert list_carried(run(folder, SIZE), "released") == set()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["steps", "helpers"])
def test_a_changed_module_voids_results_of_what_it_builds(folder: Path, module: str) -> None:
    file = folder / f"carried_{module}.py"
    file.write_text(file.read_text() + "\nCHANGED = True\n")
    after = run(folder, SIZE)
    assert list_carried(after, "own") == set()
    assert list_carried(after, "released") == ALL


def test_a_changed_metric_voids_what_metrics_judge(folder: Path) -> None:
    file = folder / "carried_metrics.py"
    file.write_text(file.read_text() + "\nCHANGED = True\n")
    assert list_carried(run(folder, SIZE), "released") == {"size", "latency", "speedup"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "valid"),
    [
        ("drop_points = 5.0", "drop_points = 1.0", {"behaviour", "size", "latency", "speedup"}),
        ("speedup_min = 0.5", "speedup_min = 3.0", ALL - {"speedup"}),
        ("[measure]", "[measure]\nrounds = 50", {"quality", "behaviour", "size"}),
        ('[measure]\nmetrics = ["accuracy"', '[measure]\nmetrics = ["mcc", "accuracy"', ALL - {"behaviour"}),
        ("[measure]", '[measure]\non_inconclusive = "warn"', set()),
        ("[measure]", "[measure]\nbatch_size = 8", set()),
        ('slices = ["file"]', "slices = []", set()),
        ("threads = 1", "threads = 1\nseed = 1", set()),
        ('title = "what', 'title = "which', ALL),
    ],
    ids=["budget", "speed", "rounds", "metrics", "undecided", "batch", "slices", "seed", "title"],
)
def test_a_changed_suite_voids_exactly_what_depends_on_it(
    folder: Path, old: str, new: str, valid: set[str]
) -> None:
    text = SUITE.replace(old, new)
    assert text != SUITE
    (folder / "s.toml").write_text(text)
    after = run(folder, make_gate_result("size", "own"))
    assert list_carried(after, "int8") == valid


@pytest.mark.slow
@pytest.mark.parametrize(
    "after",
    [
        'own = { steps = [{ "carried_steps:Same" = {} }], gated = false, reason = "to see" }',
        'own = { steps = [{ "carried_steps:Same" = {} }] }\n[budgets.variants.own]\nmcc = { floor = 0.1 }',
    ],
    ids=["not-gated", "budget"],
)
def test_a_family_voids_metrics_when_another_budget_changes(files: Path, after: str) -> None:
    line, *budgets = after.split("\n")
    suite = SUITE.replace("[budgets]\n", '[budgets]\nfamily = "holm"\n')
    (files / "s.toml").write_text(suite)
    run(files, *results("int8"))
    changed = "\n".join([suite.replace('own = { steps = [{ "carried_steps:Same" = {} }] }', line), *budgets])
    assert changed != suite
    (files / "s.toml").write_text(changed)
    assert list_carried(run(files, make_gate_result("size", "own")), "int8") == ALL - {"quality"}


@pytest.mark.slow
def test_a_budget_of_the_teacher_is_a_result_of_its_own(folder: Path) -> None:
    text = SUITE + "\n[budgets.teacher]\naccuracy = { floor = 0.5 }\n"
    (folder / "s.toml").write_text(text)
    judged = {
        **ACCURACY,
        "budgets": [{"kind": "floor", "limit": 0.5, "verdict": "PASS"}],
        "measured": EARLIER,
    }
    assert (
        list_carried(run(folder, make_gate_result("quality", "teacher", "accuracy", **judged)), "int8") == ALL
    )
    after = run(folder, SIZE)
    assert list_carried(after, "teacher") == {"quality"}
    assert after.this_run is not None
    assert (after.verdict.passed, after.this_run.passed) == (7, 0)
    (folder / "s.toml").write_text(text.replace("floor = 0.5", "floor = 0.6"))
    assert list_carried(run(folder, SIZE), "teacher") == set()


def test_another_options_of_a_step_void_its_variant(folder: Path) -> None:
    (folder / "s.toml").write_text(SUITE.replace("int8_dynamic = {}", "magnitude_prune = { sparsity = 0.5 }"))
    after = run(folder, make_gate_result("size", "own"))
    assert (list_carried(after, "int8"), list_carried(after, "released")) == (set(), ALL)


def test_other_values_of_a_sliced_column_void_all_results(folder: Path) -> None:
    rows = (folder / "rows.csv").read_text().replace(",f", ",g").replace(",gile", ",file")
    (folder / "rows.csv").write_text(rows)
    assert run(folder, SIZE).carried_results == []


@pytest.mark.parametrize(
    "changed",
    [{"cpu": "another"}, {"gpu": "another"}, {"threads": 7}, {"libraries": {"torch": "0.1"}}],
    ids=["cpu", "gpu", "threads", "library"],
)
def test_results_of_another_machine_are_void(
    folder: Path, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = suite_session.describe_machine
    monkeypatch.setattr(
        suite_session, "describe_machine", lambda **options: describe(**options).model_copy(update=changed)
    )
    assert run(folder, SIZE).carried_results == []


def test_peak_rates_stay_with_the_times_that_they_explain(folder: Path) -> None:
    path = folder / "reports/s/run.json"
    record, rates = read_record(path), PeakRates(seconds=2.0, measured=EARLIER)
    assert record.machine.peak_rates is None  # these parts come without a model that was timed
    measured = record.machine.model_copy(update={"peak_rates": rates})
    path.write_text(format_record_json(record.model_copy(update={"machine": measured})))
    after = run(folder, SIZE)
    assert after.machine.peak_rates == rates
    assert list_carried(after, "int8") == ALL - {"size"}


def test_a_busier_machine_is_the_same_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = suite_session.describe_machine
    monkeypatch.setattr(
        suite_session,
        "describe_machine",
        lambda **options: describe(**options).model_copy(update={"warnings": ["busy"]}),
    )
    assert list_carried(run(folder, SIZE), "released") == ALL


def test_a_record_without_digests_is_not_carried_over(folder: Path, earlier: RunRecord) -> None:
    file = folder / "reports/s/run.json"
    bare = [model.model_copy(update={"inputs_digests": {}}) for model in earlier.variants]
    file.write_text(earlier.model_copy(update={"variants": bare}).model_dump_json(by_alias=True))
    assert run(folder, SIZE).carried_results == []


def test_an_error_of_an_earlier_run_fails_only_the_record(folder: Path) -> None:
    error = make_gate_result("error", "own", "test_x", message="own: it broke", measured=EARLIER)
    assert run(folder, error).verdict.status == "FAIL"
    after = run(folder, SIZE)
    assert (after.verdict.status, after.verdict.errors) == ("FAIL", 1)
    assert after.this_run is not None
    assert (after.this_run.status, after.this_run.errors) == ("partial", 0)
    assert after.variant("own").error_measured == EARLIER
