"""SGLang: the output of `python -m sglang.bench_serving --output-file`, one load test a line.

Only `--output-details` adds the lists of requests: ttfts and itls in seconds, output_lens, errors. Without
them a line has only figures, which is refused. Source: sglang/benchmark/serving.py of version 0.5.23.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import read_beginning, read_objects
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._load_runs import check_completed, check_lists, name_load
from slimgate.plugins.reader import EMPTY_ANSWER, LoadRequest, LoadRun, Log, Reader

_LISTS = ("input_lens", "output_lens", "ttfts", "itls", "errors")
_SETTINGS = (
    "dataset_name",
    "request_rate",
    "max_concurrency",
    "sharegpt_output_len",
    "random_input_len",
    "random_output_len",
    "random_range_ratio",
)
_FIGURES = ("median_ttft_ms", "median_tpot_ms", "median_itl_ms", "median_e2e_latency_ms", "output_throughput")


class Sglang(Reader):
    """One result file, with one or more loads."""

    def recognizes(self, path: Path) -> bool:
        start = read_beginning(path)
        return (
            path.suffix in (".jsonl", ".json")
            and start.startswith("{")
            and all(f'"{key}"' in start for key in ("backend", "request_rate", "sharegpt_output_len"))
        )

    def read(self, path: Path) -> Log:
        loads: dict[str, LoadRun] = {}
        for line, result in read_objects(path):
            if lacking := [name for name in _LISTS if name not in result]:
                figures = [(name, result[name]) for name in _FIGURES if result.get(name) is not None]
                remedy = f"line {line} has no {lacking[0]}: run bench_serving with --output-details"
                raise make_figures_error(path, figures, "the times of each request", remedy)
            arrival = "trace" if result["request_rate"] == "trace" else ""
            name = name_load(_read_rate(result), result.get("max_concurrency"), arrival)
            if name in loads:
                raise DataError(
                    f"{path}: line {line}: a second result of the load {name}; bench_serving appends "
                    "results, so write each run into its own file"
                )
            loads[name] = _make_load_run(path, line, result)
        if not loads:
            raise DataError(f"{path}: it has no result of bench_serving")
        return Log("sglang", str(path), {}, loads=loads)


def _read_rate(result: JsonObject) -> float | None:
    rate = result["request_rate"]
    return rate if isinstance(rate, int | float) and rate != float("inf") else None


def _make_load_run(path: Path, line: int, result: JsonObject) -> LoadRun:
    where = f"{path}: line {line}"
    check_lists(where, result, _LISTS)
    requests = tuple(_read_requests(result))
    # bench_serving counts an answer without tokens as completed.
    empty = sum(
        not (tokens or error) for tokens, error in zip(result["output_lens"], result["errors"], strict=True)
    )
    check_completed(where, requests, result["completed"], "bench_serving", empty)
    settings = {
        name: str(result[name]) if name == "request_rate" else result[name]
        for name in _SETTINGS
        if result.get(name) is not None
    }
    return LoadRun(
        requests, settings, result["duration"], users=result.get("max_concurrency"), rate=_read_rate(result)
    )


def _read_requests(result: JsonObject) -> Iterator[LoadRequest]:
    """The requests in the order of sending. The time of an answer ends with the last of its pieces."""
    for prompt, tokens, first, between, error in zip(*(result[name] for name in _LISTS), strict=True):
        if error or not tokens:
            yield LoadRequest(
                prompt_tokens=prompt, failed=" ".join(str(error or EMPTY_ANSWER).split())[-200:]
            )
            continue
        later = sum(between)
        yield LoadRequest(
            1000 * first or None,
            1000 * later / (tokens - 1) if tokens > 1 and between else None,
            1000 * (first + later) or None,
            prompt,
            tokens,
        )


reader = Sglang()
