"""What lm-eval wrote since 2023: arrays, lines, results.json, a folder a task, figures of a whole corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lm_eval_logs import write_lm_eval

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.answer_columns import read_answer_checks
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.budgets import LogBudgets, make_drop_budgets, parse_budget_tables
from slimgate.logs.find import read_log
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.plugins.reader import Row
from slimgate.results.base import Verdict

TIME = "2024-10-02T17-02-10.910773"


def make_old_row(at: int, **metrics: Any) -> dict[str, Any]:
    """A sample before 0.4.4: lists of arguments; no hashes, metrics or filter."""
    return {
        "doc_id": at,
        "doc": {"question": f"Question {at}?"},
        "target": "yes",
        "arguments": [[f"Question {at}?", {"until": ["\n"]}]],
        "resps": [["yes"]],
        "filtered_resps": ["yes"],
        **metrics,
    }


def write_old(
    folder: Path, rows: Sequence[Mapping[str, Any]], *, task: str = "sums", config: Mapping[str, Any] = {}
) -> Path:
    """A folder of 0.4.0: an array with the suffix .jsonl, and results.json."""
    folder.mkdir(parents=True)
    (folder / f"pretrained__tiny_{task}.jsonl").write_text(json.dumps(rows, indent=2), "utf-8")
    results = {
        "results": {task: {"acc_stderr,none": 0.5, "alias": task}},
        "configs": {task: {"metric_list": [{"metric": "acc", "higher_is_better": True}], **config}},
        "versions": {task: 1.0},
        "n-shot": {task: 5},
        "config": {"model": "hf", "model_args": f"pretrained={folder.name}"},
    }
    (folder / "results.json").write_text(json.dumps(results), "utf-8")
    return folder


def judge(base: Path, target: Path, budgets: LogBudgets | None = None, **rules: Any) -> LogVerdicts:
    return judge_logs(read_log(base), read_log(target), budgets or LogBudgets(), Rules(**rules))


def read_rows(path: Path, task: str) -> list[Row]:
    return list(read_log(path).tasks[task].rows())


@pytest.mark.parametrize(
    ("versions", "unknown"),
    [({"arc": 1.0}, "shots"), (None, "shots and versions")],
    ids=["versions", "neither"],
)
def test_a_note_names_the_settings_that_results_lack(tmp_path: Path, versions: Any, unknown: str) -> None:
    folder = write_lm_eval(tmp_path / "logs", {"arc": [1.0]}, results={"n-shot": None, "versions": versions})
    assert f"{folder}: its results file does not say {unknown}" in read_log(folder).notes


def test_an_array_beside_results_json_is_read(tmp_path: Path) -> None:
    base = write_old(tmp_path / "base", [make_old_row(at, acc=1.0) for at in range(3)])
    target = write_old(tmp_path / "target", [make_old_row(at, acc=float(at > 0)) for at in range(3)])
    (comparison,) = judge(base, target).comparisons
    assert (comparison.name, comparison.counts.judged, comparison.worse) == ("sums/acc", 3, 1)
    log = read_log(base)
    assert log.tasks["sums"].settings["shots"] == {"shots": 5, "seed": None}
    assert log.tasks["sums"].higher_is_better == {"acc": True}
    row = read_rows(base, "sums")[0]
    assert (row.prompt, row.answer, row.filter) == ("Question 0?", "yes", "")
    assert row.keys["prompt"] == sha256(b"Question 0?").hexdigest()
    assert read_log(next(base.glob("*.jsonl"))).tasks.keys() == {"sums"}


def test_old_samples_of_two_models_are_refused(tmp_path: Path) -> None:
    """lm-eval 0.4.2 replaced results.json, and left the samples of the earlier model in the folder."""
    folder = write_old(tmp_path / "out", [make_old_row(at, acc=float(at > 1)) for at in range(3)])
    (folder / "pretrained__zeta_sums.jsonl").write_text(json.dumps([make_old_row(0, acc=1.0)]), "utf-8")
    expected = "pretrained__tiny_sums.jsonl and pretrained__zeta_sums.jsonl are both samples of the task sums"
    for path in (folder, folder / "pretrained__zeta_sums.jsonl"):
        with pytest.raises(DataError, match=expected):
            read_log(path)


def test_old_rows_of_one_document_are_of_the_filters_in_order(tmp_path: Path) -> None:
    config = {"filter_list": [{"name": "strict"}, {"name": "none"}]}
    rows = [*(make_old_row(at, acc=0.0) for at in range(2)), *(make_old_row(at, acc=1.0) for at in range(2))]
    folder = write_old(tmp_path / "base", rows, config=config)
    assert [(row.id, row.filter, row.scores) for row in read_rows(folder, "sums")] == [
        ("0", "strict", {"acc": 0.0}),
        ("1", "strict", {"acc": 0.0}),
        ("0", "", {"acc": 1.0}),
        ("1", "", {"acc": 1.0}),
    ]
    thrice = write_old(tmp_path / "more", [*rows, make_old_row(0, acc=1.0)], config=config)
    with pytest.raises(DataError, match="1 sample occurs more than once"):
        judge(folder, thrice)


def make_squad(prediction: Any, *right: str) -> list[dict[str, Any]]:
    return [{"id": 1, "prediction_text": prediction}, {"id": 1, "answers": {"text": [*right]}}]


@pytest.mark.parametrize(
    ("pair", "exact", "f1"),
    [
        (make_squad(["The cat."], "cat"), 1.0, 1.0),
        (make_squad("B) option", "B"), 0.0, 2 / 3),
        (
            make_squad(
                "",
            ),
            1.0,
            1.0,
        ),
        (make_squad("A", "A"), 1.0, 1.0),  # an article alone is nothing, in both
        (make_squad("red car", "blue car", "red bus stop"), 0.0, 0.5),
        (make_squad("nothing", "cat"), 0.0, 0.0),
    ],
)
def test_pairs_as_squad_has_them_are_scored(tmp_path: Path, pair: Any, exact: float, f1: float) -> None:
    file = tmp_path / f"samples_qa_{TIME}.json"
    file.write_text(json.dumps([make_old_row(0, exact=pair, f1=pair, info=[{"a": 1}])], indent=1), "utf-8")
    (row,) = read_rows(file, "qa")
    assert row.scores == {"exact": exact, "f1": pytest.approx(f1)}
    assert row.not_numbers == ("info",)


def test_the_only_task_may_have_two_names(tmp_path: Path) -> None:
    folder = write_lm_eval(tmp_path / "base", {"qa": [1.0, 0.0]})
    (folder / "samples_qa_2026-01-02T03-04-05.000000.jsonl").rename(
        folder / "samples_qa_v1_2026-01-02T03-04-05.000000.jsonl"
    )
    log = read_log(folder)
    assert log.notes == (f"{folder}: its results file calls the only task qa, and its samples file qa_v1",)
    assert log.tasks["qa_v1"].settings["shots"] == {"shots": 0}


def test_json_lines_may_have_the_suffix_json(tmp_path: Path) -> None:
    folder = write_lm_eval(tmp_path / "base", {"qa": [1.0, 0.0]})
    file = next(folder.glob("samples_*"))
    file.rename(file.with_suffix(".json"))
    assert [row.scores["acc"] for row in read_rows(folder, "qa")] == [1.0, 0.0]


def make_results_of_one_model(folder: Path) -> dict[str, Any]:
    return {"config": {"model": "hf", "model_args": f"pretrained={folder.name}"}, "model_name": folder.name}


def test_task_folders_of_one_model_are_one_log(tmp_path: Path) -> None:
    for side in ("base", "int4"):
        model = tmp_path / side
        for task, time in (("arc", "2026-01-01T00-00-00.000000"), ("sums", "2026-01-02T00-00-00.000000")):
            write_lm_eval(
                model / task, {task: [1.0, 0.0]}, time=time, results=make_results_of_one_model(model)
            )
    verdicts = judge(tmp_path / "base", tmp_path / "int4")
    assert [comparison.task for comparison in verdicts.comparisons] == ["arc", "sums"]
    assert any("tasks of 2 runs are judged: arc of 2026-01-01" in note for note in verdicts.notes)
    write_lm_eval(
        tmp_path / "int4/other", {"arc": [1.0]}, results=make_results_of_one_model(tmp_path / "other")
    )
    with pytest.raises(
        DataError,
        match=r"logs in 3 folders .* are of several models.*; they are of .*pretrained=int4.*=other",
    ):
        read_log(tmp_path / "int4")


def test_folders_that_name_no_model_are_not_one_log(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_lm_eval(tmp_path / name, {"arc": [1.0]}, results={"config": {}, "model_name": None})
    with pytest.raises(DataError, match=r"the logs in 2 folders \(.*\) do not all name their model; give"):
        read_log(tmp_path)


def test_a_filter_of_which_no_sample_is_there_is_noted(tmp_path: Path) -> None:
    results = {"results": {"sums": {"acc,none": 0.5, "acc_stderr,none": 0.1, "acc,flexible": 0.5}}}
    base = write_lm_eval(tmp_path / "base", {"sums": [1.0, 0.0]}, results=results)
    notes = judge(base, write_lm_eval(tmp_path / "int4", {"sums": [1.0, 0.0]})).notes
    assert f"sums: the results of {base} have the filter flexible, but no sample of it" in notes


def test_a_results_file_is_refused_with_the_folder_to_give(tmp_path: Path) -> None:
    results = {"results": {"sums": {"alias": "sums", "acc,none": 0.5, "acc_stderr,none": 0.1}}}
    folder = write_lm_eval(tmp_path / "base", {"sums": [1.0, 0.0]}, results=results)
    (file,) = folder.glob("results_*.json")
    with pytest.raises(DataError) as refusal:
        read_log(file)
    assert str(refusal.value) == (
        f"{file}: it has only aggregate figures (sums/acc 0.5), and a verdict needs the score of each "
        f"sample; give the folder of its samples ({folder}), which lm-eval writes with --log_samples"
    )


# ---- figures of a whole corpus


def write_corpus(folder: Path, nats: Any, words: Any, stated: Mapping[str, float] = {}) -> Path:
    """wikitext as lm-eval logs it: pairs of the log-likelihood, and of how many words or bytes."""
    folder.mkdir(parents=True)
    names = ("word_perplexity", "byte_perplexity", "bits_per_byte")
    rows = [
        {
            **make_old_row(at),
            "filter": "none",
            "metrics": names,
            "doc": {"half": "even" if at % 2 == 0 else "odd"},
            **{"doc_hash": f"d{at}", "prompt_hash": f"p{at}", "target_hash": f"t{at}"},
            **{name: [-float(loss), int(count) * (1 if "word" in name else 5)] for name in names},
        }
        for at, (loss, count) in enumerate(zip(nats, words, strict=True))
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / f"samples_wikitext_{TIME}.jsonl").write_text(lines, "utf-8")
    results = {
        "results": {"wikitext": {f"{name},none": value for name, value in stated.items()}},
        "configs": {"wikitext": {"metric_list": [{"metric": name} for name in names]}},
        "n-shot": {"wikitext": 0},
        "n-samples": {"wikitext": {"original": len(rows), "effective": len(rows)}},
        "higher_is_better": {"wikitext": dict.fromkeys(names, False)},
        "model_name": folder.name,
    }
    (folder / f"results_{TIME}.json").write_text(json.dumps(results), "utf-8")
    return folder


WORDS = np.random.default_rng(0).integers(50, 3_000, 200)
NATS = WORDS * np.random.default_rng(1).normal(2.8, 0.2, 200)


def test_a_perplexity_is_that_of_the_whole_corpus(tmp_path: Path) -> None:
    worse = NATS + WORDS * np.random.default_rng(2).normal(0.3, 0.05, 200)
    expected = exp(NATS.sum() / WORDS.sum())
    base = write_corpus(tmp_path / "base", NATS, WORDS, {"word_perplexity": expected})
    target = write_corpus(tmp_path / "int4", worse, WORDS)
    verdicts = judge(base, target, make_drop_budgets([], [5.0], None))
    by_metric = {comparison.metric: comparison for comparison in verdicts.comparisons}
    word, bits = by_metric["word_perplexity"], by_metric["bits_per_byte"]
    assert word.judged.teacher == pytest.approx(expected)
    assert word.judged.value == pytest.approx(exp(worse.sum() / WORDS.sum()))
    assert bits.judged.teacher == pytest.approx(NATS.sum() / (5 * WORDS.sum()) / log(2))
    assert (word.counts.judged, word.worse, word.better) == (200, 200, 0)
    assert {comparison.judged.verdict for comparison in verdicts.comparisons} == {"FAIL"}
    assert word.judged.drop_points == pytest.approx(100 * (exp((worse - NATS).sum() / WORDS.sum()) - 1))
    assert any("drop_points 5 is a growth of 5 %" in note for note in verdicts.notes)
    swapped = judge(target, base, make_drop_budgets([], [5.0], None))
    [note] = [line for line in swapped.notes if "the target is better than the base by more" in line]
    assert all(f"wikitext/{metric}" in note for metric in by_metric)


def test_a_slice_of_a_perplexity_is_of_its_own_sums(tmp_path: Path) -> None:
    worse = NATS + WORDS * np.where(np.arange(200) % 2, 0.3, 0.0)
    base = write_corpus(tmp_path / "base", NATS, WORDS)
    target = write_corpus(tmp_path / "int4", worse, WORDS)
    verdicts = judge(base, target, slices=("half",))
    values = {part.name: part.judged for part in verdicts.slices}
    odd = values["wikitext/word_perplexity[half=odd]"]
    assert odd.teacher == pytest.approx(exp(NATS[1::2].sum() / WORDS[1::2].sum()))
    assert odd.value == pytest.approx(exp(worse[1::2].sum() / WORDS[1::2].sum()))
    even = values["wikitext/word_perplexity[half=even]"]
    assert even.value == even.teacher == pytest.approx(exp(NATS[::2].sum() / WORDS[::2].sum()))


def test_a_perplexity_that_holds_passes(tmp_path: Path) -> None:
    words = np.tile(WORDS, 10)
    nats = np.tile(NATS, 10)
    base = write_corpus(tmp_path / "base", nats, words)
    target = write_corpus(tmp_path / "int8", nats * 1.0001, words)
    verdicts = judge(base, target, make_drop_budgets(["word_perplexity", "bits_per_byte"], [10.0], None))
    assert {comparison.judged.verdict for comparison in verdicts.comparisons} == {"PASS"}


def test_a_stated_figure_of_another_run_is_refused(tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "base", NATS, WORDS, {"word_perplexity": 12.0})
    with pytest.raises(
        DataError, match=r"the results state word_perplexity 12\.0000, and the 200 samples have"
    ):
        judge(base, base)


def test_figures_over_other_words_do_not_compare(tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "base", NATS, WORDS)
    target = write_corpus(tmp_path / "int4", NATS, WORDS + 1)
    with pytest.raises(DataError, match="it is a mean over other words, bytes or documents in 200 samples"):
        judge(base, target)


def test_a_kept_base_and_its_report_have_the_same_figures(tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "base", NATS, WORDS)
    target = write_corpus(tmp_path / "int4", NATS * 1.01, WORDS)
    write_base_log(read_log(base), tmp_path / "base.parquet")
    stored = judge_logs(
        read_base_log(tmp_path / "base.parquet", "base"), read_log(target), LogBudgets(), Rules()
    )
    fresh = judge(base, target)
    assert [row.judged.interval for row in stored.comparisons] == [
        row.judged.interval for row in fresh.comparisons
    ]
    reports = [str(tmp_path / name) for name in ("first", "second")]
    for report in reports:
        assert main(["judge", str(base), str(target), "--report", report]) == 0
    assert main(["compare", *reports]) == 0


def test_a_log_likelihood_called_perplexity_is_one(tmp_path: Path) -> None:
    losses = np.random.default_rng(3).exponential(1.2, 50)
    for side, factor in (("base", 1.0), ("int4", 1.1)):
        rows = [make_old_row(at, perplexity=-loss * factor, acc=1.0) for at, loss in enumerate(losses)]
        metric = {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}
        write_old(tmp_path / side, rows, task="lambada", config={"metric_list": [metric]})
    by_metric = {row.metric: row for row in judge(tmp_path / "base", tmp_path / "int4").comparisons}
    assert by_metric["perplexity"].judged.teacher == pytest.approx(exp(losses.mean()))
    assert by_metric["perplexity"].judged.value == pytest.approx(exp(1.1 * losses.mean()))


def test_a_perplexity_that_the_task_averages_is_a_number(tmp_path: Path) -> None:
    metric = {"metric": "perplexity", "aggregation": "mean", "higher_is_better": False}
    rows = [make_old_row(at, perplexity=10.0 + at) for at in range(4)]
    folder = write_old(tmp_path / "base", rows, config={"metric_list": [metric]})
    assert [(row.scores["perplexity"], row.sizes) for row in read_rows(folder, "sums")][:2] == [
        (10, {}),
        (11, {}),
    ]


def make_filtered_row(at: int, response: str, filtered: str) -> dict[str, Any]:
    return {**make_old_row(at, exact_match=1.0), "resps": [[response]], "filtered_resps": [filtered]}


def test_a_length_is_of_all_that_the_model_wrote(tmp_path: Path) -> None:
    base = write_old(tmp_path / "base", [make_filtered_row(at, "#### 7", "7") for at in range(200)])
    rows = [make_filtered_row(at, "I think. " * 50 + "#### 7", "7") for at in range(190)]
    refusal = "I'm sorry, but I cannot help with that."
    rows += [make_filtered_row(at, refusal if at < 195 else " ", "[invalid]") for at in range(190, 200)]
    target = write_old(tmp_path / "target", rows)
    log = read_log(base)
    assert [(row.answer, row.response) for row in log.tasks["sums"].rows()][:1] == [("7", "#### 7")]
    write_base_log(log, tmp_path / "base.parquet")
    budgets = parse_budget_tables(
        {"budgets": {"answer_length": {"length_ratio_max": 1.1, "cap": 200}}}, "b.toml"
    )
    for side in (log, read_base_log(tmp_path / "base.parquet", "kept")):
        verdicts = judge_logs(side, read_log(target), budgets, Rules(checks=read_answer_checks()))
        values = {row.metric: (row.judged.teacher, row.judged.value) for row in verdicts.comparisons}
        assert values["answer_length"] == (6, pytest.approx((190 * 456 + 5 * len(refusal) + 5) / 200))
        assert (values["refused"], values["empty"]) == ((0, 0.025), (0, 0.025))
        lengths = next(row for row in verdicts.comparisons if row.metric == "answer_length")
        assert lengths.judged.verdict is Verdict.FAIL


def test_an_answer_without_a_filter_is_its_response(tmp_path: Path) -> None:
    choice = {**make_old_row(1, acc=1.0), "resps": [[[-1.0, False]], [[-2.0, False]]]}
    folder = write_old(tmp_path / "base", [make_old_row(0, acc=1.0), choice])
    assert [row.response for row in read_rows(folder, "sums")] == [None, None]


@pytest.mark.parametrize(("target", "right"), [("1", " warm"), ("7", "7"), ("cold", "cold")], ids=str)
def test_the_right_choice_is_shown_as_text_like_the_answer(tmp_path: Path, target: str, right: str) -> None:
    """lm-eval writes the number of the right choice, which says nothing beside an answer such as "warm"."""
    likelihoods = [["-1.0", "False"], ["-2.0", "False"]]
    requests = {
        f"gen_args_{at}": {"arg_0": "Ice is", "arg_1": text} for at, text in enumerate((" cold", " warm"))
    }
    row = make_old_row(0, acc=0.0)
    choice = {**row, "target": target, "arguments": requests, "filtered_resps": likelihoods}
    (read,) = read_rows(write_old(tmp_path / "base", [choice]), "sums")
    assert (read.answer, read.target) == (" cold", right)
