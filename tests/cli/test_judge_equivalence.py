"""`slimgate judge` with a budget on both sides: the words, the order and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.judge_command import Judge
from support.lm_eval_logs import write_lm_eval

N = 2000


def write_answers(path: Path, wrong: range) -> Path:
    """Of N rows with the label yes, those in `wrong` are answered no."""
    lines = [f"{row},yes,{'no' if row in wrong else 'yes'}\n" for row in range(N)]
    path.write_text("id,label,prediction\n" + "".join([*lines, "x,no,no\n"]), "utf-8")
    return path


def right_but(wrong: range) -> list[float]:
    return [0.0 if row in wrong else 1.0 for row in range(N)]


def test_a_gain_of_six_points_passes_one_side_and_fails_both(judge: Judge, tmp_path: Path) -> None:
    base = write_answers(tmp_path / "base.csv", range(300))
    better = write_answers(tmp_path / "better.csv", range(180))
    assert judge(base, better, "--drop-points", 1)[0] == 0
    code, out, _ = judge(base, better, "--equivalent-points", 1)
    assert code == 1
    assert "drop -6.0 points [-6.9, -5.2], budget ±1.0 (n=2001): FAIL" in out
    assert "±1        FAIL" in out
    assert judge(base, better, "--drop-points", 1, "--equivalent-points", 8)[0] == 0


def test_equal_files_pass_and_few_rows_are_inconclusive(judge: Judge, tmp_path: Path) -> None:
    base = write_answers(tmp_path / "base.csv", range(300))
    equal = write_answers(tmp_path / "equal.csv", range(5, 305))
    assert judge(base, equal, "--equivalent-points", 1)[0] == 0
    code, out, _ = judge(base, equal, "--equivalent-points", 0.2)
    assert (code, "budget ±0.2 (n=2001): INCONCLUSIVE, about 11,000 rows" in out) == (1, True)
    assert judge(base, equal, "--equivalent-points", 0.2, "--on-inconclusive", "warn")[0] == 0


def test_the_rows_that_got_better_are_quoted_in_json(judge: Judge, tmp_path: Path) -> None:
    base = write_answers(tmp_path / "base.csv", range(300))
    better = write_answers(tmp_path / "better.csv", range(180))
    _, out, _ = judge(base, better, "--equivalent-points", 1, "--json")
    target = json.loads(out)["better"]
    assert [row["id"] for row in target["behaviour"]["flips"]["quoted_better"][:2]] == ["180", "181"]
    (budget,) = target["quality"]["accuracy"]["budgets"]
    assert (budget["kind"], budget["verdict"]) == ("equivalent_points", "FAIL")
    assert budget["fail_interval"] == pytest.approx([-7.1, -5.0], abs=0.15)
    assert target["quality"]["accuracy"]["band"] == "gain"
    _, out, _ = judge(base, better, "--drop-points", 1, "--json")
    assert not json.loads(out)["better"]["behaviour"]["flips"]["quoted_better"]


def test_logs_are_ordered_by_the_size_of_the_change(judge: Judge, tmp_path: Path) -> None:
    write_lm_eval(tmp_path / "base", {"arc": right_but(range(300)), "gsm8k": right_but(range(300))})
    write_lm_eval(tmp_path / "int4", {"arc": right_but(range(340)), "gsm8k": right_but(range(100))})
    pair = tmp_path / "base", tmp_path / "int4"

    def order(out: str) -> list[str]:
        return [line.split()[0] for line in out.splitlines()[4:6]]

    _, out, _ = judge(*pair, "--drop-points", 3)
    assert order(out) == ["arc/acc", "gsm8k/acc"]
    assert "samples that got better" not in out
    code, out, _ = judge(*pair, "--equivalent-points", 3)
    assert (code, order(out)) == (1, ["gsm8k/acc", "arc/acc"])
    assert "gsm8k/acc 0.950 vs 0.850, drop -10.0 points [-11.2, -9.0], budget ±3.0 (n=2000): FAIL" in out
    assert 'samples that got better:\n  gsm8k/acc 100\n    prompt "Question 100?"' in out


def test_a_gain_is_not_within_noise_that_is_smaller(judge: Judge, tmp_path: Path) -> None:
    """The base changes 10 of 2,000 samples by itself, and the target gains 6 points."""
    for name, wrong in (("base", range(300)), ("base2", range(5, 305)), ("target", range(180))):
        write_lm_eval(tmp_path / name, {"arc": right_but(wrong)})
    arguments = tmp_path / "base", tmp_path / "target", "--drop-points", 1, "--repeat", tmp_path / "base2"
    assert "within the base's own noise" not in judge(*arguments)[1]
    write_lm_eval(tmp_path / "near", {"arc": right_but(range(298))})
    arguments = tmp_path / "base", tmp_path / "near", "--drop-points", 1, "--repeat", tmp_path / "base2"
    assert "the gain is within the base's own noise" in judge(*arguments)[1]


def test_a_file_of_budgets_takes_the_kind(judge: Judge, tmp_path: Path) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text("[budgets]\naccuracy = { equivalent_points = 1.0 }\n", "utf-8")
    base = write_answers(tmp_path / "base.csv", range(300))
    better = write_answers(tmp_path / "better.csv", range(180))
    assert judge(base, better, "--budgets", budgets)[0] == 1
    code, _, err = judge(base, better, "--budgets", budgets, "--equivalent-points", 1)
    assert (code, "--equivalent-points and --budgets were given, expected one of them" in err) == (4, True)
    logs = tmp_path / "logs.toml"
    logs.write_text('[budgets]\n"arc*" = { equivalent_points = 1.0 }\n[pooled]\nequivalent_points = 1.0\n')
    write_lm_eval(tmp_path / "base", {"arc": right_but(range(300))})
    write_lm_eval(tmp_path / "int4", {"arc": right_but(range(180))})
    code, out, _ = judge(tmp_path / "base", tmp_path / "int4", "--budgets", logs)
    assert (code, out.splitlines()[-1].startswith("FAIL (0 PASS, 2 FAIL")) == (1, True)


def test_each_metric_has_one_limit_or_all_share_it(judge: Judge, tmp_path: Path) -> None:
    base = write_answers(tmp_path / "base.csv", range(300))
    better = write_answers(tmp_path / "better.csv", range(180))
    metrics = ("--metric", "accuracy", "--metric", "f1_macro")
    code, _, err = judge(base, better, *metrics, *("--equivalent-points", 1) * 3)
    assert (code, "3 --equivalent-points for 2 --metric, expected one value for each metric" in err) == (
        4,
        True,
    )
    code, out, _ = judge(base, better, "--equivalent-points", 1, *metrics)
    assert (code, out.count("±1 ")) == (1, 2)
    _, _, err = judge(base, better, "--equivalent-points", 0.01)
    assert "--equivalent-points 0.01: points are percentage points, so 0.01 is 0.01 %." in err


def test_a_report_of_logs_shows_both_sides(judge: Judge, tmp_path: Path) -> None:
    write_lm_eval(tmp_path / "base", {"arc": right_but(range(300)), "gsm8k": right_but(range(300))})
    write_lm_eval(tmp_path / "int4", {"arc": right_but(range(302)), "gsm8k": right_but(range(100))})
    judge(tmp_path / "base", tmp_path / "int4", "--equivalent-points", 3, "--report", tmp_path / "out")
    report = (tmp_path / "out/report.md").read_text("utf-8")
    assert report.index("| gsm8k/acc ") < report.index("| arc/acc ")
    assert "±3 " in report
    assert "<b>Rows from wrong to right</b>, which a budget limits too" in report
    assert "gsm8k/acc: 100" in report
    assert "drop within ±3 points" in (tmp_path / "out/report.html").read_text("utf-8")
