"""`slimgate judge` on logs of which rows are repeated, scattered or without a score: none disappears."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Judge
from support.lm_eval_logs import write_lm_eval

from slimgate.record.run import read_record

Table = Callable[[str, str, Sequence[Sequence[Any]]], Path]


# The tables do not state it.
UP = ("--higher-is-better", "score")


@pytest.fixture
def judge(run_command: Judge) -> Judge:
    return partial(run_command, "judge", "--drop-points", 2)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(name: str, header: str, rows: Sequence[Sequence[Any]]) -> Path:
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([header.split(), *rows])
        return tmp_path / f"{name}.csv"

    return write


def test_repeats_of_an_id_are_refused_or_read_as_epochs(judge: Judge, table: Table) -> None:
    # the last of four repeats is right, the others are not: it alone counted
    base = table("base", "id metric score", [(at, "em", 1) for at in range(500) for _ in range(4)])
    rows = [(at, "em", int(repeat == 3)) for at in range(500) for repeat in range(4)]
    target = table("target", "id metric score", rows)
    code, _, err = judge(base, target)
    assert code == 4
    assert (
        'base.csv: 500 samples occur more than once: "0", "1", "2" and 497 more; expected one row per sample'
        in err
    )
    assert "number them in a column epoch, or pass --same-id epochs" in err
    code, out, _ = judge(base, target, "--same-id", "epochs")
    assert (code, "drop 75.0 points" in out, "n=2000 in 500 groups" in out) == (1, True, True)


def test_epochs_without_their_number_are_those_with_it(judge: Judge, table: Table) -> None:
    def figures(*arguments: object) -> Any:
        (target,) = json.loads(judge(*arguments, *UP, "--json")[1]).values()
        return {
            key: value
            for key, value in target["quality"]["score"].items()
            if key not in ("message", "measured")
        }

    rows = [(at, epoch, int(at % 5 > 0 or epoch == 1)) for at in range(200) for epoch in (1, 2)]
    lost = [(at, epoch, 0 if at < 4 else score) for at, epoch, score in rows]
    numbered = [table(f"n{k}", "id epoch score", part) for k, part in enumerate((rows, lost))]
    plain = [
        table(f"p{k}", "id score", [(at, s) for at, _, s in part]) for k, part in enumerate((rows, lost))
    ]
    assert figures(*numbered) == figures(*plain, "--same-id", "epochs")


def test_the_rows_of_a_table_may_be_in_any_order(judge: Judge, table: Table) -> None:
    def scores(lost: int) -> list[tuple[int, str, int]]:
        return [(at, metric, int(at >= lost)) for at in range(300) for metric in ("em", "f1")]

    orders: list[Callable[[tuple[int, str, int]], Any]] = [
        lambda _: 0,
        lambda row: row[1],
        lambda row: (row[0] * 7919) % 600,
    ]
    outputs = []
    for number, key in enumerate(orders):
        files = [
            table(f"{name}{number}", "id metric score", sorted(scores(lost), key=key))
            for name, lost in (("base", 0), ("target", 30))
        ]
        target = json.loads(judge(*files, "--json")[1])[f"target{number}"]
        outputs.append(
            {
                name: (facts["n"], facts["drop_points"], facts["verdict"])
                for name, facts in target["quality"].items()
            }
        )
    assert (
        outputs == [{"em": (300, pytest.approx(10.0), "FAIL"), "f1": (300, pytest.approx(10.0), "FAIL")}] * 3
    )


@pytest.mark.parametrize("empty", ["", "nan"])
def test_rows_without_a_score_in_both_logs_are_missing(judge: Judge, table: Table, empty: str) -> None:
    rows = [(at, empty if at < 400 else 1) for at in range(1000)]
    files = table("base", "id score", rows), table("target", "id score", rows)
    code, out, err = judge(*files, *UP)
    assert (code, out) == (4, "")
    assert (
        'score: of 1,000 samples 400 have no score in either log ("0", "1", "2" and 397 more): --missing'
        in err
    )
    report = files[0].parent / "report"
    code, out, _ = judge(*files, *UP, "--missing", "drop", "--report", report)
    assert code == 0
    assert "(n=600): PASS (400 samples have no score in one log or both: --missing)" in out
    assert "note: score: of 1,000 samples 400 have no score in either log" in out
    facts = read_record(report / "run.json").variant("target")
    assert "400 samples have no score" in (facts.quality["score"].message or "")
    assert "400 have no score in either log" in facts.notes[0]
    assert "400 have no score in either log" in (report / "report.md").read_text("utf-8")
    target = json.loads(judge(*files, *UP, "--missing", "drop", "--json")[1])["target"]
    assert target["samples"]["score"]["unscored_both"] == 400


def test_a_metric_that_some_rows_of_a_table_lack_is_missing(judge: Judge, table: Table) -> None:
    rows = [*((at, "em", 1) for at in range(100)), *((at, "f1", 1) for at in range(40, 100))]
    code, _, err = judge(table("base", "id metric score", rows), table("target", "id metric score", rows))
    assert code == 4
    assert "f1: of 100 samples 40 have no score in either log" in err


def promptfoo(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    filled = [
        {
            "testIdx": at,
            "promptIdx": 0,
            "success": True,
            "score": 1.0,
            "failureReason": 0,
            "provider": {"id": "p"},
            "vars": {"q": at},
            "prompt": {"raw": f"Q {at}"},
            "response": {"output": "a"},
            "testCase": {},
            **row,
        }
        for at, row in enumerate(rows)
    ]
    path.write_text(json.dumps({"evalId": "x", "results": {"version": 3, "results": filled}}), "utf-8")
    return path


def test_an_assertion_that_a_test_has_is_missing_without_a_value(judge: Judge, tmp_path: Path) -> None:
    correctness = {"testCase": {"assert": [{"type": "llm-rubric", "metric": "correctness"}]}}
    with_value = {**correctness, "namedScores": {"correctness": 1.0}}
    rows = [{}] * 10 + [correctness] * 40 + [with_value] * 50
    code, _, err = judge(*(promptfoo(tmp_path / f"{name}.json", rows) for name in ("base", "target")))
    assert code == 4
    assert 'correctness: of 100 samples 40 have no score in either log ("10", "11", "12" and 37 more)' in err
    complete = [{}] * 10 + [with_value] * 190
    code, out, _ = judge(*(promptfoo(tmp_path / f"{name}.json", complete) for name in ("base", "target")))
    assert code == 0
    assert "; a metric does not apply to 10 samples" in out


def test_repeats_of_a_promptfoo_test_are_one_group(judge: Judge, tmp_path: Path) -> None:
    rows = [{"vars": {"q": at % 50}, "prompt": {"raw": f"Q {at % 50}"}} for at in range(1000)]
    lost = [{**row, "success": at % 50 > 0} for at, row in enumerate(rows)]
    files = promptfoo(tmp_path / "base.json", rows), promptfoo(tmp_path / "target.json", lost)
    code, out, _ = judge(*files, "--metric", "pass")
    assert (code, "n=1000 in 50 groups" in out) == (1, True)


def test_cases_of_deepeval_without_any_metric_are_missing(judge: Judge, tmp_path: Path) -> None:
    metrics = [{"name": "EM", "score": 1.0, "success": True}, {"name": "EM", "score": 0.5}]
    cases = [{"name": str(at), "input": f"q{at}", "metricsData": metrics if at else []} for at in range(300)]
    for name in ("base", "target"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"testCases": cases}), "utf-8")
    code, _, err = judge(tmp_path / "base.json", tmp_path / "target.json")
    assert code == 4
    assert 'EM, EM.success, EM 2: of 300 samples 1 has no score in either log ("0")' in err


def test_queries_that_mteb_did_not_answer_are_missing(judge: Judge, tmp_path: Path) -> None:
    for name in ("base", "target"):
        (tmp_path / name).mkdir()
        queries = {f"q{at}": {"d": 1.0 + (name == "target")} for at in range(1, 9)}
        (tmp_path / name / "X_predictions.json").write_text(json.dumps({"x": {"test": queries}}), "utf-8")
        lines = "".join(f"q{at}\td\t1\n" for at in range(8))
        (tmp_path / name / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}", "utf-8")
    code, _, err = judge(tmp_path / "base", tmp_path / "target")
    assert code == 4
    assert 'of 8 samples 1 has no score in either log ("q0"), first error "no prediction"' in err
    _, out, _ = judge(tmp_path / "base", tmp_path / "target", "--missing", "drop")
    assert "1 queries have no right documents and are not judged" in out


def test_all_differences_of_two_logs_are_in_one_message(judge: Judge, tmp_path: Path) -> None:
    scores = [1.0] * 20
    base = write_lm_eval(tmp_path / "base", {"arc": scores, "gsm8k": scores, "old": scores})
    changed = {"n-shot": {"arc": 5, "gsm8k": 0}, "chat_template_sha": "B"}
    target = write_lm_eval(
        tmp_path / "target", {"arc": scores, "gsm8k": scores}, prompt="Say {id}", results=changed
    )
    code, _, err = judge(base, target)
    assert (code, err.count("\n")) == (4, 1)
    assert "target lacks the task old; arc: shots " in err
    assert 'arc, gsm8k: chat template {"chat_template_sha": null} and {"chat_template_sha": "B"}' in err
    assert "prompts differ in 20 of 20 samples" in err
    assert "accept them by --allow tasks --allow shots --allow chat_template --allow prompt" in err


def test_a_repeat_is_given_once(judge: Judge, tmp_path: Path) -> None:
    base = write_lm_eval(tmp_path / "base", {"arc": [1.0] * 20})
    code, _, err = judge(base, base, "--repeat", "a", "--repeat", "b")
    assert (code, "--repeat was given 2 times (a, b), expected one second log of the base" in err) == (
        4,
        True,
    )


def test_options_of_answers_do_not_go_with_load_tests(judge: Judge) -> None:
    file = Path(__file__).parents[1] / "logs/written_by_tools/guidellm/base.json"
    for option in (["--run", "latest"], ["--same-id", "epochs"]):
        code, _, err = judge(file, file, *option)
        assert code == 4
        assert "do not go with load tests" in err or "cannot be used with load tests" in err


HALF = "a\ud83d"  # what JavaScript keeps of a text that it cuts in an emoji
SHARED = ("task", "filter", "model")
TEXTS = (*SHARED, "id", "group", "prompt", "answer", "target", "error")


@pytest.mark.parametrize("column", TEXTS)
def test_half_of_a_surrogate_pair_keeps_the_verdict(judge: Judge, tmp_path: Path, column: str) -> None:
    """In an id, the command ended with an internal error. In the other texts, the report did."""
    for name, right in (("base", 1), ("target", 0)):
        rows = [
            {"id": f"q{at}", "score": int(at > 100 or right), "higher_is_better": True} for at in range(300)
        ]
        with_text = rows[:9] if column == "error" else rows  # a sample with an error is missing
        for row in with_text:
            row[column] = HALF if column in SHARED else f"{HALF}{row['id']}"
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = tmp_path / "base.jsonl", tmp_path / "target.jsonl"
    code, out, _ = judge(*files, "--missing", "drop", "--report", tmp_path / "out", "--json")
    assert code == 1
    assert json.loads(out)["target"]["verdict"]["status"] == "FAIL"
    assert read_record(tmp_path / "out" / "run.json").verdict.status == "FAIL"


def test_a_key_with_two_values_is_refused(judge: Judge, tmp_path: Path) -> None:
    lines = [f'{{"id": {at}, "score": {int(at > 99)}, "score": 1}}\n' for at in range(300)]
    (tmp_path / "base.jsonl").write_text("".join(lines))
    (tmp_path / "target.jsonl").write_text("".join(lines))
    code, _, err = judge(tmp_path / "base.jsonl", tmp_path / "target.jsonl")
    assert code == 4
    assert 'base.jsonl: line 1 is not JSON (the key "score" is there twice, with different values)' in err
