"""Several runs of each side: crossed with the samples, from files, folders, suites and epochs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.judge_command import Judge

from slimgate import assert_budgets, assert_within
from slimgate.errors import DataError, SuiteError
from slimgate.logs import columns
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.find import read_log
from slimgate.logs.rules import Rules
from slimgate.logs.several_runs import EPOCHS_OF_ONE_RUN, ONE_RUN, convert_epochs_to_runs, join_logs
from slimgate.logs.suite import load_log_suite
from slimgate.logs.suite_run import judge_log_suite
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import Log, Row, TaskLog, name_further_epoch

N = 200


# The tables do not state it.
UP = ("--higher-is-better", "score")


def write_run(folder: Path, name: str, scores: Sequence[float], **columns: Sequence[Any]) -> Path:
    file = folder / f"{name}.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "score", *columns])
        writer.writerows(
            [f"q{at}", *row] for at, row in enumerate(zip(scores, *columns.values(), strict=True))
        )
    return file


def draw_scores(seed: int, runs: int, right: float = 0.8) -> list[list[int]]:
    answers = np.random.default_rng(seed).random((runs, N)) < right
    return answers.astype(int).tolist()


@pytest.fixture
def sides(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    base = [write_run(tmp_path, f"a{at}", scores) for at, scores in enumerate(draw_scores(0, 3))]
    target = [write_run(tmp_path, f"b{at}", scores) for at, scores in enumerate(draw_scores(1, 3))]
    return base, target


def read_quality(out: str, metric: str = "score") -> dict[str, Any]:
    (judged,) = json.loads(out).values()
    facts = judged["quality"][metric]
    return {key: value for key, value in facts.items() if key not in ("message", "measured")}


def test_the_means_over_the_runs_are_judged(judge: Judge, sides: tuple[list[Path], list[Path]]) -> None:
    base, target = sides
    code, out, _ = judge("--base", *base, "--target", *target, *UP, "--drop-points", 20, "--json")
    facts = read_quality(out)
    assert code == 0
    assert (facts["n"], facts["runs"]) == (N, [3, 3])
    assert facts["teacher"] == pytest.approx(np.mean(draw_scores(0, 3)))
    assert facts["value"] == pytest.approx(np.mean(draw_scores(1, 3)))


def test_one_run_of_each_is_as_before_and_says_what_it_lacks(
    judge: Judge, sides: tuple[list[Path], list[Path]]
) -> None:
    (base, *_), (target, *_) = sides
    plain = judge(base, target, *UP, "--drop-points", 5)
    assert judge("--base", base, "--target", target, *UP, "--drop-points", 5) == plain
    assert "note: one run of each: the intervals do not contain what changes from run to run" in plain[1]


def test_a_side_of_one_run_is_named(judge: Judge, sides: tuple[list[Path], list[Path]]) -> None:
    base, target = sides
    _, out, _ = judge("--base", base[0], "--target", *target, *UP, "--drop-points", 5)
    assert "1 and 3 runs, crossed with the samples" in out
    assert "the base has one run, and is taken to vary from run to run as the target does" in out


def test_two_targets_have_runs_of_their_own(judge: Judge, sides: tuple[list[Path], list[Path]]) -> None:
    base, target = sides
    _, out, _ = judge(
        "--base", *base, "--target", *target[:2], "--target", target[2], *UP, "--drop-points", 5, "--json"
    )
    assert {name: facts["quality"]["score"]["runs"] for name, facts in json.loads(out).items()} == {
        "b0": [3, 2],
        "b2": [3, 1],
    }


def test_samples_may_stand_in_any_order(judge: Judge, sides: Any) -> None:
    base, target = sides
    expected = read_quality(judge("--base", *base, "--target", *target, *UP, "--drop-points", 5, "--json")[1])
    lines = base[1].read_text().splitlines()
    base[1].write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert (
        read_quality(judge("--base", *base, "--target", *target, *UP, "--drop-points", 5, "--json")[1])
        == expected
    )


def test_epochs_as_runs_are_those_runs(judge: Judge, tmp_path: Path, sides: Any) -> None:
    base, target = sides
    expected = read_quality(judge("--base", *base, "--target", *target, *UP, "--drop-points", 5, "--json")[1])
    tables = []
    for name, runs in (("a", draw_scores(0, 3)), ("b", draw_scores(1, 3))):
        rows = [(f"q{at}", run + 1, runs[run][at]) for at in range(N) for run in range(3)]
        text = "id,epoch,score\n" + "".join(f"{id_},{epoch},{score}\n" for id_, epoch, score in rows)
        tables.append(tmp_path / f"{name}.csv")
        tables[-1].write_text(text)
    facts = read_quality(judge(*tables, "--same-id", "runs", *UP, "--drop-points", 5, "--json")[1])
    assert facts == expected
    _, out, _ = judge(*tables, *UP, "--drop-points", 5)
    assert "epochs of one run of each" in out
    assert f"n={3 * N} in {N} groups" in out


def test_tasks_with_other_epochs_are_no_runs(tmp_path: Path) -> None:
    rows = [f"big,q{at},1,1\n" for at in range(5)]
    rows += [f"rep,q{at},{epoch},1\n" for at in range(5) for epoch in range(1, 17)]
    path = tmp_path / "a.csv"
    path.write_text("task,id,epoch,score\n" + "".join(rows))
    with pytest.raises(DataError, match=r"a\.csv: .* but task big has 1 epoch and task rep has 16 epochs"):
        convert_epochs_to_runs(read_log(path))


def test_a_log_of_one_epoch_has_no_runs(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a", [1.0] * 5)
    with pytest.raises(DataError, match=r"a\.csv: --same-id runs was given, but no id occurs twice"):
        convert_epochs_to_runs(read_log(path))


def make_log_with_listed_ids(name: str, epochs: int, *, without: str = "") -> Log:
    """A log as the reader of Inspect gives it, whose header lists its samples."""

    def read() -> Iterator[Row]:
        for epoch in range(1, epochs + 1):
            for at in range(4):
                if (row := name_further_epoch(f"q{at}", epoch)) != without:
                    yield Row(row, {"acc": float(at > 0)}, cluster=f"q{at}")

    ids = [name_further_epoch(f"q{at}", epoch) for epoch in range(1, epochs + 1) for at in range(4)]
    return Log("simulated", name, {"task": TaskLog(read, ids=tuple(ids))})


def test_listed_samples_of_each_epoch_are_of_its_run() -> None:
    rules = Rules(same_id="runs")
    sides = make_log_with_listed_ids("a", 2), make_log_with_listed_ids("b", 2)
    (judged,) = judge_logs(*sides, LogBudgets(), rules).comparisons
    assert judged.counts.judged == 4
    assert judged.runs is not None
    assert judged.runs.base.shape == (2, 4)
    lacking = [make_log_with_listed_ids(name, 2, without="q1 epoch 2") for name in ("a", "b")]
    expected = r'task: a \(epoch 2\) lists 1 sample that it does not contain \("q1"\)'
    with pytest.raises(DataError, match=expected):
        judge_logs(lacking[0], lacking[1], LogBudgets(), rules)


def test_a_kept_base_of_epochs_is_runs_again(judge: Judge, tmp_path: Path) -> None:
    tables = []
    for name, runs in (("a", draw_scores(0, 3)), ("b", draw_scores(1, 3)), ("c", draw_scores(2, 3))):
        tables.append(tmp_path / f"{name}.csv")
        rows = (f"q{at},{score}\n" for run in runs for at, score in enumerate(run))
        tables[-1].write_text("id,score\n" + "".join(rows))
    options = "--same-id", "runs", *UP, "--drop-points", 20
    judge(*tables[:2], *options, "--report", tmp_path / "kept")
    expected = read_quality(judge(tables[0], tables[2], *options, "--json")[1])
    assert read_quality(judge(tmp_path / "kept", tables[2], *options, "--json")[1]) == expected
    code, _, err = judge("--base", *tables[:2], "--target", tables[2], *options)
    assert (code, "a.csv: --same-id runs reads the rows of one log as runs, but several" in err) == (4, True)


EPOCHS = ("q0", "q0 epoch 2", "q1", "q1 epoch 2")


@pytest.mark.parametrize(
    ("ids", "clusters", "epochs"),
    [
        pytest.param(("q0", "q1", "q2"), ("q0", "q1", "q2"), False, id="a cluster each, as Inspect has them"),
        pytest.param(("q0", "q1", "q2"), ("u0", "u0", "u1"), False, id="groups of samples"),
        pytest.param(
            ("q0", "q0 typos", "q1"), ("q0", "q0", "q1"), False, id="perturbations, as HELM has them"
        ),
        pytest.param(EPOCHS, ("q0", "q0", "q1", "q1"), True, id="epochs"),
        pytest.param(EPOCHS, ("u0", "u0", "u0", "u0"), True, id="epochs of samples in groups"),
    ],
)
def test_only_repeats_of_a_sample_are_epochs(
    ids: tuple[str, ...], clusters: tuple[str, ...], epochs: bool
) -> None:
    def read() -> Iterator[Row]:
        yield from (
            Row(name, {"acc": 1.0}, cluster=cluster) for name, cluster in zip(ids, clusters, strict=True)
        )

    sides = [Log("simulated", name, {"task": TaskLog(read)}) for name in ("a", "b")]
    notes = judge_logs(*sides, LogBudgets(), Rules()).notes
    assert (ONE_RUN in notes, EPOCHS_OF_ONE_RUN in notes) == (not epochs, epochs)


def test_ids_are_searched_for_epochs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> Iterator[Row]:
        for name in EPOCHS:
            yield Row(name, {f"m{at}": 1.0 for at in range(5)}, cluster=name[:2])

    calls = []

    def count(ids: Any) -> Any:
        calls.append(ids)
        return number_samples(ids)

    number_samples = columns.number_samples
    monkeypatch.setattr(columns, "number_samples", count)
    sides = [Log("simulated", name, {"task": TaskLog(read)}) for name in ("a", "b")]
    directions = {f"m{at}": True for at in range(5)}
    judged = judge_logs(*sides, LogBudgets(), Rules(directions=directions))
    assert [part.has_epochs for part in judged.comparisons] == [True] * 5
    assert len(calls) == 1


def test_groups_with_other_names_take_no_memory_by_group() -> None:
    def read() -> Iterator[Row]:
        yield Row("q0", {"acc": 1.0}, cluster="q0", truncated=True)
        yield Row("q0 epoch 2", {"acc": 1.0}, cluster="q0")
        yield Row("x", {"acc": 1.0}, cluster="u1", error="failed")
        yield Row("u1 epoch 2", {"acc": 1.0}, cluster="U1 ", truncated=True)
        yield Row("alone", {"acc": 1.0})

    (samples,) = columns.read_samples("a", TaskLog(read)).values()
    assert samples.clusters is not None
    assert (samples.clusters >= columns.OWN_NAMES).tolist() == [True, True, False, False, False]
    assert (samples.clusters >= columns.STATED).tolist() == [True, True, True, True, False]
    assert len(set(samples.clusters.tolist())) == 3
    assert samples.errors.tolist() == [0, 0, 1, 0, 0]
    assert samples.truncated.tolist() == [1, 0, 0, 1, 0]


def test_a_copy_of_a_base_run_is_no_target_run(judge: Judge, tmp_path: Path, sides: Any) -> None:
    """The mean of the runs would hide half of the drop."""
    base, target = sides
    copy = tmp_path / "copy.csv"
    copy.write_bytes(base[0].read_bytes())
    code, _, err = judge("--base", *base, "--target", *target, copy, *UP, "--drop-points", 5)
    words = f"{copy}: it is a copy of the base {base[0]}, expected the log of another model"
    assert (code, words in err) == (4, True)


def test_a_base_run_in_another_layout_is_no_target_run(judge: Judge, tmp_path: Path, sides: Any) -> None:
    base, target = sides
    head, *lines = base[0].read_text().splitlines()
    copy = tmp_path / "copy.csv"
    copy.write_text("\n".join([head, *reversed(lines)]) + "\n")
    code, _, err = judge("--base", *base, "--target", *target, copy, *UP, "--drop-points", 5)
    words = f"{copy}: it has the same rows as {base[0]} of the base, so it would hide a part of the drop"
    assert (code, words in err) == (4, True)


def test_a_copy_is_no_other_run(judge: Judge, tmp_path: Path, sides: Any) -> None:
    base, target = sides
    copy = tmp_path / "copy.csv"
    copy.write_bytes(base[0].read_bytes())
    code, _, err = judge("--base", base[0], copy, "--target", *target, *UP, "--drop-points", 5)
    assert code == 4
    assert (
        "byte by byte, so it is not another run; a model that always gives the same answers needs one run"
        in err
    )
    code, _, err = judge("--base", *base, "--target", base[0], target[1], *UP, "--drop-points", 5)
    assert (code, "base and target are the same path" in err) == (4, True)


def test_a_sample_that_one_run_lacks_is_missing(judge: Judge, sides: Any) -> None:
    base, target = sides
    base[1].write_text("\n".join(base[1].read_text().splitlines()[:-1]) + "\n")
    arguments = "--base", *base, "--target", *target, *UP, "--drop-points", 20
    code, _, err = judge(*arguments)
    assert (code, "1 has no score in the base's log" in err) == (4, True)
    _, out, _ = judge(*arguments, "--missing", "drop", "--json")
    assert read_quality(out)["n"] == N - 1
    _, out, _ = judge(*arguments, "--missing", "as-wrong", "--json")
    # as wrong it would lower the base
    assert read_quality(out)["teacher"] == pytest.approx(np.array(draw_scores(0, 3))[:, :-1].mean())


def test_runs_without_a_common_sample_are_missing_all(judge: Judge, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.csv" for name in ("a0", "a1", "b0")]
    for file, first in zip(files, (0, 10, 0), strict=True):
        score = int(file != files[2])
        rows = "".join(f"q{at},{score},what is {at}?\n" for at in range(first, first + 10))
        file.write_text(f"id,score,prompt\n{rows}", "utf-8")
    code, _, err = judge("--base", *files[:2], "--target", files[2], *UP, "--drop-points", 20)
    assert code == 4
    assert "of 20 samples 10 are only in the base's log, 10 have no score in the base's log" in err


def test_runs_of_a_side_must_ask_the_same(judge: Judge, tmp_path: Path) -> None:
    prompts = [f"what is {at}?" for at in range(N)]
    files = [
        write_run(tmp_path, name, scores, prompt=[*prompts[:-1], f"what is {name}?"])
        for name, scores in zip(("a0", "a1", "b0"), draw_scores(0, 3), strict=True)
    ]
    for file in files[::2]:
        file.write_text(
            file.read_text().replace("what is a0?", "the last").replace("what is b0?", "the last")
        )
    code, _, err = judge("--base", *files[:2], "--target", files[2], *UP, "--drop-points", 20)
    assert code == 4
    assert "prompts differ in 1 of 200 samples" in err
    assert "a1.csv beside" in err


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first", "second"])
def test_prompts_of_one_run_are_those_of_its_side(
    judge: Judge, tmp_path: Path, order: tuple[int, int]
) -> None:
    """A run without prompts does not switch off the comparison of prompts, nor the groups of equal ones."""
    runs, prompts = draw_scores(0, 3), [f"what is {at % 40}?" for at in range(N)]
    with_prompts = write_run(tmp_path, "a0", runs[0], prompt=prompts)
    base = [with_prompts, write_run(tmp_path, "a1", runs[1])]
    same = write_run(tmp_path, "b0", runs[2], prompt=prompts)
    other = write_run(tmp_path, "b1", runs[2], prompt=[f"{text}!" for text in prompts])
    sides = "--base", *(base[at] for at in order), "--target"
    _, out, _ = judge(*sides, same, *UP, "--drop-points", 20, "--json")
    assert read_quality(out)["groups"] == 40
    code, _, err = judge(*sides, other, *UP, "--drop-points", 20)
    assert (code, "prompts differ in 200 of 200 samples" in err) == (4, True)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first", "second"])
def test_a_field_that_one_run_has_is_that_of_its_side(
    judge: Judge, tmp_path: Path, order: tuple[int, int]
) -> None:
    runs, topics = draw_scores(0, 3), ["law" if at % 4 else "maths" for at in range(N)]
    base = [write_run(tmp_path, "a0", runs[0], topic=topics), write_run(tmp_path, "a1", runs[1])]
    target = write_run(tmp_path, "b0", runs[2])
    sides = "--base", *(base[at] for at in order), "--target", target
    _, out, _ = judge(*sides, "--slice", "topic", *UP, "--drop-points", 20, "--json")
    counts = [read_quality(out, f"score[topic={topic}]")["n"] for topic in ("law", "maths")]
    assert counts == [150, 50]


def test_runs_of_two_models_are_no_side() -> None:
    logs = [Log("tool", name, {}, model=name) for name in ("a", "b")]
    with pytest.raises(DataError, match="the runs of one side must be of one model"):
        join_logs(logs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "--base", "b", "--target", "c"], "was given together with --base"),
        (["--base", "b"], "--base was given without --target"),
        (["--drop-points", "2"], "no BASE was given"),
        (["a", "b", "--target", "c"], "was given together with --target"),
    ],
)
def test_sides_come_one_way(judge: Judge, arguments: list[str], words: str) -> None:
    code, _, err = judge(*arguments)
    assert (code, words in err) == (4, True)


def test_passes_count_missing_answers_as_wrong(judge: Judge, tmp_path: Path) -> None:
    """Of the metric that is not measured itself, the direction is still needed."""
    for name, last in (("base", 20), ("target", 19)):
        rows = [f"q{at},{epoch},1\n" for at in range(20) for epoch in (1, 2)][: 2 * last]
        (tmp_path / f"{name}.csv").write_text("id,epoch,score\n" + "".join(rows), "utf-8")
    logs = tmp_path / "base.csv", tmp_path / "target.csv"
    options = "--metric", "pass^2", *UP, "--drop-points", 40, "--missing", "as-wrong", "--json"
    facts = read_quality(judge(*logs, *options)[1], "score/pass^2")
    assert (facts["n"], facts["teacher"], facts["value"]) == (20, 1.0, 0.95)


def test_passes_are_means_over_all_choices(judge: Judge, sides: Any) -> None:
    base, target = sides
    arguments = "--base", *base, "--target", *target
    _, out, _ = judge(*arguments, "--metric", "pass^3", *UP, "--drop-points", 20, "--json")
    facts = read_quality(out, "score/pass^3")
    assert facts["teacher"] == pytest.approx((np.sum(draw_scores(0, 3), axis=0) == 3).mean())
    assert facts["runs"] == [3, 3]
    _, out, _ = judge(*arguments, "--metric", "pass@2", *UP, "--drop-points", 20, "--json")
    right = np.sum(draw_scores(1, 3), axis=0)
    assert read_quality(out, "score/pass@2")["value"] == pytest.approx(
        np.choose(right, [0, 2 / 3, 1, 1]).mean()
    )


def test_passes_are_of_epochs_too(judge: Judge, tmp_path: Path) -> None:
    tables = []
    for name, seed in (("a", 0), ("b", 1)):
        tables.append(tmp_path / f"{name}.csv")
        runs = draw_scores(seed, 4)
        lines = [f"q{at},{run + 1},{runs[run][at]}" for run in range(4) for at in range(N)]
        tables[-1].write_text("\n".join(["id,epoch,score", *lines]) + "\n")
    _, out, _ = judge(*tables, "--metric", "pass^4", *UP, "--drop-points", 20, "--json")
    facts = read_quality(out, "score/pass^4")
    assert (facts["n"], facts["runs"]) == (N, None)
    assert facts["teacher"] == pytest.approx((np.sum(draw_scores(0, 4), axis=0) == 4).mean())


def test_a_budget_file_names_passes(judge: Judge, tmp_path: Path, sides: Any) -> None:
    base, target = sides
    budgets = tmp_path / "budgets.toml"
    budgets.write_text('[budgets]\n"*" = { drop_points = 15.0 }\n"*/pass^2" = { drop_points = 30.0 }\n')
    _, out, _ = judge("--base", *base, "--target", *target, *UP, "--budgets", budgets, "--json")
    (judged,) = json.loads(out).values()
    limits = {name: facts["budgets"][0]["limit"] for name, facts in judged["quality"].items()}
    assert limits == {"score": 15.0, "score/pass^2": 30.0}


def test_passes_that_the_logs_cannot_tell_are_refused(judge: Judge, tmp_path: Path, sides: Any) -> None:
    base, target = sides
    arguments = "--base", *base, "--target", *target, *UP, "--drop-points", 20
    code, _, err = judge(*arguments, "--metric", "pass^4")
    assert (code, "has 3 answers in the base, but pass^4 needs at least 4" in err) == (4, True)
    grades = [write_run(tmp_path, f"g{at}", np.array(run) * 0.5) for at, run in enumerate(draw_scores(3, 2))]
    code, _, err = judge(*grades, "--metric", "pass^1", *UP, "--drop-points", 20, "--range", "score=0:1")
    assert (code, "it is of metrics with scores of 0 and 1" in err) == (4, True)


def test_slices_hold_the_runs_of_their_samples(judge: Judge, tmp_path: Path) -> None:
    kinds = ["even" if at % 2 == 0 else "odd" for at in range(N)]
    sides = [
        [write_run(tmp_path, f"{name}{at}", run, kind=kinds) for at, run in enumerate(draw_scores(seed, 3))]
        for name, seed in (("a", 0), ("b", 1))
    ]
    halves = [
        [write_run(tmp_path, f"half-{name}{at}", run[::2]) for at, run in enumerate(draw_scores(seed, 3))]
        for name, seed in (("a", 0), ("b", 1))
    ]
    common = *UP, "--drop-points", 20, "--json"
    _, out, _ = judge("--base", *sides[0], "--target", *sides[1], "--slice", "kind", *common)
    _, alone, _ = judge("--base", *halves[0], "--target", *halves[1], *common)
    sliced, part = read_quality(out, "score[kind=even]"), read_quality(alone)
    assert (sliced["runs"], sliced["n"]) == ([3, 3], N // 2)
    assert sliced["interval"] == part["interval"]


def test_answers_are_judged_by_one_run(judge: Judge, sides: Any) -> None:
    base, target = sides
    code, _, err = judge(
        "--base", *base, "--target", *target, "--metric", "answer_length", "--drop-points", 2
    )
    assert (code, "need one run of each side" in err) == (4, True)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the notes of `slimgate judge`
def test_suites_and_assertions_take_lists(tmp_path: Path, sides: Any, judge: Judge) -> None:
    base, target = sides
    names = [[file.name for file in side] for side in sides]
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f"[logs]\nbase = {json.dumps(names[0])}\ntargets = {{ int4 = {json.dumps(names[1])} }}\n"
        'higher_is_better = ["score"]\n[budgets]\n"*" = { drop_points = 20.0 }\n'
    )
    record = judge_log_suite(load_log_suite(suite, "suite.toml")).targets["int4"]
    expected = read_quality(
        judge("--base", *base, "--target", *target, *UP, "--drop-points", 20, "--json")[1]
    )
    assert record.quality["score"].interval == pytest.approx(expected["interval"])
    judged = assert_within(base, target, drop_points=20, higher_is_better=["score"])
    assert judged.interval == pytest.approx(tuple(expected["interval"]))
    with pytest.warns(UserWarning, match="3 and 3 runs"):
        assert_budgets(base, target, {"*": {"drop_points": 20.0}}, higher_is_better=["score"])
    with pytest.raises(AssertionError, match="runs of each"):
        assert_within(base, target, drop_points=0.5, higher_is_better=["score"])
    with pytest.raises(SuiteError, match="empty list of runs"):
        assert_within([], target)
    with pytest.raises(SuiteError, match="no such file"):
        assert_within([*base, tmp_path / "none.csv"], target)


def test_a_kept_base_has_all_its_runs(judge: Judge, tmp_path: Path, sides: Any) -> None:
    base, target = sides
    report = tmp_path / "report"
    arguments = "--target", *target, *UP, "--drop-points", 20
    _, out, _ = judge("--base", *base, *arguments, "--json", "--report", report)
    _, printed, _ = judge("--base", report, *arguments, "--json")
    assert read_quality(printed) == read_quality(out)
    judge("--base", base[0], *arguments, "--report", report)
    _, printed, _ = judge("--base", report, *arguments, "--json")
    assert read_quality(printed)["runs"] == [1, 3]


def write_graded(tmp_path: Path, name: str, seed: int, answers: Sequence[str]) -> Path:
    scores = np.random.default_rng(seed).integers(6, 10, N).tolist()
    return write_run(tmp_path, name, scores, metric=["llm_judge"] * N, answer=answers)


def test_the_noise_of_a_judge_model_is_measured_on_equal_answers(judge: Judge, tmp_path: Path) -> None:
    answers = [f"answer {at}" for at in range(N)]
    base = [write_graded(tmp_path, f"a{k}", k, answers) for k in range(2)]
    target = [write_graded(tmp_path, f"b{k}", 10 + k, answers) for k in range(2)]
    common = "--drop-points", 300, "--range", "llm_judge=1:10", "--higher-is-better", "llm_judge"
    _, out, _ = judge("--base", *base, "--target", *target, *common)
    scores = [np.random.default_rng(k).integers(6, 10, N) for k in range(2)]
    expected = np.sqrt(np.var(scores, axis=0, ddof=1).mean())
    assert (
        f"scores of the same answer have a standard deviation of {expected:.2g} in the base (200 answers)"
        in out
    )
    _, out, _ = judge(base[0], target[0], *common)
    assert "a judge model scored each answer once: the interval does not contain how its scores change" in out


def test_a_load_test_takes_no_runs(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(
        '[logs]\nbase = ["a.json", "b.json"]\ntargets = { int4 = "c.json" }\n'
        "[budgets]\nlatency = { speedup_min = 1.2 }\n"
    )
    with pytest.raises(SuiteError, match="load tests are judged with one run per side"):
        load_log_suite(suite, "suite.toml")


def test_metrics_with_the_same_note_on_their_judge_share_it() -> None:
    def read() -> Iterator[Row]:
        yield from (Row(str(at), {"judge_a": 0.5, "judge_b": 0.7}, answer="x") for at in range(4))

    better = {"judge_a": True, "judge_b": True}
    sides = [Log("simulated", name, {"task": TaskLog(read, higher_is_better=better)}) for name in ("a", "b")]
    notes = [note for note in judge_logs(*sides, LogBudgets(), Rules()).notes if "a judge model" in note]
    assert len(notes) == 1
    assert notes[0].startswith("task/judge_a, task/judge_b: a judge model scored each answer once: ")


def write_groups(path: Path, scores: list[int], *, rows: int = 0) -> Path:
    """A table. rows: of each group; 0: it has no groups."""
    header = "id,score,group" if rows else "id,score"
    lines = (f"q{at},{score}" + (f",u{at // rows}" if rows else "") for at, score in enumerate(scores))
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("sides", [(20, 20), (20, 0), (0, 20)], ids=["both", "base", "target"])
def test_groups_in_one_table_are_those_of_both(judge: Judge, tmp_path: Path, sides: tuple[int, int]) -> None:
    """6 of the 600 samples get worse, all in one of 30 groups."""
    base = write_groups(tmp_path / "base.csv", [1] * 600, rows=sides[0])
    target = write_groups(tmp_path / "target.csv", [0] * 6 + [1] * 594, rows=sides[1])
    code, out, _ = judge(base, target, *UP, "--drop-points", 3)
    assert code != 0
    assert "n=600 in 30 groups" in out
    assert "epochs" not in out


def test_groups_of_any_run_are_those_of_all_runs(judge: Judge, tmp_path: Path) -> None:
    bases = [
        write_groups(tmp_path / f"base{at}.csv", [1] * 599 + [at], rows=rows)
        for at, rows in ((0, 0), (1, 20))
    ]
    target = write_groups(tmp_path / "target.csv", [0] * 6 + [1] * 594)
    _, out, _ = judge("--base", *bases, "--target", target, *UP, "--drop-points", 3)
    assert "in 30 groups" in out
    other = write_groups(tmp_path / "other.csv", [1] * 598 + [0, 0], rows=30)
    code, _, err = judge("--base", bases[1], other, "--target", target, *UP, "--drop-points", 3)
    assert code == 4
    assert f"({other} beside {bases[1]}): groups differ in 400 of 600 samples" in err
