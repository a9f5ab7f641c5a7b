"""Rows that ask the same count as one group: repeats under other ids, and documents that tasks share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slimgate.cli.main import main
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.logs.budgets import LogBudgets, make_drop_budgets
from slimgate.logs.columns import digest, read_samples
from slimgate.logs.find import read_log
from slimgate.logs.row_groups import digest_documents, group_rows
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.plugins.reader import Log, Row, TaskLog
from slimgate.results.base import Verdict

NONE = np.array([-1, -1, -1, -1])
POOLED = LogBudgets((), (QualityBudget("drop_points", 2.0),))


def digest_rows(rows: Sequence[Row]) -> list[int]:
    (samples,) = read_samples("x", TaskLog(lambda: iter(rows))).values()
    return digest_documents(samples).tolist()


def make_row(at: int, **keys: str) -> Row:
    return Row(str(at), {"em": 1.0}, keys=keys)


def test_a_row_asks_its_document() -> None:
    digests = digest_rows(
        [
            make_row(0, document="a", prompt="p"),
            make_row(1, document="b", prompt="p"),
            make_row(2, document="a"),
        ]
    )
    assert digests == [digest("a"), digest("b"), digest("a")]


def test_without_documents_a_row_asks_its_prompt_and_target() -> None:
    digests = digest_rows(
        [make_row(k, prompt=p, target=t) for k, (p, t) in enumerate([("p", "t"), ("p", "u"), ("p", "t")])]
    )
    assert digests[0] == digests[2] != digests[1]
    assert min(digests) >= 0
    assert digest_rows([make_row(0, prompt="p"), make_row(1, prompt="p")]) == [digest("p")] * 2


def test_an_empty_text_says_nothing_of_what_a_row_asks() -> None:
    assert digest_rows([make_row(0, prompt="", target="t"), make_row(1, prompt="", target="t")]) == [-1, -2]
    assert digest_rows([make_row(0, document=""), make_row(1)]) == [-1, -2]
    assert digest_rows([make_row(0), make_row(1)]) == [-1, -2]


def test_rows_that_stand_alone_have_no_groups() -> None:
    assert group_rows(None, NONE) is None
    assert group_rows(np.array([5, 6, 7, 8]), np.array([1, 2, 3, 4])) is None


def test_rows_that_share_a_cluster_or_a_document_are_one_group() -> None:
    groups = group_rows(np.array([7, 7, 8, 9]), np.array([1, 2, 2, -1]))
    assert groups is not None
    assert groups.tolist() == [0, 0, 0, 1]
    groups = group_rows(np.array([7, 7, 8, 9]), NONE)
    assert groups is not None
    assert groups.tolist() == [0, 0, 1, 2]
    groups = group_rows(np.array([7, 8, 9, 10]), np.array([3, 3, 4, 4]))
    assert groups is not None
    assert groups.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("repeated", "grouped"), [(11, False), (12, True)])
def test_few_repeated_documents_are_left_alone(repeated: int, grouped: bool) -> None:
    # 1,000 rows of which some stand twice: the squares of the group sizes add up to 1,000 + 2 a pair
    rows = np.arange(1000)
    rows[1000 - repeated + 1 :] = np.arange(repeated - 1)
    assert (group_rows(None, rows) is not None) is grouped


def make_log(shown: str, tasks: Mapping[str, Sequence[Row]]) -> Log:
    return Log("tool", shown, {name: TaskLog(lambda rows=rows: iter(rows)) for name, rows in tasks.items()})


def judged(
    before: Mapping[str, Sequence[Row]], after: Mapping[str, Sequence[Row]], budgets: LogBudgets
) -> LogVerdicts:
    return judge_logs(make_log("base", before), make_log("target", after), budgets, Rules())


def make_rows(scores: Sequence[float], document: str, metric: str = "em") -> list[Row]:
    return [
        Row(str(at), {metric: score}, keys={"document": document.format(at)})
        for at, score in enumerate(scores)
    ]


RIGHT, LOST = [1.0] * 300, [0.0] * 3 + [1.0] * 297


@pytest.mark.parametrize(("names", "groups"), [(("d{}", "d{}"), 300), (("d{}", "e{}"), None)])
def test_pooled_tasks_with_equal_documents_are_one_group_each(
    names: tuple[str, str], groups: int | None
) -> None:
    before = {task: make_rows(RIGHT, name) for task, name in zip("ab", names, strict=True)}
    after = {task: make_rows(LOST, name) for task, name in zip("ab", names, strict=True)}
    pooled = judged(before, after, POOLED).pooled
    assert pooled is not None
    assert (pooled.counts.judged, pooled.judged.groups) == (600, groups)
    assert "Tango" in pooled.judged.method if groups is None else "Tango" not in pooled.judged.method


def test_the_pool_has_the_first_metric_of_each_task() -> None:
    before = {
        "a": [Row(str(at), {"acc": 1.0, "acc_norm": 0.0}) for at in range(9)],
        "b": make_rows([1.0] * 9, "{}"),
    }
    verdicts = judged(before, before, POOLED)
    assert verdicts.pooled is not None
    assert verdicts.pooled.counts.judged == 18
    assert verdicts.pooled.judged.teacher == 1.0
    assert "pooled: a/acc, b/em, of each task its first metric in the log" in verdicts.notes
    norm = LogBudgets((), POOLED.pooled, ("acc_norm", "em"))
    assert (
        "pooled: a/acc_norm, b/em, of each task its first metric in the log"
        in judged(before, before, norm).notes
    )


def test_repeats_of_a_document_under_other_ids_are_one_group() -> None:
    before = {"a": [make_row(at, document=f"d{at % 50}") for at in range(1000)]}
    verdicts = judged(before, before, make_drop_budgets([], [2.0], None))
    (comparison,) = verdicts.comparisons
    assert comparison.judged.groups == 50
    assert "a: some of 1,000 samples ask the same as others, so they count as 50 groups" in verdicts.notes


@pytest.mark.parametrize("side", ["base", "target"])
def test_the_documents_of_either_log_count(side: str) -> None:
    """A question belongs to the sample and not to a model, as a group does."""
    bare = {"a": [make_row(at) for at in range(1000)]}
    stated = {"a": [make_row(at, document=f"d{at % 50}") for at in range(1000)]}
    logs = (stated, bare) if side == "base" else (bare, stated)
    (comparison,) = judged(*logs, make_drop_budgets([], [2.0], None)).comparisons
    assert comparison.judged.groups == 50


def test_metrics_with_the_same_scores_are_one_hypothesis() -> None:
    rows = [Row(str(at), {"pass": 1.0, "success": 1.0, "correctness": at / 9}) for at in range(9)]
    verdicts = judged({"": rows}, {"": rows}, make_drop_budgets([], [2.0], None))
    assert verdicts.tests == 2
    assert [comparison.judged.metric for comparison in verdicts.comparisons] == [
        "pass",
        "success",
        "correctness",
    ]
    assert [comparison.same_as for comparison in verdicts.comparisons] == [None, "pass", None]
    assert (
        "pass, success have the same scores in both logs, so Holm's correction and the totals count them once"
        in verdicts.notes
    )
    patterns = [
        ("*", make_drop_budgets([], [2.0], None).patterns[0][1]),
        ("success", (QualityBudget("drop_points", 1.0),)),
    ]
    assert judged({"": rows}, {"": rows}, LogBudgets(tuple(patterns))).tests == 3


def test_equal_scores_of_two_ranges_are_two_hypotheses() -> None:
    """The verdict of a range of 50 is not that of a range of 1."""
    rows = [Row(str(at), {"q1": at / 400, "q2": at / 400}) for at in range(400)]
    budgets = replace(make_drop_budgets([], [2.0], None), ranges=(("q1", (0.0, 1.0)), ("q2", (0.0, 50.0))))
    logs = make_log("base", {"": rows}), make_log("target", {"": rows})
    comparisons = {
        part.name: part for part in judge_logs(*logs, budgets, Rules(directions={"q*": True})).comparisons
    }
    assert [part.same_as for part in comparisons.values()] == [None, None]
    assert (comparisons["q1"].judged.verdict, comparisons["q2"].judged.verdict) == ("PASS", "INCONCLUSIVE")


def test_equal_means_of_other_runs_are_two_hypotheses() -> None:
    """Both runs of m1 are half right. The first run of m2 is right, and the second one wrong.

    Each run of the target differs in one row, so it is no copy of a run of the base.
    """
    runs = [
        {"": [Row(str(at), {"m1": float(at % 2 == run), "m2": float(run == 0)}) for at in range(400)]}
        for run in (0, 1)
    ]
    lost = {"": [Row("0", {"m1": 0.0, "m2": 0.0}), *runs[0][""][1:]]}
    gained = {"": [Row("0", {"m1": 1.0, "m2": 1.0}), *runs[1][""][1:]]}
    logs = [make_log(f"run{number}", tasks) for number, tasks in enumerate([*runs, lost, gained])]
    sides = (replace(logs[0], further=(logs[1],)), replace(logs[2], further=(logs[3],)))
    budgets = make_drop_budgets([], [2.0], None)
    comparisons = {
        part.name: part for part in judge_logs(*sides, budgets, Rules(directions={"m*": True})).comparisons
    }
    assert np.array_equal(comparisons["m1"].base, comparisons["m2"].base)
    assert np.array_equal(comparisons["m1"].target, comparisons["m2"].target)
    assert comparisons["m2"].same_as is None
    assert (comparisons["m1"].judged.verdict, comparisons["m2"].judged.verdict) == ("PASS", "INCONCLUSIVE")


def test_equal_slices_both_have_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, wrong in (("base", 0), ("small", 40)):
        lines = ["id,metric,score,lang,hard"]
        lines += [f"{k},em,{int(k >= wrong)},{'en' if k < 200 else 'de'},{k < 200}" for k in range(400)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    files = [str(tmp_path / "base.csv"), str(tmp_path / "small.csv")]
    options = ["--drop-points", "30", "--slice", "lang", "--slice", "hard", "--slice-points", "3"]
    assert main(["judge", *files, *options]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith("FAIL")]
    assert [line.split("[")[1].split("]")[0] for line in lines if line.startswith("small: ")] == [
        "lang=en",
        "hard=True",
    ]


def test_long_ids_stay_distinct() -> None:
    rows = [Row("x" * 70 + str(at), {"em": 1.0}) for at in range(20)] + [Row("y" * 64, {"em": 1.0})]
    (comparison,) = judged({"a": rows}, {"a": rows}, make_drop_budgets([], [2.0], None)).comparisons
    ids = comparison.ids.tolist()
    assert len(set(ids)) == 21
    assert {len(name) for name in ids} == {64}
    assert ids[20] == "y" * 64
    assert ids[0].startswith("x" * 51 + "~")


def test_equal_answers_are_noted() -> None:
    line = "all answers and scores are the same in both logs: check that they are of two models"
    before = [Row("0", {"em": 1.0}, answer="a"), Row("1", {"em": 1.0}, answer="b")]
    after = [Row("0", {"em": 1.0}, answer="a"), Row("1", {"em": 1.0}, answer="c")]
    assert line in judged({"a": before}, {"a": before}, LogBudgets()).notes
    assert line not in judged({"a": before}, {"a": after}, LogBudgets()).notes
    assert (
        line not in judged({"a": make_rows(RIGHT, "{}")}, {"a": make_rows(RIGHT, "{}")}, LogBudgets()).notes
    )


@pytest.mark.parametrize("columns", ["question", "input", "query", "text", "document", "premise,hypothesis"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_rows_of_a_table_with_one_question_are_one_group(tmp_path: Path, columns: str, suffix: str) -> None:
    """Three of 100 questions are lost. Each has 30 rows, which are no 3,000 independent rows."""
    for name, damaged in (("base", 0), ("target", 3)):
        rows = [
            {
                "id": k,
                "score": float(k % 100 >= damaged),
                # of two columns, the last one tells the texts apart
                **dict.fromkeys(columns.split(","), "q"),
                columns.rpartition(",")[2]: f"q{k % 100}",
            }
            for k in range(3000)
        ]
        if suffix == "jsonl":
            lines = [json.dumps(row) for row in rows]
        else:
            lines = [f"id,score,{columns}", *(",".join(map(str, row.values())) for row in rows)]
        (tmp_path / f"{name}.{suffix}").write_text("\n".join(lines))
    files = [read_log(tmp_path / f"{name}.{suffix}") for name in ("base", "target")]
    budgets = LogBudgets((("*", (QualityBudget("drop_points", 4.0),)),), ranges=(("*", (0.0, 1.0)),))
    [comparison] = judge_logs(*files, budgets, Rules(directions={"*": True})).comparisons
    assert (comparison.judged.groups, comparison.judged.verdict) == (100, Verdict.INCONCLUSIVE)
