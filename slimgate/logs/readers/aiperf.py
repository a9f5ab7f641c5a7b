"""NVIDIA aiperf: `profile_export.jsonl`, a line per request, with the summary `profile_export_aiperf.json`.

Version 0.1.1 calls the time until the first token `ttft`, later versions `time_to_first_token`. The
`inter_token_latency` of a request is the mean time from one token to the next. The reader leaves out requests
of the warm-up. Requests that aiperf cancelled, such as by `--request-cancellation-rate`, are unfinished. They
do not count as failures of the server.
"""

from __future__ import annotations

from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import read_beginning, read_first_keys, read_object, read_objects
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._load_runs import name_load
from slimgate.logs.readers._rows import refuse_malformed
from slimgate.plugins.reader import LoadRequest, LoadRun, Log, Reader

_SUMMARY = "_aiperf.json"
_FIRST = ("time_to_first_token", "ttft")
_LATENCY = "request_latency"
_FIGURES = (*_FIRST, "inter_token_latency", _LATENCY)
# The mean of the requests may differ by this share from the mean in the summary.
_ROUNDING = 1e-3
# Milliseconds in a unit of aiperf.
_UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "sec": 1e3, "s": 1e3}
_PROFILING, _CANCELLED = "profiling", "RequestCancellationError"
_SETTINGS = ("concurrency", "request_rate", "rate", "request_rate_mode", "type", "request_cancellation_rate")


class Aiperf(Reader):
    """The folder of one run, or its file of requests."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(_is_summary(file) for file in path.glob(f"**/*{_SUMMARY}")) or any(
                map(_has_requests, path.glob("**/profile_export.jsonl"))
            )
        return _is_summary(path) or _has_requests(path)

    def read(self, path: Path) -> Log:
        requests, summary_file = _find_files(path)
        summary = {} if summary_file is None else read_object(summary_file)
        if requests is None:
            records = summary.get("records", summary)
            figures = [
                (f"median {name} {records[name].get('unit')}", records[name]["p50"])
                for name in _FIGURES
                if (records.get(name) or {}).get("p50") is not None
            ]
            remedy = "give the folder with profile_export.jsonl too (aiperf --export-level records)"
            raise make_figures_error(summary_file or path, figures, "the times of each request", remedy)
        config = summary.get("input_config") or {}
        # The old layout has `loadgen`, the new one `phases`.
        phases = config.get("phases") or ()
        profiling = [phase for phase in phases if phase.get("kind", phase.get("name")) == _PROFILING]
        stated: JsonObject = config.get("loadgen") or next(iter(profiling), {})
        load = {name: stated[name] for name in _SETTINGS if stated.get(name) is not None}
        run = _read_run(requests, load)
        if summary_file is not None:
            _check_mean(path, summary.get("records", summary).get(_LATENCY) or {}, run)
        name = name_load(_find_rate(load), load.get("concurrency"))
        return Log("aiperf", str(path), {}, _find_model(config), loads={name: run})


def _has_requests(path: Path) -> bool:
    return path.suffix == ".jsonl" and {"metadata", "metrics"} <= read_first_keys(path)


def _is_summary(path: Path) -> bool:
    start = read_beginning(path)
    return path.name.endswith(_SUMMARY) and ('"aiperf_version"' in start or '"records"' in start[:200])


def _find_files(path: Path) -> tuple[Path | None, Path | None]:
    """The requests and the summary. Raises DataError for a folder of several runs."""
    if path.is_dir():
        requests = sorted(filter(_has_requests, path.glob("**/*.jsonl")))
        requests = [file for file in requests if not file.stem.endswith("_raw")]
        summaries = sorted(filter(_is_summary, path.glob(f"**/*{_SUMMARY}")))
        folders = sorted({file.parent for file in (*requests, *summaries)})
        if len(folders) > 1 or len(requests) > 1:
            files = requests or summaries
            names = ", ".join(file.as_posix() for file in files[:3]) + (", …" if len(files) > 3 else "")
            raise DataError(
                f"{path}: this folder has {max(len(folders), len(requests))} runs ({names}); pass one of them"
            )
        return next(iter(requests), None), next(iter(summaries), None)
    if _is_summary(path):
        requests_file = path.with_name(path.name.removesuffix(_SUMMARY) + ".jsonl")
        return (requests_file if requests_file.is_file() else None), path
    summary = path.with_name(path.stem + _SUMMARY)
    return path, summary if summary.is_file() else None


def _find_model(config: JsonObject) -> str | None:
    names = (config.get("endpoint") or {}).get("model_names") or [
        item.get("name") for item in (config.get("models") or {}).get("items") or ()
    ]
    return str(names[0]) if names else None


def _find_rate(load: JsonObject) -> float | None:
    rate = load.get("request_rate", load.get("rate"))
    return None if rate == float("inf") else rate


def _read_run(path: Path, load: JsonObject) -> LoadRun:
    entries: list[tuple[int, LoadRequest]] = []
    ends: list[int] = []
    unfinished = 0
    for line, record in read_objects(path):
        with refuse_malformed(f"{path}: line {line} is not a request of aiperf"):
            metadata, metrics = record["metadata"], record["metrics"]
            if (metadata.get("benchmark_phase") or metadata.get("credit_phase")) not in (None, _PROFILING):
                continue
            sent = int(metadata.get("request_start_ns") or metadata["timestamp_ns"])
            error = record.get("error")
            if metadata.get("was_cancelled") or (error or {}).get("type") == _CANCELLED:
                unfinished += 1
                continue
            entries.append((sent, _read_request(metrics, error)))
            ends.append(sent + int(1e6 * (entries[-1][1].total or 0)))
    entries.sort(key=lambda pair: pair[0])
    seconds = (max(ends) - entries[0][0]) / 1e9 if entries else None
    return LoadRun(
        tuple(request for _, request in entries),
        dict(load),
        seconds,
        unfinished,
        users=load.get("concurrency"),
        rate=_find_rate(load),
    )


def _check_mean(path: Path, latency: JsonObject, run: LoadRun) -> None:
    """Raises DataError if the summary, which states the load, belongs to another run than the requests."""
    times = [request.total for request in run.requests if request.total is not None]
    if not times or latency.get("avg") is None:
        return
    stated, mean = float(latency["avg"]) * _UNITS[latency["unit"]], sum(times) / len(times)
    if not abs(mean - stated) <= _ROUNDING * stated:  # also if it states NaN
        raise DataError(
            f"{path}: the summary states a mean {_LATENCY} of {stated:.6g} ms, and the {len(times):,} "
            f"answered requests have {mean:.6g} ms: they come from two runs; put the requests and the "
            "summary of one run next to each other"
        )


def _read_request(metrics: JsonObject, error: JsonObject | None) -> LoadRequest:
    prompt = _read_count(metrics, "input_sequence_length")
    if error:
        words = " ".join(f"{error.get('type')}: {error.get('message')}".split())
        return LoadRequest(prompt_tokens=prompt, failed=words[:200])
    total = _read_ms(metrics, _LATENCY)
    if total is None:
        return LoadRequest(prompt_tokens=prompt, failed=f"no {_LATENCY}")
    first = next((time for name in _FIRST if (time := _read_ms(metrics, name)) is not None), None)
    tokens = _read_count(metrics, "output_sequence_length")
    return LoadRequest(first, _read_ms(metrics, "inter_token_latency"), total, prompt, tokens)


def _read_ms(metrics: JsonObject, name: str) -> float | None:
    metric = metrics.get(name)
    return None if metric is None else float(metric["value"]) * _UNITS[metric["unit"]]


def _read_count(metrics: JsonObject, name: str) -> int | None:
    metric = metrics.get(name)
    return None if metric is None else int(metric["value"])


reader = Aiperf()
