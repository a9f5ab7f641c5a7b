"""HELM: a run folder with `per_instance_stats.json`, one entry an instance and trial.

Each statistic (`exact_match`, `quasi_exact_match`, ...) is a metric: its mean over the instance. What it
answered stands in `display_predictions.json` or `scenario_state.json`, where they are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from slimgate._system.json_text import NOT_JSON, describe_json_error
from slimgate.data.log_files.json_lines import as_text, read_object
from slimgate.errors import DataError
from slimgate.samples import DOCUMENT, PROMPT, TARGET, Log, Reader, Row, TaskLog

_STATS, _STATE = "per_instance_stats.json", "scenario_state.json"


class Helm(Reader):
    """One run folder, or a folder of several."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(path.glob(f"**/{_STATS}"))
        return path.name == _STATS

    def read(self, path: Path) -> Log:
        files = [path] if path.is_file() else sorted(path.glob(f"**/{_STATS}"))
        tasks = {file.parent.name.partition(":model=")[0].partition(",model=")[0]: file for file in files}
        if len(tasks) < len(files):
            raise DataError(f"{path}: logs of several models; name the folder of one")
        return Log(
            "helm", str(path), {name: TaskLog(rows=partial(_rows, file)) for name, file in tasks.items()}
        )


def _rows(file: Path) -> Iterator[Row]:
    answers = _answers(file.with_name(_STATE))
    for at, one in enumerate(_list(file)):
        try:
            trial = int(one.get("train_trial_index") or 0)
            name = str(one["instance_id"])
            perturbed = (one.get("perturbation") or {}).get("name")
            key = name if perturbed is None else f"{name} {perturbed}"
            scores = {stat["name"]["name"]: stat.get("mean") for stat in one["stats"]}
            prompt, answer, target = answers.get((key, trial), (None, None, None))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: entry {at} is none of HELM's ({type(error).__name__}: {error})"
            ) from None
        yield Row(
            id=key if not trial else f"{key} trial {trial}",
            scores=scores,
            keys={DOCUMENT: key, **({} if prompt is None else {PROMPT: prompt, TARGET: target or ""})},
            cluster=name,
            prompt=prompt,
            answer=answer,
            target=target,
        )


def _list(file: Path) -> list[Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except NOT_JSON as error:
        raise DataError(f"{file} is not JSON: {describe_json_error(error)}") from None
    if not isinstance(found, list):
        raise DataError(f"{file}: no list, expected the statistics of instances")
    return found


def _answers(file: Path) -> dict[tuple[str, int], tuple[str | None, str | None, str | None]]:
    """By instance and trial: prompt, answer and right answer; nothing where the file is not there."""
    if not file.is_file():
        return {}
    found = {}
    for state in read_object(file).get("request_states") or ():
        instance, result = state.get("instance") or {}, state.get("result") or {}
        perturbed = (instance.get("perturbation") or {}).get("name")
        name = str(instance.get("id"))
        key = name if perturbed is None else f"{name} {perturbed}"
        completions = result.get("completions") or [{}]
        right = [
            (one.get("output") or {}).get("text")
            for one in instance.get("references") or ()
            if "correct" in (one.get("tags") or ())
        ]
        prompt = as_text((state.get("request") or {}).get("prompt"))
        found[key, int(state.get("train_trial_index") or 0)] = (
            prompt,
            as_text(completions[0].get("text")),
            as_text(right[0] if right else None),
        )
    return found


reader = Helm()
