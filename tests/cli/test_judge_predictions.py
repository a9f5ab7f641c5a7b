"""`slimgate judge` on prediction files: what is refused, what stands beside the verdict, and its report."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.junit import read_junit
from support.prediction_rows import make_turned_rows, write_predictions

from slimgate import SuiteError, assert_within
from slimgate.cli.judge.arguments import name_targets
from slimgate.cli.main import main
from slimgate.record.run import read_record

FRAUD = {"id": list(range(600)), "label": (["fraud"] + ["ok"] * 19) * 30}


def files(folder: Path, **columns: dict[str, Any]) -> list[str]:
    return [str(write_predictions(folder / f"{name}.csv", rows)) for name, rows in columns.items()]


def frauds(folder: Path) -> list[str]:
    """A teacher that finds each fraud, and a variant that finds none."""
    rows = {"teacher": FRAUD["label"], "never": ["ok"] * 600}
    return files(folder, **{name: {**FRAUD, "prediction": predictions} for name, predictions in rows.items()})


def test_the_positive_label_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["judge", *frauds(tmp_path), "--metric", "recall", "--drop-points", "1"]
    assert main(arguments) == 4
    error = capsys.readouterr().err
    assert (
        'recall needs the positive label, and it is not known which of "fraud" (30 rows) and "ok" (570'
        in error
    )
    assert main([*arguments, "--positive", "fraud"]) == 1
    assert "never: recall 0.000 vs 1.000, drop 100.0 points" in capsys.readouterr().out
    assert main([*arguments, "--positive", "scam"]) == 4
    assert "--positive scam: no such label; known: fraud, ok" in capsys.readouterr().err


def test_missing_rows_are_left_out_of_tables_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = make_turned_rows(1000, lost=0)
    shorter = {name: values[40:] for name, values in after.items()}
    paths = files(tmp_path, teacher=before, shorter=shorter)
    arguments = ["judge", *paths, "--drop-points", "2", "--missing", "drop"]
    assert main(arguments) == 4
    assert capsys.readouterr().err == (
        "slimgate judge: --missing was given with prediction files, which must have the same ids; add "
        "--format table to judge them as tables of scores\n"
    )
    assert main([*arguments, "--format", "table"]) == 0
    printed = capsys.readouterr().out
    assert "of 1,000 samples 40 are only in the base's log" in printed
    assert "n=960" in printed
    with pytest.raises(SuiteError, match="missing='drop' is only for logs"):
        assert_within(*paths, missing="drop")


def test_strays_are_beside_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher, variant = make_turned_rows(500, lost=100)
    predictions = ["unknown"] * 6 + list(teacher["prediction"])[6:]
    pair = files(tmp_path, t={**teacher, "prediction": predictions}, v=variant)
    arguments = ["judge", *pair, "--metric", "f1_macro", "--drop-points", "2"]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "(n=500; no label: 6 predictions of the teacher, 0 of the variant): FAIL" in out
    assert 'predicts "unknown", which is not a label, in 6 rows: counted as wrong' in out
    main([*arguments, "--json"])
    (target,) = json.loads(capsys.readouterr().out).values()
    assert target["quality"]["f1_macro"]["strays"] == [6, 0]
    main([*arguments, "--report", str(tmp_path / "report")])
    assert (
        "no label: 6 predictions of the teacher, 0 of the variant"
        in (tmp_path / "report/report.md").read_text()
    )


def test_files_in_the_wrong_order_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher, small = files(
        tmp_path, **dict(zip(("teacher", "small"), make_turned_rows(900, lost=90), strict=True))
    )
    swapped = ["judge", "--base", small, "--target", teacher]
    note = (
        "warning: accuracy: the variant is better than the teacher by more than the budget: check that "
        "teacher and variant are not swapped"
    )
    assert main([*swapped, "--drop-points", "2"]) == 0
    assert note in capsys.readouterr().out
    assert main([*swapped, "--equivalent-points", "2"]) == 1, "better by more than such a budget is a FAIL"
    assert main(["judge", "--base", teacher, "--target", small, "--drop-points", "2"]) == 1
    assert main([*swapped, "--drop-points", "15"]) == 0
    assert "not swapped" not in capsys.readouterr().out


def test_a_class_without_rows_passes_no_macro_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = files(tmp_path, **dict(zip("tv", make_turned_rows(900, lost=1), strict=True)))
    arguments = ["judge", *pair, "--metric", "f1_macro", "--metric", "accuracy", "--drop-points", "3"]
    assert main(arguments) == 0
    assert main([*arguments, "--labels", "no,yes,maybe"]) == 1
    out = capsys.readouterr().out
    assert "INCONCLUSIVE, no gate row has the label maybe, which counts as much as every other" in out
    assert "INCONCLUSIVE (1 PASS, 0 FAIL, 1 INCONCLUSIVE, 0 not gated)" in out


def test_a_report_of_predictions_has_what_every_report_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = files(tmp_path, **dict(zip(("base", "small"), make_turned_rows(400, lost=60), strict=True)))
    folder = tmp_path / "report"
    arguments = ["judge", *pair, "--metric", "f1_macro", "--drop-points", "2", "--seed", "7"]
    monkeypatch.setattr("sys.argv", ["slimgate", *arguments])
    assert main([*arguments, "--report", str(folder)]) == 1
    assert "report.html" in capsys.readouterr().err
    record = read_record(folder / "run.json")
    assert (record.task.kind, record.task.classes, record.suite.seeds) == ("predictions", ["no", "yes"], [7])
    assert record.verdict.status == "FAIL"
    assert record.variant("small").quality["f1_macro"].teacher == 1.0
    assert {path.name for path in (folder / "outcomes").iterdir()} == {"teacher.parquet", "small.parquet"}
    text = (folder / "report.md").read_text()
    assert "small: f1_macro 0.850 vs 1.000" in text
    digest = hashlib.sha256((tmp_path / "small.csv").read_bytes()).hexdigest()[:12]
    assert f"variant **small**: {tmp_path}/small.csv (SHA-256 {digest}) · scores computed by slimgate" in text
    assert re.search(r"\| metric +\| +n \| +teacher \| +variant \|", text)
    page = (folder / "report.html").read_text()
    for absent in ("real text", "suite report.toml", "torch", "**duel**", "later split", "**Memory**"):
        assert absent not in text
    assert "<small>MB</small>" not in page
    failures, cases = read_junit(folder / "junit.xml")
    assert (failures, [*cases]) == (1, ["f1_macro"])
    properties = cases["f1_macro"].properties
    assert (properties["slimgate.variant"], properties["slimgate.metric"]) == ("small", "f1_macro")
    assert (properties["slimgate.budget.drop_points"], properties["slimgate.verdict"]) == ("2.0", "FAIL")
    assert properties["slimgate.teacher"] == "1.0"
    drop = record.variant("small").quality["f1_macro"].drop_points
    assert float(properties["slimgate.drop_points"]) == drop
    assert drop == pytest.approx(15, abs=0.1)
    main([*arguments, "--report", str(tmp_path / "again")])
    assert main(["compare", str(folder), str(tmp_path / "again")]) == 0


@pytest.mark.parametrize("action", ["warn", "fail"])
def test_what_only_warns_is_no_failure_in_junit(tmp_path: Path, action: str) -> None:
    base, unsure = make_turned_rows(400, lost=7)
    trio = files(tmp_path, base=base, unsure=unsure, good=base)
    options = ["--drop-points", "2", "--on-inconclusive", action, "--report", str(tmp_path / "report")]
    code = main(["judge", *trio, *options])
    failures, cases = read_junit(tmp_path / "report/junit.xml", key="classname")
    assert (code, failures) == ((0, 0) if action == "warn" else (1, 1))
    case = cases["unsure"]
    shown, absent = (case.output, case.failure) if action == "warn" else (case.failure, case.output)
    assert absent is None
    assert str(shown).startswith("unsure: accuracy 0.983 vs 1.000, drop 1.7 points")
    assert "INCONCLUSIVE" in str(shown)
    assert case.properties["slimgate.verdict"] == "INCONCLUSIVE"
    good = cases["good"]
    assert (good.output, good.failure, good.properties["slimgate.verdict"]) == (None, None, "PASS")


def test_a_fail_stays_a_failure_where_others_warn(tmp_path: Path) -> None:
    base, unsure = make_turned_rows(400, lost=7)
    _, bad = make_turned_rows(400, lost=60)
    trio = files(tmp_path, base=base, unsure=unsure, bad=bad)
    options = ["--drop-points", "2", "--on-inconclusive", "warn", "--report", str(tmp_path / "report")]
    assert main(["judge", *trio, *options]) == 1
    failures, cases = read_junit(tmp_path / "report/junit.xml", key="classname")
    assert failures == 1
    assert [name for name, case in cases.items() if case.failure is not None] == ["bad"]


def test_the_report_says_which_wrong_answers_grew_most(tmp_path: Path) -> None:
    labels = ["cat"] * 200 + ["dog"] * 200
    lost = ["dog"] * 40 + ["cat"] * 160 + ["dog"] * 190 + ["cat"] * 10
    rows = {"id": list(range(400)), "label": labels}
    pair = files(tmp_path, base={**rows, "prediction": labels}, small={**rows, "prediction": lost})
    folder = tmp_path / "report"
    assert main(["judge", *pair, "--drop-points", "2", "--report", str(folder)]) == 1
    text = (folder / "report.md").read_text()
    assert "by answering dog for cat (40 more rows, 0 before)" in text.partition("## Metrics")[0]
    section = text.partition("<b>Wrong answers that grew most</b>, 2 of 2")[2].partition("</details>")[0]
    cells = [line.replace(" ", "").strip("|").split("|") for line in section.splitlines() if "small" in line]
    assert cells == [["small", "cat", "dog", "0", "40", "+40"], ["small", "dog", "cat", "0", "10", "+10"]]


def test_several_targets_have_one_report(tmp_path: Path) -> None:
    teacher, worse = make_turned_rows(400, lost=60)
    _, good = make_turned_rows(400, lost=1)
    trio = files(tmp_path, base=teacher, worse=worse, good=good)
    folder = tmp_path / "report"
    assert main(["judge", *trio, "--drop-points", "5", "--report", str(folder)]) == 1
    record = read_record(folder / "run.json")
    qualities = [variant.quality["accuracy"] for variant in record.variants[1:]]
    assert [str(facts.verdict) for facts in qualities] == ["FAIL", "PASS"]
    for facts in qualities:  # at 2.5 % in place of 5 %
        assert (facts.among, facts.interval is not None) == (2, True)
        assert facts.bound_among is not None
        assert facts.bound_among > (facts.interval or (0.0, 0.0))[1]
    report = (folder / "report.md").read_text("utf-8")
    line = "- **good**: accuracy 0.998 (drop 0.2, at most 1.4 allowing for the choice among 2)."
    assert line in report.splitlines()


def test_the_targets_of_a_report_are_compared_with_each_other(tmp_path: Path) -> None:
    teacher, worse = make_turned_rows(400, lost=60)
    _, good = make_turned_rows(400, lost=1)
    trio = files(tmp_path, base=teacher, worse=worse, good=good, again=good)
    main(["judge", *trio, "--drop-points", "5", "--report", str(tmp_path / "report")])
    separation = read_record(tmp_path / "report/run.json").separation
    assert separation is not None
    assert (separation.groups, separation.n) == ([["good", "again"], ["worse"]], 400)
    assert separation.pairs[1].by_points == pytest.approx(100 * 59 / 400)
    text = (tmp_path / "report/report.md").read_text("utf-8")
    assert "**good cannot be told apart from again** by accuracy." in text


def test_a_later_target_never_replaces_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, worse = make_turned_rows(400, lost=60)
    _, good = make_turned_rows(400, lost=1)
    trio = files(tmp_path, **{"base": teacher, "int8-2": worse, "int8": good})
    assert main(["judge", *trio, "--drop-points", "5"]) == 1
    assert capsys.readouterr().out.endswith("2 targets: int8-2 FAIL, int8 PASS\n")


def test_a_target_has_a_number_only_if_its_name_is_taken(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a-int8.csv", "a-2.csv", "a.csv", "x/a.csv", "y/teacher.csv")]
    assert list(name_targets(paths)) == ["a-int8", "a-2", "a", "a-3", "target"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("2025-10-14T16-12-57-00-00_gsm8k_97f536cd5b3930860129.eval", "gsm8k"),
        ("2025-10-14T16-12-57+00-00_gsm8k_model-20b_2aR7kXq9Wb3nTz8LmVc4Yd.eval", "gsm8k_model-20b"),
        ("2025-10-14_gsm8k.eval", "2025-10-14_gsm8k"),
    ],
    ids=["task", "task and model", "another name"],
)
def test_the_name_of_a_log_of_inspect_has_no_time_and_no_id(file: str, name: str) -> None:
    """compare finds a target by its name, so the name must be the same in each release."""
    assert list(name_targets([Path(file)])) == [name]


def table(path: Path, metric: str, score: float, **columns: object) -> str:
    rows = {"id": range(300), "metric": [metric] * 300, "score": [score, score / 2] * 150}
    more = {name: [value] * 300 for name, value in columns.items()}
    return str(write_predictions(path, {**rows, **more}))


@pytest.mark.parametrize("metric", ["toxicity", "hallucination", "refusal_rate", "cost", "latency_s"])
def test_a_metric_without_a_direction_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str
) -> None:
    pair = [table(tmp_path / "b.csv", metric, 0.1), table(tmp_path / "t.csv", metric, 0.2)]
    assert main(["judge", *pair, "--drop-points", "2"]) == 4
    error = capsys.readouterr().err
    assert f"{metric}: neither the log nor the name says whether more is better" in error
    assert f'--higher-is-better "{metric}" or --lower-is-better "{metric}"' in error
    budget = ("--drop-points", "2", "--range", f"{metric}=0:1")
    assert main(["judge", *pair, *budget, "--lower-is-better", metric]) == 1
    assert main(["judge", *pair, *budget, "--higher-is-better", metric[:4] + "*"]) == 0


def test_a_direction_that_nobody_states_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [row // 2 for row in range(600)]
    rows = {"id": ids, "metric": ["acc", "odd"] * 300, "score": [1, 1, 0, 1] * 150}
    pair = files(tmp_path, b=rows, t=rows)
    assert main(["judge", *pair, "--metric", "acc", "--drop-points", "2"]) == 0
    assert main(["judge", *pair]) == 0
    assert "note: not compared: odd: neither the log nor the name" in capsys.readouterr().out
    assert main(["judge", *pair, "--pooled-points", "2"]) == 4


@pytest.mark.parametrize(
    ("stated", "options", "message"),
    [
        (
            ("false", "false"),
            ("--higher-is-better", "tox"),
            "the log says that it is better when lower, but you state the opposite",
        ),
        (("false", "true"), (), "metric tox is better when lower in one log and not in the other"),
        (("never", "never"), (), 'column "higher_is_better" of tox has "never", expected true or false'),
        (("false", "false"), ("--lower-is-better", "nothing"), 'no comparison matches "nothing"; known: tox'),
        (
            ("", ""),
            ("--lower-is-better", "tox", "--higher-is-better", "tox"),
            '"tox" was given as better when higher',
        ),
    ],
)
def test_directions_that_contradict_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stated: tuple[str, str],
    options: tuple[str, ...],
    message: str,
) -> None:
    pair = [
        table(tmp_path / f"{name}.csv", "tox", 0.1, higher_is_better=text)
        for name, text in zip("bt", stated, strict=True)
    ]
    assert main(["judge", *pair, "--drop-points", "2", *options]) == 4
    assert message in capsys.readouterr().err


def test_a_column_of_weights_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user's weighted mean may drop when the judged mean does not."""
    line = 'b.csv: the column "weight" is not used, so all rows have the same weight'
    pair = [table(tmp_path / f"{name}.csv", "acc", 0.5, weight=3) for name in "bt"]
    assert main(["judge", *pair, "--drop-points", "2"]) == 0
    assert f"{line}\n" in capsys.readouterr().out
    rows = {"id": range(300), "label": ["x", "y"] * 150, "prediction": ["x", "y"] * 150, "weight": [3] * 300}
    pair = [str(write_predictions(tmp_path / f"{name}.csv", rows)) for name in "bt"]
    assert main(["judge", *pair, "--drop-points", "2"]) == 0
    assert f"{line}\n" in capsys.readouterr().out


def test_a_score_needs_a_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column of errors has this name too. If more errors counted as a gain, this pair would pass."""
    pair = [table(tmp_path / f"{name}.csv", "score", value) for name, value in (("b", 0.1), ("t", 0.2))]
    budget = ["--drop-points", "2", "--range", "score=0:1"]
    assert main(["judge", *pair, *budget]) == 4
    assert (
        'score: neither the log nor the name says whether more is better; write --higher-is-better "score"'
        in (capsys.readouterr().err)
    )
    assert main(["judge", *pair, *budget, "--lower-is-better", "score"]) == 1
    assert main(["judge", *pair, *budget, "--higher-is-better", "score"]) == 0
    stating = [table(tmp_path / f"{name}s.csv", "score", 0.1, higher_is_better="true") for name in "bt"]
    assert main(["judge", *stating, *budget]) == 0


@pytest.mark.parametrize("stated", [("false", ""), ("", "false")], ids=["base", "target"])
def test_one_log_does_not_turn_the_direction_of_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stated: tuple[str, str]
) -> None:
    pair = [
        table(tmp_path / f"{name}.csv", "acc", 0.9, higher_is_better=text)
        for name, text in zip("bt", stated, strict=True)
    ]
    assert main(["judge", *pair, "--drop-points", "2"]) == 4
    error = capsys.readouterr().err
    assert "metric acc is better when lower in one log, the other does not state it" in error
    assert "by its name it is better when higher; state it in both logs" in error


def test_a_further_run_states_the_direction_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silent, stating, target = (
        table(tmp_path / f"{name}.csv", "acc", value, higher_is_better=text)
        for name, value, text in (("b", 0.9, ""), ("b2", 0.8, "false"), ("t", 0.7, ""))
    )
    assert main(["judge", "--base", silent, stating, "--target", target, "--drop-points", "2"]) == 4
    assert "metric acc is better when lower in one log, the other does not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stated", "options", "who"),
    [("", ("--lower-is-better", "f1"), "you state"), ("false", (), "the log or its tool states")],
    ids=["an option", "a column"],
)
def test_a_direction_that_is_unusual_for_a_name_is_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stated: str, options: tuple[str, ...], who: str
) -> None:
    pair = [
        table(tmp_path / f"{name}.csv", "f1", score, higher_is_better=stated)
        for name, score in (("b", 0.8), ("t", 0.77))
    ]
    assert main(["judge", *pair, "--drop-points", "2", *options]) == 0
    assert (
        f"note: f1 is judged as better when lower, as {who}; a metric of this name is usually better "
        "when higher"
    ) in capsys.readouterr().out
    if options:
        assert main(["judge", *pair, "--drop-points", "2"]) == 1
        assert "usually better" not in capsys.readouterr().out


def test_a_table_states_the_direction(tmp_path: Path) -> None:
    pair = [
        table(tmp_path / f"{name}.csv", "toxicity", score, higher_is_better="false")
        for name, score in (("b", 0.1), ("t", 0.2))
    ]
    assert main(["judge", *pair, "--drop-points", "2"]) == 1


def test_a_log_record_has_the_seed(tmp_path: Path) -> None:
    pair = [table(tmp_path / f"{name}.csv", "acc", 1.0) for name in "bt"]
    main(["judge", *pair, "--seed", "9", "--report", str(tmp_path / "report")])
    assert read_record(tmp_path / "report/run.json").suite.seeds == [9]
