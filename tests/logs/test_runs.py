"""One log is one run: which run of a folder is judged, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.lm_eval_logs import write_lm_eval

from slimgate import assert_within
from slimgate.errors import DataError, SuiteError
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.columns import read_samples
from slimgate.logs.find import read_any_log, read_log
from slimgate.logs.readers import _inspect_files
from slimgate.logs.rules import Rules
from slimgate.logs.runs import choose_repeat, choose_runs, make_log, parse_choices
from slimgate.logs.same_run import LogFiles
from slimgate.logs.suite import load_log_suite
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import Log, Row, Run, TaskLog

WRITTEN = Path(__file__).parent / "written_by_tools"
JANUARY, FEBRUARY = "2026-01-01T00-00-00.000000", "2026-02-01T00-00-00.000000"
RIGHT = [1.0] * 200 + [0.0] * 100


def make_run(time: str, tasks: Sequence[str], **more: Any) -> Run:
    settings = {"shots": more.pop("shots", 0)}
    return Run(
        time,
        {task: TaskLog(lambda: iter([Row("0", {"em": 1.0})]), settings=settings) for task in tasks},
        **more,
    )


def make_log_of(shown: str, *runs: Run) -> Log:
    return make_log("tool", shown, runs)


def read_error(base: Log, target: Log, *choices: str) -> str:
    with pytest.raises(DataError) as error:
        choose_runs(base, target, parse_choices(choices))
    return str(error.value)


BASE = make_log_of("base", make_run("2026-01", ["a", "b"]))
TWO = make_log_of(
    "two",
    make_run("2026-02", ["b"], shots=5, model="m", notes=("n2",)),
    make_run("2026-01", ["a", "b"], model="m"),
)


def test_a_log_of_one_run_is_that_run() -> None:
    assert (list(BASE.tasks), BASE.time, BASE.runs) == (["a", "b"], "2026-01", ())
    assert choose_runs(BASE, BASE, {}) == (BASE, BASE)


def test_a_run_that_cannot_be_judged_is_refused_if_it_is_alone() -> None:
    with pytest.raises(DataError, match=r"^x: no samples$"):
        make_log_of("x", make_run("2026-01", [], problem="no samples"))
    with pytest.raises(DataError, match=r"^x: it has no run$"):
        make_log_of("x")


def test_a_newest_run_that_lacks_a_task_is_refused_with_all_runs() -> None:
    assert read_error(BASE, TWO) == (
        "two holds 2 runs: 2026-01 (a, b), 2026-02 (b; other shots than before); the newest lacks a, "
        "which base has: "
        "choose one by --run target=2026-02 or --run target=2026-01, or the newest run of each task by "
        "--run target=each-task"
    )
    assert read_error(TWO, BASE).endswith("by --run base=each-task")


def test_a_task_that_only_older_runs_of_both_have_is_noticed() -> None:
    message = read_error(TWO, TWO)
    assert message.count("the newest lacks a, which two has") == 2
    assert "--run base=2026-02" in message
    assert "--run target=2026-02" in message


def test_the_newest_run_is_judged_where_it_has_every_task() -> None:
    base = make_log_of("base", make_run("2026-01", ["b"]))
    _, after = choose_runs(base, TWO, {})
    assert (list(after.tasks), after.model, after.time, after.runs) == (["b"], "m", "2026-02", ())
    assert after.shown == "two (run 2026-02)"
    assert after.notes == ("two: it has 2 runs; the run of 2026-02 is judged, not 2026-01 (a, b)", "n2")


def test_a_newest_run_that_cannot_be_judged_is_not_skipped() -> None:
    log = make_log_of(
        "x", make_run("2026-01", ["a", "b"]), make_run("2026-02", [], problem="results without samples")
    )
    assert read_error(BASE, log) == (
        "x holds 2 runs: 2026-01 (a, b), 2026-02 (no samples); results without samples: choose one by "
        "--run target=2026-01, or the newest run of each task by --run target=each-task"
    )
    assert read_error(BASE, log, "latest") == (
        "x: run 2026-02: results without samples, or choose --run target=2026-01"
    )
    _, chosen = choose_runs(BASE, log, parse_choices("each-task"))
    assert chosen.notes == (
        "x: tasks of 1 runs are judged: a, b of 2026-01",
        "x: run 2026-02 is left out: results without samples",
    )


@pytest.mark.parametrize(
    ("choice", "tasks", "time"),
    [
        ("latest", ["b"], "2026-02"),
        ("2026-01", ["a", "b"], "2026-01"),
        ("target=2026-01", ["a", "b"], "2026-01"),
    ],
)
def test_a_run_is_chosen_by_its_time(choice: str, tasks: list[str], time: str) -> None:
    _, after = choose_runs(BASE, TWO, parse_choices([choice]))
    assert (list(after.tasks), after.time) == (tasks, time)


def test_each_task_has_the_settings_of_its_own_run() -> None:
    _, after = choose_runs(BASE, TWO, parse_choices("each-task"))
    assert {name: task.settings["shots"] for name, task in after.tasks.items()} == {"a": 0, "b": 5}
    assert after.shown == "two (runs 2026-01, 2026-02)"
    assert after.notes == ("two: tasks of 2 runs are judged: a of 2026-01; b of 2026-02", "n2")
    assert (after.model, after.time) == ("m", "2026-02")


def test_tasks_of_two_models_are_not_joined() -> None:
    log = make_log_of("x", make_run("2026-01", ["a"], model="m"), make_run("2026-02", ["b"], model="other"))
    assert "its runs are of 2 models (m, other), and --run each-task joins only runs of one" in read_error(
        BASE, log, "each-task"
    )


TWO_MODELS = make_log_of(
    "x", make_run("2026-01", ["a", "b"], model="m"), make_run("2026-02", ["a", "b"], model="n")
)


def test_runs_of_two_models_need_a_choice() -> None:
    assert read_error(BASE, TWO_MODELS) == (
        "x holds 2 runs: 2026-01 (a, b; model m), 2026-02 (a, b; model n); they are of 2 models: choose one "
        "by --run target=2026-02 or --run target=2026-01"
    )
    with pytest.raises(DataError, match="they are of 2 models: choose one by --run repeat=2026-02"):
        choose_repeat(TWO_MODELS, BASE, {})
    for choice, model in (("latest", "n"), ("2026-01", "m")):
        assert choose_runs(BASE, TWO_MODELS, parse_choices(choice))[1].model == model


def test_all_runs_of_a_side_are_of_one_model() -> None:
    assert read_error(BASE, TWO_MODELS, "target=all") == (
        "x: its runs are of 2 models (m, n), and --run all joins only runs of one model; choose one run by "
        "--run"
    )
    further = make_log_of("y", make_run("2026-03", ["a"], model="m"), make_run("2026-04", ["a"], model="m"))
    joined = replace(make_log_of("z", make_run("2026-05", ["a"], model="n")), further=(further,))
    assert read_error(joined, BASE, "base=latest").startswith(
        "z and y (run 2026-04): the runs of one side must be of one model, but these are of n and m"
    )


def test_the_newest_run_is_by_the_moment_and_not_the_clock() -> None:
    noon_in_berlin, half_an_hour_later = "2026-03-01T12:00:00+02:00", "2026-03-01T10:30:00+00:00"
    log = make_log_of("x", make_run(half_an_hour_later, ["a"]), make_run(noon_in_berlin, ["a"]))
    assert [run.time for run in log.runs] == [noon_in_berlin, half_an_hour_later]
    assert choose_runs(BASE, log, parse_choices("target=latest"))[1].time == half_an_hour_later
    names = ["2026-03-01T04-02", "2026-03-01T05-00"]  # 4:02 and 5:00, and no offsets
    assert [
        run.time for run in make_log_of("x", *(make_run(name, ["a"]) for name in names[::-1])).runs
    ] == names
    tasks = make_log_of("x", make_run(half_an_hour_later, ["a"]), make_run(noon_in_berlin, ["a", "b"]))
    _, joined = choose_runs(BASE, tasks, parse_choices("target=each-task"))
    assert joined.time == half_an_hour_later
    assert joined.notes == (
        f"x: tasks of 2 runs are judged: b of {noon_in_berlin}; a of {half_an_hour_later}",
    )


def test_times_with_colons_are_found_by_dashes() -> None:
    log = make_log_of("x", make_run("2026-01-01T03:04:05", ["a"]), make_run("2026-01-01T03:05:00", ["a"]))
    _, after = choose_runs(BASE, log, parse_choices("2026-01-01T03-04"))
    assert after.time == "2026-01-01T03:04:05"


def test_a_run_may_be_named_by_its_whole_time() -> None:
    """EvalScope's runs have the names of their folders, such as run and run-2."""
    log = make_log_of("x", make_run("run", ["a"]), make_run("run-2", ["a"]))
    assert choose_runs(BASE, log, parse_choices("target=run"))[1].time == "run"
    assert read_error(BASE, log, "target=ru").startswith("--run ru: 2 runs begin with this time in x")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("2027", "--run 2027: no run begins with this time in two; it has 2026-01 (a, b), 2026-02 (b)"),
        ("2026", "--run 2026: 2 runs begin with this time in two; it has 2026-01 (a, b), 2026-02 (b)"),
        ("base=2027", "--run 2027: no run of that time; there is one run in base (2026-01)"),
    ],
)
def test_a_choice_that_fits_no_run_is_refused(choice: str, expected: str) -> None:
    assert read_error(BASE, TWO, choice) == expected


def test_a_time_is_checked_where_no_log_holds_several_runs() -> None:
    target = Log("tool", "target", BASE.tasks)
    assert read_error(BASE, target, "2027") == (
        "--run 2027: no run of that time; there is one run in base (2026-01) and target (of no known time)"
    )
    assert choose_runs(BASE, target, parse_choices("2026")) == (BASE, target)
    assert choose_runs(BASE, target, parse_choices("latest")) == (BASE, target)


def test_each_side_has_a_choice_of_its_own() -> None:
    before, after = choose_runs(TWO, TWO, parse_choices(["base=2026-01", "target=latest"]))
    assert (before.time, after.time) == ("2026-01", "2026-02")
    assert choose_repeat(TWO, before, parse_choices(["2026-01"])).time == "2026-01"
    assert choose_repeat(TWO, before, parse_choices({"repeat": "latest"})).time == "2026-02"
    assert choose_repeat(BASE, before, parse_choices(["2026-07"])) is BASE
    with pytest.raises(DataError, match=r"the newest lacks a, which two \(run 2026-01\) has"):
        choose_repeat(TWO, before, {})


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["bse=latest"], "--run bse=latest: expected one of base, target, repeat before the ="),
        (3, "--run 3: expected latest, each-task, all or the beginning of a time"),
        ([" "], "--run  : expected latest, each-task, all or the beginning of a time"),
        (["base=x", "base=y"], "--run base=y: base was given twice, expected it once"),
        (["x", "y"], "--run y: a run of every log was given twice, expected it once"),
    ],
)
def test_wrong_choices_are_refused(texts: Any, expected: str) -> None:
    with pytest.raises(DataError) as error:
        parse_choices(texts)
    assert str(error.value) == expected


def test_no_choice_is_none() -> None:
    assert parse_choices(None) == {}
    assert parse_choices("latest") == {"": "latest"}


def test_a_long_list_of_runs_and_tasks_ends() -> None:
    tasks = ["a", "b", "c", "d", "e"]
    log = make_log_of(
        "x", *(make_run(f"2026-{month:02}", tasks) for month in range(1, 9)), make_run("2026-10", [])
    )
    message = read_error(BASE, log)
    assert message.startswith("x holds 9 runs: 3 older and 2026-04 (a, b, c and 2 more), ")
    assert "choose one by --run target=2026-10 or --run target=2026-08 or --run target=2026-07, or" in message


# ---- the readers


def test_lm_eval_compares_the_settings_of_each_run(tmp_path: Path) -> None:
    base = write_lm_eval(tmp_path / "base", {"arc": RIGHT, "gsm8k": RIGHT}, time=JANUARY)
    int4 = write_lm_eval(tmp_path / "int4", {"arc": RIGHT, "gsm8k": RIGHT}, time=JANUARY)
    write_lm_eval(
        int4, {"gsm8k": RIGHT}, time=FEBRUARY, results={"chat_template_sha": "B", "model_name": "int4"}
    )
    logs = read_log(base), read_log(int4)
    with pytest.raises(DataError, match=r"gsm8k; other chat template than before\); the newest lacks arc"):
        judge_logs(*logs, LogBudgets(), Rules())
    with pytest.raises(
        DataError, match=r'gsm8k: chat template \{"chat_template_sha": null\} and .*"B"'
    ) as error:
        judge_logs(*logs, LogBudgets(), Rules(runs={"": "each-task"}))
    assert "arc" not in str(error.value).partition("comparable")[2]
    assert judge_logs(*logs, LogBudgets(), Rules(runs={"target": "2026-01"})).target.time == JANUARY


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        (
            f"samples_arc_{FEBRUARY}.jsonl",
            r"results without samples \(arc\): run it again with --log_samples",
        ),
        (
            f"results_{FEBRUARY}.json",
            "its samples have no results file of their time, results_2026-02-01T.*json",
        ),
    ],
)
def test_half_a_run_of_lm_eval_is_not_left_out_in_silence(
    tmp_path: Path, removed: str, expected: str
) -> None:
    base = write_lm_eval(tmp_path / "base", {"arc": RIGHT}, time=JANUARY)
    int4 = write_lm_eval(tmp_path / "int4", {"arc": RIGHT}, time=JANUARY)
    (write_lm_eval(int4, {"arc": RIGHT}, time=FEBRUARY) / removed).unlink()
    with pytest.raises(DataError, match=expected):
        judge_logs(read_log(base), read_log(int4), LogBudgets(), Rules())


def test_lm_eval_without_samples_says_what_to_run(tmp_path: Path) -> None:
    folder = write_lm_eval(tmp_path / "base", {"arc": RIGHT}, time=JANUARY)
    next(folder.glob("samples_*")).unlink()
    with pytest.raises(
        DataError, match=r"base: results without samples \(arc\): run it again with --log_samples"
    ):
        read_log(folder)


def test_lm_eval_names_tasks_of_which_there_are_no_samples(tmp_path: Path) -> None:
    folder = write_lm_eval(tmp_path / "base", {"arc": RIGHT, "gsm8k": RIGHT}, time=JANUARY)
    (folder / f"samples_gsm8k_{JANUARY}.jsonl").unlink()
    assert read_log(folder).notes == (
        f"{folder}: its results file also has gsm8k, of which there are no samples",
    )


def write_lighteval(
    folder: Path, tasks: Mapping[str, Sequence[float]], time: str, temperature: float, **model: Any
) -> Path:
    """The details of a run and its results file."""
    details = folder / "details/owner/tiny" / time
    details.mkdir(parents=True)
    for task, scores in tasks.items():
        rows = [
            {
                "__doc__": {"query": f"{task} {at}", "choices": ["a"], "gold_index": 0, "id": str(at)},
                "__model_response__": {"input": f"{task} {at}", "text": ["a"]},
                "__metric__": {"acc": score, "parts": [1, 2]},
            }
            for at, score in enumerate(scores)
        ]
        pq.write_table(pa.Table.from_pylist(rows), details / f"details_{task}_{time}.parquet")
    results = {
        "config_general": {
            "max_samples": None,
            "model_config": {"generation_parameters": {"t": temperature}, **model},
        },
        "config_tasks": {task: {"num_fewshots": 0, "version": 1} for task in tasks},
    }
    (folder / "results/owner/tiny").mkdir(parents=True, exist_ok=True)
    (folder / f"results/owner/tiny/results_{time}.json").write_text(json.dumps(results), "utf-8")
    return folder


def test_lighteval_compares_the_limits_of_its_models(tmp_path: Path) -> None:
    base = write_lighteval(tmp_path / "base", {"arc": RIGHT}, JANUARY, 0, max_model_length=None)
    target = write_lighteval(tmp_path / "int4", {"arc": RIGHT}, JANUARY, 0, max_model_length=512)
    with pytest.raises(
        DataError, match=r'settings {"max_length": null} and {"max_length": "512"}; accept it'
    ):
        judge_logs(read_log(base), read_log(target), LogBudgets(), Rules())


def test_lighteval_compares_the_settings_of_each_run(tmp_path: Path) -> None:
    base = write_lighteval(tmp_path / "base", {"arc": RIGHT, "gsm8k": RIGHT}, JANUARY, 0)
    int4 = write_lighteval(tmp_path / "int4", {"arc": RIGHT, "gsm8k": RIGHT}, JANUARY, 0)
    write_lighteval(int4, {"gsm8k": RIGHT}, FEBRUARY, 1)
    logs = read_log(base), read_log(int4)
    with pytest.raises(DataError, match=r"holds 2 runs: .*gsm8k; other generation settings than before\)"):
        judge_logs(*logs, LogBudgets(), Rules())
    with pytest.raises(DataError, match=r'gsm8k: generation settings .*"t": 0.* and .*"t": 1'):
        judge_logs(*logs, LogBudgets(), Rules(runs={"": "latest"}, allow=frozenset(["tasks"])))
    verdicts = judge_logs(*logs, LogBudgets(), Rules(runs={"": "2026-01"}))
    assert [comparison.name for comparison in verdicts.comparisons] == ["arc/acc", "gsm8k/acc"]
    assert (
        "arc: parts is not a number in 300 samples of the base and 300 of the target, so these are not judged"
        in (verdicts.notes)
    )
    settings = verdicts.base.tasks["arc"].settings
    assert (settings["limit"], settings["shots"], settings["version"]) == ("none", 0, 1)


def write_results(folder: Path, **stated: Any) -> None:
    """Writes what the results file says of arc: acc, and how many documents ran."""
    [file] = folder.glob("results/**/results_*.json")
    results = json.loads(file.read_text("utf-8"))
    results["results"] = {"arc": {"acc": stated["acc"], "acc_stderr": 0.01}}
    results["config_tasks"]["arc"]["effective_num_docs"] = stated["count"]
    file.write_text(json.dumps(results), "utf-8")


def test_lighteval_samples_are_those_that_its_results_are_of(tmp_path: Path) -> None:
    """A details file of another run beside the results would be judged as theirs."""
    mean = sum(RIGHT) / len(RIGHT)
    base = write_lighteval(tmp_path / "base", {"arc": RIGHT}, JANUARY, 0)
    int4 = write_lighteval(tmp_path / "int4", {"arc": RIGHT}, JANUARY, 0)
    for acc, count in ((mean, len(RIGHT)), (mean, -1)):
        write_results(int4, acc=acc, count=count)
        assert judge_logs(read_log(base), read_log(int4), LogBudgets(), Rules()).comparisons
    write_results(int4, acc=mean - 0.05, count=-1)
    with pytest.raises(
        DataError, match=rf"arc: the results state acc {mean - 0.05:.4f}, and the 300 samples"
    ):
        judge_logs(read_log(base), read_log(int4), LogBudgets(), Rules())
    for count in (299, 301):
        write_results(int4, acc=mean, count=count)
        verdicts = judge_logs(read_log(base), read_log(int4), LogBudgets(), Rules())
        assert f"arc: {int4} says that {count} samples ran, but has 300" in verdicts.notes


def write_inspect(folder: Path, source: str, run: str, created: str, **changed: Any) -> None:
    file = WRITTEN / "inspect" / source
    log = {**_inspect_files.read_header(file), "samples": list(_inspect_files.read_samples(file))}
    spec = {**log["eval"], "run_id": run, "created": created, **changed.get("eval", {})}
    log = {"status": "", **log, "eval": spec}
    log["status"] = changed.get("status", log["status"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{run}-{spec['task']}.json").write_text(json.dumps(log), "utf-8")


def test_inspect_logs_of_one_call_are_one_run(tmp_path: Path) -> None:
    january, february = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    for task in ("sums", "words"):
        write_inspect(tmp_path / "base", "base.eval", "r0", january, eval={"task": task})
        write_inspect(tmp_path / "int4", "target.eval", "r1", january, eval={"task": task})
    write_inspect(
        tmp_path / "int4", "target.eval", "r2", february, eval={"model_generate_config": {"temperature": 0.9}}
    )
    logs = read_log(tmp_path / "base"), read_log(tmp_path / "int4")
    assert list(logs[0].tasks) == ["sums", "words"]
    with pytest.raises(
        DataError, match=r"sums; other generation settings than before\); the newest lacks words"
    ):
        judge_logs(*logs, LogBudgets(), Rules())
    assert judge_logs(*logs, LogBudgets(), Rules(runs={"": "2026-01"})).target.time == january
    write_inspect(tmp_path / "failed", "base.eval", "r0", january)
    write_inspect(tmp_path / "failed", "base.eval", "r1", february, status="error")
    with pytest.raises(DataError, match="the run's status is error, expected success"):
        judge_logs(logs[0], read_log(tmp_path / "failed"), LogBudgets(), Rules())


def write_helm(folder: Path, name: str) -> None:
    run = folder / name
    run.mkdir(parents=True)
    stats = [{"name": {"name": "em", "split": "test"}, "mean": 1.0}, {"name": {"name": "cost"}, "count": 0}]
    entries = [{"instance_id": "id0", "train_trial_index": 0, "stats": stats}]
    (run / "per_instance_stats.json").write_text(json.dumps(entries), "utf-8")


def test_helm_suites_and_models_are_not_mixed(tmp_path: Path) -> None:
    write_helm(tmp_path / "one/v1", "mmlu:subject=a,model=tiny")
    log = read_log(tmp_path / "one")
    assert (log.model, list(log.tasks)) == ("tiny", ["mmlu:subject=a"])
    assert [row.scores for row in log.tasks["mmlu:subject=a"].rows()] == [{"em": 1.0}]
    write_helm(tmp_path / "one/v1", "gsm:model=other")
    with pytest.raises(
        DataError, match=r"logs of several models \(other, tiny\); give the folder of one model"
    ):
        read_log(tmp_path / "one")
    write_helm(tmp_path / "two/v1", "mmlu:model=tiny")
    write_helm(tmp_path / "two/v2", "gsm:model=tiny")
    with pytest.raises(DataError, match=r"runs of 2 suites \(.*/v1, .*/v2\); give the folder of one suite"):
        read_log(tmp_path / "two")


def test_mteb_revisions_are_two_models(tmp_path: Path) -> None:
    for name, revision in (("A", "1"), ("B", "2")):
        predictions = {
            "mteb_model_meta": {"model_name": "tiny", "revision": revision},
            "x": {"test": {"q": {}}},
        }
        (tmp_path / f"{name}_predictions.json").write_text(json.dumps(predictions), "utf-8")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n", "utf-8")
    with pytest.raises(DataError, match=r"predictions of 2 models \(tiny 1, tiny 2\)"):
        read_log(tmp_path)


def test_loads_of_vllm_that_were_appended_later_are_refused(tmp_path: Path) -> None:
    def result(rate: int, date: str) -> str:
        lists = {"ttfts": [0.1], "itls": [[0.1]], "output_lens": [2], "errors": [""], "input_lens": [3]}
        facts = {"date": date, "model_id": "m", "tokenizer_id": "m", "num_prompts": 1, "completed": 1}
        return json.dumps({**facts, **lists, "request_rate": rate, "duration": 1.0})

    file = tmp_path / "all.json"
    file.write_text(f"{result(1, '20260101-230000')}\n{result(2, '20260102-010000')}\n", "utf-8")
    assert list(read_any_log(file).loads) == ["r1", "r2"]
    file.write_text(f"{result(2, '20260201-000000')}\n{result(1, '20260101-000000')}\n", "utf-8")
    with pytest.raises(
        DataError, match="load r1 is of 20260101-000000 and load r2 of 20260201-000000; a log is one"
    ):
        read_any_log(file)


def test_a_folder_of_outputs_names_one(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes((WRITTEN / "promptfoo/base.json").read_bytes())
    with pytest.raises(
        DataError,
        match=r"a folder was given, but a log of promptfoo is one file in it; name the file, such "
        r"as .*a\.json",
    ):
        read_log(tmp_path)


def test_json_lines_of_promptfoo_say_how_to_write_json(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    line = {"promptIdx": 0, "testIdx": 0, "gradingResult": {"pass": True, "score": 1}, "success": True}
    file.write_text(f"{json.dumps(line)}\n")
    with pytest.raises(DataError, match=r"out\.jsonl: promptfoo's JSON lines .* promptfoo eval -o out\.json"):
        read_log(file)


# ---- other ways in, and the second log of the base


@pytest.mark.filterwarnings("ignore::UserWarning")  # the notes of `slimgate judge`
def test_a_run_is_chosen_in_a_test(tmp_path: Path) -> None:
    base = write_lm_eval(tmp_path / "base", {"arc": RIGHT}, time=JANUARY)
    int4 = write_lm_eval(tmp_path / "int4", {"arc": RIGHT}, time=JANUARY)
    write_lm_eval(int4, {"arc": [0.0] * 300}, time=FEBRUARY)
    assert assert_within(base, int4, drop_points=5, run={"target": "2026-01"}).value == pytest.approx(2 / 3)
    with pytest.raises(AssertionError, match="FAIL"):
        assert_within(base, int4, drop_points=5)
    write_lm_eval(int4, {"gsm8k": RIGHT}, time="2026-03-01T00-00-00")
    with pytest.raises(
        DataError, match=r'choose one by run = { "target": "2026-03-01T00-00-00" } or run = {'
    ):
        assert_within(base, int4, drop_points=5)


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ('run = "latest"', {"": "latest"}),
        ('run = { base = "2026-01", target = "each-task" }', {"base": "2026-01", "target": "each-task"}),
    ],
)
def test_a_run_is_chosen_in_a_suite(tmp_path: Path, line: str, runs: dict[str, str]) -> None:
    file = tmp_path / "logs.toml"
    tables = '[budgets]\n"*" = { drop_points = 2.0 }\n'
    logs = '[logs]\nbase = "b"\ntargets = { t = "t" }\nsame_id = "epochs"\n'
    file.write_text(f"{logs}{line}\n{tables}", "utf-8")
    rules = load_log_suite(file, "logs.toml").rules
    assert (rules.runs, rules.same_id) == (runs, "epochs")
    file.write_text(f'{logs}run = {{ bse = "latest" }}\n{tables}', "utf-8")
    with pytest.raises(
        SuiteError, match=r"logs\.toml \[logs\] run bse=latest: expected one of base, target, rep"
    ):
        load_log_suite(file, "logs.toml")


def test_a_repeat_is_no_log_of_the_target(tmp_path: Path) -> None:
    base = write_lm_eval(tmp_path / "base", {"arc": RIGHT}, time=JANUARY)
    target = write_lm_eval(tmp_path / "int4", {"arc": RIGHT}, time=JANUARY)
    again = write_lm_eval(tmp_path / "again", {"arc": RIGHT}, time=FEBRUARY, results={"model_name": "int4"})
    with pytest.raises(
        DataError, match="this is a log of int4, the target's model; expected a second log of the base base"
    ):
        judge_logs(read_log(base), read_log(target), LogBudgets(), Rules(), repeat=read_log(again))
    with pytest.raises(DataError, match="it is the target itself, expected another run of the base"):
        LogFiles([base], {"target": [target]}, target, None).check_repeat()
    with pytest.raises(DataError, match="it is the base itself, expected another run of the base"):
        LogFiles([base], {"target": [target]}, base, None).check_repeat()
    with pytest.raises(DataError, match=r"it is identical to .*int4"):
        LogFiles([base], {"target": [target]}, again, None).check_repeat()


def test_a_copy_of_the_base_shows_no_noise(tmp_path: Path) -> None:
    base = write_lm_eval(tmp_path / "base", {"arc": RIGHT}, time=JANUARY)
    for file in base.iterdir():
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / f"other_{file.name}").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="so it shows no noise"):
        LogFiles([base], {}, tmp_path / "copy", None).check_repeat()
    file = next((tmp_path / "copy").iterdir())
    file.write_bytes(file.read_bytes()[::-1])
    LogFiles([base], {}, tmp_path / "copy", None).check_repeat()


@pytest.mark.parametrize(
    ("stated", "config", "refused"),
    [
        (0.75, {}, False),
        (0.75 + 1e-4, {}, False),
        (0.5, {}, True),
        (0.5, {"metric_list": [{"metric": "acc", "aggregation": "mean"}]}, True),
        (0.5, {"metric_list": [{"metric": "acc", "aggregation": "median"}]}, False),
        ("N/A", {}, False),
    ],
)
def test_samples_of_another_mean_than_the_results_are_refused(
    tmp_path: Path, stated: object, config: dict[str, Any], refused: bool
) -> None:
    """The good samples of another run, put under the results of a bad one."""
    content = {
        "results": {"arc": {"acc,none": stated, "acc_stderr,none": 0.1, "alias": "arc"}},
        "configs": {"arc": config},
    }
    log = read_log(write_lm_eval(tmp_path / "m", {"arc": [1, 1, 1, 0]}, results=content))
    if not refused:
        assert len(read_samples("m arc", log.tasks["arc"])[""]) == 4
        return
    with pytest.raises(DataError, match=r"state acc 0\.5000, and the 4 samples have a mean of 0\.7500"):
        read_samples("m arc", log.tasks["arc"])


def test_a_part_of_the_samples_has_a_mean_of_its_own(tmp_path: Path) -> None:
    """Which is not that of the run; a note names the samples that are missing."""
    counts = {"arc": {"original": 9, "effective": 9}}
    content = {"results": {"arc": {"acc,none": 0.5}}, "n-samples": counts}
    log = read_log(write_lm_eval(tmp_path / "m", {"arc": [1, 1, 1, 0]}, results=content))
    assert len(read_samples("m arc", log.tasks["arc"])[""]) == 4
