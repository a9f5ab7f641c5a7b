"""lm-evaluation-harness: `samples_<task>_<time>.jsonl` of `--log_samples`, with `results_<time>.json` beside.

A row is a document under a filter; `metrics` names its scores. Documents, prompts and targets have hashes.
Source: lm_eval/result_schema.py (SampleResult) of version 0.4.13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.errors import DataError
from slimgate.logs.json_lines import as_text, beginning, read_object, read_objects
from slimgate.logs.runs import make_log
from slimgate.plugins.reader import DOCUMENT, PROMPT, TARGET, Log, Reader, Row, Run, TaskLog

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_KEYS = {DOCUMENT: "doc_hash", PROMPT: "prompt_hash", TARGET: "target_hash"}
# What the limit of an answer's tokens is called.
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# A filter of this name is none.
_NO_FILTER = "none"


class LmEval(Reader):
    """A folder of one or more runs of one model, or one samples file."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(path.glob("**/samples_*.jsonl")) or any(
                map(_is_results, path.glob("**/results_*.json"))
            )
        start = beginning(path, 200_000)
        return path.suffix == ".jsonl" and start.startswith('{"doc_id"') and '"filtered_resps"' in start

    def read(self, path: Path) -> Log:
        if path.is_file():
            task, time = _parts(path)
            results = path.with_name(f"results_{time}.json")
            run = _run(path, time, {task: path}, results if results.is_file() else None)
            return make_log("lm_eval", str(path), [run])
        samples = sorted(path.glob("**/samples_*.jsonl"))
        results_files = sorted(path.glob("**/results_*.json"))
        folders = sorted({file.parent for file in samples or filter(_is_results, results_files)})
        if len(folders) > 1:
            names = ", ".join(folder.as_posix() for folder in folders[:3])
            raise DataError(f"{path}: logs of {len(folders)} models ({names}); name the folder of one")
        results_of = {_read_time(file): file for file in results_files if file.parent in folders}
        tasks_of: dict[str, dict[str, Path]] = {time: {} for time in results_of}
        for file in samples:
            task, time = _parts(file)
            tasks_of.setdefault(time, {})[task] = file
        runs = [_run(path, time, files, results_of.get(time)) for time, files in tasks_of.items()]
        if results_of:
            runs = [_check_settings_known(run, results_of) for run in runs]
        return make_log("lm_eval", str(path), runs)


# Metrics that lm-eval averages over samples unless a task says otherwise.
_MEANS = frozenset({"acc", "acc_norm", "exact_match"})


def _is_results(file: Path) -> bool:
    """Whether it is lm-eval's, which says the shots of each task: other tools have files of that name."""
    with suppress(DataError):
        results = read_object(file)
        return isinstance(results.get("n-shot") or results.get("configs"), dict)
    return False


def _run(path: Path, time: str, files: Mapping[str, Path], nearby: Path | None) -> Run:
    """The run of one time. nearby: its results file, or None."""
    results = None if nearby is None else read_object(nearby)
    notes: list[str] = []
    if results is None:
        notes.append(
            f"{path}: no results_*.json beside the samples: the direction of metrics, shots, chat "
            "template, limits and versions are not known, so they were not compared"
        )
    elif results.get("n-shot") is None:
        notes.append(f"{path}: its results file does not say shots and versions")
    lacking = _find_tasks_without_samples(results or {}, files)
    if files and lacking:
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        notes.append(f"{path}: its results file also has {shown}, of which there are no samples")
    return Run(
        time=time,
        tasks={task: _task(task, file, results or {}) for task, file in sorted(files.items())},
        model=_model(results or {}),
        notes=tuple(notes),
        problem=None
        if files
        else f"results without samples ({', '.join(lacking) or 'no task'}): run it again with --log_samples",
    )


def _find_tasks_without_samples(results: Mapping[str, Any], files: Mapping[str, Path]) -> list[str]:
    counts = results.get("n-samples")
    return sorted(set(counts) - set(files)) if isinstance(counts, dict) else []


def _check_settings_known(run: Run, results_of: Mapping[str, Path]) -> Run:
    """A run without a results file, among others that have one, may be of any settings: it is not judged."""
    if run.time in results_of or run.problem:
        return run
    return replace(
        run,
        problem=f"its samples have no results file of their time, results_{run.time}.json, so its settings "
        "are not known; put that file beside them, or name a samples file alone",
    )


def _read_time(file: Path) -> str:
    return file.stem.removeprefix("results_")


def _parts(file: Path) -> tuple[str, str]:
    """Task and time of a samples file, by its name."""
    match = _SAMPLES.fullmatch(file.name)
    return (match["task"], match["time"]) if match else (file.stem.removeprefix("samples_"), "")


def _model(results: Mapping[str, Any]) -> str | None:
    config = results.get("config") or {}
    arguments = config.get("model_args")
    pretrained = arguments.get("pretrained") if isinstance(arguments, dict) else None
    model = pretrained or results.get("model_name")
    return None if model is None else str(model)


def _task(task: str, file: Path, results: Mapping[str, Any]) -> TaskLog:
    def of(key: str) -> Any:
        table = results.get(key)
        return table.get(task) if isinstance(table, dict) else None

    better = of("higher_is_better") or {}
    return TaskLog(
        rows=partial(_rows, file),
        higher_is_better={name: bool(value) for name, value in better.items() if value is not None},
        settings=_settings(results, of("configs") or {}, of("n-shot"), of("n-samples"), of("versions")),
        samples=(of("n-samples") or {}).get("effective"),
        means=_read_means(of("results") or {}, of("configs") or {}),
        most_tokens=_find_most_tokens(results, of("configs") or {}),
        written=(of("configs") or {}).get("output_type", "generate_until") == "generate_until",
    )


def _find_most_tokens(results: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """The most tokens of an answer, of the command line or the task; None where neither says it."""
    run = (results.get("config") or {}).get("gen_kwargs")
    stated = [part for part in (run, config.get("generation_kwargs")) if isinstance(part, dict)]
    limits = (settings.get(name) for settings in stated for name in _LIMITS)
    return next((limit for limit in limits if isinstance(limit, int)), None)


def _read_means(results: Mapping[str, Any], config: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """By filter and metric what lm-eval states of metrics whose value is the mean over samples."""
    stated = {
        entry["metric"]: entry.get("aggregation")
        for entry in config.get("metric_list") or ()
        if isinstance(entry, dict) and "metric" in entry
    }
    means: dict[tuple[str, str], float] = {}
    for key, value in results.items():
        metric, comma, name = str(key).partition(",")
        is_mean = stated.get(metric, "mean" if metric in _MEANS else None) in ("mean", None)
        if comma and metric in _MEANS and is_mean and isinstance(value, int | float):
            means["" if name == _NO_FILTER else name, metric] = float(value)
    return means


def _settings(
    results: Mapping[str, Any], config: Mapping[str, Any], shots: Any, samples: Any, version: Any
) -> dict[str, Any]:
    run = results.get("config") or {}
    settings: dict[str, Any] = {}
    if shots is not None:
        settings["shots"] = {"shots": shots} | ({"seed": run.get("fewshot_seed")} if shots else {})
    if isinstance(samples, dict):
        settings["limit"] = _describe_limit(samples)
    if version is not None:
        settings["version"] = version
    if results:
        names = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
        settings["chat_template"] = {name: results.get(name) for name in names}
    if config:
        settings["generation"] = {
            "generation_kwargs": config.get("generation_kwargs"),
            "gen_kwargs": run.get("gen_kwargs"),
            "repeats": config.get("repeats"),
        }
        settings["filters"] = config.get("filter_list")
    return settings


def _describe_limit(samples: Mapping[str, Any]) -> str:
    """`100 of 1319 samples`, or that there was no limit: the counts alone do not tell."""
    original, effective = samples.get("original"), samples.get("effective")
    return f"none ({effective} samples)" if original == effective else f"{effective} of {original} samples"


def _rows(file: Path) -> Iterator[Row]:
    for number, row in read_objects(file):
        try:
            names = row["metrics"]
            scores = {name: _number(row.get(name)) for name in names}
            sample_row = Row(
                id=str(row["doc_id"]),
                scores={name: value for name, value in scores.items() if value is not ...},
                not_numbers=tuple(name for name, value in scores.items() if value is ...),
                filter="" if (name := str(row.get("filter", ""))) == _NO_FILTER else name,
                keys={key: row[column] for key, column in _KEYS.items() if column in row},
                prompt=_prompt(row.get("arguments")),
                answer=_answer(row.get("filtered_resps"), row.get("arguments")),
                target=as_text(row.get("target")),
                fields=doc if isinstance(doc := row.get("doc"), dict) else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: line {number} is no sample of lm-eval ({type(error).__name__}: {error}); expected "
                "doc_id, metrics and a number for each metric"
            ) from None
        yield sample_row


def _number(value: Any) -> Any:
    """A score; `...` of what is no number for one sample, such as the pairs that corpus BLEU is made of."""
    if value is None or isinstance(value, int | float):
        return value
    return ...


def _prompt(arguments: Any) -> str | None:
    if isinstance(arguments, dict) and arguments:
        first = next(iter(arguments.values()))
        return as_text(first.get("arg_0") if isinstance(first, dict) else first)
    return None


def _answer(responses: Any, arguments: Any) -> str | None:
    """The text, or of a multiple choice the likeliest continuation."""
    if not isinstance(responses, list) or not responses:
        return as_text(responses)
    if len(responses) > 1 and all(
        isinstance(response, list) and len(response) == 2 for response in responses
    ):
        try:
            best = max(range(len(responses)), key=lambda k: float(responses[k][0]))
            return as_text(arguments[f"gen_args_{best}"]["arg_1"])
        except (KeyError, TypeError, ValueError):
            return as_text(responses)
    return as_text(responses[0] if len(responses) == 1 else responses)


reader = LmEval()
