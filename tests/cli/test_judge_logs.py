"""`slimgate judge` on logs of evaluation tools: verdicts, budgets, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.judge_command import Judge
from support.junit import read_junit
from support.lm_eval_logs import draw_scores, lose_answers, write_lm_eval, write_lm_eval_pair

from slimgate.cli.main import main
from slimgate.record.run import read_record

N = 400


@pytest.fixture
def base() -> list[float]:
    return draw_scores(0, wrong=0.2)


def figures(out: str) -> dict[str, Any]:
    """The figures of the only comparison, without what differs by its name or time."""
    (target,) = json.loads(out).values()
    (facts,) = target["quality"].values()
    return {key: value for key, value in facts.items() if key not in ("message", "measured", "warnings")}


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(rows[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_the_verdict_is_that_of_the_same_outcomes_as_csv(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    target = lose_answers(base, 12)
    logs = write_lm_eval_pair(tmp_path, base, target)
    tables = [
        write_table(
            tmp_path / f"{name}.csv",
            [{"id": k, "metric": "acc", "score": score} for k, score in enumerate(column)],
        )
        for name, column in (("b", base), ("t", target))
    ]
    answers = [
        write_table(
            tmp_path / f"{name}-answers.csv",
            [
                {
                    "id": k,
                    "label": ("no", "yes")[k % 2],
                    "prediction": ("no", "yes")[(k + 1 - int(score)) % 2],
                }
                for k, score in enumerate(column)
            ],
        )
        for name, column in (("b", base), ("t", target))
    ]
    judged = [figures(judge(*pair, "--drop-points", 2, "--json")[1]) for pair in (logs, tables)]
    (classified,) = json.loads(judge(*answers, "--drop-points", 2, "--json")[1]).values()
    classic = classified["quality"]["accuracy"]
    assert judged[0] == judged[1]
    assert {key: classic[key] for key in judged[0] if key in classic} == judged[0]
    assert judged[0]["drop_points"] == pytest.approx(3.0)


def test_scores_of_any_range_are_judged_as_a_mean(judge: Judge, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(50, 10, N)
    rows = [before, before - 0.5, before - 20]
    base, near, far = (
        write_table(
            tmp_path / f"{name}.csv",
            [{"id": k, "metric": "chrf", "score": float(score)} for k, score in enumerate(column)],
        )
        for name, column in zip(("base", "near", "far"), rows, strict=True)
    )
    code, out, _ = judge(base, near, "--drop-points", 300)
    assert (code, "(n=400): PASS" in out) == (0, True)
    code, out, _ = judge(base, far, "--drop-points", 300)
    assert (code, ": FAIL" in out) == (1, True)


def test_a_lower_score_may_be_the_better_one(judge: Judge, tmp_path: Path) -> None:
    tables = [
        write_table(
            tmp_path / f"{name}.csv",
            [{"id": k, "metric": "wer", "higher_is_better": "false", "score": score} for k in range(N)],
        )
        for name, score in (("base", 0.2), ("target", 0.4))
    ]
    _, out, _ = judge(*tables, "--drop-points", 5, "--json")
    assert figures(out)["drop_points"] == pytest.approx(20)
    assert figures(out)["verdict"] == "FAIL"


def test_the_table_begins_with_the_largest_loss_and_its_samples(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    write_lm_eval(tmp_path / "base", {"arc": base, "gsm8k": base})
    write_lm_eval(tmp_path / "int4", {"arc": lose_answers(base, 2), "gsm8k": lose_answers(base, 80)})
    code, out, _ = judge(tmp_path / "base", tmp_path / "int4", "--drop-points", 3)
    lines = out.splitlines()
    assert code == 1
    assert [line.split()[0] for line in lines[4:6]] == ["gsm8k/acc", "arc/acc"]
    assert 'prompt "Question 0?"' in out.replace("Question 1?", "Question 0?")
    assert '    base   "yes"\n    target "no"' in out
    assert "2 tasks, 2 comparisons, 800 scores: 82 worse, 0 better" in out
    assert "; each FAIL is corrected for 2 budgets (Holm)" in lines[-1]


def test_holm_keeps_one_chance_failure_from_failing_the_gate(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    names = [f"task{k:02d}" for k in range(20)]
    write_lm_eval(tmp_path / "base", dict.fromkeys(names, base))
    write_lm_eval(tmp_path / "target", {**dict.fromkeys(names, base), "task00": lose_answers(base, 16)})
    # alone 16 of 400 are shown to be over 2 points
    _, out, _ = judge(tmp_path / "base", tmp_path / "target", "--metric", "task00", "--drop-points", 2)
    assert out.splitlines()[-1].startswith("FAIL")
    code, out, _ = judge(tmp_path / "base", tmp_path / "target", "--drop-points", 2)
    assert code == 1
    assert "INCONCLUSIVE, would FAIL alone, but not as one of 20 budgets (Holm's correction)" in out
    assert out.splitlines()[-1] == "INCONCLUSIVE (19 PASS, 0 FAIL, 1 INCONCLUSIVE, 0 not gated)"


def test_budgets_are_by_pattern_and_pooled(judge: Judge, tmp_path: Path, base: list[float]) -> None:
    write_lm_eval(tmp_path / "base", {"arc": base, "gsm8k": base})
    write_lm_eval(tmp_path / "target", {"arc": base, "gsm8k": lose_answers(base, 20)})
    file = tmp_path / "budgets.toml"
    file.write_text(
        '[budgets]\n"*" = { drop_points = 2.0 }\n"gsm8k*" = { drop_points = 9.0 }\n'
        "[pooled]\ndrop_points = 4.0\n",
        "utf-8",
    )
    code, out, _ = judge(tmp_path / "base", tmp_path / "target", "--budgets", file, "--json")
    quality = json.loads(out)["target"]["quality"]
    limits = {name: facts["budgets"][0]["limit"] for name, facts in quality.items()}
    assert (code, limits) == (0, {"pooled": 4.0, "gsm8k/acc": 9.0, "arc/acc": 2.0})
    assert quality["pooled"]["drop_points"] == pytest.approx(2.5)
    assert quality["pooled"]["n"] == 800
    code, _, err = judge(tmp_path / "base", tmp_path / "target", "--metric", "gsm9k", "--drop-points", 2)
    assert code == 4
    assert 'no comparison matches "gsm9k"; available: ' in err
    assert err.endswith("Did you mean gsm8k?\n")
    _, _, err = judge(tmp_path / "base", tmp_path / "target", "--metric", "accc", "--drop-points", 2)
    assert err.endswith("Did you mean acc?\n"), "close to a metric, and to no comparison"


@pytest.mark.parametrize("limits", [(1, 50), (50, 1)], ids=["loose last", "loose first"])
def test_a_metric_that_is_named_twice_is_refused(
    judge: Judge, tmp_path: Path, base: list[float], limits: tuple[int, int]
) -> None:
    """The last of two limits counted, without a word."""
    logs = write_lm_eval_pair(tmp_path, base, lose_answers(base, 40))
    options = [text for limit in limits for text in ("--metric", "acc", "--drop-points", limit)]
    code, _, err = judge(*logs, *options)
    assert (code, "--metric acc was given twice, expected each metric once" in err) == (4, True)


def test_several_targets_are_judged_in_one_call(judge: Judge, tmp_path: Path, base: list[float]) -> None:
    write_lm_eval(tmp_path / "base", {"gsm8k": base})
    write_lm_eval(tmp_path / "good", {"gsm8k": [*base[:-1], 1 - base[-1]]})
    write_lm_eval(tmp_path / "bad", {"gsm8k": lose_answers(base, 90)})
    code, out, _ = judge(tmp_path / "base", tmp_path / "good", tmp_path / "bad", "--drop-points", 2)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines() if re.match(r"(PASS|FAIL) \(", line)] == [
        "PASS",
        "FAIL",
    ]
    assert out.splitlines()[-1] == "2 targets: good PASS, bad FAIL"


def test_repeated_runs_of_the_base_show_its_own_noise(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    again = [1 - score if k % 20 == 0 else score for k, score in enumerate(base)]
    write_lm_eval(tmp_path / "base", {"gsm8k": base})
    write_lm_eval(tmp_path / "base2", {"gsm8k": again})
    write_lm_eval(tmp_path / "target", {"gsm8k": lose_answers(base, 4)})
    arguments = (tmp_path / "base", tmp_path / "target", "--drop-points", 1)
    _, out, _ = judge(*arguments, "--repeat", tmp_path / "base2")
    assert "the base changes 5.0 % of samples by itself, this one 1.0 %" in out
    assert "the drop is within the base's own noise" in out
    assert "within the base's own noise" not in judge(*arguments)[1]
    code, _, err = judge(*arguments, "--repeat", tmp_path / "base")
    assert (code, "it is the base itself" in err) == (4, True)


@pytest.mark.parametrize(
    ("missing", "code", "drop"), [("fail", 4, None), ("drop", 0, 0.0), ("as-wrong", 0, 0.5)]
)
def test_samples_without_a_score_are_never_dropped_in_silence(
    judge: Judge, tmp_path: Path, base: list[float], missing: str, code: int, drop: float | None
) -> None:
    holes: list[float | None] = [*base]
    for at in [k for k, score in enumerate(base) if score][:2]:
        holes[at] = None
    write_lm_eval(tmp_path / "base", {"gsm8k": base})
    write_lm_eval(tmp_path / "target", {"gsm8k": holes})  # type: ignore[dict-item]
    exit_code, out, err = judge(
        tmp_path / "base", tmp_path / "target", "--drop-points", 5, "--missing", missing
    )
    assert exit_code == code
    if drop is None:
        assert "2 have no score in the target's log" in err
        assert "--missing as-wrong counts those that only the target lacks as wrong" in err
        return
    assert "2 scores missing in one log" in out
    assert f"drop {drop:.1f} points" in out


def test_epochs_are_one_cluster(judge: Judge, tmp_path: Path) -> None:
    right = np.random.default_rng(3).random(100) < 0.8
    rows = [
        {"id": k, "epoch": epoch, "metric": "acc", "score": float(right[k])}
        for k in range(100)
        for epoch in range(4)
    ]
    base = write_table(tmp_path / "base.csv", rows)
    turned = {int(at) for at in np.flatnonzero(right)[:3]}
    target = write_table(
        tmp_path / "target.csv",
        [{**row, "score": 0.0 if row["id"] in turned else row["score"]} for row in rows],
    )
    _, out, _ = judge(base, target, "--drop-points", 5)
    assert "n=400 in 100 groups" in out


def test_a_report_is_accepted_and_compared_as_that_of_a_run(
    judge: Judge, tmp_path: Path, base: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for release, count in (("old", 4), ("new", 60)):
        logs = write_lm_eval_pair(tmp_path / release, base, lose_answers(base, count))
        folders.append(tmp_path / release / "report")
        judge(*logs, "--drop-points", 4, "--report", folders[-1])
    record = read_record(folders[1] / "run.json")
    assert record.verdict.status == "FAIL"
    assert record.variant("target").quality["gsm8k/acc"].drop_points == pytest.approx(15)
    flips = record.variant("target").behaviour
    assert flips is not None
    assert flips.flips is not None
    assert (flips.flips.right_to_wrong, len(flips.flips.quoted)) == (60, 10)
    for name in ("report.md", "report.html", "pr-comment.md", "junit.xml"):
        assert "gsm8k/acc" in (folders[1] / name).read_text("utf-8")
    failures, cases = read_junit(folders[1] / "junit.xml")
    assert failures == 1
    properties = cases["gsm8k/acc"].properties
    assert (properties["slimgate.metric"], properties["slimgate.verdict"]) == ("gsm8k/acc", "FAIL")
    assert float(properties["slimgate.drop_points"]) == pytest.approx(15)
    assert properties["slimgate.budget.drop_points"] == "4.0"
    passed = (folders[0] / "report.md").read_text("utf-8")
    assert "Ship **target**: inside all budgets." in passed  # no size is known
    assert "self-test" not in passed
    page = (folders[0] / "report.html").read_text("utf-8")
    assert "agrees with the base" in page
    assert "agrees with the teacher" not in page
    capsys.readouterr()
    assert main(["explain", str(folders[0]), "gsm8k/acc: 0"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["base", "target"]
    baselines = tmp_path / "baselines"
    assert main(["accept", str(folders[0]), "--name", "v1", "--baselines", str(baselines)]) == 0
    main(["compare", str(baselines / "v1/report"), str(folders[1])])
    out = capsys.readouterr().out
    assert re.search(
        r"\| target +\| gsm8k/acc +\| 0\.7\d+ → 0\.6\d+ \| +\*\*14\.0 \[11\.3, 17\.2\]\*\*", out
    ), out


def test_the_best_of_several_targets_has_a_bound_for_the_choice(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    logs = write_lm_eval_pair(tmp_path, base, lose_answers(base, 4))
    write_lm_eval(tmp_path / "other", {"gsm8k": lose_answers(base, 5)})
    judge(*logs, tmp_path / "other", "--drop-points", 4, "--report", tmp_path / "report")
    report = (tmp_path / "report/report.md").read_text("utf-8")
    assert re.search(r"\*\*target\*\*: gsm8k/acc .* allowing for the choice among 2\)", report)


def test_what_to_ship_names_the_tasks_that_lost_most(judge: Judge, tmp_path: Path, base: list[float]) -> None:
    """The first tasks of a log may be those that lost nothing, or one task under two names."""
    lost = {"arc": 0, "gsm8k": 3, "gsm8k_copy": 3, "mmlu": 6}
    write_lm_eval(tmp_path / "base", dict.fromkeys(lost, base))
    for name in ("target", "other"):
        scores = {task: lose_answers(base, count) for task, count in lost.items()}
        write_lm_eval(tmp_path / name, scores)
    judge(
        *(tmp_path / name for name in ("base", "target", "other")),
        "--drop-points",
        5,
        "--report",
        tmp_path / "r",
    )
    line = next(
        line for line in (tmp_path / "r/report.md").read_text("utf-8").splitlines() if "- **target**:" in line
    )
    assert re.fullmatch(r"- \*\*target\*\*: mmlu/acc .*\), gsm8k/acc .*\), 1 more with smaller drops\.", line)


def test_answers_of_other_logs_are_not_accepted(
    judge: Judge, tmp_path: Path, base: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [tmp_path / release / "report" for release in ("v1", "v2")]
    for report, count in zip(reports, (4, 60), strict=True):
        logs = write_lm_eval_pair(report.parent, base, lose_answers(base, count))
        judge(*logs, "--drop-points", 4, "--report", report)
    shutil.copy(reports[1] / "outcomes/target.parquet", reports[0] / "outcomes/target.parquet")
    capsys.readouterr()
    assert main(["accept", str(reports[0]), "--name", "v1", "--baselines", str(tmp_path / "kept")]) == 4
    assert "are of another run than its record: gsm8k/acc of the answers is 0." in capsys.readouterr().err


def test_logs_that_only_warn_have_no_failure_in_junit(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    logs, report = write_lm_eval_pair(tmp_path, base, lose_answers(base, 14)), tmp_path / "report"
    judge(*logs, "--drop-points", 4, "--on-inconclusive", "warn", "--report", report)
    failures, cases = read_junit(report / "junit.xml")
    case = cases["gsm8k/acc"]
    assert (failures, case.failure, case.properties["slimgate.verdict"]) == (0, None, "INCONCLUSIVE")
    assert "drop 3.5 points" in str(case.output)


def test_junit_shows_characters_that_xml_does_not_have(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    write_lm_eval(tmp_path / "base", {"a\x07": base})
    write_lm_eval(tmp_path / "bad", {"a\x07": lose_answers(base, 60)})
    judge(tmp_path / "base", tmp_path / "bad", "--drop-points", 4, "--report", tmp_path / "report")
    _, cases = read_junit(tmp_path / "report/junit.xml")
    case = cases["a\\x07/acc"]
    assert str(case.failure).startswith("bad: a\\x07/acc 0.")
    assert case.properties["slimgate.metric"] == "a\\x07/acc"


def test_a_report_names_the_logs_with_digests_of_what_was_read(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    digests = []
    for count in (4, 60):
        logs = write_lm_eval_pair(tmp_path, base, lose_answers(base, count))
        judge(*logs, "--drop-points", 4, "--report", tmp_path / "report")
        files = read_record(tmp_path / "report/run.json").task.source["files"]
        assert list(files) == [str(log) for log in logs]
        digests.append(list(files.values()))
        head = (tmp_path / "report/report.md").read_text("utf-8").split("**What to ship**")[0]
        assert all(f"{log} (digest {files[str(log)][:12]})" in head for log in logs)
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]


def test_a_report_begins_with_both_sides_and_what_was_allowed(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    logs = write_lm_eval_pair(tmp_path, base, lose_answers(base, 4))
    judge(*logs, "--drop-points", 4, "--allow", "shots", "--allow", "prompt", "--report", tmp_path / "report")
    lines = (tmp_path / "report/report.md").read_text("utf-8").splitlines()
    line = next(line for line in lines if line.startswith("base: "))
    shown = re.sub(r"digest \w{12}", "digest", line)
    assert shown == (
        f"base: base, {logs[0]} (digest) · target **{logs[1].name}**: {logs[1].name}, {logs[1]} (digest) · "
        "scores as lm_eval wrote them · allowed differences: prompt, shots"
    )


def test_the_targets_of_a_report_are_compared_with_each_other(
    judge: Judge, tmp_path: Path, base: list[float]
) -> None:
    lost = {"base": 0, "int8": 2, "int4": 60}
    logs = [
        write_lm_eval(tmp_path / name, {"a": base, "b": lose_answers(base, count)})
        for name, count in lost.items()
    ]
    judge(*logs, "--metric", "b/acc", "--drop-points", 4, "--report", tmp_path / "report")
    separation = read_record(tmp_path / "report/run.json").separation
    assert separation is not None
    assert (separation.metric, separation.groups) == ("b/acc", [["int8"], ["int4"]])
    assert separation.pairs[0].by_points == pytest.approx(100 * 58 / len(base))


def test_a_target_that_is_much_better_may_be_the_base(judge: Judge, tmp_path: Path) -> None:
    better = write_lm_eval(tmp_path / "better", {"gsm8k": [1.0] * 200})
    worse = write_lm_eval(tmp_path / "worse", {"gsm8k": [0.0] * 40 + [1.0] * 160})
    line = "gsm8k/acc: the target is better than the base by more than the budget: check that base and target"
    code, out, _ = judge(worse, better, "--drop-points", 2)
    assert (code, line in out) == (0, True)
    for sides, options in (((better, worse), (2,)), ((worse, better), (50,))):
        assert line not in judge(*sides, "--drop-points", *options)[1]
