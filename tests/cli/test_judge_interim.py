"""`slimgate judge --analyses`: the target's log is judged while it grows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.lm_eval_logs import write_lm_eval

from slimgate.cli.main import main

N = 1_000
Judge = Callable[..., tuple[int, str]]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_lm_eval(tmp_path / "base", {"gsm8k": [1.0] * N})


@pytest.fixture
def judge(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Judge:
    def run(rows: int, wrong: int, *options: object, drop: int = 2, analyses: int = 4) -> tuple[int, str]:
        """The target has run some rows, of which it got the first ones wrong."""
        target = write_lm_eval(tmp_path / "target", {"gsm8k": [0.0] * wrong + [1.0] * (rows - wrong)})
        arguments = ["judge", base, target, "--drop-points", drop, "--analyses", analyses, *options]
        code = main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out + err

    return run


def test_a_clear_loss_fails_at_an_early_look(judge: Judge) -> None:
    code, out = judge(250, 50)
    assert code == 1
    assert out.splitlines()[-1].startswith("FAIL")
    assert (
        "note: analysis 1 of 4 at 250 of 1,000 samples of gsm8k/acc: PASS and FAIL at a level of 0.0089 %, "
        "not 5 %; the next is at 500" in out
    )
    assert "750 not run yet by the target" in out
    assert "no answer to" not in out


def test_a_pass_of_one_analysis_is_undecided_at_an_early_one(judge: Judge) -> None:
    code, out = judge(250, 0)
    assert code == 1
    assert re.search(r"INCONCLUSIVE, decided alone, but not at analysis 1 of 4 \(level 0\.0089 %\)", out), out
    assert judge(500, 0)[0] == 0


def test_the_last_analysis_is_at_all_samples(judge: Judge) -> None:
    code, out = judge(N, 0)
    assert code == 0
    assert "analysis 4 of 4 at 1,000 of 1,000 samples of gsm8k/acc: PASS and FAIL at a level of 4.3 %" in out
    assert "the next" not in out


def test_before_the_first_analysis_there_is_no_verdict(judge: Judge) -> None:
    code, out = judge(249, 0)
    assert code == 4
    assert "gsm8k/acc: the target has 249 of 1,000 samples; the first of 4 analyses is at 250" in out


def test_samples_that_were_not_run_are_not_counted_as_wrong(judge: Judge) -> None:
    code, out = judge(500, 0, "--missing", "as-wrong")
    assert code == 0
    assert "analysis 2 of 4 at 500 of 1,000" in out


def test_samples_that_the_target_skipped_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 900 samples the target lacks the 100 that it could not answer; the rest is as good as the base."""
    for name, rows in (("base", range(1_200)), ("target", [at for at in range(900) if at % 9])):
        (tmp_path / f"{name}.csv").write_text("id,score\n" + "".join(f"{at},1\n" for at in rows), "utf-8")
    files = [str(tmp_path / f"{name}.csv") for name in ("base", "target")]
    command = ["judge", *files, "--higher-is-better", "score", "--drop-points", "3", "--analyses", "2"]
    assert main(command) == 4
    missing = 'score: of 900 samples 100 are only in the base\'s log ("0", "9", "18" and '
    assert missing in capsys.readouterr().err
    assert main([*command, "--missing", "as-wrong"]) == 1
    assert "score 0.889 vs 1.000, drop 11.1 points" in capsys.readouterr().out
    assert main([*command, "--missing", "drop"]) == 0
    out = capsys.readouterr().out
    assert "PASS (100 samples have no score in one log or both: --missing)" in out
    assert "300 not run yet by the target" in out


def test_analyses_at_epochs_count_samples_in_the_pool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """400 samples of 4 epochs, of which the target has run 220: the first of two analyses is due."""
    for name, samples in (("base", 400), ("target", 220)):
        rows = [f"{at},{epoch},{int(at % 9 > 0)}\n" for at in range(samples) for epoch in (1, 2, 3, 4)]
        (tmp_path / f"{name}.csv").write_text("id,epoch,score\n" + "".join(rows), "utf-8")
    files = [str(tmp_path / f"{name}.csv") for name in ("base", "target")]
    options = {"pooled": ["--pooled-points"], "score/pass@2": ["--metric", "pass@2", "--drop-points"]}
    for metric, option in options.items():
        assert main(["judge", *files, "--higher-is-better", "score", *option, "20", "--analyses", "2"]) == 0
        assert f"analysis 1 of 2 at 220 of 400 samples of {metric}" in capsys.readouterr().out


@pytest.mark.parametrize("analyses", [0, 21])
def test_analyses_out_of_range_are_refused(judge: Judge, analyses: int) -> None:
    code, out = judge(N, 0, analyses=analyses)
    assert code == 4
    assert f"--analyses {analyses}: expected 1 to 20" in out


def test_the_plan_of_analyses_says_how_many_rows_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["power", "--rows", "1319", "--flip-rate", "0.08", "--drop-points", "2"]
    assert main([*plan, "--analyses", "4"]) == 0
    assert re.search(r"loses nothing +80\.\d % +0\.0 % +19\.\d % +1,05\d ", capsys.readouterr().out)
    assert main([*plan, "--analyses", "0"]) == 4
    assert "--analyses 0: expected 1 to 20" in capsys.readouterr().err
