"""A log whose values are not of the kind that its tool writes is one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slimgate.errors import DataError
from slimgate.logs.columns import read_samples
from slimgate.logs.find import read_log

STAMP = "2026-11-22T14-50-51.168755"
QRELS = "query-id\tcorpus-id\tscore\nq\td\t1\n"
RESULT = {"success": True, "score": 1, "testIdx": 0, "promptIdx": 0, "vars": {}}
HELM = [{"instance_id": "a", "stats": [{"name": {"name": "em"}, "mean": 1}]}]


def make_promptfoo(results: list[Any], **more: Any) -> dict[str, Any]:
    return {"evalId": "x", "results": {"results": results}, **more}


def make_lm_eval(**more: Any) -> dict[str, Any]:
    return {"doc_id": 0, "filtered_resps": ["a"], "metrics": ["acc"], "acc": 1.0, "filter": "none", **more}


MALFORMED: dict[str, dict[str, Any]] = {
    "mteb_score_is_text": {
        "log/T_predictions.json": {"default": {"test": {"q": {"d": "high"}}}},
        "log/qrels.tsv": QRELS,
    },
    "mteb_list_for_splits": {"log/T_predictions.json": {"default": ["test"]}, "log/qrels.tsv": QRELS},
    "mteb_qrels_latin_1": {
        "log/T_predictions.json": {"default": {"test": {}}},
        "log/qrels.tsv": QRELS.replace("d", "\xe9").encode("latin-1"),
    },
    "promptfoo_result_is_a_number": {"log.json": make_promptfoo([3])},
    "promptfoo_config_is_a_list": {"log.json": make_promptfoo([], config=[1])},
    "promptfoo_assert_is_a_number": {"log.json": make_promptfoo([{**RESULT, "testCase": {"assert": [3]}}])},
    "lm_eval_config_is_a_list": {
        f"log/samples_t_{STAMP}.jsonl": make_lm_eval(),
        f"log/results_{STAMP}.json": {"config": [1], "n-shot": 3},
    },
    "lm_eval_metric_is_a_number": {f"log/samples_t_{STAMP}.jsonl": make_lm_eval(metrics=[None])},
    "lm_eval_count_is_a_list": {
        f"log/samples_t_{STAMP}.jsonl": make_lm_eval(),
        f"log/results_{STAMP}.json": {"n-shot": {"t": 0}, "n-samples": {"t": {"effective": [1]}}},
    },
    "simple_evals_mean_is_a_mapping": {
        "x_allresults.json": {"score": {}, "htmls": ["<p>Score: 1.0</p>"], "metadata": None}
    },
    "sgl_eval_mean_is_text": {
        "log/metrics.json": {
            "sgl_eval_version": 1,
            "n_repeats": 1,
            "num_examples": 1,
            "aggregate": {"pass@1": ""},
        },
        "log/output-rs0.jsonl": {
            "generation": "1",
            "id": 0,
            "expected_answer": "1",
            "symbolic_correct": True,
        },
    },
    "evalscope_group_is_negative": {
        "log.jsonl": {"index": 0, "sample_score": {"score": {"value": [1]}, "group_id": -1}}
    },
    "lm_eval_metrics_is_text": {f"log/samples_t_{STAMP}.jsonl": make_lm_eval(metrics="acc", doc_hash=5)},
    "helm_request_is_a_number": {
        "log/per_instance_stats.json": HELM,
        "log/scenario_state.json": {"request_states": [3]},
    },
    "helm_not_utf_8": {"log/per_instance_stats.json": b"[\xff]"},
    "deepeval_case_is_a_number": {"log.json": {"testCases": [3]}},
    "csv_latin_1": {"log.csv": "id,score\n\xe9,1\n".encode("latin-1")},
    "csv_score_stands_twice": {"log.csv": "id,score,score\na,1,2\n"},
    "jsonl_score_is_a_list": {"log.jsonl": {"id": "a", "score": [1]}},
}


def read_whole(path: Path) -> None:
    log = read_log(path)
    for task, rows in log.tasks.items():
        read_samples(f"{log.shown} {task}", rows)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_log_is_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    for file, content in MALFORMED[name].items():
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    path = tmp_path / next(iter(MALFORMED[name])).split("/")[0]
    with pytest.raises(DataError) as caught:
        read_whole(path)
    assert "\n" not in str(caught.value)
    assert path.stem in str(caught.value)
