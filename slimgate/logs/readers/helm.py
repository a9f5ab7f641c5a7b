"""HELM: a run folder with `per_instance_stats.json`, one entry an instance and trial.

Each statistic (`exact_match`, `quasi_exact_match`, ...) is a metric: its mean over the instance. What it
answered stands in `display_predictions.json` or `scenario_state.json`, where they are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slimgate._system.json_text import NOT_JSON, describe_json_error
from slimgate.errors import DataError
from slimgate.logs.json_lines import as_text, read_object
from slimgate.plugins.reader import PROMPT, TARGET, Log, Reader, Row, TaskLog

# The model of a run's name, `mmlu:subject=anatomy,model=openai_gpt2`; what follows it stays.
_MODEL = re.compile(r"[:,]model=([^,]*)")
# HELM's own, from 0 to 1 where sacrebleu has 0 to 100.
_RANGES = dict.fromkeys(("bleu_1", "bleu_4"), (0.0, 1.0))
_STATS, _STATE = "per_instance_stats.json", "scenario_state.json"


class Helm(Reader):
    """One run folder, or a folder of several."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(path.glob(f"**/{_STATS}"))
        return path.name == _STATS

    def read(self, path: Path) -> Log:
        files = [path] if path.is_file() else sorted(path.glob(f"**/{_STATS}"))
        suites = sorted({file.parent.parent for file in files})
        if len(suites) > 1:
            names = ", ".join(folder.as_posix() for folder in suites[:3])
            raise DataError(f"{path}: runs of {len(suites)} suites ({names}); name the folder of one")
        models = sorted({match[1] for file in files if (match := _MODEL.search(file.parent.name))})
        tasks = {_MODEL.sub("", file.parent.name): file for file in files}
        if len(models) > 1 or len(tasks) < len(files):
            raise DataError(
                f"{path}: logs of several models ({', '.join(models[:3])}); name the folder of one"
            )
        return Log(
            "helm",
            str(path),
            {name: TaskLog(rows=partial(_rows, file), ranges=_RANGES) for name, file in tasks.items()},
            models[0] if models else None,
        )


def _rows(file: Path) -> Iterator[Row]:
    answers = _answers(file.with_name(_STATE))
    entries = _list(file)
    measured = _find_measured(file, entries)
    for at, entry in enumerate(entries):
        try:
            trial = int(entry.get("train_trial_index") or 0)
            name = str(entry["instance_id"])
            perturbed = (entry.get("perturbation") or {}).get("name")
            key = name if perturbed is None else f"{name} {perturbed}"
            scores = _read_scores(entry["stats"], measured)
            prompt, answer, target, more = answers.get((key, trial), (None, None, None, {}))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: entry {at} is none of HELM's ({type(error).__name__}: {error})"
            ) from None
        yield Row(
            id=key if not trial else f"{key} trial {trial}",
            scores=scores,
            keys={} if prompt is None else {PROMPT: prompt, TARGET: target or ""},
            cluster=name,
            prompt=prompt,
            answer=answer,
            target=target,
            **more,
        )


def _find_measured(file: Path, entries: list[Any]) -> set[str]:
    """The statistics that have a mean in any entry; those without, such as a cost, are no scores."""
    try:
        return {stat["name"]["name"] for entry in entries for stat in entry["stats"] if "mean" in stat}
    except (KeyError, TypeError) as error:
        raise DataError(f"{file}: an entry is none of HELM's ({type(error).__name__}: {error})") from None


def _read_scores(stats: list[Any], measured: set[str]) -> dict[str, float | None]:
    """By name the mean. A name that stands twice, as of another split, has that split in its second name."""
    scores: dict[str, float | None] = {}
    for stat in stats:
        name = str(stat["name"]["name"])
        if name in measured:
            key = name if name not in scores else f"{name} {stat['name'].get('split')}"
            scores[key] = stat.get("mean")
    return scores


def _list(file: Path) -> list[Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except NOT_JSON as error:
        raise DataError(f"{file} is not JSON: {describe_json_error(error)}") from None
    if not isinstance(value, list):
        raise DataError(f"{file}: no list, expected the statistics of instances")
    return value


# What an instance says of itself.
_FIELDS = ("split", "sub_split", "extra_data")


def _is_cut_off(completion: Mapping[str, Any]) -> bool | None:
    """Whether the answer ended at the limit of its length; None where the log does not say why it ended."""
    reason = (completion.get("finish_reason") or {}).get("reason")
    return None if reason in (None, "unknown") else reason == "length"


def _answers(
    file: Path,
) -> dict[tuple[str, int], tuple[str | None, str | None, str | None, dict[str, Any]]]:
    """By instance and trial: prompt, answer, right answer and what a Row has besides.

    Nothing where the file is not there.
    """
    if not file.is_file():
        return {}
    answers = {}
    for state in read_object(file).get("request_states") or ():
        instance, result = state.get("instance") or {}, state.get("result") or {}
        perturbed = (instance.get("perturbation") or {}).get("name")
        name = str(instance.get("id"))
        key = name if perturbed is None else f"{name} {perturbed}"
        completions = result.get("completions") or [{}]
        right = [
            (reference.get("output") or {}).get("text")
            for reference in instance.get("references") or ()
            if "correct" in (reference.get("tags") or ())
        ]
        prompt = as_text((state.get("request") or {}).get("prompt"))
        answers[key, int(state.get("train_trial_index") or 0)] = (
            prompt,
            as_text(completions[0].get("text")),
            as_text(right[0] if right else None),
            {
                "fields": {name: instance[name] for name in _FIELDS if instance.get(name) is not None},
                "answer_tokens": len(completions[0].get("tokens") or ()) or None,
                "truncated": _is_cut_off(completions[0]),
            },
        )
    return answers


reader = Helm()
