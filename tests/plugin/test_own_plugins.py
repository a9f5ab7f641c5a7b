"""bench/own_plugins.toml on a tiny model: each plug-in of fixtures/ did what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.user_repository import Ran, run_pytest, write_clone

from fixtures.models.tiny import make_tiny_tokenizer
from fixtures.own.task import JoinedText
from slimgate.plugins.rows import Rows
from slimgate.record.outcome_files import read_outcomes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
METRIC = "fixtures.own.metric:cost_weighted_accuracy"
STEP = "fixtures.own.step:round_weights"
SMALL = """\
[suite]
title = "own plug-ins, small"
extends = "own_plugins.toml"
threads = 1

[task]
source = { rows = 1200 }
splits = { train = 300, selection = 50, gate = 800 }

[teacher]
model = "../model"

[measure]
warmup = 1
rounds = 3
max_seconds = 0.1
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite in a copy of a fresh clone, extended by a tiny model that knows the letters' words."""
    folder = write_clone(tmp_path_factory.mktemp("clone"), "small.toml", SMALL)
    return run_pytest(folder, "bench/small.toml", "-v", "-k", "not latency and not speedup", "-W", "error")


def test_the_suite_runs_and_its_budgets_hold(ran: Ran) -> None:
    assert ran.code == 0, ran.out
    assert ran.record("small")["task"]["kind"] == "fixtures.own.task:JoinedText"
    assert ran.find_variant("small", "teacher")["quality"]["accuracy"]["value"] > 0.5  # of three topics


def test_the_report_says_that_the_sources_rows_are_made_up(ran: Ran) -> None:
    assert ran.record("small")["task"]["real"] is False
    assert ran.record("small")["task"]["source"] == {
        "name": "fixtures.own.source:Letters",
        "rows": 1200,
        "seed": 0,
    }
    assert "The rows are made up." in (ran.folder / "reports/latest/small/report.md").read_text()


def test_the_metric_is_gated_like_any_other(ran: Ran) -> None:
    facts = ran.find_variant("small", "rounded")["quality"][METRIC]
    assert facts["verdict"] == "PASS"
    assert facts["budgets"][0]["limit"] == 3.0
    assert facts["message"].startswith("rounded: cost_weighted_accuracy 0.")
    assert ran.find_outcome(f"bench/small.toml::test_quality[rounded-{METRIC}]") == "PASSED"
    assert METRIC in (ran.folder / "reports/latest/small/report.md").read_text()


def test_the_metric_counts_a_mistake_on_a_refund_five_times(ran: Ran) -> None:
    outcomes = read_outcomes(ran.folder / "reports/latest/small/outcomes/coarse.parquet")
    costs = np.where(outcomes.labels == outcomes.classes.index("refund"), 5, 1)
    saved = costs[outcomes.predictions == outcomes.labels].sum() / costs.sum()
    assert ran.find_variant("small", "coarse")["quality"][METRIC]["value"] == pytest.approx(saved)


def test_the_steps_options_and_log_are_in_the_record(ran: Ran) -> None:
    for name, digits in (("rounded", 3), ("coarse", 1)):
        [step] = ran.find_variant("small", name)["steps"]
        assert (step["name"], step["params"]) == (STEP, {"digits": digits})
        assert step["given"] == ({"digits": 1} if digits == 1 else {})  # without what the defaults say
        assert step["log"]["digits"] == digits
        assert 0.4 * 10**-digits < step["log"]["largest_change"] <= 0.5001 * 10**-digits


def test_the_task_joins_its_columns_to_one_text(tmp_path: Path) -> None:
    params = JoinedText.Params(text=("title", "body"), label="topic", joiner=" very ")
    rows = Rows(pa.table({"id": ["0"], "title": ["good film"], "body": ["bad plot"]}))
    tokenizer = make_tiny_tokenizer(tmp_path / "model")
    encoded = JoinedText().encode_rows(params, rows, tokenizer)
    assert tokenizer.decode(encoded.batch([0])["input_ids"][0]) == "[CLS] good film very bad plot [SEP]"


def test_the_metrics_code_is_in_no_key_of_the_store(ran: Ran) -> None:
    store = ran.folder / ".slimgate"
    before = sorted(path for path in store.glob("*/*/manifest.json"))
    file = ran.folder / "fixtures/own/metric.py"
    file.write_text(file.read_text().replace("5.0", "7.0"))
    again = run_pytest(ran.folder, "bench/small.toml", "-k", "test_quality and rounded")
    assert again.code == 0, again.out
    assert sorted(path for path in store.glob("*/*/manifest.json")) == before
