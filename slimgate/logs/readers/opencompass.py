"""OpenCompass: `results/MODEL/DATASET.json` of a run, with the details of each sample.

A row is a sample; in a dataset with `n` runs, a sample in a run. The runs of a sample are one cluster.
`predictions/MODEL/DATASET.json` has the prompts, if that file exists. Source:
opencompass/tasks/openicl_eval.py and icl_base_evaluator.py of version 0.5.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import list_names
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._model_folders import group_by_run, list_files_of_models
from slimgate.logs.readers._rows import make_keys
from slimgate.logs.runs import make_log
from slimgate.plugins.reader import Log, Reader, Row, Run, TaskLog, name_further_epoch

_RESULTS, _PREDICTIONS = "results", "predictions"
# The fields that say that an answer is right, what the answer is, and the right answer, by evaluator.
_CORRECT = ("correct", "is_correct", "cascade_correct")
_ANSWER = ("pred", "predictions", "prediction", "origin_prediction")
_TARGET = ("answer", "references", "refr", "ref", "gold")
_METRIC = "correct"
# The mean of the details, in percent; of several runs of a sample, over all of them.
_ACCURACY = re.compile(r"accuracy( \(\d+ runs average\))?")
# Some evaluators round percents to one decimal.
_DECIMALS = 3
_PART = re.compile(r"_\d+$")
_MOST_NAMED = 4


class Opencompass(Reader):
    """The folder of one run or of several, or the results file of one dataset."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return bool(_list_results(path))
        start = read_beginning(path, 200_000)
        return (
            path.suffix == ".json"
            and '"details"' in start
            and any(f'"{key}"' in start for key in ("example_abbr", "origin_prediction"))
        )

    def read(self, path: Path) -> Log:
        if path.is_file():
            return make_log("opencompass", str(path), [_make_run("", [path])])
        by_run = group_by_run(path, _RESULTS, _list_results(path))
        runs = [_make_run(folder.name, files) for folder, files in by_run.items()]
        return make_log("opencompass", str(path), runs)


def _list_results(path: Path) -> list[Path]:
    return [*filter(_is_result, list_files_of_models(path, _RESULTS, ".json"))]


def _is_result(file: Path) -> bool:
    """Whether the answers are next to the results, as OpenCompass writes them, or the details show it."""
    return _make_predictions_path(file).parent.is_dir() or '"details"' in read_beginning(file, 20_000)


def _make_predictions_path(file: Path) -> Path:
    return file.parent.parent.parent / _PREDICTIONS / file.parent.name / file.name


def _make_run(time: str, files: list[Path]) -> Run:
    tasks = {}
    for file in files:
        results = read_object(file)
        entries = _list_entries(results)
        if not any(name in entry for _, entry in entries for name in _CORRECT):
            figures = [(name, value) for name, value in results.items() if isinstance(value, int | float)]
            remedy = (
                "its details do not say which answers are right"
                if entries
                else "run opencompass with --dump-eval-details"
            )
            raise make_figures_error(file, figures, "which answers are right", remedy)
        tasks[file.stem] = TaskLog(
            partial(_read_rows, file),
            {_METRIC: True},
            samples=len(_read_predictions(file)) or None,
            means=_read_mean(results),
            decimals=_DECIMALS,
        )
    return Run(time, tasks, files[0].parent.name, _describe_without_results(files))


def _describe_without_results(files: list[Path]) -> tuple[str, ...]:
    """A note if there are predictions of more datasets. files: the results of a model."""
    folder = _make_predictions_path(files[0]).parent
    evaluated = {file.stem for file in files}
    # the predictions of a dataset may be in several files, DATASET_0.json and so on
    lacking = [
        file.stem
        for file in sorted(folder.glob("*.json"))
        if evaluated.isdisjoint((file.stem, _PART.sub("", file.stem)))
    ]
    if not lacking:
        return ()
    return (f"{folder}: it also has {list_names(lacking, _MOST_NAMED)}, of which there are no results",)


def _read_mean(results: JsonObject) -> dict[tuple[str, str], float]:
    """The accuracy as a share, from percent. A number up to 1 may already be a share, so it is left out."""
    for name, value in results.items():
        if _ACCURACY.fullmatch(name) and isinstance(value, int | float) and not 0 < value <= 1:
            return {("", _METRIC): value / 100}
    return {}


def _list_entries(results: JsonObject) -> list[tuple[str, JsonObject]]:
    """(key, detail) of each sample, from a list or from a mapping by number, which also has the type."""
    details = results.get("details") or []
    pairs = details.items() if isinstance(details, dict) else enumerate(details)
    # a sample without a detail has no score
    return [
        (str(key), entry if isinstance(entry, dict) else {})
        for key, entry in pairs
        if isinstance(entry, dict) or str(key).isdecimal()
    ]


def _read_rows(file: Path) -> Iterator[Row]:
    predictions = _read_predictions(file)
    entries = _list_entries(read_object(file))
    for at, (key, entry) in enumerate(entries):
        # the base evaluator makes a list of each field, with an entry for each run of the sample
        listed = "example_abbr" in entry
        name = str(entry.get("example_abbr", key))
        values = [
            next((entry[name] for name in names if name in entry), None)
            for names in (_CORRECT, _ANSWER, _TARGET)
        ]
        runs = max((len(value) for value in values if isinstance(value, list)), default=1) if listed else 1
        for run in range(runs):
            correct, answer, target = (
                value[run] if listed and isinstance(value, list) and run < len(value) else value
                for value in values
            )
            written = predictions.get(str(at + run * len(entries)), {})
            prompt = convert_to_text(written.get("origin_prompt")) or convert_to_text(
                None if listed else entry.get("prompt")
            )
            completion, tokens = written.get("prediction"), written.get("res_length")
            right = convert_to_text(target)
            yield Row(
                id=name_further_epoch(name, run + 1),
                scores={_METRIC: None if correct is None else float(correct)},
                keys=make_keys(prompt=prompt, target=right),
                cluster=name if runs > 1 else None,
                prompt=prompt,
                answer=completion if isinstance(completion, str) else convert_to_text(answer),
                target=right,
                fields=_read_fields(entry),
                answer_tokens=tokens if isinstance(tokens, int) else None,
            )


def _read_fields(entry: JsonObject) -> dict[str, str] | None:
    """The subdivision of the dataset, which is in the sample's name before its number."""
    subdivision, _, number = str(entry.get("example_abbr", "")).rpartition("_")
    return {"subdivision": subdivision} if subdivision and number.isdecimal() else None


def _read_predictions(file: Path) -> dict[str, JsonObject]:
    """Each sample's prompt and answer by number, and with `dump_res_length` the answer's tokens.

    Empty if there are no predictions.
    """
    predictions = _make_predictions_path(file)
    if not predictions.is_file():
        return {}
    return {number: answer for number, answer in read_object(predictions).items() if isinstance(answer, dict)}


reader = Opencompass()
