"""vLLM: the JSON of `vllm bench serve --save-result --save-detailed`, one load test of a server.

With --append-result the file has one line for each load. For a request, vLLM writes the time until the first
token (ttfts), from each piece of the answer to the next (itls), and newer versions the whole (latencies), in
seconds. Keys: `benchmark` and `main_async` in vllm/benchmarks/serve.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import read_beginning, read_object, read_objects
from slimgate.logs.readers._load_runs import check_completed, check_lists, name_load
from slimgate.plugins.environments import Environment, join_environments, make_environment
from slimgate.plugins.reader import LoadRequest, LoadRun, Log, Reader

_LISTS = ("ttfts", "itls", "output_lens", "errors")
_SETTINGS = (
    "request_rate",
    "max_concurrency",
    "burstiness",
    "ramp_up_strategy",
    "ramp_up_start_rps",
    "ramp_up_end_rps",
)
# Keys of every result: before the lists of the requests, or after them in programs with another order.
_NAMED_FIRST = ('"num_prompts"', '"request_rate"', '"model_id"')
_NAMED_ANYWHERE = ('"num_prompts"', '"ttfts"', '"itls"')
_START = 2_000_000


class Vllm(Reader):
    """One result file."""

    def recognizes(self, path: Path) -> bool:
        if path.suffix != ".json":
            return False
        start = read_beginning(path)
        if not start.startswith("{"):
            return False
        if all(name in start for name in _NAMED_FIRST):
            return True
        content = read_beginning(path, _START) if '"num_prompts"' in start or '"duration"' in start else ""
        return all(name in content for name in _NAMED_ANYWHERE)

    def read(self, path: Path) -> Log:
        loads: dict[str, LoadRun] = {}
        models: list[str] = []
        environments: list[Environment] = []
        dates: dict[str, str] = {}
        for result in _read_results(path):
            name = name_load(_read_rate(result), result.get("max_concurrency"))
            if name in loads:
                raise DataError(f"{path}: two results of the load {name}; write each run into its own file")
            loads[name] = _make_load_run(path, result)
            models.append(str(result.get("model_id") or result.get("model_name")))
            environments.append(_read_environment(name, result))
            dates[name] = str(result.get("date"))
        if len(set(models)) > 1:
            raise DataError(
                f"{path} has results of {' and '.join(sorted(set(models)))}; expected one model in a file"
            )
        _check_one_run(path, dates)
        environment = join_environments(*environments)
        return Log("vllm", str(path), {}, models[0], loads=loads, environment=environment)


def _read_environment(load: str, result: JsonObject) -> Environment:
    """The client's settings in a result; vLLM writes no versions."""
    return make_environment(
        sampling={f"{load} {name}": result.get(name) for name in ("num_prompts", *_SETTINGS)},
        model={name: result.get(name) for name in ("model_id", "tokenizer_id")},
        engine={
            name: result.get(name) for name in ("backend", "endpoint_type", "label", "tensor_parallel_size")
        },
    )


def _check_one_run(path: Path, dates: Mapping[str, str]) -> None:
    """Raises DataError if two loads are more than a day apart: --append-result joined several runs."""
    times = []
    for name, date in dates.items():
        with suppress(ValueError):
            times.append((datetime.strptime(date, "%Y%m%d-%H%M%S"), name))
    times.sort()
    for (before, name), (after, later) in pairwise(times):
        if after - before > timedelta(days=1):
            raise DataError(
                f"{path}: load {name} is of {dates[name]} and load {later} of {dates[later]}; a log is one "
                "run, so write each run into its own file"
            )


def _read_results(path: Path) -> list[JsonObject]:
    """One result, or a result on each line."""
    try:
        return [read_object(path)]
    except DataError:
        lines = [objects for _, objects in read_objects(path)]
        if len(lines) < 2:
            raise
        return lines


def _read_rate(result: JsonObject) -> float | None:
    rate = result["request_rate"]
    return None if rate == "inf" else rate


def _make_load_run(path: Path, result: JsonObject) -> LoadRun:
    lacking = [name for name in _LISTS if name not in result]
    if lacking:
        raise DataError(
            f"{path}: it has no {lacking[0]}, the times of each request; run vllm bench serve with "
            "--save-result --save-detailed"
        )
    check_lists(str(path), result, _LISTS)
    requests = [*_read_requests(result)]
    check_completed(str(path), requests, result["completed"], "vllm bench serve")
    order = result.get("start_times") or range(len(requests))
    sent = sorted(range(len(requests)), key=lambda at: order[at])
    settings = {name: result[name] for name in _SETTINGS if result.get(name) is not None}
    return LoadRun(
        tuple(requests[at] for at in sent),
        settings,
        result["duration"],
        users=result.get("max_concurrency"),
        rate=_read_rate(result),
    )


def _read_requests(result: JsonObject) -> Iterator[LoadRequest]:
    prompts = result.get("input_lens") or [None] * len(result["ttfts"])
    totals = result.get("latencies") or [
        ttft + sum(itls) for ttft, itls in zip(result["ttfts"], result["itls"], strict=True)
    ]
    columns = (prompts, result["output_lens"], result["ttfts"], totals, result["errors"])
    for prompt, tokens, ttft, total, error in zip(*columns, strict=True):
        if error or not total:
            words = " ".join(str(error).split())[-200:]
            yield LoadRequest(prompt_tokens=prompt, failed=words or "no answer")
            continue
        between = 1000 * (total - ttft) / (tokens - 1) if tokens > 1 else None
        yield LoadRequest(1000 * ttft or None, between, 1000 * total, prompt, tokens)


reader = Vllm()
