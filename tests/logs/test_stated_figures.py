"""The number of samples and the means that a tool states are compared with the samples of the log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Judge
from support.read_logs import assert_refused, read_whole
from support.tool_logs import OLDER, SCORED, TIMED, write_json, write_lines

from slimgate.errors import DataError
from slimgate.logs.find import read_any_log, read_log

WRITERS = {**SCORED, **OLDER}
WRITTEN = Path(__file__).parent / "written_by_tools"
# The target fails samples 0 to 9, which are the ones that are removed.
BASE = [1.0] * 35 + [0.0] * 5
TARGET = [0.0] * 10 + [1.0] * 24 + [0.0] * 6
REMOVED = 10
SIDES = {"base": BASE, "target": TARGET}


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    write_json(file, change(json.loads(file.read_text("utf-8"))))


def cut_list(file: Path, key: str | None = None) -> None:
    """Removes the first samples from a list, or from the list under a key."""

    def change(content: Any) -> Any:
        return content[REMOVED:] if key is None else {**content, key: content[key][REMOVED:]}

    edit(file, change)


def cut_lines(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[REMOVED:]), "utf-8")


def test_answers_to_a_part_of_mlperfs_labels_are_refused(tmp_path: Path, judge: Judge) -> None:
    logs = [WRITERS["mlperf"](tmp_path / name, scores) for name, scores in SIDES.items()]
    for folder in logs:
        edit(
            folder / "mlperf_log_accuracy.json",
            lambda answers: [answer for answer in answers if answer["qsl_idx"] >= REMOVED],
        )
    code, _, err = judge(*logs, "--drop-points", 40)
    assert code == 4
    assert "target lists 10 samples that it does not contain (" in err
    code, out, _ = judge(*logs, "--drop-points", 40, "--missing", "drop")
    assert "target lists 10 samples that it does not contain (" in out
    # labels of the answered samples alone are those of a smaller run
    for folder in logs:
        edit(
            folder / "mlperf_log_accuracy.json",
            lambda answers: [{**answer, "qsl_idx": answer["qsl_idx"] - REMOVED} for answer in answers],
        )
        labels = folder / "val_map.txt"
        cut_lines(labels)
    code, out, _ = judge(*logs, "--drop-points", 40)
    assert (code, "it does not contain" in out) == (0, False)


CUTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "opencompass": ("results/*/sums.json", lambda file: cut_list(file, "details")),
    "evalscope": ("reviews/*/*.jsonl", cut_lines),
    "helm": ("per_instance_stats.json", cut_list),
    "deepeval": ("run.json", lambda file: cut_list(file, "testCases")),
}


@pytest.mark.parametrize("reader", CUTS)
def test_samples_that_both_logs_lack_are_missing(tmp_path: Path, judge: Judge, reader: str) -> None:
    pattern, cut = CUTS[reader]
    logs = []
    for name, scores in SIDES.items():
        logs.append(WRITERS[reader](tmp_path / name, scores))
        for file in (tmp_path / name).rglob(pattern):
            cut(file)
    code, _, err = judge(*logs, "--drop-points", 40)
    assert code == 4
    assert err.count("says that 40 samples ran, but has 30") == 2
    code, out, _ = judge(*logs, "--drop-points", 40, "--missing", "drop")
    assert "says that 40 samples ran, but has 30" in out


def test_samples_and_predictions_removed_contradict_the_accuracy(tmp_path: Path) -> None:
    folder = WRITERS["opencompass"](tmp_path / "log", TARGET)
    [results] = folder.rglob("results/*/sums.json")
    [predictions] = folder.rglob("predictions/*/sums.json")
    cut_list(results, "details")
    edit(predictions, lambda answers: dict(list(answers.items())[REMOVED:]))
    assert_refused(folder, "the results state correct 0.6000, and the 30 samples have a mean of 0.8000")


def change_figure(file: Path, before: str, after: str) -> None:
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), "utf-8")


@pytest.mark.parametrize(
    ("reader", "pattern", "before", "after"),
    [
        pytest.param("opencompass", "results/*/sums.json", "60.0", "70.0", id="opencompass"),
        pytest.param("evalscope", "reports/*/*.json", "0.6", "0.7", id="evalscope"),
        pytest.param("helm", "stats.json", "0.6", "0.7", id="helm"),
        pytest.param("deepeval", "run.json", '"score": 0.0', '"score": 0.5', id="deepeval"),
    ],
)
def test_a_stated_mean_of_another_run_is_refused(
    tmp_path: Path, reader: str, pattern: str, before: str, after: str
) -> None:
    path = WRITERS[reader](tmp_path / "log", TARGET)
    read_whole(path)
    [file] = (tmp_path / "log").rglob(pattern)
    change_figure(file, before, after)
    assert_refused(path, "they come from two runs")


def test_repetitions_that_llama_bench_lacks_are_refused(tmp_path: Path) -> None:
    file = TIMED["llama_bench"][1](tmp_path / "log", [100.0] * 30 + [400.0] * 10)
    read_any_log(file)

    def cut(entries: Any) -> Any:
        cut_lists = {name: entries[0][name][:-REMOVED] for name in ("samples_ns", "samples_ts")}
        return [{**entries[0], **cut_lists}]

    edit(file, cut)
    words = "states a mean of 175 ms, and its 30 repetitions have 100 ms: some are missing"
    with pytest.raises(DataError, match=words):
        read_any_log(file)


@pytest.mark.parametrize("status", ["successful", "errored"])
def test_requests_that_a_file_of_guidellm_lacks_are_refused(tmp_path: Path, status: str) -> None:
    file = tmp_path / "benchmarks.json"
    shutil.copyfile(WRITTEN / "guidellm/flaky.json", file)

    def state_totals(results: Any) -> Any:
        for benchmark in results["benchmarks"]:
            counts = {name: len(part or ()) for name, part in benchmark["requests"].items()}
            benchmark["metrics"] = {"request_totals": counts}
        return results

    edit(file, state_totals)
    read_any_log(file)

    def cut(results: Any) -> Any:
        for benchmark in results["benchmarks"]:
            del benchmark["requests"][status][0]
        return results

    edit(file, cut)
    with pytest.raises(DataError, match=rf"has \d+ {status} requests, and request_totals says \d+; expected"):
        read_any_log(file)


# What a tool's figures may differ in


def test_an_accuracy_of_opencompass_may_be_a_share(tmp_path: Path) -> None:
    folder = WRITERS["opencompass"](tmp_path / "log", TARGET)
    [file] = folder.rglob("results/*/sums.json")
    edit(file, lambda results: {**results, "accuracy": 0.6})
    read_whole(folder)


def test_an_accuracy_of_opencompass_may_be_of_several_runs(tmp_path: Path) -> None:
    details = [
        {"example_abbr": f"sums_{k}", "pred": ["1"] * 4, "correct": [True, False, True, True]}
        for k in range(5)
    ]
    file = tmp_path / "log/results/model-a/sums.json"
    write_json(file, {"accuracy (4 runs average)": 75.0, "G-Pass@2_0.5": 91.7, "details": details})
    read_whole(write_json(file, json.loads(file.read_text("utf-8"))))
    edit(file, lambda results: {**results, "accuracy (4 runs average)": 65.0})
    assert_refused(file, "they come from two runs")


def test_failed_samples_are_no_part_of_evalscopes_number(tmp_path: Path) -> None:
    folder = WRITERS["evalscope"](tmp_path / "log", TARGET)
    [reviews] = folder.rglob("reviews/*/*.jsonl")
    lines = [json.loads(line) for line in reviews.read_text("utf-8").splitlines()]
    for line in lines[:5]:
        line["sample_score"]["score"]["status"] = "parse_error"
    write_lines(reviews, lines)
    [report] = folder.rglob("reports/*/*.json")
    change_figure(report, '"num": 40', '"num": 35')
    log = read_log(folder)
    assert log.tasks["sums_main"].samples is None
    read_whole(folder)


def test_a_mean_of_four_decimals_fits_many_samples_of_evalscope(tmp_path: Path) -> None:
    folder = WRITERS["evalscope"](tmp_path / "log", [1.0] + [0.0] * 29_999)
    [report] = folder.rglob("reports/*/*.json")
    assert '"score": 0.0,' in report.read_text("utf-8")  # of 1 / 30,000
    read_whole(folder)


def test_a_subset_without_reviews_is_noted(tmp_path: Path) -> None:
    folder = WRITERS["evalscope"](tmp_path / "log", TARGET)
    [report] = folder.rglob("reports/*/*.json")

    def add_subsets(content: Any) -> Any:
        subsets = content["metrics"][0]["categories"][0]["subsets"]
        subsets += [{**subsets[0], "name": "hard"}, {**subsets[0], "name": "ALL", "is_aggregate": True}]
        return content

    edit(report, add_subsets)
    [note] = read_log(folder).notes
    assert note.endswith("sums.json: it also has sums_hard, of which there are no reviews")


def test_a_dataset_without_results_is_noted(tmp_path: Path) -> None:
    folder = WRITERS["opencompass"](tmp_path / "log", TARGET)
    [file] = folder.rglob("predictions/*/sums.json")
    for name in ("sums_0", "sums_1", "law_0"):
        write_json(file.with_stem(name), {})
    [note] = read_log(folder).notes
    assert note.endswith("predictions/model-a: it also has law_0, of which there are no results")


def make_stat(mean: float, *, count: int = 1, **name: Any) -> dict[str, Any]:
    return {"name": {"name": "exact_match", "split": "test", **name}, "count": count, "mean": mean}


def write_helm(folder: Path, entries: list[dict[str, Any]], figures: list[dict[str, Any]]) -> Path:
    write_json(folder / "per_instance_stats.json", entries)
    write_json(folder / "stats.json", figures)
    return folder


TYPOS = {"perturbation": {"name": "typos", "computed_on": "perturbed"}}
WORST = {"perturbation": {"name": "typos", "computed_on": "worst"}}


def test_perturbed_copies_of_helm_have_their_figure(tmp_path: Path) -> None:
    entries = [
        {"instance_id": f"id{k}", **more, "stats": [make_stat(score, **more)]}
        for more, score in (({}, 1.0), (TYPOS, 0.5))
        for k in range(20)
    ]
    sizes = [make_stat(20, name="num_instances"), make_stat(20, name="num_instances", **TYPOS)]
    figures = [make_stat(1.0), make_stat(0.5, **TYPOS), make_stat(0.25, **WORST), *sizes]
    log = read_log(write_helm(tmp_path / "x,model=a", entries, figures))
    assert log.tasks["x"].samples == 20
    read_whole(tmp_path)
    write_helm(tmp_path / "x,model=a", entries, [make_stat(1.0), make_stat(0.6, **TYPOS), *sizes])
    assert_refused(tmp_path, "the results state exact_match 0.6000, and the 20 samples have a mean of 0.5000")
    # some copies are left out, so their number is another one
    figures = [
        make_stat(1.0),
        make_stat(20, name="num_instances"),
        make_stat(9, name="num_instances", **TYPOS),
    ]
    log = read_log(write_helm(tmp_path / "x,model=a", entries, figures))
    assert log.tasks["x"].samples is None


@pytest.mark.parametrize(
    ("stats", "figures"),
    [
        pytest.param([make_stat(0.2, count=9), make_stat(0.8)], [make_stat(0.26)], id="weighted"),
        pytest.param(
            [make_stat(0.2, sub_split="a"), make_stat(0.8, sub_split="b")],
            [make_stat(0.2, sub_split="a"), make_stat(0.8, sub_split="b")],
            id="parts_of_a_split",
        ),
        pytest.param([make_stat(0.2), make_stat(0.8)], [make_stat(0.9), make_stat(0.1)], id="two_figures"),
    ],
)
def test_a_figure_of_helm_that_is_no_mean_of_rows_is_left_out(
    tmp_path: Path, stats: list[dict[str, Any]], figures: list[dict[str, Any]]
) -> None:
    entries = [{"instance_id": f"id{k}", "stats": [stat]} for k, stat in enumerate(stats * 20)]
    read_whole(write_helm(tmp_path / "x,model=a", entries, figures))


def test_trials_of_helm_count(tmp_path: Path) -> None:
    entries = [
        {"instance_id": f"id{k}", "train_trial_index": trial, "stats": [make_stat(1.0)]}
        for trial in range(3)
        for k in range(4)
    ]
    figures = [make_stat(1.0), make_stat(4, name="num_instances")]
    log = read_log(write_helm(tmp_path / "x,model=a", entries, figures))
    assert log.tasks["x"].samples == 12


def test_a_metric_removed_from_cases_of_deepeval_is_refused(tmp_path: Path) -> None:
    path = WRITERS["deepeval"](tmp_path / "log", TARGET)

    def remove_metric(run: Any) -> Any:
        for case in run["testCases"][:REMOVED]:
            del case["metricsData"][0]
        return run

    edit(path, remove_metric)
    assert_refused(path, "metricsScores has 40 results of Match, and testCases has 30: some were removed")
    # with traces, the list also has the scores of spans
    edit(path, lambda run: {**run, "testCases": [{**case, "trace": {"id": 1}} for case in run["testCases"]]})
    read_whole(path)


def test_cases_of_deepeval_without_success_count(tmp_path: Path) -> None:
    path = WRITERS["deepeval"](tmp_path / "log", TARGET)
    edit(path, lambda run: {**run, "testPassed": 0, "testFailed": 0})
    assert read_log(path).tasks[""].samples is None
    cases = [{**case, "success": None} for case in json.loads(path.read_text("utf-8"))["testCases"][:30]]
    write_json(path, {"testCases": cases, "testPassed": 0, "testFailed": 0})
    assert read_log(path).tasks[""].samples == 30
