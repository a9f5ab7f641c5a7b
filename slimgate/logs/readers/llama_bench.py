"""llama-bench of llama.cpp: `-o json` or `-o jsonl`, an entry per test with the times of its repetitions.

Each test is a load (pp512, tg128, pp512+tg128@d4096), and each repetition is a request with its time. So the
rules of load tests decide a speed-up, and only with a second run of the base: five repetitions in one process
do not predict the next process. `-o csv`, `md` and `sql` have only the mean and its deviation,
and are refused. Fields: tools/llama-bench/README.md of builds 5163 and 10700.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import read_array, read_beginning, read_first_keys, read_objects
from slimgate.logs.readers._figures import make_figures_error
from slimgate.plugins.environments import make_environment
from slimgate.plugins.reader import LoadRequest, LoadRun, Log, Reader

# Settings that change the speed and are not of the model or the build. Two files must share them.
_SETTINGS = (
    "cpu_info",
    "gpu_info",
    "backends",
    "n_batch",
    "n_ubatch",
    "n_threads",
    "type_k",
    "type_v",
    "n_gpu_layers",
    "split_mode",
    "no_kv_offload",
    "flash_attn",
)
# Further such settings, of which older builds write only some. At their default, files with and without them
# are alike.
_DEFAULTS = {
    "cpu_mask": "0x0",
    "cpu_strict": "0",
    "poll": "50",
    "main_gpu": "0",
    "devices": "auto",
    "tensor_split": "0.00",
    "tensor_buft_overrides": "none",
    "n_cpu_moe": "0",
    "embeddings": "0",
    "no_op_offload": "0",
    "no_host": "0",
}
_MARKDOWN = re.compile(r"^\|\s*model\s*\|.*\|\s*t/s\s*\|\s*$", re.MULTILINE)
_REMEDY = "run llama-bench -o json"
_NEEDED = "the time of each repetition"
# llama-bench cuts off what is less than a nanosecond.
_ROUNDING_NS = 1.0


class LlamaBench(Reader):
    """A file with one output of llama-bench, of one model."""

    def recognizes(self, path: Path) -> bool:
        if path.suffix == ".jsonl":
            return {"build_commit", "avg_ts"} <= read_first_keys(path)
        start = read_beginning(path)
        if start.startswith("["):
            return '"build_commit"' in start and '"n_gen"' in start
        return start.startswith("build_commit,") or bool(_MARKDOWN.search(start)) or _is_sql(start)

    def read(self, path: Path) -> Log:
        entries = _read_entries(path)
        models = sorted({Path(str(entry["model_filename"])).name for entry in entries})
        if len(models) > 1:
            raise DataError(
                f"{path} has tests of {len(models)} models ({', '.join(models[:3])}); expected one model in "
                "a file"
            )
        # The settings that tell tests of one shape apart, for example with `-t 4,8`.
        varied = (
            []
            if max(Counter(map(_name_test, entries)).values()) == 1
            else [
                key for key in (*_SETTINGS, *_DEFAULTS) if len({str(entry.get(key)) for entry in entries}) > 1
            ]
        )
        loads: dict[str, LoadRun] = {}
        notes = []
        for entry in entries:
            name = _name_test(entry, varied)
            if name in loads:
                raise DataError(f"{path}: two tests named {name}; write each run into its own file")
            loads[name] = _make_load_run(path, name, entry)
            speeds = entry["samples_ts"]
            notes.append(
                f"{path}: {name} {fmean(speeds):,.6g} tokens a second, mean of {len(speeds)} repetitions"
            )
        builds = sorted({str(entry.get("build_number", entry["build_commit"])) for entry in entries})
        environment = make_environment(harness={"llama.cpp build": ", ".join(builds)})
        return Log("llama_bench", str(path), {}, models[0], tuple(notes), loads, environment=environment)


def _is_sql(start: str) -> bool:
    return start.startswith("CREATE TABLE IF NOT EXISTS") and "build_commit" in start


def _read_entries(path: Path) -> list[JsonObject]:
    """The tests. Raises DataError for a file without the repetitions, with its figures."""
    start = read_beginning(path)
    if start.startswith("["):
        entries = read_array(path)
    elif start.startswith("{"):
        entries = [entry for _, entry in read_objects(path)]
    else:
        raise make_figures_error(path, _list_figures(path, start), _NEEDED, _REMEDY)
    if not entries:
        raise DataError(f"{path}: it has no test of llama-bench")
    if any(not entry.get("samples_ns") for entry in entries):
        figures = [(f"{_name_test(entry)} t/s", entry["avg_ts"]) for entry in entries]
        raise make_figures_error(path, figures, _NEEDED, _REMEDY)
    return entries


def _list_figures(path: Path, start: str) -> Iterator[tuple[str, float]]:
    """(test, mean tokens a second) of a csv or markdown file; empty for SQL."""
    text = path.read_text("utf-8-sig", "replace")
    if start.startswith("build_commit,"):
        for row in csv.DictReader(text.splitlines()):
            yield f"{_name_test(row)} t/s", float(row["avg_ts"])
    elif not _is_sql(start):
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            speed = cells[-1].split("±")[0].strip()
            if len(cells) > 2 and re.fullmatch(r"[\d.]+", speed):
                yield f"{cells[-2].replace(' ', '')} t/s", float(speed)


def _name_test(entry: JsonObject, varied: Sequence[str] = ()) -> str:
    """The name of a test: pp512, tg128 or pp512+tg128, with @d4096 after a context of 4096 tokens."""
    prompt, answer, depth = (int(entry.get(key) or 0) for key in ("n_prompt", "n_gen", "n_depth"))
    parts = [*([f"pp{prompt}"] if prompt else []), *([f"tg{answer}"] if answer else [])]
    name = "+".join(parts) + (f"@d{depth}" if depth else "")
    return " ".join([name, *(f"{key}={entry.get(key)}" for key in varied)])


def _make_load_run(path: Path, name: str, entry: JsonObject) -> LoadRun:
    times, prompt, answer = entry["samples_ns"], int(entry["n_prompt"]), int(entry["n_gen"])
    if len(times) != len(entry["samples_ts"]):
        raise DataError(
            f"{path}: test {name} has {len(times)} samples_ns and {len(entry['samples_ts'])} samples_ts, "
            "expected one of each per repetition"
        )
    stated, mean = entry.get("avg_ns"), fmean(times)
    if stated is not None and not abs(mean - stated) <= _ROUNDING_NS:  # also if it states NaN
        raise DataError(
            f"{path}: test {name} states a mean of {stated / 1e6:.6g} ms, and its {len(times)} repetitions "
            f"have {mean / 1e6:.6g} ms: some are missing; give the file as llama-bench wrote it"
        )
    requests = (LoadRequest(total=time / 1e6, prompt_tokens=prompt, tokens=answer) for time in times)
    return LoadRun(tuple(requests), _read_settings(entry), sum(times) / 1e9, users=1, generates=answer > 0)


def _read_settings(entry: JsonObject) -> dict[str, str]:
    settings = {key: str(entry[key]).strip() for key in _SETTINGS if key in entry}
    stated = {key: entry[key] for key in _DEFAULTS if key in entry}
    texts = {key: str(int(value) if isinstance(value, bool) else value) for key, value in stated.items()}
    return settings | {key: text for key, text in texts.items() if text != _DEFAULTS[key]}


reader = LlamaBench()
