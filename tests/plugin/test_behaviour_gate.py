"""Behaviour on a tiny suite as a user runs it: flips and slices with budgets, in record and report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.gate_results import list_result_properties, make_gate_result
from support.user_repository import Ran, run_pytest

from slimgate.record.outcome_files import read_outcomes

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "which rows turn"
extends = "_common.toml"

[task]
slices = ["length_bucket"]

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
damaged = { steps = [{ "own_steps:Invert" = {} }] }
shown = { steps = [{ "own_steps:Invert" = {} }], gated = false, reason = "to see what it costs" }
unsure = { steps = [{ "own_steps:Same" = {} }] }
fine = { steps = [{ "own_steps:Same" = {} }] }

[budgets]
flips = { flips_max_percent = 2.0, reason = "customers notice" }
[budgets.slices]
accuracy = { drop_points = 8.0 }
[budgets.variants.unsure]
flips = { flips_max_percent = 0.1, on_inconclusive = "warn" }
[budgets.variants.fine.slices]
accuracy = { drop_points = 1.0 }
"""
NODE = "bench/rows.toml::test_behaviour[{}]"


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    """All behaviours and nothing else."""
    (repository / "bench/rows.toml").write_text(SUITE)
    return run_pytest(repository, "bench/rows.toml", "-v", "-k", "behaviour", "-p", "no:xdist")


def test_a_variant_that_turns_rows_fails_alone_in_one_line(ran: Ran) -> None:
    assert ran.code == 1
    outcomes = {
        name: ran.find_outcome(NODE.format(name)) for name in ("same", "damaged", "shown", "unsure", "fine")
    }
    assert outcomes == {
        **dict.fromkeys(("same", "shown", "unsure"), "PASSED"),
        **dict.fromkeys(("damaged", "fine"), "FAILED"),
    }
    message = ran.find_variant("rows", "damaged")["behaviour"]["message"]
    at = next(i for i, line in enumerate(ran.lines) if line.startswith("___") and "damaged" in line)
    assert ran.lines[at + 1] == message
    assert "budget 2 % (n=400): FAIL; accuracy on 6 slices, budget 8 points" in message
    assert "Traceback" not in ran.out


def test_verdicts_of_the_run_count_them(ran: Ran) -> None:
    verdict = ran.record("rows")["verdict"]
    assert verdict["status"] == "FAIL"
    counts = {key: verdict[key] for key in ("passed", "failed", "inconclusive")}
    # same: both; damaged: both; unsure: slices hold, flips are undecided; fine: flips hold
    assert counts == {"passed": 4, "failed": 2, "inconclusive": 2}
    messages = [
        ran.find_variant("rows", name)["behaviour"]["message"] for name in ("damaged", "unsure", "fine")
    ]
    assert verdict["messages"] == messages
    rows = {
        line.split()[0]: line
        for line in ran.lines
        if line[:7].strip() in ("same", "damaged", "unsure", "fine")
    }
    assert rows["damaged"].endswith("FAIL (flips, slices accuracy)")
    assert rows["unsure"].endswith("INCONCLUSIVE (flips)")
    assert rows["same"].endswith("PASS")
    assert rows["fine"].endswith("INCONCLUSIVE (slices accuracy)")


def test_undecided_slices_are_inconclusive_in_all_outputs(ran: Ran) -> None:
    behaviour = ran.find_variant("rows", "fine")["behaviour"]
    assert {part["verdict"] for part in behaviour["slices"]} == {"INCONCLUSIVE"}
    assert [budget["verdict"] for budget in behaviour["budgets"]] == ["PASS", "INCONCLUSIVE"]
    assert [budget["on_inconclusive"] for budget in behaviour["budgets"]] == ["fail", "fail"]
    assert re.search(
        r"INCONCLUSIVE, 0 inside, 6 undecided \(worst: length_bucket .*, n=\d+\), about [\d,]+ rows",
        behaviour["message"],
    )
    properties = list_result_properties(make_gate_result("behaviour", "fine", **behaviour))
    assert properties["slimgate.verdict.slices.accuracy"] == "INCONCLUSIVE"
    assert properties["slimgate.verdict.flips_max_percent"] == "PASS"
    report = (ran.folder / "reports/latest/rows/report.md").read_text()
    assert "2 are undecided" in report
    [advice] = [line for line in report.splitlines() if line.startswith("- Ship ")]
    assert ("same" in advice, "fine" in advice) == (True, False)


def test_named_slices_are_judged_by_budgets_of_their_own(ran: Ran) -> None:
    """same: changed nothing; 400 rows of two labels decide 8 points, and not 0.5."""
    text = SUITE.replace(
        "[budgets.variants.unsure]",
        """[budgets.slices.label.pos]
accuracy = { drop_points = 9.0 }
[budgets.slices.label.neg]
accuracy = { drop_points = 0.5, on_inconclusive = "warn" }
[budgets.variants.unsure]""",
    )
    (ran.folder / "bench/named.toml").write_text(text)
    done = run_pytest(ran.folder, "bench/named.toml", "-k", "behaviour and same")
    assert done.code == 0
    behaviour = done.find_variant("named", "same")["behaviour"]
    verdicts = {budget["kind"]: budget["verdict"] for budget in behaviour["budgets"]}
    assert verdicts["slices.accuracy[label=pos]"] == "PASS"
    assert verdicts["slices.accuracy[label=neg]"] == "INCONCLUSIVE"
    assert re.search(
        r"accuracy of label neg: drop 0.0 points .* budget 0.5 \(n=\d+\): INCONCLUSIVE, about [\d,]+ "
        "rows of it would decide",
        behaviour["message"],
    )
    plan = run_pytest(ran.folder, "bench/named.toml", "--slimgate-plan").out
    assert re.search(r"slices by label neg, accuracy: 0 of 1 can be decided at 0.5 points .*only warn", plan)
    (ran.folder / "bench/named.toml").write_text(text.replace("label.pos]", "label.poss]"))
    wrong = run_pytest(ran.folder, "bench/named.toml")
    assert wrong.code == 4
    assert "[budgets.slices.label] poss: no gate row has this value. Did you mean pos?" in wrong.out


def test_the_record_holds_what_the_outcomes_say(ran: Ran) -> None:
    folder = ran.folder / "reports/latest/rows/outcomes"
    teacher, variant = (read_outcomes(folder / f"{name}.parquet") for name in ("teacher", "damaged"))
    behaviour = ran.find_variant("rows", "damaged")["behaviour"]
    lost = (teacher.predictions == teacher.labels) & (variant.predictions != variant.labels)
    assert behaviour["flips"]["right_to_wrong"] == lost.sum()
    assert behaviour["kl_to_teacher"] > 0.1
    confusion = behaviour["confusion"]
    assert sum(map(sum, confusion)) == behaviour["n"] == 400
    assert confusion[0][1] == ((variant.labels == 0) & (variant.predictions == 1)).sum()
    by_column: dict[str, int] = {}
    for part in behaviour["slices"]:
        by_column[part["column"]] = by_column.get(part["column"], 0) + part["n"]
    assert by_column == {"label": 400, "length_bucket": 400}
    drops = [part["drop_points"] for part in behaviour["slices"]]
    assert drops == sorted(drops, reverse=True)


def test_lost_rows_are_quoted_with_the_text_of_their_id(ran: Ran) -> None:
    rows = (ran.folder / "bench/rows.csv").read_text().splitlines()[1:]
    quoted = ran.find_variant("rows", "damaged")["behaviour"]["flips"]["quoted"]
    assert len(quoted) == 10
    sure = [row["variant_confidence"] for row in quoted]
    assert sure == sorted(sure, reverse=True)
    for row in quoted:
        text, label, _ = rows[int(row["id"].removeprefix("all/"))].split(",")
        assert (row["text"], row["label"], row["teacher"]) == (text, label, label)
        assert row["variant"] != label
    report = (ran.folder / "reports/latest/rows/report.md").read_text()
    assert f"| {quoted[0]['text']} " in report
    assert "why this budget: customers notice" in report


def test_a_part_that_runs_again_keeps_the_others(ran: Ran) -> None:
    again = run_pytest(ran.folder, NODE.format("same"))
    assert again.code == 0
    assert again.find_variant("rows", "damaged")["behaviour"]["verdict"] == "FAIL"
    assert again.record("rows")["verdict"]["failed"] == 2


def test_the_plan_says_whether_the_rows_can_decide_flips(ran: Ran) -> None:
    plan = run_pytest(ran.folder, "bench/rows.toml", "--slimgate-plan")
    basis = "if .* an equal variant passes in .* % of simulations"
    assert re.search(rf"flips flips_max_percent 2 .* +{basis} +400 gate rows: (perhaps|yes|NO)", plan.out)
    assert re.search(
        r"flips flips_max_percent 0.1 .* an equal variant passes in 0 % of simulations +400 gate rows: NO",
        plan.out,
    )


def test_the_plan_says_how_many_slices_the_rows_can_decide(ran: Ran) -> None:
    plan = run_pytest(ran.folder, "bench/rows.toml", "--slimgate-plan").out
    # z² 0.05 / 0.08² + 2 / 0.05 is 89 rows, at 1 point 3,132 (rows_needed.py)
    assert "slices by label, accuracy: 2 of 2 can be decided at 8 points" in plan
    assert re.search(
        r"slices by label, accuracy: 0 of 2 can be decided at 1 point \(.*3,132 needed\), "
        "undecided ones fail, for fine",
        plan,
    )
    assert "slices by length_bucket, accuracy: 0 of 4 can be decided at 1 point" in plan


def test_slices_of_too_many_values_end_the_run_before_any_build(ran: Ran) -> None:
    rows = (ran.folder / "bench/rows.csv").read_text().splitlines()
    wide = [f"{line},{'own' if k == 0 else k}" for k, line in enumerate(rows)]
    (ran.folder / "bench/wide.csv").write_text("\n".join(wide) + "\n")
    text = SUITE.replace('["length_bucket"]', '["own"]\nsource = { path = "wide.csv" }')
    (ran.folder / "bench/wide.toml").write_text(text)
    done = run_pytest(ran.folder, "bench/wide.toml")
    assert done.code == 4
    assert (
        'bench/wide.toml [task]: slices: column "own" has 400 values in the gate rows, expected at most 200'
        in done.out
    )
    assert not (ran.folder / "reports/latest/wide").exists()
