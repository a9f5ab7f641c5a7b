"""The files of lm-eval in a folder: which samples and results belong to one run.

| version       | samples                              | results                  |
|---------------|--------------------------------------|--------------------------|
| 0.4.4 -       | `samples_<task>_<time>.jsonl`        | `results_<time>.json`    |
| 0.4.3         | `samples_<task>_<time>.json`         | `results_<time>.json`    |
| 0.4.0 - 0.4.2 | `<arguments of the model>_<task>.jsonl` | `results.json`        |

One call writes one folder; programs that call it for each task leave a folder for each task. Runs of one
model in several folders are runs of one log.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl?")
_OLD_RESULTS = "results.json"
_START_OF_SAMPLE = re.compile(r'(\[\s*)?\{\s*"doc_id"\s*:')
# The characters in which a sample must be recognizable.
_START = 1_000_000


@dataclass
class RunFiles:
    """The files of one run. samples: by task. results: the content of the results file; None without one."""

    time: str
    samples: dict[str, Path] = field(default_factory=dict)
    results: JsonObject | None = None

    @property
    def model(self) -> str | None:
        """The model with its arguments; None if the results do not say it."""
        config = (self.results or {}).get("config") or {}
        arguments = config.get("model_args") or (self.results or {}).get("model_name")
        return None if arguments is None else f"{config.get('model')} {convert_to_text(arguments)}"


def is_samples(file: Path) -> bool:
    """Whether a file begins with a sample, in a line or in an array."""
    start = read_beginning(file, _START)
    return bool(_START_OF_SAMPLE.match(start)) and '"filtered_resps"' in start


def is_results(file: Path) -> bool:
    """Whether a results file is of lm-eval, which states the shots of tasks. Other tools use its name too."""
    return _read_results(file) is not None


def has_runs(folder: Path) -> bool:
    """Whether a folder has samples or results of lm-eval."""
    if any(folder.glob("**/samples_*.jsonl")):
        return True
    return any(is_samples(file) for file in folder.glob("**/samples_*.json")) or any(
        map(is_results, folder.glob("**/results*.json"))
    )


def find_file_run(file: Path) -> RunFiles:
    """The run of one samples file: its task alone, with the results file in its folder.

    Raises DataError if the results file may belong to other samples of the task.
    """
    match = _SAMPLES.fullmatch(file.name)
    name = f"results_{match['time']}.json" if match else _OLD_RESULTS
    nearby = file.with_name(name)
    run = RunFiles(match["time"] if match else "")
    if nearby.is_file() and (match or is_results(nearby)):
        run.results = read_object(nearby)
        if not match:  # only the check for two files of a task is needed
            _add_old_samples(RunFiles(""), file.parent, run.results)
    task = match["task"] if match else _find_task(file, run.results) or file.stem.removeprefix("samples_")
    run.samples[task] = file
    return run


def find_runs(path: Path) -> list[RunFiles]:
    """Every run below a folder. Raises DataError for several models, and for two files of a task."""
    runs: dict[tuple[Path, str], RunFiles] = {}

    def get_run(folder: Path, time: str) -> RunFiles:
        return runs.setdefault((folder, time), RunFiles(time))

    for file in sorted([*path.glob("**/samples_*.jsonl"), *path.glob("**/samples_*.json")]):
        match = _SAMPLES.fullmatch(file.name)
        if match or file.suffix == ".jsonl" or is_samples(file):
            task = match["task"] if match else file.stem.removeprefix("samples_")
            _add_samples(get_run(file.parent, match["time"] if match else ""), task, file)
    for file in sorted(path.glob("**/results_*.json")):
        time = file.stem.removeprefix("results_")
        results = _read_results(file)
        if (file.parent, time) in runs or results is not None:
            run = get_run(file.parent, time)
            run.results = results if results is not None else read_object(file)
    for file in sorted(path.glob(f"**/{_OLD_RESULTS}")):
        if (results := _read_results(file)) is not None:
            run = get_run(file.parent, "")
            run.results = results
            _add_old_samples(run, file.parent, results)
    _check_one_model(path, runs)
    return [*runs.values()]


def _add_samples(run: RunFiles, task: str, file: Path) -> None:
    """Raises DataError for two files of a task: an old lm-eval replaced the results of an earlier model."""
    earlier = run.samples.setdefault(task, file)
    if earlier != file:
        raise DataError(
            f"{file.parent}: {earlier.name} and {file.name} are both samples of the task {task}, and only "
            "one of them belongs to the results file; expected the samples of one model in a folder"
        )


def _read_results(file: Path) -> JsonObject | None:
    with suppress(DataError):
        results = read_object(file)
        if isinstance(results.get("n-shot") or results.get("configs"), dict):
            return results
    return None


def _add_old_samples(run: RunFiles, folder: Path, results: JsonObject) -> None:
    """Adds the samples next to a `results.json`, whose names end with the task."""
    for file in sorted(folder.glob("*.jsonl")):
        task = _find_task(file, results)
        if task is not None and is_samples(file):
            _add_samples(run, task, file)


def _find_task(file: Path, results: JsonObject | None) -> str | None:
    """The longest name of a task with which the file's name ends; None if there is none."""
    tables = [(results or {}).get(key) for key in ("configs", "results")]
    tasks = {task for table in tables if isinstance(table, dict) for task in table}
    ends = [task for task in tasks if file.stem == task or file.stem.endswith(f"_{task}")]
    return max(ends, key=len, default=None)


def _check_one_model(path: Path, runs: dict[tuple[Path, str], RunFiles]) -> None:
    """Raises DataError if folders are of several models, or do not name the model."""
    folders = sorted({folder for folder, _ in runs})
    if len(folders) < 2:
        return
    models = {run.model for run in runs.values()}
    if len(models) == 1 and None not in models:
        return
    names = ", ".join(folder.as_posix() for folder in folders[:3])
    known = sorted(model for model in models if model is not None)
    problem = "are of several models" if len(known) > 1 else "do not all name their model"
    examples = f"; they are of {json.dumps(known[:2])[1:-1]}" if len(known) > 1 else ""
    raise DataError(
        f"{path}: the logs in {len(folders)} folders ({names}) {problem}; give the folder of one "
        f"model{examples}"
    )
