"""Repeats of a sample, by every tool that writes them, are epochs of one sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.tool_logs import (
    make_evalscope_line,
    make_openai_event,
    make_openai_head,
    write_json,
    write_lines,
    write_opencompass,
    write_sgl_eval,
)

from slimgate.errors import DataError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.columns import number_samples, read_samples
from slimgate.logs.find import read_log
from slimgate.logs.rules import Rules
from slimgate.logs.several_runs import convert_epochs_to_runs
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import split_epoch

SAMPLES, REPEATS = 40, 3
Repeats = Sequence[Sequence[float]]


def write_evalscope_repeats(folder: Path, repeats: Repeats) -> Path:
    rows = [
        make_evalscope_line(len(repeats) * sample + repeat, scores[sample], group_id=sample)
        for sample in range(len(repeats[0]))
        for repeat, scores in enumerate(repeats)
    ]
    for row in rows:
        row["messages"][0]["content"] = f"{row['sample_score']['group_id']}?"
        row["target"] = ["x"]
    write_lines(folder / "20261120_101500/reviews/m/sums_main.jsonl", rows)
    return folder


def write_opencompass_repeats(folder: Path, repeats: Repeats) -> Path:
    write_opencompass(folder, repeats[0])
    [results] = folder.glob("*/results/*/*.json")
    written = json.loads(results.read_text("utf-8"))
    for number, detail in enumerate(written["details"]):
        correct = [bool(scores[number]) for scores in repeats]
        detail |= {"pred": [f"{value}" for value in correct], "answer": ["x"] * len(repeats)}
        detail["correct"] = correct
    write_json(results, written)
    return folder


def write_openai_matches(folder: Path, repeats: Repeats) -> Path:
    rows = [
        make_openai_event(number, "match", correct=bool(scores[number]), expected="x", sampled="y")
        for number in range(len(repeats[0]))
        for scores in repeats
    ]
    return write_lines(folder / "run.jsonl", [*make_openai_head(), *rows])


def write_helm_trials(folder: Path, repeats: Repeats) -> Path:
    entries = [
        {
            "instance_id": f"id{number}",
            "train_trial_index": trial,
            "stats": [{"name": {"name": "exact_match", "split": "test"}, "count": 1, "mean": score}],
        }
        for trial, scores in enumerate(repeats)
        for number, score in enumerate(scores)
    ]
    write_json(folder / "sums,model=a/per_instance_stats.json", entries)
    return folder


def write_table(folder: Path, repeats: Repeats, *, epochs: Sequence[object] = (1, 2, 3)) -> Path:
    rows = [
        {"id": f"q{number}", "epoch": epoch, "metric": "em", "score": score}
        for epoch, scores in zip(epochs, repeats, strict=True)
        for number, score in enumerate(scores)
    ]
    return write_lines(folder / "scores.jsonl", rows)


WRITERS: dict[str, Callable[[Path, Repeats], Path]] = {
    "sgl_eval": lambda folder, repeats: write_sgl_eval(folder, *repeats),
    "evalscope": write_evalscope_repeats,
    "opencompass": write_opencompass_repeats,
    "openai_evals": write_openai_matches,
    "helm": write_helm_trials,
    "table": write_table,
    "table, epochs from 0": lambda folder, repeats: write_table(folder, repeats, epochs=(0, 1, 2)),
    "table, epochs as floats": lambda folder, repeats: write_table(folder, repeats, epochs=(1.0, 2.0, 3.0)),
    "table, epochs as texts": lambda folder, repeats: write_table(folder, repeats, epochs=("1", "2", "3")),
}


@pytest.fixture(params=WRITERS)
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A base that is always right, and a target that is wrong in 1, 2 or 3 answers to six samples."""
    base = np.ones((REPEATS, SAMPLES))
    target = base.copy()
    target[0, :6] = target[1, :4] = target[2, :2] = 0.0
    write = WRITERS[request.param]
    return write(tmp_path / "base", base.tolist()), write(tmp_path / "target", target.tolist())


def test_repeats_of_a_sample_are_its_epochs(sides: tuple[Path, Path]) -> None:
    [task] = read_log(sides[1]).tasks.values()
    [samples] = read_samples("x", task).values()
    assert (len(samples), samples.has_epochs) == (SAMPLES * REPEATS, True)
    numbers = number_samples(samples.ids.to_pylist())
    assert np.bincount(numbers).tolist() == [REPEATS] * SAMPLES


def test_a_sample_with_repeats_counts_once_in_the_pool(sides: tuple[Path, Path]) -> None:
    budgets = LogBudgets(pooled=(QualityBudget("drop_points", 50.0),))
    pooled = judge_logs(*map(read_log, sides), budgets, Rules()).pooled
    assert pooled is not None
    assert pooled.counts.judged == SAMPLES
    assert np.sort(pooled.target)[:7] == pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])


@pytest.mark.parametrize(("metric", "drop"), [("pass^2", 100 * 16 / 3 / 40), ("pass@2", 100 * 8 / 3 / 40)])
def test_repeats_are_attempts(sides: tuple[Path, Path], metric: str, drop: float) -> None:
    # of two drawn answers, with 1 of 3 right one is right in 2 of 3 draws; with 2 right both in 1 of 3
    [comparison] = judge_logs(*map(read_log, sides), LogBudgets(measured=(metric,)), Rules()).comparisons
    assert comparison.counts.judged == SAMPLES
    assert comparison.judged.drop_points == pytest.approx(drop)


def test_repeats_are_runs_if_the_user_says_so(sides: tuple[Path, Path]) -> None:
    log = convert_epochs_to_runs(read_log(sides[1]))
    right = []
    for run in (log, *log.further):
        [task] = run.tasks.values()
        rows = list(task.rows())
        assert len({row.id for row in rows}) == SAMPLES
        assert {row.cluster for row in rows} == {None}
        right.append(sum(value for row in rows for value in row.scores.values() if value is not None))
    assert right == [34, 36, 38]


def test_csv_files_of_pandas_have_epochs_as_floats(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("id,epoch,score\nq,1.0,1\nq,2.0,0\nr,,0\n", "utf-8")
    [task] = read_log(path).tasks.values()
    assert [row.id for row in task.rows()] == ["q epoch 1", "q epoch 2", "r"]


def test_repeats_are_the_same_if_rows_are_missing(tmp_path: Path) -> None:
    """The repeat is the place of the index in the block of its sample."""
    scores = np.ones((REPEATS, 3)).tolist()
    path = write_evalscope_repeats(tmp_path, scores)
    [file] = path.glob("*/reviews/m/*.jsonl")
    lines = file.read_text("utf-8").splitlines()
    file.write_text("\n".join([*lines[:3], *lines[4:]]) + "\n", "utf-8")  # the first answer to sample 1
    [task] = read_log(path).tasks.values()
    assert [row.id for row in task.rows()][3:5] == ["1 epoch 2", "1 epoch 3"]


def test_unequal_repeats_of_any_tool_are_refused(tmp_path: Path) -> None:
    """The target has lost every sample but one, whose many matches hide it in a mean of matches."""
    repeats = np.ones((REPEATS, SAMPLES)).tolist()
    file = write_openai_matches(tmp_path / "a", repeats)
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    rows += [row for row in rows if row.get("sample_id") == "sums.7"] * 30
    base = write_lines(tmp_path / "base.jsonl", rows)
    for row in rows:
        if row.get("sample_id") not in (None, "sums.7"):
            row["data"]["correct"] = False
    target = write_lines(tmp_path / "target.jsonl", rows)
    expected = r'"sums\.7" has 93 epochs in the base\'s log, and "sums\.0" has 3'
    with pytest.raises(DataError, match=expected):
        judge_logs(read_log(base), read_log(target), LogBudgets(), Rules())


def test_an_id_with_many_digits_is_no_epoch() -> None:
    name = "x epoch " + "9" * 5000
    assert split_epoch(name) == (name, 1)


@pytest.mark.parametrize("epoch", ["first", -1, 1.5, "01"], ids=str)
def test_an_epoch_that_is_no_whole_number_is_refused(tmp_path: Path, epoch: object) -> None:
    path = write_table(tmp_path, [[1.0], [1.0]], epochs=(1, epoch))
    [task] = read_log(path).tasks.values()
    with pytest.raises(DataError, match=f'id q0: epoch is "{epoch}", expected a whole number'):
        read_samples("x", task)
