"""Logs of other tools, each of a base and of a target that lost too much, for the fuzzers.

    make_log_cases()["vllm"].target       the bytes of the target's log

A third of the target's answers are wrong, or its times are 1.5 times as long. So no change of a few places in
the target's log may lead to a PASS.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ROWS = 45
_OF_SCORES = '"*" = { drop_points = 5.0 }'
_OF_TIMES = "latency = { speedup_min = 1.2, ttft_speedup_min = 1.2, tpot_speedup_min = 1.2 }"
_OF_KL = "kl = { mean_max = 0.02, above_cap_max = 0.1 }"
_SLOWER = 1.5


class LogCase(NamedTuple):
    """suffix: of the files. base: None if the target's log has it too. repeat: a second run of the base."""

    suffix: str
    budgets: str
    target: bytes
    base: bytes | None = None
    repeat: bytes | None = None


@cache
def make_log_cases() -> Mapping[str, LogCase]:
    """The cases by the name of the reader, and for Inspect by the format."""
    return {
        "guidellm": _make_timed(_make_guidellm),
        "vllm": _make_timed(_make_vllm),
        "inspect json": _make_scored(".json", lambda right: _to_json(_make_inspect(right))),
        "inspect eval": _make_scored(".eval", _make_inspect_zip),
        "lighteval": _make_scored(".parquet", _make_lighteval),
        "llama_perplexity": LogCase(".txt", _OF_KL, _make_kl_log()),
    }


def _make_scored(suffix: str, make: Callable[[list[bool]], bytes]) -> LogCase:
    base, target = [True] * _ROWS, [k % 3 > 0 for k in range(_ROWS)]
    return LogCase(suffix, _OF_SCORES, make(target), make(base))


def _make_timed(make: Callable[[list[float]], Any]) -> LogCase:
    draws = np.random.default_rng(0)
    base, repeat = (np.exp(0.1 * draws.standard_normal(_ROWS)) for _ in range(2))
    logs = [_to_json(make(times.tolist())) for times in (_SLOWER * base, base, repeat)]
    return LogCase(".json", _OF_TIMES, *logs)


def _to_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _make_guidellm(seconds: list[float]) -> Any:
    requests = [
        {
            "request_start_time": float(k),
            "request_end_time": k + time,
            "request_latency": time,
            "time_to_first_token_ms": 200 * time,
            "inter_token_latency_ms": 100 * time,
            "prompt_tokens": 20,
            "output_tokens": 9,
            "info": {"error": None},
        }
        for k, time in enumerate(seconds)
    ]
    strategy = {"type_": "concurrent", "streams": 2, "max_concurrency": 2}
    benchmark = {
        "config": {"strategy": strategy, "sample_size": None, "backend": {"model": "m"}},
        "requests": {"successful": requests, "errored": [], "incomplete": []},
        "duration": float(len(seconds)),
    }
    return {"metadata": {"guidellm_version": "0.8.0"}, "benchmarks": [benchmark], "args": {"model": "m"}}


def _make_vllm(seconds: list[float]) -> Any:
    return {
        "date": "20261120-101500",
        "backend": "vllm",
        "model_id": "m",
        "num_prompts": len(seconds),
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 2,
        "duration": sum(seconds),
        "completed": len(seconds),
        "input_lens": [20] * len(seconds),
        "output_lens": [5] * len(seconds),
        "ttfts": [time / 5 for time in seconds],
        "itls": [[time / 5] * 4 for time in seconds],
        "start_times": [float(k) for k in range(len(seconds))],
        "generated_texts": ["a b c d e"] * len(seconds),
        "errors": [""] * len(seconds),
    }


def _make_inspect(right: list[bool]) -> dict[str, Any]:
    samples = [
        {
            "id": k,
            "epoch": 1,
            "input": f"{k}?",
            "target": "1",
            "messages": [{"role": "user", "content": f"{k}?"}],
            "scores": {"match": {"value": "C" if is_right else "I"}},
            "output": {"choices": [{"message": {"content": "1"}, "stop_reason": "stop"}], "completion": "1"},
        }
        for k, is_right in enumerate(right)
    ]
    spec = {
        "task": "sums",
        "model": "m",
        "run_id": "r",
        "created": "2026-01-01T00:00:00+00:00",
        "config": {"epochs": 1},
        "dataset": {"name": "d", "samples": len(right), "sample_ids": list(range(len(right)))},
        "scorers": [{"name": "match", "options": {}}],
    }
    metrics = {"accuracy": {"name": "accuracy", "value": sum(right) / len(right)}}
    results = {
        "total_samples": len(right),
        "scores": [{"name": "match", "scorer": "match", "metrics": metrics}],
    }
    plan = {"steps": [{"solver": "generate", "params": {}}], "config": {"temperature": 0.0}}
    head = {"version": 2, "status": "success", "eval": spec, "plan": plan, "results": results}
    return {**head, "samples": samples}


def _make_inspect_zip(right: list[bool]) -> bytes:
    log, sink = _make_inspect(right), io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for sample in log.pop("samples"):
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        archive.writestr("header.json", json.dumps(log))
    return sink.getvalue()


def _make_lighteval(right: list[bool]) -> bytes:
    rows = [
        {
            "doc": {"query": f"{k}?", "choices": ["a", "b"], "gold_index": [0], "id": str(k)},
            "model_response": {"input": f"{k}?", "text": ["a"], "output_tokens": [[1, 2]]},
            "metric": {"acc": float(is_right)},
        }
        for k, is_right in enumerate(right)
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def _make_kl_log() -> bytes:
    kl = 0.06 + 0.01 * np.random.default_rng(0).standard_normal(_ROWS)
    means = np.cumsum(kl) / np.arange(1, _ROWS + 1)
    lines = [
        f"{k:4d}  7.2000 ± 0.2700  {mean / 2:.5f} ± 0.00118  {mean:.5f} ± 0.00041  2.512 ± 0.109 %  "
        f"{100 - mean:.3f} ± 0.553 %"
        for k, mean in enumerate(means, 1)
    ]
    head = "chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence"
    ends = [f"Mean    KLD: {means[-1]:.6f} ± 0.000410", "99.0%   KLD: 0.123456"]
    return "\n".join([head, *lines, "", *ends, ""]).encode()
