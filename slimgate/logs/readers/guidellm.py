"""guidellm: the JSON of `guidellm run` (benchmarks.json), a load test of a server with one or more loads.

The times of a request come from its own timestamps. guidellm calls the time from one token to the next
inter_token_latency_ms; its time_per_output_token_ms includes the first token. Report schemas: version 1, of
guidellm 0.5, which keeps the arguments under `args`, and version 2, of guidellm 0.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import read_beginning, read_object
from slimgate.plugins.environments import Environment, make_environment
from slimgate.plugins.reader import LoadRequest, LoadRun, Log, Reader

# The strategies in which a number of users each wait for an answer, and those with arrivals at a rate.
_CLOSED = ("synchronous", "concurrent")
_SETTINGS = ("type_", "streams", "rate", "max_concurrency", "rampup_duration")


class Guidellm(Reader):
    """One report."""

    def recognizes(self, path: Path) -> bool:
        return path.suffix == ".json" and '"guidellm_version"' in read_beginning(path)

    def read(self, path: Path) -> Log:
        results = read_object(path)
        loads: dict[str, LoadRun] = {}
        for benchmark in results["benchmarks"]:
            name = _name_load(benchmark["config"]["strategy"])
            if name in loads:
                raise DataError(
                    f"{path}: two benchmarks of the load {name}; write each run into its own file"
                )
            _refuse_sample(path, name, benchmark, results)
            _refuse_missing(path, name, benchmark)
            loads[name] = _make_load_run(benchmark)
        if not loads:
            raise DataError(f"{path}: it has no benchmark")
        models = sorted(set(_list_models(results)))
        if len(models) > 1:
            raise DataError(f"{path} has results of {' and '.join(models)}; expected one model in a file")
        return Log(
            "guidellm",
            str(path),
            {},
            next(iter(models), None),
            loads=loads,
            environment=_read_environment(results),
        )


def _read_environment(results: JsonObject) -> Environment:
    """The environment of a report: guidellm, the request and each load."""
    metadata = results.get("metadata") or {}
    config = results.get("config")
    backend = dict((config["spec"].get("backend") if config else results.get("args")) or {})
    model = backend.pop("model", None)
    loads = {
        _name_load(benchmark["config"]["strategy"]): benchmark["config"]["strategy"]
        for benchmark in results["benchmarks"]
    }
    return make_environment(
        sampling=loads,
        model={"model": model},
        engine=backend,
        harness={"guidellm": metadata.get("guidellm_version")},
        system={"Python": metadata.get("python_version"), "OS": metadata.get("platform")},
    )


def _list_models(results: JsonObject) -> Iterator[str]:
    """The model of each benchmark; if the benchmarks do not state it, that of the arguments."""
    backends = [benchmark["config"].get("backend") for benchmark in results["benchmarks"]]
    stated = [backend["model"] for backend in backends if isinstance(backend, dict) and backend.get("model")]
    config = results.get("config")
    arguments = config["spec"]["backend"] if config else results.get("args") or {}
    yield from map(str, stated or [arguments["model"]] if stated or arguments.get("model") else ())


def _name_load(strategy: JsonObject) -> str:
    """c8 for eight users, r5 for a Poisson process; else the strategy's name comes first."""
    kind, rate = strategy["type_"], strategy.get("rate")
    if kind in _CLOSED:
        return f"c{_count_users(strategy)}"
    if rate is None:
        return str(kind)
    return f"r{rate:g}" if kind == "poisson" else f"{kind}-r{rate:g}"


def _count_users(strategy: JsonObject) -> int | None:
    users = strategy.get("streams") or strategy.get("max_concurrency")
    return users or (1 if strategy["type_"] in _CLOSED else None)


def _refuse_sample(path: Path, name: str, benchmark: JsonObject, results: JsonObject) -> None:
    """Raises DataError for a sample of the requests: it hides how many failed or were cut off."""
    size = benchmark["config"].get("sample_size")
    if size is None:
        size = (results.get("args") or {}).get("sample_requests")
    if size is None:
        return
    sizes = [len(requests) for requests in benchmark["requests"].values() if isinstance(requests, list)]
    if max(sizes, default=0) >= size:
        raise DataError(
            f"{path}: load {name} has a sample of {size} requests of each status, expected all requests; run "
            "guidellm without --sample-requests"
        )


def _refuse_missing(path: Path, name: str, benchmark: JsonObject) -> None:
    """Raises DataError if a load has fewer requests than guidellm counted in its figures.

    The figures leave out the requests of a warm-up, so they may be of fewer requests.
    """
    totals = (benchmark.get("metrics") or {}).get("request_totals") or {}
    for status in ("successful", "errored"):
        requests, stated = benchmark["requests"].get(status) or (), totals.get(status) or 0
        if len(requests) < stated:
            raise DataError(
                f"{path}: load {name} has {len(requests):,} {status} requests, and request_totals says "
                f"{stated:,}; expected the file as guidellm writes it"
            )


def _make_load_run(benchmark: JsonObject) -> LoadRun:
    by_status = benchmark["requests"]
    entries = [
        (request["request_start_time"] or 0.0, _make_request(request, failed=status == "errored"))
        for status in ("successful", "errored")
        for request in by_status.get(status) or ()
    ]
    entries.sort(key=lambda pair: pair[0])
    strategy = benchmark["config"]["strategy"]
    settings = {name: strategy[name] for name in _SETTINGS if strategy.get(name) is not None}
    requests = tuple(request for _, request in entries)
    return LoadRun(
        requests,
        settings,
        _count_seconds(benchmark),
        len(by_status.get("incomplete") or ()),
        users=_count_users(strategy),
        rate=None if strategy["type_"] in _CLOSED else strategy.get("rate"),
    )


def _count_seconds(benchmark: JsonObject) -> float:
    """From the first request to the last answer; `duration` may be of a window that a warm-up has shifted."""
    answered = benchmark["requests"].get("successful") or ()
    times = [(entry.get("request_start_time"), entry.get("request_end_time")) for entry in answered]
    if not times or any(time is None for pair in times for time in pair):
        return float(benchmark["duration"])
    return float(max(end for _, end in times) - min(start for start, _ in times))


def _make_request(entry: JsonObject, *, failed: bool) -> LoadRequest:
    prompt = entry.get("prompt_tokens")
    if failed:
        error = (entry.get("info") or {}).get("error")
        return LoadRequest(prompt_tokens=prompt, failed=" ".join(str(error).split())[:200])
    latency = entry["request_latency"]
    return LoadRequest(
        entry["time_to_first_token_ms"],
        entry["inter_token_latency_ms"],
        None if latency is None else 1000 * latency,
        prompt,
        entry.get("output_tokens"),
    )


reader = Guidellm()
