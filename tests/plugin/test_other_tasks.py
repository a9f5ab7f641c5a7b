"""Regression, sets of labels and tags through pytest: suites of tiny models, one on a folder of the hub."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.hub_layout import write_dataset
from fixtures.models.task_rows import make_task_rows
from slimgate.record.outcome_files import read_outcomes

pytestmark = pytest.mark.slow

COMMON = """\
[suite]
title = "tiny"
threads = 1

[task]
max_tokens = 24

[teacher]
model = "../model"

[variants]
int8 = { steps = [{ int8_dynamic = {} }] }

[measure]
workloads = [{ batch = 1 }]
on_inconclusive = "warn"
rounds = 3
max_seconds = 0.1
"""
REGRESSION = """\
[suite]
extends = "_common.toml"

[task]
kind = "text_regression"
source = { name = "hub", id = "../pairs", config = "stsb", real = false }
text = ["sentence1", "sentence2"]
score = "score"
splits = { train = 120, calibration = 16, selection = 30, gate = 200 }

[budgets]
spearman = { drop_points = 30.0 }
mse = { increase_relative = 0.5, above_cap_max = 0.05 }
"""
LABELS = """\
[suite]
extends = "_common.toml"

[task]
kind = "multi_label"
source = { name = "files", path = "labels.parquet", real = false }
text = ["text"]
label = "topics"
splits = { train = 120, calibration = 16, selection = 30, gate = 200 }

[budgets]
labels_f1_micro = { drop_points = 20.0 }
subset_accuracy = { drop_points = 30.0 }
flips = { flips_max_percent = 40.0 }
"""
TAGS = """\
[suite]
extends = "_common.toml"

[task]
kind = "token_classification"
source = { name = "files", path = "tags.parquet", real = false }
words = "tokens"
tags = "tags"
slices = ["length_bucket"]
splits = { train = 120, calibration = 16, selection = 30, gate = 200 }

[variants]
student = { steps = [{ keep_layers = [0, 2, 3] }, { distill = { epochs = 2, learning_rate = 1e-3 } }] }

[budgets]
span_f1 = { drop_points = 50.0 }
tag_accuracy = { drop_points = 20.0 }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("repository")
    write_tiny(folder / "model", "bert", initializer_range=0.2)
    bench = folder / "bench"
    bench.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    texts = [make_task_rows("text_regression", 400, seed=seed).table.drop_columns(["id"]) for seed in (1, 2)]
    splits = [
        table.rename_columns(["sentence1", "score"]).append_column("sentence2", [["the film"] * 400])
        for table in texts
    ]
    write_dataset(folder / "pairs", dict(zip(("train", "validation"), splits, strict=True)), config="stsb")
    pq.write_table(make_task_rows("multi_label", 400, seed=3).table, bench / "labels.parquet")
    pq.write_table(make_task_rows("token_classification", 400, seed=4).table, bench / "tags.parquet")
    suites = {"_common": COMMON, "regression": REGRESSION, "labels": LABELS, "tags": TAGS}
    for name, text in suites.items():
        (bench / f"{name}.toml").write_text(text)
    return run_pytest(folder, "bench", "-v", "-k", "not latency and not speedup", "-W", "error")


@pytest.mark.parametrize("suite", ["regression", "labels", "tags"])
def test_every_gate_of_every_suite_ran(ran: Ran, suite: str) -> None:
    assert ran.code == 0, ran.out
    record = ran.record(suite)
    assert [v["name"] for v in record["variants"]] == [
        "teacher",
        "int8",
        *(["student"] if suite == "tags" else []),
    ]
    checks = record["self_test"]
    assert checks["identical"]["verdict"] != "FAIL"
    assert checks["identical"]["changed"] == 0
    assert checks["planted_fault"]["verdict"] != "PASS"


def test_a_regression_is_judged_by_correlation_and_errors(ran: Ran) -> None:
    teacher = ran.find_variant("regression", "teacher")["quality"]
    assert teacher["pearson"]["value"] > 0.3
    assert set(teacher) == {"pearson", "spearman", "mse"}
    outcomes = read_outcomes(ran.folder / "reports/latest/regression/outcomes/int8.parquet")
    gold, score = outcomes.column("gold"), outcomes.column("score")
    assert ran.find_variant("regression", "int8")["quality"]["mse"]["value"] == pytest.approx(
        float(np.mean((gold - score) ** 2))
    )
    assert ran.find_variant("regression", "int8")["behaviour"]["flips"] is None


def test_sets_of_labels_are_reported_in_words_and_flip(ran: Ran) -> None:
    assert ran.find_variant("labels", "teacher")["quality"]["labels_f1_micro"]["value"] > 0.5
    assert ran.find_variant("labels", "int8")["behaviour"]["flips"]["changed"] >= 0
    outcomes = read_outcomes(ran.folder / "reports/latest/labels/outcomes/teacher.parquet")
    assert outcomes.answers is not None
    assert set(", ".join(outcomes.answers).split(", ")) <= {"film", "plot", "actor", "(none)"}


def test_tags_are_judged_by_spans_and_by_slices_of_the_length(ran: Ran) -> None:
    assert ran.find_variant("tags", "teacher")["quality"]["span_f1"]["value"] > 0.4
    assert ran.find_variant("tags", "int8")["quality"]["tag_accuracy"]["verdict"] in ("PASS", "INCONCLUSIVE")
