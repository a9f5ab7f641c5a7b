"""Readers of evaluation tools of 2025 and 2026: scores, repeats, settings, and what is refused."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Judge
from support.read_logs import TIMES, assert_refused, list_rows, read_load, read_whole
from support.tool_logs import (
    OLDER,
    SCORED,
    TIMED,
    make_aiperf_line,
    make_evalscope_line,
    make_every_eval_run,
    make_every_eval_sample,
    make_openai_event,
    make_openai_head,
    make_sgl_eval_line,
    write_evalution,
    write_json,
    write_lines,
    write_mlperf,
    write_opencompass,
    write_sgl_eval,
)

from slimgate.errors import DataError
from slimgate.logs.budgets import make_drop_budgets
from slimgate.logs.find import read_any_log, read_log
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs

# 2 worse, 1 better
BASE = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]


TARGET = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]


METRICS = {
    "every_eval_ever": "sums/accuracy",
    "sgl_eval": "sums/symbolic_correct",
    "evalution": "sums/acc,num",
    "openai_evals": "sums.s1.simple-v0/match",
    "opencompass": "sums/correct",
    "evalscope": "sums_main/acc",
    "simple_evals": "mmlu/score",
    "mlperf": "accuracy",
}


def judged(base: Path, target: Path) -> LogVerdicts:
    return judge_logs(read_log(base), read_log(target), make_drop_budgets([], [50.0], None), Rules())


def describe_log(path: Path) -> tuple[str, object]:
    """The tool, and the rows or requests of the log."""
    log = read_any_log(path)
    return log.tool, list_rows(log) if log.tasks else read_load(path).requests


@pytest.mark.parametrize("reader", SCORED)
def test_two_logs_are_compared_sample_by_sample(tmp_path: Path, reader: str) -> None:
    base, target = (
        SCORED[reader](tmp_path / name, scores) for name, scores in (("base", BASE), ("target", TARGET))
    )
    assert read_log(base).tool == reader
    [comparison] = judged(base, target).comparisons
    assert comparison.name == METRICS[reader]
    assert (comparison.counts.judged, comparison.worse, comparison.better) == (8, 2, 1)
    assert (comparison.judged.teacher, comparison.judged.value) == (0.75, 0.625)
    assert comparison.zero_one


@pytest.mark.parametrize("name", [*SCORED, *TIMED])
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, name: str) -> None:
    write, values = (SCORED[name], BASE) if name in SCORED else (TIMED[name][1], TIMES)
    path = write(tmp_path / "log", values)
    before = describe_log(path)
    for file in filter(Path.is_file, [path, *path.rglob("*")]):
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    assert describe_log(path) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", "id,score,metric\na,1,acc\nb,0,acc\n"),
        ("predictions.csv", "id,label,prediction\na,x,x\nb,y,y\n"),
        ("predictions.jsonl", '{"id": "a", "label": "x", "prediction": "x"}\n'),
        ("kl.txt", "chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence\n"),
    ],
)
def test_a_file_in_utf_16_is_reported_so(tmp_path: Path, judge: Judge, name: str, text: str) -> None:
    files = [tmp_path / name, tmp_path / f"other-{name}"]
    for number, file in enumerate(files):
        file.write_text(f"{text}{number}", "utf-16")
    code, _, err = judge(*files, "--drop-points", 2)
    assert code == 4
    assert re.search(r"(log|predictions|kl)\.\w+ is in UTF-16, expected UTF-8", err)


@pytest.mark.parametrize("reader", sorted(SCORED.keys() - {"mlperf"}))
def test_a_sample_has_its_prompt_its_answer_and_the_right_answer(tmp_path: Path, reader: str) -> None:
    by_id = sorted(list_rows(read_log(SCORED[reader](tmp_path / "log", BASE))), key=lambda row: row.id)
    assert all(row.prompt and row.answer for row in by_id)
    assert "2" in str(by_id[2].prompt)
    assert set(by_id[2].keys) >= {"prompt", "target"}


@pytest.mark.parametrize("reader", SCORED)
def test_other_prompts_or_right_answers_are_refused(tmp_path: Path, reader: str) -> None:
    base = SCORED[reader](tmp_path / "base", BASE)
    target = SCORED[reader](tmp_path / "target", TARGET)
    changed = [file for file in (tmp_path / "target").rglob("*") if file.is_file()]
    for file in changed:
        text = file.read_text("utf-8")
        for before, after in (("2?", "22?"), ("2+0?", "22+0?"), ("2+1?", "22+1?"), ("2.png 4", "2.png 9")):
            text = text.replace(before, after)
        file.write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"(prompt|document|target)s differ in"):
        judged(base, target)


def test_every_eval_ever_without_samples_is_refused_with_figures(tmp_path: Path) -> None:
    run = make_every_eval_run(schema_version="0.2.0")
    assert_refused(
        write_json(tmp_path / "board.json", run), r"figures \(sums 0.5\).*the score of each sample"
    )
    run["detailed_evaluation_results"] = {"file_path": "data/x/board_samples.jsonl"}
    assert_refused(write_json(tmp_path / "board.json", run), r"put board_samples\.jsonl next to it")


def test_simple_evals_without_examples_names_the_file_with_them(tmp_path: Path) -> None:
    figures = {"chars": 42.0, "chars:std": 3.5, "score": 0.5, "score:std": 0.5}
    path = write_json(tmp_path / "mmlu_m.json", figures)
    assert_refused(
        path, r"\(chars 42, chars:std 3.5, score 0.5, .*give mmlu_m_allresults.json, which simple-evals"
    )
    empty = {"score": 0.5, "metrics": {}, "htmls": ["<p>no score</p>"], "convos": [], "metadata": None}
    assert_refused(
        write_json(tmp_path / "mmlu_m_allresults.json", empty), r"neither its metadata nor its pages"
    )
    assert_refused(path, "which is next to it")


def test_sgl_eval_without_predictions_is_refused_with_figures(tmp_path: Path) -> None:
    folder = write_sgl_eval(tmp_path / "log", BASE)
    [repeat] = folder.rglob("output-rs0.jsonl")
    repeat.unlink()
    assert_refused(folder, r"pass@1 0.75, score 0.75\)")


def test_evalution_without_samples_is_refused_with_its_figures(tmp_path: Path) -> None:
    path = write_evalution(tmp_path / "log", BASE)
    run = json.loads(path.read_text("utf-8"))
    run["tests"][0]["samples"] = []
    assert_refused(write_json(path, run), r"sums acc,num 0.75\)")


def test_opencompass_without_details_is_refused_with_its_figures(tmp_path: Path) -> None:
    folder = write_opencompass(tmp_path / "log", BASE)
    [results] = folder.glob("*/results/*/*.json")
    write_json(results, {"accuracy": 75.0})
    assert_refused(folder, r"accuracy 75\).*--dump-eval-details")
    write_json(results, {"bleu": 75.0, "details": {"type": "GEN", "0": {"origin_prediction": "a"}}})
    assert_refused(folder, r"bleu 75\).*do not say which answers are right")


def test_mlperf_without_labels_is_refused(tmp_path: Path) -> None:
    folder = write_mlperf(tmp_path / "log", BASE)
    (folder / "val_map.txt").unlink()
    assert_refused(folder, r"8 answers, but does not say which are right; put val_map\.txt next to it")


# Repeats


def test_repeats_of_sgl_eval_are_clusters(tmp_path: Path) -> None:
    base = write_sgl_eval(tmp_path / "base", BASE, BASE)
    target = write_sgl_eval(tmp_path / "target", TARGET, BASE)
    [comparison] = judged(base, target).comparisons
    assert (comparison.counts.judged, comparison.judged.groups) == (16, 8)
    assert (comparison.judged.teacher, comparison.judged.value) == (0.75, 11 / 16)
    [rs0] = (tmp_path / "target").rglob("output-rs0.jsonl")
    assert [row.cluster for row in list_rows(read_log(rs0))] == [None] * 8
    rs0.unlink()
    assert_refused(target, "says 2 repeats, but the folder has 1 files")


def test_two_sgl_eval_tasks_are_one_log_and_two_runs_are_runs(tmp_path: Path) -> None:
    write_sgl_eval(tmp_path / "log", BASE)
    write_sgl_eval(tmp_path / "log", BASE, name="words")
    assert list(read_log(tmp_path / "log").tasks) == ["sums", "words"]
    write_sgl_eval(tmp_path / "log/later", BASE)
    [first] = (tmp_path / "log").glob("sgl_eval_sums_*")
    [later] = (tmp_path / "log/later").iterdir()
    later.rename(first.with_name("sgl_eval_sums_20261126-003818"))
    assert len(read_log(tmp_path / "log").runs) == 3


def test_runs_of_opencompass_are_clusters(tmp_path: Path) -> None:
    folder = write_opencompass(tmp_path / "log", BASE)
    [results] = folder.glob("*/results/*/*.json")
    written = json.loads(results.read_text("utf-8"))
    for detail in written["details"]:
        detail |= {"pred": ["a", "b"], "answer": ["a", "a"], "correct": [True, False]}
    write_json(results, written)
    rows = list_rows(read_log(folder))
    assert [(row.id, row.cluster, row.scores["correct"], row.answer) for row in rows[:2]] == [
        ("sums_0", "sums_0", 1.0, "0"),
        ("sums_0 epoch 2", "sums_0", 0.0, "b"),
    ]


def test_repeats_of_evalscope_are_clusters(tmp_path: Path) -> None:
    rows = [make_evalscope_line(number, 1.0, group_id=number // 2) for number in range(4)]
    path = write_lines(tmp_path / "reviews/m/sums_main.jsonl", rows)
    log = read_log(path)
    assert log.model == "m"
    assert [(row.id, row.cluster) for row in list_rows(log)] == [
        ("0", "0"),
        ("0 epoch 2", "0"),
        ("1", "1"),
        ("1 epoch 2", "1"),
    ]


def test_matches_of_one_sample_of_openai_evals_are_a_cluster(tmp_path: Path) -> None:
    events = [make_openai_event(0, "match", correct=True), make_openai_event(0, "match", correct=False)]
    rows = list_rows(read_log(write_lines(tmp_path / "run.jsonl", [*make_openai_head(0.5), *events])))
    assert [(row.id, row.cluster) for row in rows] == [("sums.0", "sums.0"), ("sums.0 epoch 2", "sums.0")]


# What has no score


def test_a_sample_that_failed_has_no_score(tmp_path: Path) -> None:
    lines = [make_every_eval_sample(0, 0.0, error="timeout"), make_every_eval_sample(1, 1.0)]
    rows = list_rows(read_log(write_lines(tmp_path / "x_samples.jsonl", lines)))
    assert [(row.scores, row.error) for row in rows] == [({"score": None}, "timeout"), ({"score": 1.0}, None)]
    failed = make_sgl_eval_line(0, 0.0, finish_reason="error")
    cut = make_sgl_eval_line(1, 0.0, finish_reason="length")
    rows = list_rows(read_log(write_lines(tmp_path / "output-rs0.jsonl", [failed, cut])))
    assert [row.scores["symbolic_correct"] for row in rows] == [None, False]
    assert [row.truncated for row in rows] == [False, True]
    silent = make_sgl_eval_line(0, 1.0)
    silent.pop("finish_reason", None)
    [row] = list_rows(read_log(write_lines(tmp_path / "output-rs0.jsonl", [silent])))
    assert row.truncated is None
    unusable = make_evalscope_line(0, 0.0)
    unusable["sample_score"]["score"] |= {"status": "parse_error", "judge_summary": {"error": "no verdict"}}
    [row] = list_rows(read_log(write_lines(tmp_path / "sums.jsonl", [unusable])))
    assert (row.scores, row.error) == ({"acc": None}, "no verdict")
    error = make_openai_event(0, "error", type="RateLimit", message="slow down")
    [row] = list_rows(read_log(write_lines(tmp_path / "run.jsonl", [*make_openai_head(), error])))
    assert (row.scores, row.error) == ({}, "RateLimit: slow down")


@pytest.mark.parametrize("detail", [None, "failed"])
def test_a_sample_of_opencompass_without_detail_is_missing(tmp_path: Path, detail: object) -> None:
    logs = []
    for name, scores in (("base", BASE), ("target", TARGET)):
        [file] = write_opencompass(tmp_path / name, scores).glob("*/results/*/*.json")
        results = json.loads(file.read_text())
        results["details"][5] = detail
        logs.append(write_json(file, results))
    with pytest.raises(DataError, match=r"correct: of 8 samples 1 has no score in either log \(\"5\"\)"):
        judged(*logs)


@pytest.mark.parametrize("stats", [[], [{"name": {"name": "num_prompt_tokens"}, "mean": 7.0}]], ids=len)
def test_an_instance_of_helm_without_a_score_is_missing(tmp_path: Path, stats: list[object]) -> None:
    logs = []
    for name, scores in (("base", BASE), ("target", TARGET)):
        [file] = OLDER["helm"](tmp_path / name, scores).glob("*/per_instance_stats.json")
        entries = json.loads(file.read_text())
        entries[5]["stats"] = stats
        logs.append(write_json(file, entries).parent)
    with pytest.raises(DataError, match=r"of 8 samples 1 has no score in either log \(\"id5\"\)"):
        judged(*logs)


def test_two_instances_of_helm_without_an_id_are_not_joined(tmp_path: Path) -> None:
    entries = [{"instance_id": None, "stats": [{"name": {"name": "em"}, "mean": 1.0}]}] * 2
    path = write_json(tmp_path / "a:model=b/per_instance_stats.json", entries)
    with pytest.raises(DataError, match=r"entry 0 does not have .*instance_id is empty"):
        list_rows(read_log(path))


def test_openai_evals_gives_the_numbers_of_its_metrics(tmp_path: Path) -> None:
    event = make_openai_event(0, "metrics", score=0.25, choice="B", passed=True)
    log = read_log(write_lines(tmp_path / "run.jsonl", [*make_openai_head(), event]))
    [row] = list_rows(log)
    assert (row.scores, row.not_numbers) == ({"score": 0.25, "passed": 1.0}, ("choice",))
    assert "oaieval did not finish" in log.notes[0]
    assert log.model == "model-a"


def test_a_health_bench_example_has_the_score_of_its_metadata(tmp_path: Path) -> None:
    entry = {
        "score": -0.5,
        "prompt": [{"role": "user", "content": "Hi"}],
        "completion": [{"role": "assistant", "content": "Hello"}],
        "prompt_id": "p1",
    }
    results = {"score": 0.0, "metrics": {}, "htmls": ["x"], "convos": [[]]}
    path = tmp_path / "healthbench_m_allresults.json"
    write_json(path, {**results, "metadata": {"example_level_metadata": [entry]}})
    [row] = list_rows(read_log(path))
    assert (row.id, row.scores, row.answer) == ("p1", {"score": -0.5}, "Hello")


# Fields and lengths of answers


def test_sgl_eval_has_tokens_and_their_limit(tmp_path: Path) -> None:
    folder = write_sgl_eval(tmp_path / "log", BASE)
    [summary] = folder.rglob("metrics.json")
    write_json(summary, {**json.loads(summary.read_text("utf-8")), "gen": {"max_tokens": 64}})
    log = read_log(folder)
    assert [row.answer_tokens for row in list_rows(log)] == [8] * 8
    assert log.tasks["sums"].most_tokens == 64


def test_every_eval_ever_has_tokens_and_metadata(tmp_path: Path) -> None:
    usage = {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    line = make_every_eval_sample(0, 1.0, token_usage=usage, metadata={"subject": "law"})
    plain = make_every_eval_sample(1, 1.0, token_usage=None, metadata=None)
    rows = list_rows(read_log(write_lines(tmp_path / "x_samples.jsonl", [line, plain])))
    assert [(row.answer_tokens, row.fields) for row in rows] == [(5, {"subject": "law"}), (None, None)]


def test_evalscope_has_tokens_of_the_last_answer_and_metadata(tmp_path: Path) -> None:
    line = make_evalscope_line(0, 1.0, sample_metadata={"level": "hard"})
    line["messages"][1]["perf_metrics"] = {"latency": 0.5, "input_tokens": 20, "output_tokens": 7}
    plain = make_evalscope_line(1, 1.0)
    rows = list_rows(read_log(write_lines(tmp_path / "reviews/m/sums_main.jsonl", [line, plain])))
    assert [(row.answer_tokens, row.fields) for row in rows] == [(7, {"level": "hard"}), (None, None)]


def test_fields_of_evalution_hold_nothing_of_the_model(tmp_path: Path) -> None:
    path = write_evalution(tmp_path / "log", [1.0])
    run = json.loads(path.read_text("utf-8"))
    assert read_log(path).tasks["sums"].written
    run["tests"][0]["samples"][0]["metadata"] = {"subject": "law", "choice_logprobs": [-1.0, -2.0]}
    log = read_log(write_json(path, run))
    [row] = list_rows(log)
    assert row.fields == {"subject": "law"}
    assert not log.tasks["sums"].written


def test_openai_evals_has_the_tokens_that_the_api_counted(tmp_path: Path) -> None:
    usage = {"completion_tokens": 3, "prompt_tokens": 9, "total_tokens": 12}
    events = [
        make_openai_event(0, "sampling", prompt="0?", sampled=["zero"], model="m", usage=usage),
        make_openai_event(0, "match", correct=True, expected="zero", picked="zero"),
        make_openai_event(1, "sampling", prompt="1?", sampled=["one"], usage=None),
        make_openai_event(1, "match", correct=True, expected="one", picked="one"),
    ]
    rows = list_rows(read_log(write_lines(tmp_path / "run.jsonl", [*make_openai_head(1.0), *events])))
    assert [row.answer_tokens for row in rows] == [3, None]


def test_opencompass_has_answers_tokens_and_the_subdivision(tmp_path: Path) -> None:
    folder = write_opencompass(tmp_path / "log", BASE)
    [predictions] = folder.glob("*/predictions/*/*.json")
    written = json.loads(predictions.read_text("utf-8"))
    written["0"] |= {"prediction": "It is 0.", "res_length": 4, "all_input_length": 9}
    write_json(predictions, written)
    rows = list_rows(read_log(folder))
    assert (rows[0].answer, rows[0].answer_tokens, rows[0].fields) == ("It is 0.", 4, {"subdivision": "sums"})
    assert (rows[1].answer, rows[1].answer_tokens) == ("1", None)


def test_health_bench_has_the_tokens_of_each_example(tmp_path: Path) -> None:
    entry = {"score": 0.5, "prompt": [], "completion": [{"role": "assistant", "content": "Hello"}]}
    usages = [{"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}, {"output_tokens": None}]
    entries = [{**entry, "usage": usage} for usage in usages]
    results = {"score": 0.5, "metrics": {}, "htmls": ["x", "x"], "convos": [[], []]}
    path = tmp_path / "healthbench_m_allresults.json"
    write_json(path, {**results, "metadata": {"example_level_metadata": entries}})
    assert [row.answer_tokens for row in list_rows(read_log(path))] == [2, None]


def test_labels_of_mlperf_and_rankings_of_mteb_have_no_length(tmp_path: Path) -> None:
    written = Path(__file__).parent / "written_by_tools"
    for log in (read_log(write_mlperf(tmp_path / "log", BASE)), read_log(written / "mteb/base")):
        assert [task.written for task in log.tasks.values()] == [False]


# Ranges, directions, settings, figures that the tool states


def test_every_eval_ever_says_direction_range_and_settings(tmp_path: Path) -> None:
    run = make_every_eval_run()
    [result] = run["evaluation_results"]
    result["metric_config"] = {"metric_id": "loss", "lower_is_better": True, "min_score": 0}
    result["metric_config"]["max_score"] = "Infinity"
    result["generation_config"] = {"generation_args": {"temperature": 0.5}}
    write_json(tmp_path / "a.json", run)
    write_lines(tmp_path / "a_samples.jsonl", [make_every_eval_sample(0, 3.5)])
    task = read_log(tmp_path / "a.json").tasks["sums"]
    assert task.higher_is_better == {"loss": False}
    assert task.ranges == {"loss": (0.0, float("inf"))}
    assert task.settings == {"generation": {"temperature": 0.5}}
    assert read_log(tmp_path / "a_samples.jsonl").tasks["sums"].ranges == task.ranges


def test_two_results_of_one_evaluation_are_two_tasks(tmp_path: Path) -> None:
    lines = [
        make_every_eval_sample(0, score, evaluation_result_id=name)
        for name, score in (("a", 1.0), ("b", 0.0))
    ]
    log = read_log(write_lines(tmp_path / "x_samples.jsonl", lines))
    assert {name: [row.scores for row in task.rows()] for name, task in log.tasks.items()} == {
        "a": [{"score": 1.0}],
        "b": [{"score": 0.0}],
    }
    assert "so its metric is not known" in log.notes[0]


@pytest.mark.parametrize("stated", ["0.25", "NaN"])
@pytest.mark.parametrize(
    "reader", ["every_eval_ever", "sgl_eval", "evalution", "openai_evals", "simple_evals"]
)
def test_samples_of_another_run_than_its_figures_are_refused(
    tmp_path: Path, reader: str, stated: str
) -> None:
    path = SCORED[reader](tmp_path / "log", BASE)
    for file in (tmp_path / "log").rglob("*.json*"):
        file.write_text(re.sub(r"(?<![\d.])0\.75(?!\d)", stated, file.read_text("utf-8")), "utf-8")
    assert_refused(path, "they come from two runs")


def test_a_figure_of_few_decimals_is_not_held_against_many_rows(tmp_path: Path) -> None:
    scores = [float(number % 3 == 0) for number in range(300)]
    folder = SCORED["every_eval_ever"](tmp_path / "log", scores)
    file = folder / "4dd9d95a.json"
    written = file.read_text("utf-8")
    for stated, accepted in (
        ("0.3", True),
        ("0.33", True),
        ("0.333", True),
        ("0.336", False),
        ("0.4", False),
    ):
        file.write_text(re.sub(r'"score": 0\.333+', f'"score": {stated}', written), "utf-8")
        if accepted:
            read_whole(folder)
        else:
            assert_refused(folder, "they come from two runs")


def test_settings_that_differ_are_refused(tmp_path: Path) -> None:
    base = write_evalution(tmp_path / "base", BASE)
    target = write_evalution(tmp_path / "target", TARGET)
    target.write_text(target.read_text("utf-8").replace('"num_fewshot": 8', '"num_fewshot": 5'), "utf-8")
    with pytest.raises(DataError, match="shots"):
        judged(base, target)


@pytest.mark.parametrize("kind", ["<f4", "<i4", "<i8", "<f8"])
def test_labels_of_mlperf_are_read_whatever_their_type(tmp_path: Path, kind: str) -> None:
    folder = write_mlperf(tmp_path / "log", BASE, kind=kind)
    scores = {row.id: row.scores["accuracy"] for row in list_rows(read_log(folder))}
    assert [scores[str(k)] for k in range(8)] == BASE


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"data" : "', '"data" : "0000', "answers of up to 6 bytes"),
        ('"data" : "00', '"data" : "zz', "data that is not hexadecimal"),
        ('"qsl_idx" : 7', '"qsl_idx" : 70', "an answer to sample 70, but val_map.txt has 8 labels"),
        ('"qsl_idx"', '"index"', "no reader knows this"),
    ],
)
def test_answers_of_mlperf_that_are_no_labels_are_refused(
    tmp_path: Path, before: str, after: str, words: str
) -> None:
    file = write_mlperf(tmp_path / "log", BASE) / "mlperf_log_accuracy.json"
    file.write_text(file.read_text("utf-8").replace(before, after), "utf-8")
    assert_refused(file, words)


def test_of_a_sample_loadgen_sent_twice_the_first_answer_counts(tmp_path: Path) -> None:
    file = write_mlperf(tmp_path / "log", BASE) / "mlperf_log_accuracy.json"
    file.write_text(file.read_text("utf-8").replace('"qsl_idx" : 0', '"qsl_idx" : 1'), "utf-8")
    assert len(list_rows(read_log(file))) == 7


# Folders and malformed lines


@pytest.mark.parametrize("reader", ["every_eval_ever", "sgl_eval", "opencompass", "evalscope"])
def test_a_folder_of_two_models_is_refused(tmp_path: Path, reader: str) -> None:
    SCORED[reader](tmp_path / "a", BASE)
    other = SCORED[reader](tmp_path / "b", BASE)
    for file in list(other.rglob("*.json*")):
        file.write_text(file.read_text("utf-8").replace("model-a", "model-b"), "utf-8")
        moved = (
            tmp_path / "a" / str(file.relative_to(other)).replace("model-a", "model-b").replace("4dd", "5dd")
        )
        moved = Path(str(moved).replace("003818", "003819"))
        moved.parent.mkdir(parents=True, exist_ok=True)
        file.rename(moved)
    assert_refused(tmp_path / "a", r"of 2 models \((example/)?model-a, (example/)?model-b\)")


@pytest.mark.parametrize("reader", ["opencompass", "evalscope"])
def test_an_inner_folder_and_a_file_are_read_too(tmp_path: Path, reader: str) -> None:
    folder = SCORED[reader](tmp_path / "log", BASE)
    [file] = [*folder.glob("*/results/*/*.json"), *folder.glob("*/reviews/*/*.jsonl")]
    for path in (file, file.parent, file.parent.parent, file.parent.parent.parent):
        assert len(list_rows(read_log(path))) == 8


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        (
            "x_samples.jsonl",
            {**make_every_eval_sample(1, 1.0), "input": 3},
            "line 2 is not a sample of the schema",
        ),
        ("output-rs0.jsonl", {"id": "q1"}, "line 2 is not a sample of sgl-eval"),
        (
            "reviews.jsonl",
            {**make_evalscope_line(1, 1.0), "target": 3, "messages": [3]},
            "line 2 is not a review",
        ),
        ("profile_export.jsonl", {"metadata": {}, "metrics": {}}, "line 2 is not a request of aiperf"),
    ],
)
def test_a_line_of_another_shape_is_named(tmp_path: Path, name: str, row: dict[str, Any], words: str) -> None:
    first = {
        "x_samples.jsonl": make_every_eval_sample(0, 1.0),
        "output-rs0.jsonl": make_sgl_eval_line(0, 1.0),
        "reviews.jsonl": make_evalscope_line(0, 1.0),
        "profile_export.jsonl": make_aiperf_line(0, 5.0),
    }
    assert_refused(write_lines(tmp_path / name, [first[name], row]), words)
