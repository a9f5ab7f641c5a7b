"""What a run is called in the end, and its exit code: one rule wherever it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.kl_logs import write_kl_log
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import write_vllm
from support.prediction_rows import make_turned_rows, write_predictions
from support.sample_record import make_sample_record

from slimgate.cli.main import main
from slimgate.record.earlier_results import format_status
from slimgate.record.lines import make_lines
from slimgate.record.run import RunRecord, VariantRecord, format_record_json
from slimgate.record.run_verdict import judge_record
from slimgate.report.github import list_budget_annotations
from slimgate.report.head import format_verdict_line
from slimgate.report.pr_comment import format_pr_comment
from slimgate.report.terminal.summary import join_line, list_summary_lines
from slimgate.results.base import BudgetFacts, OnInconclusive, Verdict, find_worst_verdict
from slimgate.results.checks import TEACHER
from slimgate.results.counts import format_verdict
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import SelfTest

P, F, U = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Judged = tuple[tuple[Verdict, OnInconclusive], ...]

# Budgets with what INCONCLUSIVE does -> the word, the last line of a command, the exit code.
CASES: dict[str, tuple[Judged, str, str, bool]] = {
    "holds": (((P, "fail"),), "PASS", "PASS (1 PASS, 0 FAIL, 0 INCONCLUSIVE, 0 not gated)", False),
    "fails": (((P, "fail"), (F, "warn")), "FAIL", "FAIL (1 PASS, 1 FAIL, 0 INCONCLUSIVE, 0 not gated)", True),
    "undecided": (
        ((U, "fail"),),
        "INCONCLUSIVE",
        "INCONCLUSIVE (0 PASS, 0 FAIL, 1 INCONCLUSIVE, 0 not gated)",
        True,
    ),
    "undecided-only-warns": (
        ((U, "warn"),),
        "INCONCLUSIVE",
        "INCONCLUSIVE (0 PASS, 0 FAIL, 1 INCONCLUSIVE, which only warns, 0 not gated)",
        False,
    ),
    "undecided-beside-a-pass": (
        ((P, "fail"), (U, "warn")),
        "INCONCLUSIVE",
        "INCONCLUSIVE (1 PASS, 0 FAIL, 1 INCONCLUSIVE, which only warns, 0 not gated)",
        False,
    ),
    "undecided-twice": (
        ((U, "warn"), (U, "fail")),
        "INCONCLUSIVE",
        "INCONCLUSIVE (0 PASS, 0 FAIL, 2 INCONCLUSIVE, 0 not gated)",
        True,
    ),
    "nothing-gated": ((), "measured", "nothing was gated: no budget was set", False),
}


def record_of(judged: Judged) -> RunRecord:
    budgets = [
        BudgetFacts(kind="floor", limit=0.5, verdict=status, on_inconclusive=on_inconclusive)
        for status, on_inconclusive in judged
    ]
    facts = QualityFacts(
        teacher=0.9,
        value=0.8,
        drop_points=1.0,
        n=90,
        budgets=budgets,
        verdict=find_worst_verdict([status for status, _ in judged]),
        message="a: accuracy",
        measured="2026-11-20T08:14:02Z",
    )
    variant = VariantRecord(name="a", parent=TEACHER, quality={"accuracy": facts})
    run_verdict = judge_record([variant], SelfTest(), 0)
    return make_sample_record(
        variants=[variant],
        verdict=run_verdict,
        this_run=run_verdict,
        followed=[],
        self_test=SelfTest(),
        row_use=None,
    )


@pytest.mark.parametrize(("judged", "word", "line", "fails"), CASES.values(), ids=CASES)
def test_every_place_has_the_same_word(judged: Judged, word: str, line: str, fails: bool) -> None:
    record = record_of(judged)
    assert (record.verdict.status, record.verdict.fails) == (word, fails)
    assert format_status(record) == word
    assert format_verdict_line(record).startswith(f"**{word}**")
    assert {row.status for row in make_lines(record)} == {word}
    assert json.loads(format_record_json(record))["verdict"]["status"] == word
    terminal = [join_line(styled) for styled in list_summary_lines(record, "report.md")]
    assert any(printed.startswith(f"{record.suite.path}: {word} (") for printed in terminal)
    comment = format_pr_comment([record])
    assert f"**{word}**" in comment
    for text in (format_verdict_line(record), comment, terminal[-1]):
        assert word == "PASS" or "**PASS**" not in text
    marked = {annotation.split(" ", 1)[0] for annotation in list_budget_annotations(record, "x.toml")}
    assert marked == ({"::error"} if F in dict(judged) else {"::warning"} if U in dict(judged) else set())
    assert format_verdict(record.verdict) == line


def predictions(folder: Path) -> list[str]:
    teacher, variant = make_turned_rows(100, lost=2)
    files = [
        write_predictions(folder / f"{name}.csv", rows) for name, rows in (("t", teacher), ("v", variant))
    ]
    return [*map(str, files), "--drop-points", "2"]


def logs(folder: Path) -> list[str]:
    right = [1.0] * 90 + [0.0] * 10
    files = [
        write_lm_eval(folder / name, {"arc": scores})
        for name, scores in (("b", right), ("t", [0.0, 0.0, *right[2:]]))
    ]
    return [*map(str, files), "--drop-points", "2"]


def load_tests(folder: Path) -> list[str]:
    (folder / "speed.toml").write_text("[budgets]\nlatency = { speedup_min = 1.5 }\n")
    files = [write_vllm(folder / "base.json", 0), write_vllm(folder / "target.json", 2)]
    return [*map(str, files), "--budgets", str(folder / "speed.toml")]


def kl_log(folder: Path) -> list[str]:
    (folder / "kl.toml").write_text("[budgets]\nkl = { mean_max = 0.02 }\n")
    return [str(write_kl_log(folder / "kl.txt", np.full(20, 0.01))), "--budgets", str(folder / "kl.toml")]


@pytest.mark.parametrize("make", [predictions, logs, load_tests, kl_log])
def test_a_command_that_decides_nothing_says_so(
    make: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["judge", *make(tmp_path)]
    assert main(arguments) == 1
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("INCONCLUSIVE (0 PASS, 0 FAIL, 1 INCONCLUSIVE, 0")
    )
    assert main([*arguments, "--on-inconclusive", "warn"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("INCONCLUSIVE (0 PASS, 0 FAIL, 1 INCONCLUSIVE, which only warns, 0 not gated)")
    main([*arguments, "--on-inconclusive", "warn", "--json"])
    assert '"status": "INCONCLUSIVE"' in capsys.readouterr().out


@pytest.mark.parametrize("make", [predictions, logs, load_tests, kl_log])
def test_a_command_without_budgets_gates_nothing(
    make: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["judge", *make(tmp_path)[:-2]]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing was gated: no budget was set"
    assert main([*arguments, "--require-budget"]) == 4
    assert "--require-budget: nothing was gated for " in capsys.readouterr().err
