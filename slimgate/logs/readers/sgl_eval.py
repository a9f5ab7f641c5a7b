"""sgl-eval: the folder of a task, with `metrics.json` and one `output-rs0.jsonl`, … per repeat.

A row is a sample in a repeat; the repeats of a sample are one cluster. Source: sgl_eval/predictions.py of
version 0.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object, read_objects
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._rows import is_cut_off, make_keys, refuse_malformed
from slimgate.logs.runs import convert_to_utc, make_log, refuse_several_models
from slimgate.plugins.reader import GENERATION, Log, Reader, Row, Run, TaskLog, name_further_epoch

_REPEAT = re.compile(r"output-rs(\d+)\.jsonl")
_METRICS = "metrics.json"
# Fields of a sample's score: right or wrong, and the share of RULER2's needles.
_SCORES = ("symbolic_correct", "is_correct")


class SglEval(Reader):
    """The folder of a task, a folder of several, or the file of one repeat."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return bool(_list_folders(path))
        if path.name == _METRICS:
            return '"sgl_eval_version"' in read_beginning(path, 20_000)
        return bool(_REPEAT.fullmatch(path.name)) and '"generation"' in read_beginning(path)[:40]

    def read(self, path: Path) -> Log:
        if _REPEAT.fullmatch(path.name):
            return make_log("sgl_eval", str(path), [_read_run(path.parent, [path])])
        folders = [path.parent] if path.is_file() else _list_folders(path)
        runs = [_read_run(folder, _list_repeats(folder)) for folder in folders]
        refuse_several_models(path, runs)
        tasks = {name: task for run in runs for name, task in run.tasks.items()}
        if len(tasks) == len(runs):  # sgl-eval writes each task into a folder
            time = max((run.time for run in runs), key=convert_to_utc)
            return Log("sgl_eval", str(path), tasks, runs[0].model, time=time)
        return make_log("sgl_eval", str(path), runs)


def _list_folders(path: Path) -> list[Path]:
    """The folders of tasks that sgl-eval wrote: this folder, or folders in it."""
    files = sorted([*path.glob(_METRICS), *path.glob(f"*/{_METRICS}")])
    return [file.parent for file in files if '"sgl_eval_version"' in read_beginning(file, 20_000)]


def _list_repeats(folder: Path) -> list[Path]:
    """The files of the repeats, in order.

    Raises DataError if there are none, or if metrics.json states another number.
    """
    files = {int(match[1]): file for file in folder.iterdir() if (match := _REPEAT.fullmatch(file.name))}
    summary = read_object(folder / _METRICS)
    if not files:
        figures = summary["aggregate"]
        raise make_figures_error(
            folder / _METRICS,
            [(name, value) for name, value in figures.items() if isinstance(value, int | float)],
            "the score of each sample",
            "run sgl-eval without --no-dump-predictions, which writes output-rs0.jsonl next to it",
        )
    if len(files) != (repeats := summary.get("n_repeats", len(files))):
        raise DataError(f"{folder}: {_METRICS} says {repeats} repeats, but the folder has {len(files)} files")
    return [files[number] for number in sorted(files)]


def _read_run(folder: Path, files: Sequence[Path]) -> Run:
    summary = read_object(folder / _METRICS) if (folder / _METRICS).is_file() else {}
    metric = _find_metric(files[0])
    generation = dict(summary.get("gen") or {})
    samples = summary.get("num_examples")
    stated = (summary.get("aggregate") or {}).get("pass@1")
    complete = samples is not None and len(files) == summary.get("n_repeats")
    task = TaskLog(
        partial(_read_rows, files, metric),
        {metric: True},
        {GENERATION: generation} if generation else {},
        samples=None if samples is None else samples * len(files),
        ranges={metric: (0.0, 1.0)},
        means={("", metric): stated} if complete and stated is not None else {},
        most_tokens=generation.get("max_tokens"),
    )
    name, model = str(summary.get("name") or folder.name), summary.get("model")
    return Run(str(summary.get("timestamp") or ""), {name: task}, None if model is None else str(model))


def _find_metric(file: Path) -> str:
    """The field that holds the score. Raises DataError if the first sample has no score."""
    row: JsonObject = next((row for _, row in read_objects(file)), {})
    metric = next((name for name in _SCORES if name in row), None)
    if metric is None:
        raise DataError(
            f"{file}: its first sample has none of {', '.join(_SCORES)}, expected a score of sgl-eval"
        )
    return metric


def _read_rows(files: Sequence[Path], metric: str) -> Iterator[Row]:
    for number, file in enumerate(files, start=1):
        for line, row in read_objects(file):
            with refuse_malformed(f"{file}: line {line} is not a sample of sgl-eval"):
                name, ending = str(row["id"]), row.get("finish_reason")
                prompt = convert_to_text(row.get("problem")) or None
                expected = convert_to_text(row["expected_answer"])
                failed = ending == "error"
                yield Row(
                    id=name_further_epoch(name, number),
                    scores={metric: None if failed else row[metric]},
                    keys=make_keys(prompt=prompt, target=expected),
                    cluster=name if len(files) > 1 else None,
                    error="finish_reason is error" if failed else None,
                    truncated=is_cut_off(ending),
                    prompt=prompt,
                    answer=convert_to_text(row["generation"]),
                    target=expected,
                    answer_tokens=row.get("num_generated_tokens"),
                )


reader = SglEval()
