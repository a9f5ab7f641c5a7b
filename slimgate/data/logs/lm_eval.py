"""lm-evaluation-harness: `samples_<task>_<time>.jsonl` of `--log_samples`, with `results_<time>.json` beside.

A row is a document under a filter; `metrics` names its scores. Documents, prompts and targets have hashes.
Source: lm_eval/result_schema.py (SampleResult) of version 0.4.13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.data.log_files.json_lines import as_text, beginning, read_object, read_objects
from slimgate.errors import DataError
from slimgate.samples import DOCUMENT, PROMPT, TARGET, Log, Reader, Row, TaskLog

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_KEYS = {DOCUMENT: "doc_hash", PROMPT: "prompt_hash", TARGET: "target_hash"}
# A filter of this name is none.
_NO_FILTER = "none"


class LmEval(Reader):
    """A folder of one run, or one samples file."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(path.glob("**/samples_*.jsonl"))
        start = beginning(path, 200_000)
        return path.suffix == ".jsonl" and start.startswith('{"doc_id"') and '"filtered_resps"' in start

    def read(self, path: Path) -> Log:
        files, notes = _newest(path)
        results = _results(next(iter(files.values())))
        if results is None:
            notes.append(
                f"{path}: no results_*.json beside the samples: the direction of metrics, shots, chat "
                "template, limits and versions are not known, so they were not compared"
            )
        elif results.get("n-shot") is None:
            notes.append(f"{path}: its results file does not say shots and versions")
        return Log(
            tool="lm_eval",
            shown=str(path),
            tasks={task: _task(task, file, results or {}) for task, file in files.items()},
            model=_model(results or {}),
            notes=tuple(notes),
        )


def _newest(path: Path) -> tuple[dict[str, Path], list[str]]:
    """Task -> its newest file. Raises DataError where a folder holds the runs of several models."""
    found = [path] if path.is_file() else sorted(path.glob("**/samples_*.jsonl"))
    folders = sorted({file.parent for file in found})
    if len(folders) > 1:
        names = ", ".join(folder.as_posix() for folder in folders[:3])
        raise DataError(f"{path}: logs of {len(folders)} models ({names}); name the folder of one")
    files: dict[str, Path] = {}
    for file in sorted(found, key=lambda one: _parts(one)[1]):
        files[_parts(file)[0]] = file
    older = len(found) - len(files)
    notes = [f"{path}: {older} samples files of earlier runs are left out"] if older else []
    return dict(sorted(files.items())), notes


def _parts(file: Path) -> tuple[str, str]:
    """Task and time of a samples file, by its name."""
    match = _SAMPLES.fullmatch(file.name)
    return (match["task"], match["time"]) if match else (file.stem.removeprefix("samples_"), "")


def _results(file: Path) -> dict[str, Any] | None:
    """The results file of the same run; None where it is not there."""
    time = _parts(file)[1]
    beside = file.with_name(f"results_{time}.json")
    return read_object(beside) if beside.is_file() else None


def _model(results: Mapping[str, Any]) -> str | None:
    config = results.get("config") or {}
    arguments = config.get("model_args")
    pretrained = arguments.get("pretrained") if isinstance(arguments, dict) else None
    found = pretrained or results.get("model_name")
    return None if found is None else str(found)


def _task(task: str, file: Path, results: Mapping[str, Any]) -> TaskLog:
    def of(key: str) -> Any:
        table = results.get(key)
        return table.get(task) if isinstance(table, dict) else None

    better = of("higher_is_better") or {}
    return TaskLog(
        rows=partial(_rows, file),
        higher_is_better={name: bool(value) for name, value in better.items() if value is not None},
        settings=_settings(results, of("configs") or {}, of("n-shot"), of("n-samples"), of("versions")),
    )


def _settings(
    results: Mapping[str, Any], config: Mapping[str, Any], shots: Any, samples: Any, version: Any
) -> dict[str, Any]:
    run = results.get("config") or {}
    found: dict[str, Any] = {}
    if shots is not None:
        found["shots"] = {"shots": shots} | ({"seed": run.get("fewshot_seed")} if shots else {})
    if isinstance(samples, dict):
        found["limit"] = samples.get("effective")
    if version is not None:
        found["version"] = version
    if results:
        names = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
        found["chat_template"] = {name: results.get(name) for name in names}
    if config:
        found["generation"] = {
            "generation_kwargs": config.get("generation_kwargs"),
            "gen_kwargs": run.get("gen_kwargs"),
            "repeats": config.get("repeats"),
        }
        found["filters"] = config.get("filter_list")
    return found


def _rows(file: Path) -> Iterator[Row]:
    for number, row in read_objects(file):
        try:
            names = row["metrics"]
            scores = {name: _number(row.get(name)) for name in names}
            found = Row(
                id=str(row["doc_id"]),
                scores={name: value for name, value in scores.items() if value is not ...},
                not_numbers=tuple(name for name, value in scores.items() if value is ...),
                filter="" if (name := str(row.get("filter", ""))) == _NO_FILTER else name,
                keys={key: row[column] for key, column in _KEYS.items() if column in row},
                prompt=_prompt(row.get("arguments")),
                answer=_answer(row.get("filtered_resps"), row.get("arguments")),
                target=as_text(row.get("target")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: line {number} is no sample of lm-eval ({type(error).__name__}: {error}); expected "
                "doc_id, metrics and a number for each metric"
            ) from None
        yield found


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
    if len(responses) > 1 and all(isinstance(one, list) and len(one) == 2 for one in responses):
        try:
            best = max(range(len(responses)), key=lambda k: float(responses[k][0]))
            return as_text(arguments[f"gen_args_{best}"]["arg_1"])
        except (KeyError, TypeError, ValueError):
            return as_text(responses)
    return as_text(responses[0] if len(responses) == 1 else responses)


reader = LmEval()
