"""Logs of tools that are not installed here, made of scores or times that a test gives.

Names, nesting and order of the fields are those of files that the tools wrote, or of the tools' source code
if no such file is known (docs/log_formats.md says which). Each writer creates the folder, writes the log into
it, and returns the path that a user passes to slimgate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support.load_test_files import write_vllm

Scores = Sequence[float]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_json(path: Path, value: Any) -> Path:
    """A file of one value, indented as most tools do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), "utf-8")
    return path


def make_every_eval_run(**more: Any) -> dict[str, Any]:
    """The JSON of a run, version 0.3.0."""
    config = {"metric_id": "accuracy", "metric_kind": "accuracy", "lower_is_better": False}
    config |= {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0}
    result = {"evaluation_result_id": "src.sums", "evaluation_name": "sums", "metric_config": config}
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "src/model-a/1750000000",
        "evaluation_timestamp": "1750000000",
        "retrieved_timestamp": "1750000001",
        "source_metadata": {"source_type": "documentation", "source_organization_name": "Example"},
        "eval_library": {"name": "unknown", "version": "unknown"},
        "model_info": {"name": "model-a", "id": "example/model-a"},
        "evaluation_results": [{**result, "score_details": {"score": 0.5}}],
        **more,
    }


def make_every_eval_sample(number: int, score: float, **more: Any) -> dict[str, Any]:
    """A line of the samples, version 0.3.0."""
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "src/model-a/1750000000",
        "model_id": "example/model-a",
        "evaluation_name": "sums",
        "evaluation_result_id": "src.sums",
        "sample_id": f"sample_{number:04}",
        "sample_hash": f"{number:064x}",
        "interaction_type": "single_turn",
        "input": {"raw": f"{number}+1?", "formatted": f"Q: {number}+1?\nA:", "reference": [str(number + 1)]},
        "output": {"raw": [str(number + int(score))]},
        "answer_attribution": [],
        "evaluation": {"score": score, "is_correct": score == 1},
        **more,
    }


def write_every_eval_ever(folder: Path, scores: Scores) -> Path:
    """A run with its samples."""
    rows = [make_every_eval_sample(number, score) for number, score in enumerate(scores)]
    samples = write_lines(folder / "4dd9d95a_samples.jsonl", rows)
    run = make_every_eval_run()
    run["evaluation_results"][0]["score_details"]["score"] = float(np.mean(scores))
    run["detailed_evaluation_results"] = {
        "format": "jsonl",
        "file_path": f"data/src/example/model-a/{samples.name}",
        "total_rows": len(rows),
    }
    write_json(folder / "4dd9d95a.json", run)
    return folder


def make_sgl_eval_line(number: int, score: float, **more: Any) -> dict[str, Any]:
    """A sample in a repeat."""
    return {
        "generation": f"Reasoning. \\boxed{{{number}}}",
        "reasoning_content": None,
        "id": f"q{number}",
        "expected_answer": str(number),
        "num_generated_tokens": 8,
        "finish_reason": "stop",
        "problem": f"{number}+0?",
        "predicted_answer": str(number),
        "symbolic_correct": bool(score),
        **more,
    }


def write_sgl_eval(folder: Path, *repeats: Scores, name: str = "sums") -> Path:
    """A task with some repeats."""
    task = folder / f"sgl_eval_{name}_20261125-003818"
    for number, scores in enumerate(repeats):
        rows = [make_sgl_eval_line(question, score) for question, score in enumerate(scores)]
        write_lines(task / f"output-rs{number}.jsonl", rows)
    metrics = {
        "aggregate": {"error_rate": 0.0, "pass@1": float(np.mean(repeats)), "score": float(np.mean(repeats))},
        "gen": {"temperature": 0.0, "top_p": 0.95},
        "model": "model-a",
        "n_repeats": len(repeats),
        "name": name,
        "num_examples": len(repeats[0]),
        "sgl_eval_version": "0.1.3",
        "timestamp": "20261125-003818",
    }
    write_json(task / "metrics.json", metrics)
    return folder


def write_evalution(folder: Path, scores: Scores) -> Path:
    """A run of one test."""
    samples = [
        {
            "index": number,
            "prompt": f"Q: {number}?\nA:",
            "target": str(number),
            "prediction": f" The answer is {number}.",
            "extracted": {"numeric-extract": str(number)},
            "scores": {"acc,num": score},
            "metadata": {},
        }
        for number, score in enumerate(scores)
    ]
    test = {"name": "sums", "metrics": {"acc,num": float(np.mean(scores))}, "samples": samples}
    run = {
        "model": {"path": "model-a", "label": "model-a"},
        "engine": {"dtype": "auto", "max_new_tokens": 256, "seed": None, "resolved_engine": "Transformers"},
        "tests": [{**test, "metadata": {"num_fewshot": 8, "apply_chat_template": False}}],
        "versions": {"evalution": "0.0.17"},
    }
    return write_json(folder / "run.json", run)


def make_openai_event(number: int, kind: str, **data: Any) -> dict[str, Any]:
    """An event of a sample."""
    return {"run_id": "R1", "event_id": 0, "sample_id": f"sums.{number}", "type": kind, "data": data}


def make_openai_head(accuracy: float | None = None) -> list[dict[str, Any]]:
    """The spec, and the final report if there is an accuracy."""
    configured = {"eval_spec": {"cls": "evals.elsuite.basic.match:Match", "args": {}}, "max_samples": None}
    spec = {"completion_fns": ["model-a"], "eval_name": "sums.s1.simple-v0", "run_config": configured}
    report = [] if accuracy is None else [{"final_report": {"accuracy": accuracy}}]
    return [{"spec": {**spec, "created_at": "2023-04-17 22:08:21"}}, *report]


def write_openai_evals(folder: Path, scores: Scores) -> Path:
    """A run whose samples end in reverse order: all prompts come first, then all matches."""
    rows = make_openai_head(float(np.mean(scores)))
    numbers = list(reversed(range(len(scores))))
    rows += [make_openai_event(k, "sampling", prompt=f"User: {k}?", sampled=str(k)) for k in numbers]
    rows += [
        make_openai_event(k, "match", correct=bool(scores[k]), expected=str(k), picked=str(k))
        for k in numbers
    ]
    return write_lines(folder / "run.jsonl", rows)


def write_opencompass(folder: Path, scores: Scores, *, time: str = "20261120_101500") -> Path:
    """A run with the details of the base evaluator, and its predictions."""
    details = [
        {"example_abbr": f"sums_{k}", "pred": [str(k)], "answer": [[str(k)]], "correct": [bool(score)]}
        for k, score in enumerate(scores)
    ]
    run = folder / time
    write_json(
        run / "results/model-a/sums.json", {"accuracy": 100 * float(np.mean(scores)), "details": details}
    )
    answers = {
        str(k): {
            "origin_prompt": [{"role": "HUMAN", "prompt": f"{k}?"}],
            "prediction": str(k),
            "gold": [str(k)],
        }
        for k in range(len(scores))
    }
    write_json(run / "predictions/model-a/sums.json", answers)
    return folder


def make_evalscope_line(number: int, score: float, **more: Any) -> dict[str, Any]:
    """A review of version 1.14.1."""
    messages = [{"id": f"m{number}{score}", "role": "user", "content": f"{number}?"}]
    messages.append({"id": "a", "role": "assistant", "content": str(number)})
    scored = {"value": {"acc": score}, "status": "success", "extracted_prediction": str(number)}
    sample = {"score": {**scored, "prediction": str(number)}, "sample_id": number, "group_id": number, **more}
    return {"index": number, "target": [str(number)], "messages": messages, "sample_score": sample}


def write_evalscope(folder: Path, scores: Scores) -> Path:
    """A run of one subset, with its report."""
    rows = [make_evalscope_line(number, score) for number, score in enumerate(scores)]
    run = folder / "20261120_101500"
    write_lines(run / "reviews/model-a/sums_main.jsonl", rows)
    mean = round(float(np.mean(scores)), 4)
    subset = {"name": "main", "score": mean, "num": len(rows), "is_aggregate": False}
    metric = {
        "identity": {"name": "acc", "aggregation": "mean", "dimensions": {}},
        "categories": [{"name": ["default"], "subsets": [subset]}],
    }
    write_json(run / "reports/model-a/sums.json", {"schema_version": 2, "metrics": [metric]})
    return folder


def write_simple_evals(folder: Path, scores: Scores) -> Path:
    """The examples of an eval; their scores are in their pages of HTML."""
    page = "<h3>Results</h3>\n<p>Correct Answer: {0}</p>\n<p>Extracted Answer: {0}</p>\n<p>Score: {1}</p>\n"
    results = {
        "score": float(np.mean(scores)),
        "metrics": {"score:std": float(np.std(scores)), "chars": 7.0, "chars:std": 0.0},
        "htmls": [page.format(k, score) for k, score in enumerate(scores)],
        "convos": [
            [{"role": "user", "content": f"{k}?"}, {"role": "assistant", "content": f"Answer: {k}"}]
            for k in range(len(scores))
        ],
        "metadata": {"example_level_metadata": [None] * len(scores)},
    }
    return write_json(folder / "mmlu_model-a_20250801_101500_allresults.json", results)


def write_mlperf(folder: Path, scores: Scores, *, kind: str = "<f4") -> Path:
    """LoadGen's answers out of order, and the right labels."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = [7 * k % 10 for k in range(len(scores))]
    lines = []
    for place, k in enumerate(reversed(range(len(scores)))):
        data = np.array([labels[k] if scores[k] else labels[k] + 1], kind).tobytes().hex().upper()
        lines.append(f'{{ "seq_id" : {place}, "qsl_idx" : {k}, "data" : "{data}" }}')
    (folder / "mlperf_log_accuracy.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    (folder / "val_map.txt").write_text("".join(f"{k}.png {label}\n" for k, label in enumerate(labels)))
    return folder


def make_llama_bench_entry(times_ms: Sequence[float], **more: Any) -> dict[str, Any]:
    """A test of 512 prompt tokens, with the time of each repetition."""
    speeds = [1000 * 512 / time for time in times_ms]
    return {
        "build_commit": "8cf427ff",
        "build_number": 5163,
        "cpu_info": "CPU 8-Core Processor   ",
        "gpu_info": "GPU 16GB",
        "backends": "CUDA",
        "model_filename": "models/model-7b-q8_0.gguf",
        "n_batch": 2048,
        "n_threads": 8,
        "type_k": "f16",
        "n_gpu_layers": 99,
        "flash_attn": False,
        "n_prompt": 512,
        "n_gen": 0,
        "n_depth": 0,
        "avg_ns": int(1e6 * float(np.mean(times_ms))),
        "avg_ts": float(np.mean(speeds)),
        "stddev_ts": float(np.std(speeds)),
        "samples_ns": [round(1e6 * time) for time in times_ms],
        "samples_ts": speeds,
        **more,
    }


def write_llama_bench(folder: Path, times_ms: Sequence[float]) -> Path:
    """`-o json` of one test."""
    return write_json(folder / "bench.json", [make_llama_bench_entry(times_ms)])


def write_llama_bench_lines(folder: Path, times_ms: Sequence[float]) -> Path:
    """`-o jsonl` of one test."""
    return write_lines(folder / "bench.jsonl", [make_llama_bench_entry(times_ms)])


def make_sglang_result(times_ms: Sequence[float], **more: Any) -> dict[str, Any]:
    """A line of `--output-details`: a tenth of each time until the first token, the rest in nine pieces."""
    seconds = [time / 1000 for time in times_ms]
    return {
        "tag": None,
        "backend": "sglang",
        "dataset_name": "sharegpt",
        "request_rate": float("inf"),
        "max_concurrency": 8,
        "sharegpt_output_len": None,
        "random_input_len": 1024,
        "server_info": {"version": "0.5.23"},
        "duration": sum(seconds) / 8,
        "completed": len(seconds),
        "total_output_tokens_retokenized": 10 * len(seconds),
        "median_e2e_latency_ms": float(np.median(times_ms)),
        "median_ttft_ms": float(np.median(times_ms)) / 10,
        "input_lens": [32] * len(seconds),
        "output_lens": [10] * len(seconds),
        "ttfts": [time / 10 for time in seconds],
        "itls": [[time / 10] * 9 for time in seconds],
        "generated_texts": ["a"] * len(seconds),
        "errors": [""] * len(seconds),
        **more,
    }


def write_sglang(folder: Path, times_ms: Sequence[float]) -> Path:
    """Writes the result of one load test."""
    return write_lines(folder / "bench.jsonl", [make_sglang_result(times_ms)])


def make_aiperf_line(number: int, time_ms: float, **metadata: Any) -> dict[str, Any]:
    """A request of version 0.13.0."""
    metrics = {
        "time_to_first_token": {"value": time_ms / 10, "unit": "ms"},
        "request_latency": {"value": time_ms, "unit": "ms"},
        "inter_token_latency": {"value": time_ms / 10, "unit": "ms"},
        "inter_chunk_latency": {"value": [time_ms / 10] * 9, "unit": "ms"},
        "input_sequence_length": {"value": 32, "unit": "tokens"},
        "output_sequence_length": {"value": 10, "unit": "tokens"},
    }
    times = {"request_start_ns": 10**18 + number * 10**6, "request_end_ns": 10**18 + number * 10**7}
    return {
        "metadata": {"session_num": number, **times, "benchmark_phase": "profiling", **metadata},
        "metrics": metrics,
    }


def write_aiperf(folder: Path, times_ms: Sequence[float]) -> Path:
    """The folder of a run of version 0.13.0, whose requests end in the reverse of their order."""
    rows = [make_aiperf_line(number, time) for number, time in enumerate(times_ms)]
    write_lines(folder / "profile_export.jsonl", reversed(rows))
    latency = {"unit": "ms", "avg": float(np.mean(times_ms)), "p50": float(np.median(times_ms))}
    summary = {
        "schema_version": "1.4",
        "aiperf_version": "0.13.0",
        "request_latency": latency,
        "input_config": {
            "models": {"items": [{"name": "model-a"}]},
            "phases": [{"name": "profiling", "kind": "profiling", "type": "concurrency", "concurrency": 2}],
        },
    }
    write_json(folder / "profile_export_aiperf.json", summary)
    return folder


def _write_old_vllm(folder: Path, times_ms: Sequence[float]) -> Path:
    folder.mkdir(parents=True)
    return write_vllm(folder / "vllm.json", requests=len(times_ms))


def _write_helm(folder: Path, scores: Scores) -> Path:
    entries = [
        {"instance_id": f"id{k}", "stats": [{"name": {"name": "exact_match"}, "mean": score}]}
        for k, score in enumerate(scores)
    ]
    run = folder / "sums,model=a"
    write_json(run / "per_instance_stats.json", entries)
    figures = {"exact_match": float(np.mean(scores)), "num_instances": len(scores)}
    stats = [{"name": {"name": name, "split": "test"}, "mean": mean} for name, mean in figures.items()]
    write_json(run / "stats.json", stats)
    return folder


def _write_deepeval(folder: Path, scores: Scores) -> Path:
    cases = [
        {
            "name": f"case {k}",
            "input": f"{k}?",
            "success": score > 0,
            "metricsData": [{"name": "Match", "score": score}, {"name": "Answer Relevancy", "score": 1.0}],
        }
        for k, score in enumerate(scores)
    ]
    lists = {"Match": list(scores), "Answer Relevancy": [1.0] * len(scores)}
    run = {
        "testCases": cases,
        "metricsScores": [{"metric": name, "scores": values, "errors": 0} for name, values in lists.items()],
        "testPassed": sum(score > 0 for score in scores),
        "testFailed": sum(score <= 0 for score in scores),
    }
    return write_json(folder / "run.json", run)


def _write_table(folder: Path, scores: Scores) -> Path:
    return write_lines(folder / "t.jsonl", [{"id": k, "score": score} for k, score in enumerate(scores)])


# Reader -> a writer of its logs. Logs that tools wrote are in tests/logs/written_by_tools.
SCORED: dict[str, Callable[[Path, Scores], Path]] = {
    "every_eval_ever": write_every_eval_ever,
    "sgl_eval": write_sgl_eval,
    "evalution": write_evalution,
    "openai_evals": write_openai_evals,
    "opencompass": write_opencompass,
    "evalscope": write_evalscope,
    "simple_evals": write_simple_evals,
    "mlperf": write_mlperf,
}
TIMED: dict[str, tuple[str, Callable[[Path, Sequence[float]], Path]]] = {
    "llama_bench": ("llama_bench", write_llama_bench),
    "llama_bench_lines": ("llama_bench", write_llama_bench_lines),
    "sglang": ("sglang", write_sglang),
    "aiperf": ("aiperf", write_aiperf),
}
OLDER: dict[str, Callable[[Path, Scores], Path]] = {
    "vllm": _write_old_vllm,
    "helm": _write_helm,
    "deepeval": _write_deepeval,
    "table": _write_table,
}
