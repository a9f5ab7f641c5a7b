"""Suites of logs against a baseline: weaker gates, other logs of the base, and accepted releases."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.lm_eval_logs import write_lm_eval
from support.log_suites import SUITE
from support.user_repository import run_pytest

from slimgate.cli.main import main
from slimgate.record.run import read_record


def accept(repository: Path, name: str, *options: str, suite: str = "logs") -> int:
    run, baselines = repository / "reports/latest" / suite, repository / "reports/baselines"
    return main(["accept", str(run), "--name", name, "--baselines", str(baselines), *options])


def loosen(repository: Path) -> None:
    suite = repository / "bench/logs.toml"
    suite.write_text(suite.read_text("utf-8").replace("drop_points = 5.0", "drop_points = 9.0"), "utf-8")


@pytest.fixture
def with_baseline(repository: Path) -> Path:
    """A repository with one target, which passed and was accepted as v1."""
    suite = repository / "bench/logs.toml"
    suite.write_text(suite.read_text("utf-8").replace(', bad = "../logs/bad"', ""), "utf-8")
    assert run_pytest(repository, "bench").code == 0
    assert accept(repository, "v1") == 0
    return repository


AGAINST_BASELINE = ("bench", "--slimgate-baseline", "reports/baselines")


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["serial", "worker"])
def test_a_gate_weaker_than_its_baseline_needs_a_reason(
    with_baseline: Path, workers: tuple[str, ...]
) -> None:
    latest = with_baseline / "reports/latest/logs"
    equal = run_pytest(with_baseline, *AGAINST_BASELINE, *workers)
    assert equal.code == 0, equal.out
    baseline = read_record(latest / "run.json").baseline
    assert baseline is not None
    assert (baseline.name, baseline.weaker) == ("v1", [])
    assert "v1 → this run" in (latest / "compare.md").read_text("utf-8")
    loosen(with_baseline)
    weaker = run_pytest(with_baseline, *AGAINST_BASELINE, *workers)
    assert weaker.code == 4, weaker.out
    words = "bench/logs.toml: the gate demands less than the baseline v1:"
    assert any(words in line for line in weaker.lines), weaker.lines
    assert not (latest / "run.json").exists()


def test_an_accepted_weaker_gate_is_the_next_baseline(with_baseline: Path) -> None:
    loosen(with_baseline)
    assert run_pytest(with_baseline, "bench").code == 0
    assert accept(with_baseline, "v2") == 4
    assert accept(with_baseline, "v2", "--reason", "the demo has no users") == 0
    assert run_pytest(with_baseline, *AGAINST_BASELINE).code == 0


def test_a_base_that_got_worse_is_shown_and_judged(with_baseline: Path) -> None:
    """A tool that runs both models again gives other answers of the base too."""
    right = [1.0] * 145 + [0.0] * 55
    write_lm_eval(with_baseline / "logs/base", {"gsm8k": right, "arc": right[-60:]})
    write_lm_eval(with_baseline / "logs/good", {"gsm8k": right, "arc": right[-60:]})
    ran = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert ran.code == 0, ran.out
    comment = (with_baseline / "reports/latest/pr-comment.md").read_text("utf-8")
    assert "the base has changed: its gsm8k/acc was 0.75 and is 0.725" in comment
    assert accept(with_baseline, "v2") == 4


def test_a_base_that_is_run_again_may_differ_a_little(with_baseline: Path) -> None:
    """2 of 200 answers are 1 point, of a budget of 5: at most a quarter of it."""
    arc = [1.0] * 10 + [0.0] * 50
    for name in ("base", "good"):
        write_lm_eval(with_baseline / "logs" / name, {"gsm8k": [1.0] * 148 + [0.0] * 52, "arc": arc})
    assert run_pytest(with_baseline, *AGAINST_BASELINE).code == 0
    compared = (with_baseline / "reports/latest/logs/compare.md").read_text("utf-8")
    assert "The base has changed: its gsm8k/acc was 0.75 and is 0.74" in compared
    assert "demands less" not in compared
    assert accept(with_baseline, "v2") == 4  # so that the base does not fall by a quarter in every release
    assert accept(with_baseline, "v2", "--reason", "the same base again") == 0


def test_other_scores_for_the_base_s_same_answers_are_refused(with_baseline: Path) -> None:
    """A scorer that is broken for both models gives every sample the same score."""
    for name in ("base", "good"):
        for file in (with_baseline / "logs" / name).glob("samples_*"):
            file.write_text(file.read_text("utf-8").replace('"acc": 0.0', '"acc": 1.0'), "utf-8")
    ran = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert ran.code == 4, ran.out
    assert any(
        "the base's answers are the same, and its scores of gsm8k/acc differ" in line for line in ran.lines
    )


def test_the_log_of_another_model_is_noted(with_baseline: Path) -> None:
    logs = with_baseline / "logs"
    right = [1.0] * 150 + [0.0] * 50
    write_lm_eval(logs / "good", {"gsm8k": right, "arc": right[-60:]}, results={"model_name": "other"})
    assert run_pytest(with_baseline, *AGAINST_BASELINE).code == 0
    compared = (with_baseline / "reports/latest/logs/compare.md").read_text("utf-8")
    assert 'good: the log is of the model "other", and was of "good".' in compared


def test_a_reason_beside_a_pattern_is_that_of_each_budget(with_baseline: Path) -> None:
    suite = with_baseline / "bench/logs.toml"
    off = '\n[budgets.variants.good]\n"*" = { drop_points = "off", reason = "gsm8k is replaced" }\n'
    suite.write_text(suite.read_text("utf-8") + off, "utf-8")
    ran = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert ran.code == 4
    [line] = [line for line in ran.lines if line.startswith("exit code 4: ")]
    assert "drop_points was 5" not in line
    assert "the documents of gsm8k in the base's log are not judged now" in line
    assert "Restore it, or accept this gate" in line


def test_settings_that_are_no_longer_compared_weaken_the_gate(with_baseline: Path) -> None:
    next((with_baseline / "logs/good").glob("results_*")).unlink()
    ran = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert ran.code == 4
    [line] = [line for line in ran.lines if line.startswith("exit code 4: ")]
    assert "settings that were compared are not in both logs now: shots, limit, chat template" in line


def test_the_last_run_is_no_baseline(with_baseline: Path) -> None:
    ran = run_pytest(with_baseline, "bench", "--slimgate-baseline", "reports/latest")
    assert ran.code == 4
    assert any("this run overwrites its baseline reports/latest" in line for line in ran.lines), ran.lines
    assert (with_baseline / "reports/latest/logs/run.json").is_file()


def test_a_suite_with_a_baseline_is_not_left_out(with_baseline: Path) -> None:
    suite = with_baseline / "bench/logs.toml"
    (with_baseline / "bench/more.toml").write_text(suite.read_text("utf-8"), "utf-8")
    suite.write_text("# judged by hand\n", "utf-8")
    left_out = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert left_out.code == 4
    words = "bench/logs.toml: a baseline is in reports/baselines, but this run leaves the suite out"
    assert any(words in line for line in left_out.lines), left_out.lines
    for options in (("bench", "--ignore-glob=*/l*"), ("bench/more.toml",)):  # left out on purpose
        on_purpose = run_pytest(with_baseline, *options, *AGAINST_BASELINE[1:])
        assert "leaves the suite out" not in on_purpose.out


def test_a_suite_that_was_not_compared_is_named(with_baseline: Path) -> None:
    suite = with_baseline / "bench/logs.toml"
    (with_baseline / "bench/more.toml").write_text(suite.read_text("utf-8"), "utf-8")
    new = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert new.code == 0
    words = "bench/more.toml: no baseline in reports/baselines, so its gate was not compared"
    assert any(words in line for line in new.lines), new.lines
    assert accept(with_baseline, "v2", suite="more") == 0
    suite.unlink()
    gone = run_pytest(with_baseline, *AGAINST_BASELINE)
    assert gone.code == 4
    words = f"bench/logs.toml: a baseline is in reports/baselines, but the file {suite} is gone; restore"
    assert any(words in line for line in gone.lines), gone.lines
    shutil.rmtree(with_baseline / "reports/baselines/v1/logs")
    assert run_pytest(with_baseline, *AGAINST_BASELINE).code == 0
    report = "judge logs/base logs/good --metric gsm8k/acc --drop-points 5 --report reports/latest/judged"
    command = [sys.executable, "-m", "slimgate", *report.split()]
    assert subprocess.run(command, cwd=with_baseline, capture_output=True).returncode == 0
    assert accept(with_baseline, "v2", suite="judged") == 0
    assert run_pytest(with_baseline, *AGAINST_BASELINE).code == 0


def test_a_baseline_that_is_not_there_ends_the_run(repository: Path) -> None:
    (repository / "reports/baselines/v1").mkdir(parents=True)
    for folder, words in (
        ("baselines", "reports/baselines: no baseline of bench/logs.toml is in this folder"),
        (
            "baselinse",
            "reports/baselinse: cannot be read: No such file or directory. Did you mean baselines?",
        ),
    ):
        ran = run_pytest(repository, "bench", "-k", "good", "--slimgate-baseline", f"reports/{folder}")
        assert ran.code == 4
        assert any("--slimgate-baseline" in line and words in line for line in ran.lines), ran.lines


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("", 'missing = "drop"', '[logs] missing was "fail" and is "drop"'),
        ('missing = "as-wrong"', 'missing = "drop"', '[logs] missing was "as-wrong" and is "drop"'),
        ("", 'allow = ["prompt"]', '[logs] allow was [] and is ["prompt"]'),
        ('missing = "drop"\nallow = ["prompt", "shots"]', 'allow = ["shots"]', None),
    ],
    ids=["samples left out", "samples no longer wrong", "prompts may differ", "stricter"],
)
def test_laxer_rules_of_logs_are_a_weaker_gate(
    repository: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, change: str | None
) -> None:
    reports = []
    for name, keys in (("old", before), ("new", after)):
        suite = SUITE.replace("[budgets]", f"{keys}\n[budgets]", 1)
        (repository / "bench/logs.toml").write_text(suite, "utf-8")
        run_pytest(repository, "bench/logs.toml", "--slimgate-report", name)
        reports.append(str(repository / name / "logs"))
    code = main(["compare", *reports])
    assert code == (change is not None)
    if change is not None:
        assert f"- {change} (no reason)" in capsys.readouterr().out.replace("\\", "")  # of Markdown
