"""Evalution, which GPTQModel uses: the JSON of a run, `model`, `engine`, `tests` and `versions`.

A row is a sample of a test; each entry of its `scores` is a metric, such as `acc,num`. Source:
evalution/results.py of version 0.0.17.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._rows import make_keys, refuse_malformed
from slimgate.plugins.reader import GENERATION, Log, Reader, Row, TaskLog

# Metrics that are means over samples by definition.
_MEANS = frozenset({"acc", "em"})
_GENERATION = ("max_new_tokens", "seed")
# Fields of a sample's metadata about the model: log-likelihoods, predictions, what generated code did.
_OF_MODEL = re.compile(r"choice_logprobs.*|predicted_.*|runtime_.*|outputs|passed|std(out|err)|token_count")
_CHOICES = "choice_logprobs"
_TEMPLATE = ("apply_chat_template", "fewshot_as_multiturn")


class Evalution(Reader):
    """One run."""

    def recognizes(self, path: Path) -> bool:
        start = read_beginning(path, 20_000)
        return path.suffix == ".json" and all(
            f'"{key}"' in start for key in ("model", "engine", "tests", "resolved_engine")
        )

    def read(self, path: Path) -> Log:
        run = read_object(path)
        tasks: dict[str, TaskLog] = {}
        for at, test in enumerate(run["tests"]):
            name = str(test["name"])
            if name in tasks:
                raise DataError(f"{path}: two tests named {name}; write each run into its own file")
            if not test.get("samples"):
                figures = [(f"{name} {metric}", value) for metric, value in test["metrics"].items()]
                remedy = "write the run with its samples"
                raise make_figures_error(path, figures, "the scores of each sample", remedy)
            tasks[name] = _make_task_log(path, at, test, run.get("engine") or {})
        model = run["model"].get("label") or run["model"].get("path")
        return Log("evalution", str(path), tasks, None if model is None else str(model))


def _make_task_log(path: Path, at: int, test: JsonObject, engine: JsonObject) -> TaskLog:
    stated = test.get("metadata") or {}
    settings: dict[str, object] = {GENERATION: {key: engine.get(key) for key in _GENERATION}}
    if "num_fewshot" in stated:
        settings["shots"] = {"shots": stated["num_fewshot"]}
    if template := {key: stated[key] for key in _TEMPLATE if key in stated}:
        settings["chat_template"] = template
    means = {
        ("", metric): value for metric, value in test["metrics"].items() if metric.partition(",")[0] in _MEANS
    }
    chosen = any(_CHOICES in (sample.get("metadata") or {}) for sample in test["samples"])
    return TaskLog(partial(_read_rows, path, at), settings=settings, means=means, written=not chosen)


def _read_fields(metadata: JsonObject) -> dict[str, object] | None:
    return {name: value for name, value in metadata.items() if not _OF_MODEL.fullmatch(name)} or None


def _read_rows(path: Path, at: int) -> Iterator[Row]:
    for number, sample in enumerate(read_object(path)["tests"][at]["samples"]):
        with refuse_malformed(f"{path}: tests[{at}].samples[{number}] is not a sample of evalution"):
            prompt, right = convert_to_text(sample.get("prompt")), convert_to_text(sample.get("target"))
            yield Row(
                id=str(sample["index"]),
                scores=dict(sample["scores"]),
                keys=make_keys(prompt=prompt, target=right),
                prompt=prompt,
                answer=convert_to_text(sample.get("prediction")),
                target=right,
                fields=_read_fields(sample.get("metadata") or {}),
            )


reader = Evalution()
