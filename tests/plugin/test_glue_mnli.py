"""bench/glue_mnli.toml without a network: three labels, and a teacher with an order of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.user_repository import Ran, hub_home, run_pytest

from fixtures.models.hub_layout import cache_dataset, cache_model
from fixtures.models.tiny import write_tiny_bert
from fixtures.sources.nli_pairs import write_pairs, write_teacher

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "bench/glue_mnli.toml"
STAND_IN = """\
[suite]
title = "stand-in: the models and rows of the hub, by their own names"
extends = "{suite}"
threads = 1

[task]
max_tokens = 24
splits = {{ calibration = 0, selection = 100 }}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local cache of the hub with the suite's rows, its teacher in its own order, and its student."""
    folder, home = tmp_path_factory.mktemp("folders"), tmp_path_factory.mktemp("home")
    cache_dataset(home, "nyu-mll/glue", write_pairs(folder / "pairs"), config="mnli")
    # Output 0 means contradiction (2), output 1 entailment (0), output 2 neutral (1), as the suite says.
    teacher = write_teacher(folder / "teacher", folder / "scratch", order=(2, 0, 1))
    cache_model(home, "textattack/bert-base-uncased-MNLI", teacher)
    student = write_tiny_bert(folder / "student", num_hidden_layers=1, initializer_range=0.05)
    cache_model(home, "distilbert-base-uncased", student)
    return home


@pytest.fixture(scope="module")
def ran(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite as it is, and without the line that tells the teacher's labels: no network, nothing timed."""
    folder = tmp_path_factory.mktemp("repository")
    bench = folder / "bench"
    bench.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (bench / "_unstated.toml").write_text(re.sub(r"(?m)^labels = .*\n", "", SUITE.read_text("utf-8")))
    (bench / "mnli.toml").write_text(STAND_IN.format(suite=SUITE))
    (bench / "unstated.toml").write_text(STAND_IN.format(suite="_unstated.toml"))
    with hub_home(home):
        chosen = "quality and (mnli or int8)"
        suites = ("bench/mnli.toml", "bench/unstated.toml")
        return run_pytest(folder, *suites, "-p", "no:xdist", "-k", chosen)


def test_a_teacher_of_three_labels_in_its_own_order_is_judged(ran: Ran) -> None:
    record = ran.record("mnli")
    assert [variant["error"] for variant in record["variants"]] == [None] * 4, ran.out
    assert [variant["name"] for variant in record["variants"]] == ["teacher", "student", "distilled", "int8"]
    assert all(set(v["quality"]) == {"accuracy", "f1_macro", "log_loss"} for v in record["variants"])
    assert record["task"]["splits"]["gate"]["n"] == 240
    teacher = record["variants"][0]
    assert teacher["quality"]["accuracy"]["value"] > 0.7
    assert teacher["steps"][0]["log"]["output_order"] == [1, 2, 0]


def test_without_stated_labels_the_error_says_which_to_set(ran: Ran) -> None:
    assert ran.code == 1, ran.out
    error = ran.find_variant("unstated", "int8")["error"]
    assert "The model's names: 0=LABEL_0, 1=LABEL_1, 2=LABEL_2." in error
    assert error.endswith('If the second order is right, set [task] labels = ["2", "0", "1"]')
