"""Each reader gives tasks, scores, directions, settings, prompts and answers of its tool's logs."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.added_package import add_package

from slimgate import assert_within
from slimgate.cli.main import main
from slimgate.errors import DataError, SuiteError
from slimgate.logs.columns import read_samples
from slimgate.logs.find import read_log
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.plugins.reader import Log, Reader, Row

WRITTEN = Path(__file__).parent / "written_by_tools"


def read_rows(log: Log, task: str) -> list[Row]:
    return list(log.tasks[task].rows())


def test_lm_eval_rows_are_those_of_its_samples_files() -> None:
    log = read_log(WRITTEN / "lm_eval/base")
    assert (log.tool, log.model, list(log.tasks)) == ("lm_eval", "./base", ["sums_choice", "sums_generate"])
    choice, generate = read_rows(log, "sums_choice"), read_rows(log, "sums_generate")
    assert [row.id for row in choice] == [str(k) for k in range(10)]
    assert choice[0].scores.keys() == {"acc", "acc_norm"}
    assert choice[0].prompt == "0+0="
    assert choice[0].answer == " 0"
    assert {row.filter for row in generate} == {"strict", "flexible"}
    assert generate[0].answer == "0"
    assert generate[0].target == "0"
    settings = log.tasks["sums_generate"].settings
    assert settings["shots"] == {"shots": 0}
    assert settings["limit"] == "none (300 samples)"
    assert settings["generation"]["generation_kwargs"]["max_gen_toks"] == 6
    assert [entry["name"] for entry in settings["filters"]] == ["strict", "flexible"]
    assert log.tasks["sums_choice"].higher_is_better == {"acc": True, "acc_norm": True}


def test_lm_eval_columns_are_numbers_and_rows_are_read_to_quote() -> None:
    log = read_log(WRITTEN / "lm_eval/int4")
    samples = read_samples("int4", log.tasks["sums_generate"])
    assert samples.keys() == {"strict", "flexible"}
    strict = samples["strict"]
    assert len(strict) == 10
    scores = [row.scores["exact_match"] for row in read_rows(log, "sums_generate") if row.filter == "strict"]
    assert strict.scores["exact_match"].tolist() == scores
    quoted = strict.quote([3])
    assert quoted[3].id == strict.ids[3].as_py()


def test_lm_eval_without_its_results_file_says_what_is_not_known(tmp_path: Path) -> None:
    source = next((WRITTEN / "lm_eval/base").glob("samples_sums_choice_*"))
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    log = read_log(copy)
    assert log.tool == "lm_eval"
    assert log.tasks["sums_choice"].settings == {}
    assert "no results_*.json next to the samples" in log.notes[0]


def test_promptfoo_gives_pass_score_and_named_scores() -> None:
    log = read_log(WRITTEN / "promptfoo/target.json")
    rows = read_rows(log, "")
    assert (log.tool, log.model, len(rows)) == ("promptfoo", "echo-int8", 6)
    assert rows[1].scores == {"pass": 0.0, "score": 0, "wording": 0}
    assert rows[1].prompt == "What is 3+4? Say only the number."
    assert rows[1].answer == "no"
    assert rows[5].scores.keys() == {"pass", "score"}


def test_promptfoo_rows_that_failed_have_no_score(tmp_path: Path) -> None:
    content = json.loads((WRITTEN / "promptfoo/base.json").read_text("utf-8"))
    content["results"]["results"][0] |= {"failureReason": 2, "error": "API error"}
    (tmp_path / "failed.json").write_text(json.dumps(content), "utf-8")
    first = read_rows(read_log(tmp_path / "failed.json"), "")[0]
    assert first.error == "API error"
    assert set(first.scores.values()) == {None}


def test_lighteval_details_are_read_from_parquet(tmp_path: Path) -> None:
    folder = tmp_path / "details/tiny/2026-01-02T03-04-05.000000"
    folder.mkdir(parents=True)
    rows = [
        {
            "__doc__": {"query": f"{k}+1=", "choices": ["1", "2"], "gold_index": 1, "id": str(k)},
            "__model_response__": {
                "input": f"{k}+1=",
                "text": [],
                "logprobs": [-2.0, -1.0],
                "truncated_tokens_count": k,
            },
            "__metric__": {"acc": 1.0, "em": None if k else 0.5},
        }
        for k in range(2)
    ]
    file = folder / "details_leaderboard|arc|0_2026-01-02T03-04-05.000000.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    for path in (file, tmp_path):
        log = read_log(path)
        first, second = read_rows(log, "leaderboard|arc|0")
        assert (log.tool, first.id, first.answer, first.target) == ("lighteval", "0", "2", "2")
        assert first.scores == {"acc": 1.0, "em": 0.5}
        assert second.scores == {"acc": 1.0, "em": None}
        assert (first.truncated, second.truncated) == (False, True)


@pytest.mark.parametrize("inside", [True, False])
def test_deepeval_metrics_are_scores_and_successes(tmp_path: Path, inside: bool) -> None:
    cases = [
        {
            "name": "test_case_0",
            "input": "What?",
            "actualOutput": "That.",
            "expectedOutput": "This.",
            "metricsData": [
                {"name": "Answer Relevancy", "score": 0.7, "threshold": 0.5, "success": True, "error": None},
                {"name": "Bias", "score": None, "threshold": 0.5, "success": False, "error": "no judge"},
            ],
        }
    ]
    run = {"testFile": "test_x.py", "testCases": cases}
    path = tmp_path / "test_run_1.json"
    path.write_text(json.dumps({"testRunData": run} if inside else run), "utf-8")
    log = read_log(path)
    (row,) = read_rows(log, "")
    assert log.tool == "deepeval"
    assert row.scores == {
        "Answer Relevancy": 0.7,
        "Answer Relevancy.success": 1.0,
        "Bias": None,
        "Bias.success": None,
    }
    assert (row.error, row.answer, row.target) == ("no judge", "That.", "This.")


def test_conversations_of_deepeval_are_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    case = {"name": "a", "input": "2+2", "metricsData": [{"name": "Match", "score": 1.0, "success": True}]}
    run: dict[str, Any] = {"testCases": [case], "conversationalTestCases": []}
    log.write_text(json.dumps(run))
    assert read_rows(read_log(log), "")[0].scores == {"Match": 1.0, "Match.success": 1.0}
    log.write_text(json.dumps({**run, "conversationalTestCases": [case, case]}))
    with pytest.raises(DataError, match="conversationalTestCases has 2 entries, and slimgate reads only"):
        read_log(log)


def test_helm_instances_have_a_mean_a_trial(tmp_path: Path) -> None:
    folder = tmp_path / "mmlu:subject=anatomy,model=tiny"
    folder.mkdir()
    stats: list[dict[str, Any]] = [
        {
            "instance_id": f"id{k}",
            "train_trial_index": trial,
            "stats": [{"name": {"name": "exact_match", "split": "test"}, "count": 1, "mean": float(k)}],
        }
        for trial in range(2)
        for k in range(2)
    ]
    (folder / "per_instance_stats.json").write_text(json.dumps(stats), "utf-8")
    log = read_log(tmp_path)
    rows = read_rows(log, "mmlu:subject=anatomy")
    assert [row.id for row in rows] == ["id0", "id1", "id0 epoch 2", "id1 epoch 2"]
    assert [row.scores["exact_match"] for row in rows] == [0, 1, 0, 1]
    assert rows[2].cluster == rows[0].cluster == "id0"


def test_mteb_predictions_are_scored_by_documents_beside_them(tmp_path: Path) -> None:
    predictions = {
        "mteb_model_meta": {"model_name": "tiny"},
        "default": {"test": {"q1": {"d1": 0.2, "d2": 0.9}, "q2": {"d9": 1.0}, "q3": {"d1": 1.0}}},
    }
    (tmp_path / "NFCorpus_predictions.json").write_text(json.dumps(predictions), "utf-8")
    with pytest.raises(DataError, match=r"put qrels\.tsv next to it"):
        read_log(tmp_path)
    qrels = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td3\t2\n"
    (tmp_path / "qrels.tsv").write_text(qrels, "utf-8")
    log = read_log(tmp_path)
    first, second = read_rows(log, "NFCorpus/default/test")
    assert (log.tool, first.id, second.id) == ("mteb", "q1", "q2")
    assert first.scores["ndcg_at_10"] == pytest.approx(0.6309297535714575)  # 1 / log2(3): the second place
    assert first.scores["recall_at_10"] == 1.0
    assert second.scores == {"ndcg_at_10": 0.0, "recall_at_10": 0.0}
    # with another grade, the right ranking of the query is another one
    (tmp_path / "qrels.tsv").write_text(qrels.replace("d1\t1", "d1\t2"), "utf-8")
    rows = read_rows(read_log(tmp_path), "NFCorpus/default/test")
    changed, unchanged = (row.keys["document"] for row in rows)
    assert changed != first.keys["document"]
    assert unchanged == second.keys["document"]


def test_a_tie_counts_against_the_model_of_mteb(tmp_path: Path) -> None:
    """A model that gives one score to all documents finds nothing, whatever their names are."""
    scores = {"apositive_0": 0.5, "apositive_1": 0.5, **{f"negative_{at}": 0.5 for at in range(10)}}
    predictions = {"default": {"test": {"q1": scores, "q2": {**scores, "apositive_0": 0.6}}}}
    (tmp_path / "T_predictions.json").write_text(json.dumps(predictions), "utf-8")
    rows = "".join(f"{query}\tapositive_{at}\t1\n" for query in ("q1", "q2") for at in range(2))
    (tmp_path / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")
    broken, better = read_rows(read_log(tmp_path), "T/default/test")
    assert broken.scores == {"ndcg_at_10": 0.0, "recall_at_10": 0.0}
    assert better.scores["recall_at_10"] == 0.5


def test_mteb_scores_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """Their order is that of the file, which may be the right one."""
    (tmp_path / "T_predictions.json").write_text('{"default": {"test": {"q1": {"d1": NaN}}}}', "utf-8")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n", "utf-8")
    with pytest.raises(DataError, match="query q1 has a score that is not a finite number"):
        read_rows(read_log(tmp_path), "T/default/test")


def test_a_quote_that_joins_right_documents_of_mteb_is_refused(tmp_path: Path) -> None:
    """The queries between two such names had no right document, so nothing judged them."""
    rows = "".join(f"q{at}\t{chr(34) if at in (1, 7) else ''}d{at}\t1\n" for at in range(9))
    (tmp_path / "T_predictions.json").write_text('{"default": {"test": {"q1": {"d1": 1.0}}}}', "utf-8")
    (tmp_path / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")
    with pytest.raises(DataError, match=r"qrels\.tsv: line 4 is a row, .* double quote in line 3"):
        read_log(tmp_path)


ROWS = [
    {"id": "a", "task": "sums", "metric": "em", "score": 1.0, "prompt": "1+1="},
    {"id": "a", "task": "sums", "metric": "f1", "score": 0.25, "prompt": "1+1="},
    {"id": "b", "task": "words", "metric": "em", "score": None, "prompt": "say"},
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_have_a_number_a_row(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scores{suffix}"
    table = pa.Table.from_pylist(ROWS)
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    else:
        comma = "," if suffix == ".csv" else "\t"
        lines = [
            comma.join(ROWS[0]),
            *(comma.join("" if v is None else str(v) for v in row.values()) for row in ROWS),
        ]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    log = read_log(path)
    assert (log.tool, list(log.tasks)) == ("table", ["sums", "words"])
    (sums,), (words,) = read_rows(log, "sums"), read_rows(log, "words")
    assert (sums.id, sums.scores, sums.prompt) == ("a", {"em": 1.0, "f1": 0.25}, "1+1=")
    assert words.scores == {"em": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,scor\n1,1\n", 'no column "score", and no label and prediction.*Did you mean scor'),
        ("id,acc\n1,1\n", "no label and prediction: rename the column of scores to score; known: acc, id"),
        ("id,label,p_a,p_b\n1,a,1,0\n", 'it has probabilities and no column "prediction", which slices'),
        ("id,label,probabilities\n1,a,0.5\n", 'it has probabilities and no column "prediction"'),
        ("idd,score\n1,1\n", 'no column "id".*Did you mean idd'),
        (
            "case,score\n1,1\n",
            'no column "id", which names each sample; a table of scores has the columns id',
        ),
        ("id,score\n1,good\n", "id 1: score 'good', expected a number"),
        ("id,score\n,1\n", "a row has no id"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=expected):
        list(islice(next(iter(read_log(path).tasks.values())).rows(), 5))


CODE = """
from slimgate import Log, LogReader, LogRow, TaskLog
class Own(LogReader):
    def recognizes(self, path):
        return path.suffix == ".own"
    def read(self, path):
        rows = [LogRow(line, {"points": float(k)}) for k, line in enumerate(path.read_text().split())]
        return Log("own", str(path), {"task": TaskLog(lambda: iter(rows))})
reader = Own()
"""


def test_an_installed_package_adds_a_reader(tmp_path: Path) -> None:
    (tmp_path / "x.own").write_text("a b", "utf-8")
    with add_package(tmp_path / "site", "own_logs", CODE, "[slimgate.logs]\nown = own_logs:reader\n"):
        assert "own" in list_known_plugins("log")
        log = read_log(tmp_path / "x.own")
        assert [row.scores for row in read_rows(log, "task")] == [{"points": 0.0}, {"points": 1.0}]
    with pytest.raises(DataError, match="no reader knows this file"):
        read_log(tmp_path / "x.own")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("LogRow(line,", "LogRow(k,", r"x\.own task: .*the id 0 of a row is no text"),
        ("rows = [", "rows = 1 / 0, [", r"ZeroDivisionError: division by zero \(own_logs.py, line 7\)"),
        (
            "lambda: iter(rows)",
            "lambda: iter(rows[1 / 0])",
            r"after 0 samples: ZeroDivisionError: .*line 8\)",
        ),
        ('return Log("own"', 'return ("own"', r"x\.own: its reader returned tuple, expected a slimgate\.Log"),
        ("iter(rows))", 'iter(rows), {"points": "no"})', "higher_is_better of points is 'no', expected True"),
        ("iter(rows))", 'iter(rows), ranges={"points": (9, 0)})', r"range of points is \(9, 0\), expected"),
        ("iter(rows))", 'iter(rows), ranges={"points": ("0", "9")})', "range of points is .*, expected its"),
        ("iter(rows))", 'iter(rows), ranges={"points": 9})', "range of points is 9, expected its lowest"),
        ("iter(rows))", "iter(rows), None)", "its reader set higher_is_better to None, expected a mapping"),
        (
            "iter(rows))",
            'iter(rows), means={"points": 1})',
            r"set means to \{'points': 1\}, expected a mapping",
        ),
        (
            "iter(rows))",
            'iter(rows), corpus={"points": "mean"})',
            "expected a mapping from metrics to perplexity or",
        ),
        (
            "iter(rows))",
            "iter(rows), ids=(1, 2))",
            r"its reader set ids to \(1, 2\), expected a tuple of texts",
        ),
        ("str(path)", "path", r"x\.own: its reader set shown to .*, expected a text"),
        (
            '{"task": TaskLog',
            "{1: TaskLog",
            "its reader set tasks to .*, expected a mapping whose keys are texts",
        ),
        ("TaskLog(lambda: iter(rows))", "rows", "the task is .*, expected a slimgate.TaskLog"),
        (
            "iter(rows))",
            'iter(rows), means={("", "points"): 10**400})',
            "the mean of points is 10000000000000000000.*, expected a number",
        ),
        ("float(k)}", 'float(k)}, answer_tokens="9"', "the answer_tokens '9' of row a are no number"),
        ("float(k)}", "float(k)}, fields=[9]", r"the fields \[9\] of row a are no mapping"),
        (
            "LogRow(line,",
            'LogRow(f"{line} epoch 1",',
            'epoch of "a", and the row has no cluster; expected the',
        ),
    ],
    ids=[
        *(
            "number-as-id",
            "read raises",
            "rows raise",
            "no-log",
            "direction",
            "range-turned",
            "range-of-texts",
            "range-of-one",
        ),
        *("no-directions", "means", "corpus", "ids", "shown", "name-of-task", "task", "huge-mean"),
        *("tokens", "fields"),
        "epoch-without-cluster",
    ],
)
def test_a_wrong_reader_is_one_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    (tmp_path / "x.own").write_text("a b", "utf-8")
    code = CODE.replace(old, new)
    with (
        add_package(tmp_path / "site", "own_logs", code, "[slimgate.logs]\nown = own_logs:reader\n"),
        pytest.raises(DataError, match=expected),
    ):
        read_samples("x.own task", read_log(tmp_path / "x.own").tasks["task"])


def test_rows_that_can_be_read_only_once_are_an_error(tmp_path: Path) -> None:
    """Quoting the samples that got worse ended in a KeyError."""
    (tmp_path / "x.own").write_text("a b", "utf-8")
    code = CODE.replace("rows = [", "rows = iter([").replace("split())]", "split())])")
    with add_package(tmp_path / "site", "own_logs", code, "[slimgate.logs]\nown = own_logs:reader\n"):
        samples = read_samples("x.own task", read_log(tmp_path / "x.own").tasks["task"])
        with pytest.raises(DataError, match="gave 2 samples, and fewer when it was called again"):
            samples[""].quote([1])


def test_a_file_that_breaks_off_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text('{\n  "results": [\n    1,\n', "utf-8")
    with pytest.raises(DataError) as refusal:
        read_log(path)
    problem = "not JSON: Expecting value, line 4, column 1; check that the file is complete"
    assert str(refusal.value) == f"{path}: {problem}"


@pytest.mark.parametrize("suffix", [".own", ".csv"])
def test_the_reader_of_an_installed_package_is_asked_first(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also on a file with the suffix of predictions, by `slimgate judge` and by assert_within."""
    base, target = tmp_path / f"base{suffix}", tmp_path / f"target{suffix}"
    names = [f"sample{number}" for number in range(400)]
    for file in (base, target):
        file.write_text("\n".join(names), "utf-8")
    code = CODE.replace('== ".own"', f'== "{suffix}"').replace("float(k)", "1.0")
    with add_package(tmp_path / "site", "own_logs", code, "[slimgate.logs]\nown = own_logs:reader\n"):
        arguments = [str(base), str(target), "--drop-points", "2", "--range", "points=0:1"]
        assert main(["judge", *arguments, "--higher-is-better", "points"]) == 0
        assert "read as logs of own" in capsys.readouterr().out
        with pytest.warns(UserWarning, match="all scores are the same in both logs"):
            assert_within(
                base, target, drop_points=2.0, ranges={"points": (0, 1)}, higher_is_better=["points"]
            )


def test_what_is_no_reader_is_refused() -> None:
    assert issubclass(type(load("log", "lm_eval")), Reader)
    with pytest.raises(SuiteError, match="it is not a Reader"):
        load("log", "json:loads")


LONG = "model,id,score\nbig,1,yes\nsmall,1,no\nbig,2,True\nsmall,2,1\nsmall,3,yes\nbig,3,No\n"


def test_a_table_of_several_models_is_a_log_of_each(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text(LONG, "utf-8")
    log = read_log(path)
    assert log.tasks == {}
    scores = {
        model.model: {row.id: row.scores["score"] for row in read_rows(model, "")} for model in log.models
    }
    assert scores == {"big": {"1": 1.0, "2": 1.0, "3": 0.0}, "small": {"1": 0.0, "2": 1.0, "3": 1.0}}


def test_a_table_of_one_model_is_a_log_of_it(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("model,id,score,task\nbig,1,1,a\nbig,2,0,b\n", "utf-8")
    log = read_log(path)
    assert (log.model, list(log.tasks), log.models) == ("big", ["a", "b"], ())


def test_a_column_model_with_answers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("id,score,model\n" + "".join(f"{n},1,answer {n}\n" for n in range(60)), "utf-8")
    with pytest.raises(DataError, match='column "model" has more than 50 values, expected the names of'):
        read_log(path)


def test_a_row_without_its_model_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text(LONG + ",4,1\n", "utf-8")
    with pytest.raises(DataError, match='column "model" is empty in some rows, expected the model of each'):
        read_log(path)


@pytest.mark.parametrize("order", [1, -1], ids=["late", "first"])
def test_a_key_of_later_rows_counts_in_any_order(tmp_path: Path, order: int) -> None:
    rows: list[dict[str, Any]] = [{"id": i, "score": 0.5} for i in range(300)]
    rows += [
        {"id": i, "score": 0.5, "group": i // 10, "higher_is_better": False, "topic": "law"}
        for i in range(300, 400)
    ]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[::order]))
    task = read_log(path).tasks[""]
    assert task.higher_is_better == {"score": False}
    by_id = {row.id: row for row in task.rows()}
    assert (by_id["5"].cluster, by_id["305"].cluster) == (None, "30")
    assert (by_id["305"].fields or {})["topic"] == "law"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": 400, "score": 1, "model": "x"}]))
    with pytest.raises(DataError, match='column "model" is empty in some rows'):
        read_log(path)
