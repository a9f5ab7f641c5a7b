"""Ready-made teachers, in folders as the hub has them, whose outputs stand in another order than labels."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv
from support.user_repository import Ran, run_pytest

from fixtures.models.hub_layout import write_dataset
from fixtures.models.ready_made import write_ready_made
from fixtures.models.tiny import write_rows

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "film reviews, judged by a model that somebody else trained"
threads = 1

[task]
kind = "text_classification"
source = {{ name = "hub", id = "./rows" }}
text = ["text"]
label = "label"
max_tokens = 24
splits = {{ train = "rest", calibration = 0, selection = 200 }}
{labels}
[teacher]
model = "./{model}"

[variants]
pruned = {{ steps = [{{ magnitude_prune = {{ sparsity = 0.1 }} }}] }}

[measure]
metrics = ["accuracy"]
"""
# The rows' labels are 0 (neg) and 1 (pos), as GLUE has them.
MODELS = {
    "as-named": {"labels": ("LABEL_0", "LABEL_1")},
    "other-order": {"labels": ("1", "0"), "order": (1, 0)},
    "swapped": {"labels": ("LABEL_0", "LABEL_1"), "order": (1, 0)},
    "other-names": {"labels": ("unfavourable", "favourable")},
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite for each model, and `stated`: the swapped one with the labels that the error asks for."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "pytest.ini").write_text("[pytest]\n")
    bench = folder / "bench"
    for name, named in MODELS.items():
        write_ready_made(bench / name, **named)  # type: ignore[arg-type]
        (bench / f"{name}.toml").write_text(SUITE.format(model=name, labels=""))
    (bench / "stated.toml").write_text(SUITE.format(model="swapped", labels='labels = ["1", "0"]\n'))
    splits = {"train": table(folder, 500, seed=1), "validation": table(folder, 300, seed=2)}
    write_dataset(bench / "rows", splits, class_labels={"label": ("neg", "pos")})
    return folder


def table(folder: Path, rows: int, *, seed: int) -> pa.Table:
    read = csv.read_csv(write_rows(folder / "rows.csv", rows, seed=seed))
    numbers = [["neg", "pos"].index(label) for label in read["label"].to_pylist()]
    return pa.table({"text": read["text"], "label": numbers})


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    """The suites whose names fit, in one run."""
    names = ("as-named", "other-order", "swapped", "stated")
    return run_pytest(
        repository, *(f"bench/{name}.toml" for name in names), "-v", "-k", "quality", "-p", "no:xdist"
    )


def test_names_in_another_order_are_put_right_and_logged(ran: Ran) -> None:
    assert ran.find_variant("other-order", "teacher")["steps"][0]["log"]["output_order"] == [1, 0]
    assert ran.find_variant("as-named", "teacher")["steps"][0]["log"]["output_order"] == [0, 1]


@pytest.mark.parametrize("suite", ["other-order", "stated"])
def test_a_model_put_right_is_as_accurate_as_one_in_order(ran: Ran, suite: str) -> None:
    accuracy = {
        name: ran.find_variant(name, "teacher")["quality"]["accuracy"]["value"]
        for name in ("as-named", suite)
    }
    assert accuracy["as-named"] == accuracy[suite] > 0.8


def test_what_the_trial_saw_is_in_the_record(ran: Ran) -> None:
    seen = ran.find_variant("stated", "teacher")["steps"][0]["log"]["label_order"]
    assert seen["rows"] == 100
    assert seen["balanced_accuracy"] == seen["in_the_best_order"] > 0.8


def test_names_that_do_not_fit_end_the_run_with_both_label_maps(repository: Path) -> None:
    ran = run_pytest(repository, "bench/other-names.toml", "-p", "no:xdist")
    assert ran.code == 4, ran.out
    assert "Model: 0=unfavourable, 1=favourable; data: 0=0, 1=1." in ran.out
    assert "Traceback" not in ran.out


def test_names_that_fit_over_a_wrong_order_fail_with_what_to_set(ran: Ran) -> None:
    assert ran.code == 1, ran.out
    assert ran.find_outcome("bench/swapped.toml::test_quality[pruned-accuracy]") == "FAILED"
    assert ran.find_outcome("bench/stated.toml::test_quality[pruned-accuracy]") == "PASSED"
    error = ran.find_variant("swapped", "pruned")["error"]
    assert "The model's names: 0=LABEL_0, 1=LABEL_1. On 100 rows of selection, their balanced accur" in error
    assert "if they mean 0=0, 1=1, and" in error
    assert error.endswith('If the second order is right, set [task] labels = ["1", "0"]')
    assert "Traceback" not in ran.out
