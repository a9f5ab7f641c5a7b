"""A record as MLflow's params, metrics and tags; no MLflow is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from support.releases import write_release
from support.sample_record import change_variant

from slimgate.record.build import StepFacts
from slimgate.record.files import read_record_file
from slimgate.record.mlflow import make_model_runs, make_suite_run
from slimgate.results.base import Verdict
from slimgate.results.quality import QualityFacts

# What MLflow takes as a name, on every system.
ALLOWED = re.compile(r"[\w./ -]+", re.ASCII)


def test_steps_are_reported_as_a_suite_writes_them(tmp_path: Path) -> None:
    record = read_record_file(write_release(tmp_path)).record
    steps = [
        StepFacts(name="fine_tune", params={"epochs": 1, "seed": 0}, given={"epochs": 1}, seconds=1, log={}),
        StepFacts(name="keep_layers", params=[0, 3], seconds=1, log={}),
    ]
    _, logged = make_model_runs(change_variant(record, "int8", steps=steps))
    assert json.loads(logged.params["steps"]) == [{"fine_tune": {"epochs": 1}}, {"keep_layers": [0, 3]}]


def test_names_hold_only_what_mlflow_takes_and_drops_have_units(tmp_path: Path) -> None:
    record = read_record_file(write_release(tmp_path)).record
    facts = QualityFacts(teacher=9.0, value=9.9, drop_points=10.0, unit="percent", n=5, measured="")
    quality = {"own.metrics:häufig/mean": facts}
    _, logged = make_model_runs(change_variant(record, "int8", quality=quality))
    assert logged.metrics["metric/own.metrics_h_ufig_mean/drop_percent"] == 10.0
    assert all(ALLOWED.fullmatch(name) for name in (*logged.metrics, *logged.tags, *logged.params))


def test_names_that_become_equal_keep_their_verdicts(tmp_path: Path) -> None:
    """Two slices whose names have no character that MLflow allows: one FAILs."""
    record = read_record_file(write_release(tmp_path)).record
    passed = record.variant("int8").quality["accuracy"]
    lost = passed.model_copy(update={"verdict": Verdict.FAIL, "drop_points": 9.0})
    quality = {"日本": lost, "中国": passed, "accuracy": passed}
    _, logged = make_model_runs(change_variant(record, "int8", quality=quality))
    tags = {name: value for name, value in logged.tags.items() if ".verdict.metric/" in name}
    assert sorted(tags.values()) == ["FAIL", "PASS", "PASS"]
    assert tags["slimgate.verdict.metric/accuracy"] == "PASS"
    drops = {name: value for name, value in logged.metrics.items() if name.endswith("/drop_points")}
    [place] = [name.removeprefix("slimgate.verdict.") for name, value in tags.items() if value == "FAIL"]
    assert (len(drops), drops[f"{place}/drop_points"]) == (3, 9.0)
    assert all(ALLOWED.fullmatch(name) for name in (*logged.metrics, *logged.tags))


def test_a_text_is_cut_to_what_mlflow_takes(tmp_path: Path) -> None:
    record = read_record_file(write_release(tmp_path)).record
    long = record.suite.model_copy(update={"title": "x" * 6000})
    note = make_suite_run(record.model_copy(update={"suite": long})).tags["mlflow.note.content"]
    assert (len(note), note[-2:]) == (5000, "x…")
