"""Layouts of other versions and programs: lighteval, HELM, vLLM, guidellm and Inspect."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimgate.cli.main import main
from slimgate.errors import DataError, SuiteError
from slimgate.logs.budgets import LogBudgets, make_drop_budgets
from slimgate.logs.find import find_reader, read_any_log, read_log
from slimgate.logs.readers.helm import Helm
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.plugins.reader import LoadRun
from slimgate.results.base import Verdict

TIME = "2026-08-10T17-22-11.385681"


def judge(base: Path, target: Path, budgets: LogBudgets | None = None, **rules: Any) -> LogVerdicts:
    return judge_logs(read_log(base), read_log(target), budgets or LogBudgets(), Rules(**rules))


# ---- lighteval


def write_lighteval(folder: Path, scores: Sequence[int], gold: Any) -> Path:
    """The details of lighteval 0.13, and its results."""
    details = folder / "details/owner/tiny" / TIME
    details.mkdir(parents=True)
    rows = [
        {
            "doc": {"query": f"Q{at}", "choices": [" a", " b"], "gold_index": gold, "id": str(at)},
            "metric": {"drift": score},
            "model_response": {"input": None, "logprobs": [-1.0, -2.0 + 2 * score], "text": []},
        }
        for at, score in enumerate(scores)
    ]
    pq.write_table(pa.Table.from_pylist(rows), details / f"details_anli:r1|0_{TIME}.parquet")
    metric = {"metric_name": "drift", "higher_is_better": True}
    config = {"config_tasks": {"anli:r1|0": {"metrics": [metric], "num_fewshots": 0, "version": 1}}}
    (folder / "results/owner/tiny").mkdir(parents=True)
    (folder / f"results/owner/tiny/results_{TIME}.json").write_text(json.dumps(config), "utf-8")
    return folder


def test_results_of_lighteval_alone_are_refused(tmp_path: Path) -> None:
    folder = write_lighteval(tmp_path / "base", [1, 1, 0], 0)
    [file] = folder.glob("results/**/*.json")
    results = {
        "config_general": {"lighteval_sha": "?"},
        "results": {"anli:r1|0": {"acc": 0.4, "acc_stderr": 0.1}},
    }
    file.write_text(json.dumps(results), "utf-8")
    words = (
        f"{file}: it has only aggregate figures (anli:r1|0/acc 0.4), and a verdict needs the score of "
        "each sample; "
    )
    with pytest.raises(DataError) as refusal:
        read_log(file)
    assert str(refusal.value) == f"{words}give its details, {folder / 'details/owner/tiny'}"
    assert read_log(folder).tasks
    shutil.rmtree(folder / "details")
    with pytest.raises(DataError) as refusal:
        read_log(folder)
    remedy = f"give its details, which lighteval writes with --save-details ({folder / 'details/owner/tiny'})"
    assert str(refusal.value) == words + remedy


def test_lighteval_since_0_11_has_other_names_of_columns(tmp_path: Path) -> None:
    base = write_lighteval(tmp_path / "base", [1, 1, 0], 0)
    target = write_lighteval(tmp_path / "target", [0, 1, 0], [0])  # a list of the only right choice
    (comparison,) = judge(base, target).comparisons
    assert (comparison.name, comparison.worse, comparison.higher_is_better) == ("anli:r1|0/drift", 1, True)
    files = [next(folder.glob("**/*.parquet")) for folder in (base, target)]
    assert next(iter(read_log(files[0]).tasks["anli:r1|0"].rows())).answer == " b"
    assert main(["judge", *map(str, files), "--higher-is-better", "drift"]) == 0


def test_a_document_that_occurs_twice_is_no_epoch(tmp_path: Path) -> None:
    """lighteval counts each row, also if a data set has a document twice."""
    base, target = (write_lighteval(tmp_path / name, [1, 1, 0], 0) for name in ("base", "target"))
    for folder in (base, target):
        [file] = folder.glob("**/*.parquet")
        table = pq.read_table(file)
        pq.write_table(pa.concat_tables([table, table.slice(1, 1)]), file)
    (comparison,) = judge(base, target).comparisons
    assert list(comparison.ids) == ["0", "1", "2", "1 row 2"]
    assert comparison.groups is not None
    assert comparison.groups[1] == comparison.groups[3]
    assert not comparison.has_epochs


def test_details_of_another_tool_name_the_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": ["a"], "metrics": [1.0]}), tmp_path / f"details_a_{TIME}.parquet")
    with pytest.raises(
        DataError, match="the columns are query, metrics, expected doc, model_response, metric"
    ):
        judge(tmp_path, tmp_path)


# ---- HELM


def make_statistic(name: str, value: float | None) -> dict[str, Any]:
    return {"name": {"name": name, "split": "test"}, "count": int(value is not None), "sum": value or 0} | (
        {} if value is None else {"mean": value}
    )


def write_helm(folder: Path, entries: Sequence[tuple[str, Mapping[str, float | None]]]) -> Path:
    """A run folder with what HELM keeps beside the statistics of instances."""
    folder.mkdir(parents=True)
    stats = [
        {
            "instance_id": name,
            "train_trial_index": 0,
            "stats": [make_statistic(*pair) for pair in values.items()],
        }
        for name, values in entries
    ]
    (folder / "per_instance_stats.json").write_text(json.dumps(stats), "utf-8")
    (folder / "display_predictions.json").write_text("[]", "utf-8")
    return folder


def write_helm_run(folder: Path, model: str, scores: Sequence[float], tokens: float) -> Path:
    """Two entries an instance, of two classes of metrics."""
    quality = [(f"b{at}", {"harm_bench_score": score}) for at, score in enumerate(scores)]
    costs = [
        (f"b{at}", {"num_prompt_tokens": tokens, "inference_runtime": tokens, "training_co2_cost": None})
        for at in range(len(scores))
    ]
    return write_helm(folder / f"harm_bench:model={model}", [*quality, *costs])


def test_figures_of_helm_alone_are_refused(tmp_path: Path) -> None:
    folder = write_helm(tmp_path / "suite/a:model=b", [("b0", {"exact_match": 1.0})])
    names: list[dict[str, Any]] = [
        {"name": "exact_match", "split": "test"},
        {"name": "exact_match", "split": "test", "perturbation": {"name": "robustness"}},
        {"name": "num_prompt_tokens", "split": "test"},
    ]
    entries = [{"name": name, "count": 1, "sum": 0.75, "mean": 0.75} for name in names]
    figures = folder / "stats.json"
    figures.write_text(json.dumps(entries, indent=1), "utf-8")
    words = (
        f"{figures}: it has only aggregate figures (exact_match test 0.75), and a verdict needs the score "
        "of each "
    )
    with pytest.raises(DataError) as refusal:
        read_log(figures)
    assert str(refusal.value) == f"{words}instance; give {folder / 'per_instance_stats.json'}"
    assert read_log(folder.parent).tasks
    (folder / "per_instance_stats.json").unlink()
    with pytest.raises(DataError) as refusal:
        read_log(folder.parent)
    assert str(refusal.value) == f"{words}instance; give the run folder with per_instance_stats.json"
    figures.write_text('{"name": "another tool\'s"}', "utf-8")
    with pytest.raises(DataError, match="no reader knows this file"):
        read_log(figures)


def test_helm_joins_the_entries_of_an_instance_for_quality_alone(tmp_path: Path) -> None:
    base = write_helm_run(tmp_path / "base", "large", [1.0, 0.5, 0.0, 1.0], 5)
    target = write_helm_run(tmp_path / "target", "small", [1.0, 1.0, 0.0, 0.5], 90)
    assert isinstance(find_reader(base), Helm)
    verdicts = judge(base, target, make_drop_budgets([], [2.0], None))
    (comparison,) = verdicts.comparisons
    assert (comparison.name, comparison.counts.judged) == ("harm_bench/harm_bench_score", 4)
    assert (comparison.worse, comparison.better, comparison.score_range) == (1, 1, (0.0, 1.0))
    assert verdicts.notes[:2] == (
        "harm_bench: statistics that have no value of any sample, and are not judged: training_co2_cost",
        "harm_bench: statistics that are not a measure of quality, and are not judged: num_prompt_tokens, "
        "inference_runtime",
    )


def write_perturbed(folder: Path, originals: Sequence[float], perturbed: Sequence[float]) -> Path:
    """A run folder with a copy with typos before each instance, and an instance of the split valid."""
    stats: list[dict[str, Any]] = []
    for at, scores in enumerate(zip(originals, perturbed, strict=True)):
        for score, changed in zip(reversed(scores), ({"perturbation": {"name": "typos"}}, {}), strict=True):
            name = {"name": "exact_match", "split": "test", **changed}
            stats.append({"instance_id": f"i{at}", **changed, "stats": [{"name": name, "mean": score}]})
    valid = {"name": {"name": "exact_match", "split": "valid"}, "mean": 1.0}
    stats.append({"instance_id": "v", "stats": [valid]})
    path = folder / "boolq:model=a/per_instance_stats.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(stats), "utf-8")
    return folder


def test_perturbed_copies_and_splits_of_helm_are_apart(tmp_path: Path) -> None:
    base = write_perturbed(tmp_path / "base", [1.0] * 90 + [0.0] * 10, [0.0, 1.0] * 50)
    target = write_perturbed(tmp_path / "target", [1.0] * 80 + [0.0] * 20, [0.0, 1.0] * 50)
    verdicts = judge(base, target, make_drop_budgets(["boolq/exact_match"], [2.0], None))
    figures = {
        part.name: (part.counts.judged, part.judged.teacher, part.judged.value)
        for part in verdicts.comparisons
    }
    assert figures == {"boolq/exact_match": (100, 0.9, 0.8)}
    names = {part.name: part.counts.judged for part in judge(base, target).comparisons}
    assert names == {
        "boolq/exact_match": 100,
        "boolq/typos/exact_match": 100,
        "boolq/valid/exact_match": 1,
    }
    rows = [*read_log(base).tasks["boolq"].rows()]
    assert [row.filter for row in rows[:100]] == [""] * 100


def write_helm_scores(folder: Path, name: str, scores: Sequence[float]) -> Path:
    """A run folder with one statistic."""
    return write_helm(folder / "asr:model=a", [(f"i{at}", {name: score}) for at, score in enumerate(scores)])


@pytest.mark.parametrize("name", ["wer_score", "cer_score", "ter_score", "mer_score", "chinese_wer_score"])
def test_an_error_rate_of_helm_is_better_when_lower(tmp_path: Path, name: str) -> None:
    base = write_helm_scores(tmp_path / "base", name, [0.0, 0.1] * 50)
    target = write_helm_scores(tmp_path / "target", name, [0.9, 0.8] * 50)
    for directions in ({}, {name: False}):
        (comparison,) = judge(
            base, target, make_drop_budgets([], [2.0], None), directions=directions
        ).comparisons
        assert comparison.higher_is_better is False
        assert comparison.judged.budgets[0].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "name", ["safety_gpt_score", "air_category_1_2_score", "wip_score", "wildbench_score", "f1_score"]
)
def test_a_quality_score_of_helm_is_better_when_higher(tmp_path: Path, name: str) -> None:
    base = write_helm_scores(tmp_path / "base", name, [1.0, 0.9] * 50)
    target = write_helm_scores(tmp_path / "target", name, [0.1, 0.0] * 50)
    (comparison,) = judge(base, target, make_drop_budgets([], [2.0], None)).comparisons
    assert comparison.higher_is_better is True
    (comparison,) = judge(base, target, directions={name: False}).comparisons
    assert comparison.higher_is_better is False


def test_an_unknown_score_of_helm_needs_a_direction(tmp_path: Path) -> None:
    base = write_helm_scores(tmp_path / "base", "toxic_score", [1.0, 0.0])
    target = write_helm_scores(tmp_path / "target", "toxic_score", [1.0, 1.0])
    with pytest.raises(SuiteError, match=r'toxic_score: neither .* write --higher-is-better "toxic_score"'):
        judge(base, target, make_drop_budgets([], [2.0], None))


def test_two_values_of_one_statistic_are_refused(tmp_path: Path) -> None:
    folder = write_helm(tmp_path / "a:model=b", [("b0", {"exact_match": 1.0}), ("b0", {"exact_match": 0.0})])
    with pytest.raises(
        DataError, match=r"entry 1: exact_match of instance b0 is 0\.0, and 1\.0 in an earlier entry"
    ):
        judge(folder, folder)


# ---- load tests


def read_load(path: Path) -> LoadRun:
    (run,) = read_any_log(path).loads.values()
    return run


@pytest.mark.parametrize("first", [True, False], ids=["figures first", "lists first"])
def test_a_vllm_result_of_another_program_is_recognized(tmp_path: Path, first: bool) -> None:
    lists = {
        "ttfts": [0.2, 0.1],
        "itls": [[0.01, 0.03], []],
        "output_lens": [3, 1],
        "errors": ["", ""],
        "generated_texts": ["x" * 9_000, "b"],
    }
    figures = {
        "num_prompts": 2,
        "request_rate": "inf",
        "duration": 0.5,
        "completed": 2,
        "model_id": "tiny",
    }
    content = {**figures, **lists} if first else {"duration": 0.5, **lists, **figures, "model_id": None}
    (tmp_path / "a.json").write_text(json.dumps(content), "utf-8")
    run = read_load(tmp_path / "a.json")
    assert [(request.first, request.between) for request in run.requests] == [
        (200.0, pytest.approx(20.0)),
        (100.0, None),
    ]


def test_guidellm_0_5_keeps_its_arguments_apart(tmp_path: Path) -> None:
    def request(at: int) -> dict[str, Any]:
        return {
            "request_start_time": 100.0 + at,
            "request_end_time": 100.8 + at,
            "request_latency": 0.8,
            "time_to_first_token_ms": 40.0,
            "inter_token_latency_ms": 20.0,
            "prompt_tokens": 7,
            "output_tokens": 30,
        }

    strategy = {"type_": "concurrent", "worker_count": 1, "max_concurrency": 4}
    benchmark = {
        "config": {"strategy": strategy, "backend": {"model": "owner/tiny"}},
        "requests": {"successful": [request(at) for at in range(3)], "errored": [], "incomplete": None},
        "duration": 720.0,  # of a window that a warm-up moved
    }
    content = {
        "metadata": {"version": 1, "guidellm_version": "0.5.0"},
        "args": {"model": "other name"},
        "benchmarks": [benchmark],
    }
    (tmp_path / "a.json").write_text(json.dumps(content), "utf-8")
    log = read_any_log(tmp_path / "a.json")
    assert (log.model, list(log.loads)) == ("owner/tiny", ["c4"])
    assert log.loads["c4"].seconds == pytest.approx(2.8)
    del benchmark["config"]["backend"]  # type: ignore[attr-defined]
    (tmp_path / "a.json").write_text(json.dumps(content), "utf-8")
    assert read_any_log(tmp_path / "a.json").model == "other name"


# ---- Inspect


def write_inspect(path: Path, samples: Sequence[Mapping[str, Any]], **header: Any) -> Path:
    ids = header.pop("ids", [sample["id"] for sample in samples])
    spec = {
        "run_id": path.stem,
        "created": "2026-01-01T00:00:00+00:00",
        "task": "sums",
        "model": path.stem,
        "dataset": {"sample_ids": ids, "samples": len(ids)},
        "config": {"epochs": 1},
    }
    log = {"version": 2, "status": "success", "eval": spec, "plan": {}, "samples": [*samples], **header}
    path.write_text(json.dumps({key: value for key, value in log.items() if value is not None}), "utf-8")
    return path


def make_sample(key: int, value: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "epoch": 1,
        "input": f"{key}+1=",
        "target": str(key + 1),
        "output": {"completion": "x"},
        "scores": {"grade": {"value": value}},
        **more,
    }


def test_samples_that_both_headers_list_and_no_log_holds(tmp_path: Path) -> None:
    base = write_inspect(
        tmp_path / "base.json", [make_sample(key, "C") for key in (1, 2, 4)], ids=[1, 2, 3, 4]
    )
    target = write_inspect(
        tmp_path / "int4.json", [make_sample(key, "C") for key in (1, 2, 4)], ids=[1, 2, 3]
    )
    lines = [f'{log} lists 1 sample that it does not contain ("3")' for log in (base, target)]
    with pytest.raises(
        DataError, match=re.escape(f"sums: {'; '.join(lines)}: --missing drop leaves them out")
    ):
        judge(base, target, directions={"grade": True})
    verdicts = judge(base, target, directions={"grade": True}, missing="drop")
    assert verdicts.comparisons[0].counts.judged == 3
    assert [note for note in verdicts.notes if "lists" in note] == [f"sums: {line}" for line in lines]


def make_results(accuracy: float, **score: Any) -> dict[str, Any]:
    metrics = {"accuracy": {"name": "accuracy", "value": accuracy}, "stderr": {"value": 0.1}}
    return {"results": {"scores": [{"name": "grade", "scorer": "grade", "metrics": metrics, **score}]}}


def test_the_accuracy_that_inspect_states_is_checked(tmp_path: Path) -> None:
    rows = [make_sample(key, "C" if key % 4 else "I") for key in range(8)]
    base = write_inspect(tmp_path / "base.json", rows, **make_results(0.75))
    for name, right in {"good": make_results(0.75), "max": make_results(1.0, reducer="max")}.items():
        target = write_inspect(tmp_path / f"{name}.json", rows, **right)
        assert judge(base, target, directions={"grade": True}).comparisons[0].counts.judged == 8
    other = write_inspect(tmp_path / "other.json", rows, **make_results(0.5))
    with pytest.raises(
        DataError, match=r"the results state grade 0\.5000, and the 8 samples have a mean of 0\.75"
    ):
        judge(base, other, directions={"grade": True})


def test_another_reducer_of_epochs_is_said(tmp_path: Path) -> None:
    rows = [{**make_sample(1, grade), "epoch": epoch} for epoch, grade in ((1, "C"), (2, "I"))]
    files = [write_inspect(tmp_path / f"{name}.json", rows) for name in ("base", "int4")]
    for file in files:
        log = json.loads(file.read_text("utf-8"))
        log["eval"]["config"] = {"epochs": 2, "epochs_reducer": ["pass_at_2"]}
        file.write_text(json.dumps(log), "utf-8")
    notes = judge(*files, directions={"grade": True}).notes
    assert (
        "int4.json: Inspect states pass_at_2 of the epochs of a sample, and slimgate judges their mean; name "
        "pass@K or pass^K in --metric to judge one of these"
    ) in notes


def make_question(key: int, image: str | None) -> dict[str, Any]:
    """A sample whose question is the same for each image."""
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "image": image, "detail": "auto"}]
    return make_sample(key, "C", input=[{"role": "user", "content": parts}], target="cat")


def test_images_of_inspect_tell_samples_apart(tmp_path: Path) -> None:
    base = write_inspect(tmp_path / "base.json", [make_question(key, f"{key}.png") for key in range(9)])
    again = write_inspect(tmp_path / "again.json", [make_question(key, f"{key}.png") for key in range(9)])
    assert judge(base, again, directions={"grade": True}).comparisons[0].groups is None
    moved = write_inspect(tmp_path / "moved.json", [make_question(key, f"{key + 1}.png") for key in range(9)])
    with pytest.raises(DataError, match="documents differ in 9 of 9 samples"):
        judge(base, moved, directions={"grade": True})


def test_samples_without_their_images_are_not_one_document(tmp_path: Path) -> None:
    """Inspect leaves images out of its log unless it ran with --log-images."""
    rows = [make_question(key, "<base64-data-removed>") for key in range(9)]
    base, target = (write_inspect(tmp_path / f"{name}.json", rows) for name in ("base", "int4"))
    assert judge(base, target, directions={"grade": True}).comparisons[0].groups is None


def test_a_sample_with_an_error_and_a_score_is_missing(tmp_path: Path) -> None:
    failed = {"error": {"message": "time-out"}}
    base = write_inspect(tmp_path / "base.json", [make_sample(1, "C"), make_sample(2, "I", **failed)])
    target = write_inspect(tmp_path / "int4.json", [make_sample(1, "C"), make_sample(2, "I")])
    with pytest.raises(DataError, match=r'1 has no score in the base\'s log \("2"\), first error "time-out"'):
        judge(base, target, directions={"grade": True})
    counts = judge(base, target, directions={"grade": True}, missing="drop").comparisons[0].counts
    assert (counts.judged, counts.unscored_base) == (1, 1)


@pytest.mark.parametrize(
    "cut",
    [
        {"output": {"choices": [{"message": {"content": "1"}, "stop_reason": "max_tokens"}]}},
        {"limit": {"type": "token", "limit": 100}},
        {"limit": {"type": "message", "limit": 5}},
    ],
    ids=["stop reason", "limit on tokens", "limit on messages"],
)
def test_answers_that_were_cut_off_are_judged_and_said(tmp_path: Path, cut: dict[str, Any]) -> None:
    base = write_inspect(tmp_path / "base.json", [make_sample(1, "C"), make_sample(2, "C")])
    target = write_inspect(tmp_path / "int4.json", [make_sample(1, "C"), make_sample(2, "C", **cut)])
    words = "sums: 0 answers of the base and 1 of the target were cut off at a limit; they are judged"
    notes = judge(base, target, directions={"grade": True}).notes
    assert [note for note in notes if note.startswith(words)]
    assert not any("were cut off" in note for note in judge(base, base, directions={"grade": True}).notes)


def test_a_scorer_of_texts_alone_is_named(tmp_path: Path) -> None:
    base = write_inspect(tmp_path / "base.json", [make_sample(1, "good"), make_sample(2, "fair")])
    target = write_inspect(tmp_path / "int4.json", [make_sample(1, "C"), make_sample(2, "I")])
    with pytest.raises(DataError) as error:
        judge(base, target)
    assert "the base has none (grade is not a number in 2 samples), the target has grade" in str(error.value)


@pytest.mark.parametrize("version", [2, None])
def test_a_log_without_samples_says_what_its_results_do(tmp_path: Path, version: int | None) -> None:
    metrics = {"accuracy": {"name": "accuracy", "value": 13 / 30}}
    results = {"total_samples": 30, "scores": [{"name": "grade", "metrics": metrics}]}
    file = write_inspect(tmp_path / "base.json", [], ids=[1], version=version, results=results)
    with pytest.raises(DataError) as error:
        read_any_log(file, "inspect")
    shown = "it has no samples" + (
        "" if version else ", and no version, so it is not a complete log of Inspect"
    )
    assert str(error.value).startswith(
        f"{file}: base.json: {shown}; its results alone say grade accuracy 0.4333 of 30 samples; expected"
    )
