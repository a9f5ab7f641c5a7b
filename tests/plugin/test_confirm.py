"""`pytest bench --slimgate-confirm`: what passed on the gate is judged once more, on rows of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

from slimgate.errors import BuildError
from slimgate.plugin.confirmation import Passed
from slimgate.record.run import read_record

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "two models of our own"
extends = "_common.toml"

[task]
splits = { train = 200, calibration = 16, selection = 40, gate = 400, confirm = 300 }

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
damaged = { steps = [{ "own_steps:Invert" = {} }] }
shown = { from = "same", steps = [{ "own_steps:Same" = {} }], gated = false, reason = "to see" }

[budgets]
accuracy = { drop_points = 5.0 }
"""
ONLY_QUALITY = ("-k", "not latency", "-q")
CONFIRM = ("bench/mine.toml", "--slimgate-confirm", "-q")


def write_suite(folder: Path, text: str = SUITE, name: str = "mine") -> None:
    (folder / f"bench/{name}.toml").write_text(text)


def keep_record(ran: Ran, suite: str = "mine") -> Ran:
    """The run with the record as it stood afterwards."""
    return Ran(ran.code, ran.out, ran.seconds, ran.folder, ran.lines, {suite: ran.record(suite)})


@pytest.fixture(scope="module")
def gate(repository: Path) -> Ran:
    """The gate alone: one variant passes, one fails."""
    write_suite(repository)
    return keep_record(run_pytest(repository, "bench/mine.toml", *ONLY_QUALITY))


@pytest.fixture(scope="module")
def confirmed(gate: Ran) -> Ran:
    return keep_record(run_pytest(gate.folder, *CONFIRM))


def test_only_what_passed_is_judged_on_the_confirm_rows(gate: Ran, confirmed: Ran) -> None:
    assert gate.code == 1
    assert gate.record("mine")["confirm"] is None
    assert confirmed.code == 0
    assert "bench/mine.toml: confirms same on 300 rows" in confirmed.lines
    assert "1 passed" in confirmed.lines[-1]
    facts = confirmed.find_variant("mine", "same")["confirm"]["accuracy"]
    assert (facts["n"], facts["verdict"], facts["drop_points"]) == (300, "PASS", 0.0)
    for name in ("damaged", "shown"):
        assert confirmed.find_variant("mine", name)["confirm"] == {}


def test_the_record_says_which_rows_and_how_often(confirmed: Ran) -> None:
    record = confirmed.record("mine")
    rows = record["task"]["splits"]["confirm"]
    assert (record["confirm"]["digest"], record["confirm"]["n"]) == (rows["digest"], 300)
    assert (record["confirm"]["uses"], record["confirm"]["models"]) == (1, 1)
    assert record["confirm"]["measured"] >= record["created"]


def test_what_the_gate_found_stays_as_it_was(gate: Ran, confirmed: Ran) -> None:
    before, after = gate.record("mine"), confirmed.record("mine")
    for key in ("created", "command", "task", "self_test", "verdict", "row_use"):
        assert after[key] == before[key]
    for name in ("same", "damaged", "shown"):
        assert {**confirmed.find_variant("mine", name), "confirm": {}} == gate.find_variant("mine", name)


def test_the_report_has_the_verdicts_of_the_confirm_rows(confirmed: Ran) -> None:
    report = (confirmed.folder / "reports/latest/mine/report.md").read_text()
    assert "## Confirmed on rows of their own" in report
    assert "confirm: same: accuracy" in report
    assert "used 2 times" not in report


def test_a_later_partial_run_keeps_what_was_confirmed(confirmed: Ran) -> None:
    ran = run_pytest(confirmed.folder, "bench/mine.toml", "-k", "size and same", "-q")
    assert ran.find_variant("mine", "same")["confirm"] == confirmed.find_variant("mine", "same")["confirm"]
    assert ran.record("mine")["confirm"] == confirmed.record("mine")["confirm"]


def test_another_model_is_a_second_use(confirmed: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(confirmed.folder, tmp_path / "copy")
    step = '{ "own_steps:Same" = {} }'
    suite = SUITE.replace(f"same = {{ steps = [{step}] }}", "same = { steps = [{ cast = {} }] }")
    write_suite(folder, suite.replace('from = "same", ', ""))
    gate = run_pytest(folder, "bench/mine.toml", *ONLY_QUALITY)
    assert gate.record("mine")["row_use"]["runs"] == 2
    assert (
        "These gate rows were used by 2 runs with other models"
        in (folder / "reports/latest/mine/report.md").read_text()
    )
    ran = run_pytest(folder, *CONFIRM)
    assert ran.code == 0
    message = "confirms same on 300 rows, which 1 earlier run used: the first use counts"
    assert f"bench/mine.toml: {message}" in ran.lines
    assert ran.record("mine")["confirm"]["uses"] == 2
    assert "the 300 confirm rows were used 2 times, by 2 models; the first use counts" in ran.lines


def test_the_use_of_rows_outlives_the_reports(confirmed: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(confirmed.folder, tmp_path / "copy")
    shutil.rmtree(folder / "reports")
    write_suite(folder, SUITE.replace("accuracy = { drop_points = 5.0 }", "accuracy = { drop_points = 6.0 }"))
    run_pytest(folder, "bench/mine.toml", *ONLY_QUALITY)
    ran = run_pytest(folder, *CONFIRM)
    assert "which 1 earlier run used" in ran.out
    assert ran.record("mine")["confirm"]["uses"] == 1  # the same models say the same again


SWAP = """

class Swap(OwnStep):
    def apply(self, model, params, context):
        vectors = dict(model.network.named_parameters())
        words = next(one for name, one in vectors.items() if name.endswith("word_embeddings.weight"))
        ids = model.tokenizer.convert_tokens_to_ids(["great", "poor", "fun", "boring"])
        words.data[ids] = words.data[[ids[1], ids[0], ids[3], ids[2]]]
        return model
"""
OLD_WORDS = {"great": "good", "fun": "nice", "poor": "bad", "boring": "awful"}


def write_parts(folder: Path) -> None:
    """The words that Swap exchanges are in train and confirm, and not in gate."""
    head, *lines = (folder / "rows.csv").read_text().splitlines()
    parts = {"train": lines[:400], "gate": lines[400:800], "confirm": lines[800:]}
    for name, rows in parts.items():
        text = "\n".join([head, *rows])
        for new, old in OLD_WORDS.items():
            if name != "train":
                text = text.replace(new, old) if name == "gate" else text.replace(old, new)
        (folder / f"{name}.csv").write_text(text)


def test_a_variant_that_fails_on_the_confirm_rows_fails_the_run(confirmed: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(confirmed.folder, tmp_path / "copy")
    (folder / "own_steps.py").write_text((folder / "own_steps.py").read_text() + SWAP)
    write_parts(folder / "bench")
    common, files = folder / "bench/_common.toml", [f'{part} = "{part}.csv"' for part in ("gate", "confirm")]
    common.write_text(
        common.read_text().replace('path = "rows.csv"', f'train = "train.csv", {", ".join(files)}')
    )
    sizes = 'splits = { train = 200, calibration = 16, selection = 40, gate = "rest", confirm = "rest" }'
    suite = SUITE.replace(SUITE.split("[task]\n")[1].splitlines()[0], sizes)
    write_suite(folder, suite.replace("own_steps:Invert", "own_steps:Swap"))
    gate = run_pytest(folder, "bench/mine.toml", *ONLY_QUALITY)
    assert gate.find_variant("mine", "damaged")["quality"]["accuracy"]["verdict"] == "PASS"
    ran = run_pytest(folder, *CONFIRM)
    assert ran.code == 1
    assert "1 failed, 1 passed" in ran.lines[-1]
    assert ran.record("mine")["verdict"]["status"] == "FAIL"
    assert [line[:17] for line in ran.record("mine")["verdict"]["messages"]] == ["confirm: damaged:"]
    report = (folder / "reports/latest/mine/report.md").read_text()
    assert "**FAIL** (confirm accuracy)" in report


def test_a_step_that_changed_since_the_gate_is_refused(confirmed: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(confirmed.folder, tmp_path / "copy")
    source = (folder / "own_steps.py").read_text()
    changed = "class Same(OwnStep):\n    def apply(self, model, params, context):\n"
    assert changed in source
    more = "        model.network.classifier.bias.data.mul_(1.5)\n"
    (folder / "own_steps.py").write_text(source.replace(changed, changed + more))
    ran = run_pytest(folder, *CONFIRM, "-n", "1")
    assert ran.code == 4
    assert "model, code or budgets of same changed since reports/latest/mine/run.json passed" in ran.out
    assert ran.find_variant("mine", "same")["confirm"] == confirmed.find_variant("mine", "same")["confirm"]


def test_another_kind_of_budget_since_the_gate_is_refused(confirmed: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(confirmed.folder, tmp_path / "copy")
    write_suite(folder, SUITE + "flips = { flips_max_percent = 0.1 }\n")  # 400 rows cannot show so few
    ran = run_pytest(folder, *CONFIRM)
    assert ran.code == 4
    assert "model, code or budgets of same changed since reports/latest/mine/run.json passed" in ran.out


def test_workers_with_fewer_threads_confirm_the_same(confirmed: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(confirmed.folder, tmp_path / "copy")
    write_suite(folder, SUITE.replace('extends = "_common.toml"', 'extends = "_common.toml"\nthreads = 2'))
    run_pytest(folder, "bench/mine.toml", *ONLY_QUALITY)
    ran = run_pytest(folder, *CONFIRM, "-n", "2")
    assert ran.code == 0
    assert ran.find_variant("mine", "same")["confirm"]["accuracy"]["verdict"] == "PASS"


def test_another_model_than_the_one_that_passed_is_refused(confirmed: Ran) -> None:
    record = read_record(confirmed.folder / "reports/latest/mine/run.json")
    passed = Passed(record, {"same": ("accuracy",)})
    artifact = record.variant("same").artifact
    assert artifact is not None
    passed.require_same("same", artifact.digest)
    with pytest.raises(BuildError, match="same: the model in the store is not the one that passed on"):
        passed.require_same("same", "0" * 64)


def test_tests_by_hand_do_not_run_on_confirm_rows(confirmed: Ran) -> None:
    test = confirmed.folder / "test_by_hand.py"
    test.write_text(
        "import pytest\n@pytest.mark.slimgate('bench/mine.toml')\n"
        "def test_rows(variant):\n    assert len(variant.outcomes) == 400\n"
    )
    ran = run_pytest(confirmed.folder, *CONFIRM, "test_by_hand.py")
    test.unlink()
    assert ran.code == 0
    assert "1 passed, 3 deselected" in ran.lines[-1]


CONFTEST = """
import pytest
from slimgate.errors import BuildError

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.{mark}(reason="not now"))

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    raise BuildError("same: the file is gone")
"""


@pytest.mark.parametrize(
    ("mark", "why"),
    [("skip", "skipped, so not confirmed: test_confirm[same-accuracy]"), ("xfail", "same: the file is gone")],
    ids=["skip", "xfail"],
)
def test_a_mark_does_not_confirm_what_was_not_judged(confirmed: Ran, mark: str, why: str) -> None:
    conftest = confirmed.folder / "conftest.py"
    conftest.write_text(CONFTEST.replace("{mark}", mark))
    ran = run_pytest(confirmed.folder, *CONFIRM)
    conftest.unlink()
    assert ran.code == 1
    assert f"exit code 1: bench/mine.toml: {why}" in ran.lines


@pytest.mark.parametrize(
    ("suite", "gate_first", "message"),
    [
        (
            SUITE.replace(", confirm = 300", ""),
            False,
            "--slimgate-confirm was given, but there is no split confirm; give [task] "
            "splits.confirm, such as "
            "confirm = 3000",
        ),
        (
            SUITE.replace("5.0", "4.0"),
            False,
            "--slimgate-confirm needs the record of a gate that passed, but reports/latest/other/run.json "
            "is not such a record; run the gate first: pytest bench/other.toml",
        ),
        (
            SUITE.replace("Same", "Invert"),
            True,
            "--slimgate-confirm: no variant with a budget on a metric is inside all its budgets in "
            "reports/latest/other/run.json (FAIL, 8 checks not made), so there is nothing to confirm; run "
            "the gate first: pytest bench/other.toml",
        ),
    ],
    ids=["no-split", "no-record", "nothing-passed"],
)
def test_what_cannot_be_confirmed_is_one_line_and_code_4(
    confirmed: Ran, suite: str, gate_first: bool, message: str
) -> None:
    folder = confirmed.folder
    shutil.rmtree(folder / "reports/latest/other", ignore_errors=True)
    write_suite(folder, suite, "other")
    if gate_first:
        run_pytest(folder, "bench/other.toml", *ONLY_QUALITY)
    ran = run_pytest(folder, "bench/other.toml", "--slimgate-confirm", "-q")
    (folder / "bench/other.toml").unlink()
    assert ran.code == 4
    lines = [line for line in ran.lines if line.startswith("ERROR")]
    assert len(lines) == 1
    assert message in lines[0].replace(": --", " --", 1).replace("bench/other.toml --", "--", 1)


def test_it_goes_without_a_shard(confirmed: Ran) -> None:
    ran = run_pytest(confirmed.folder, *CONFIRM, "--slimgate-shard", "1/2")
    assert ran.code == 4
    assert "--slimgate-confirm judges models of the store, so leave out --slimgate-shard" in ran.out
