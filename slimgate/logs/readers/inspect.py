"""Inspect: `.eval` and `.json` logs; the package inspect-ai is not needed.

A row is a sample and an epoch; the epochs of a sample are one cluster. Each scorer is a metric; a scorer that
gives a mapping is one metric a key. C, I, P and N count 1, 0, 0.5 and 0, as `inspect_ai` counts them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning
from slimgate.logs.readers._inspect_files import has_samples, read_header, read_samples
from slimgate.logs.readers._rows import is_cut_off
from slimgate.logs.readers._settings import number_names, read_answer_args, simplify_options
from slimgate.logs.runs import convert_to_utc, make_log
from slimgate.plugins.environments import Environment, group_packages, join_environments, make_environment
from slimgate.plugins.reader import (
    DOCUMENT,
    FILTERS,
    GENERATION,
    PROMPT,
    SCORERS,
    TARGET,
    TASK_ARGS,
    Log,
    Reader,
    Row,
    Run,
    TaskLog,
    name_further_epoch,
)

_MOST_FIGURES = 4
_MEANS = frozenset({"accuracy", "mean"})
# A role in one log only is another grader, and not an option of which the other log states no default.
_ROLES, _NAMES_OF_ROLES = "(model roles)", "(names of model roles)"
# Scorers of inspect_ai that give C, I, P or N, or a share.
_SCORERS = ("answer", "choice", "f1", "math", "model_graded_fact", "model_graded_qa", "pattern")
_RANGES = dict.fromkeys(_SCORERS, (0.0, 1.0))
_GRADERS = ("model_graded_fact", "model_graded_qa")
# Settings of the generation that do not change answers.
_NOT_ANSWERS = (
    "max_connections",
    "adaptive_connections",
    "max_retries",
    "timeout",
    "attempt_timeout",
    "batch",
)
# Options of a grader's model that do not change its grades.
_NOT_GRADES = (*_NOT_ANSWERS, "base_url")
# In place of an image, unless Inspect ran with --log-images.
_REMOVED = "<base64-data-removed>"
# The numbers that inspect_ai.scorer.value_to_float gives for texts.
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


class Inspect(Reader):
    """One log, or a folder with the logs of one or more runs."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(self.recognizes(file) for file in sorted(path.iterdir()) if file.is_file())
        if path.suffix == ".eval":
            return True
        start = read_beginning(path)
        return path.suffix == ".json" and '"status":' in start[:200] and '"eval"' in start

    def read(self, path: Path) -> Log:
        files = (
            [path]
            if path.is_file()
            else [file for file in sorted(path.iterdir()) if file.is_file() and self.recognizes(file)]
        )
        logs_of: dict[str, list[tuple[Path, JsonObject]]] = {}
        for file in files:
            header = read_header(file)
            # The calls of an `eval_set` are one run.
            logs_of.setdefault(
                str(header["eval"].get("eval_set_id") or header["eval"].get("run_id")), []
            ).append((file, header))
        return make_log("inspect", str(path), [_make_run(path, logs) for logs in logs_of.values()])


def _make_run(path: Path, logs: Sequence[tuple[Path, JsonObject]]) -> Run:
    """The logs of one call of Inspect. Raises DataError unless they are of one model, with each task once."""
    tasks: dict[str, TaskLog] = {}
    at: dict[str, Path] = {}
    models: set[str] = set()
    notes: list[str] = []
    problems: list[str] = []
    for file, header in logs:
        task = str(header["eval"]["task"])
        if task in tasks:
            raise DataError(
                f"{path}: task {task} is in {at[task].name} and in {file.name}; name one of these files"
            )
        models.add(str(header["eval"]["model"]))
        tasks[task], at[task] = _make_task_log(file, header), file
        notes += _describe_reducer(file, header)
        problems += _describe_incomplete(file, header) or _describe_empty(file, header)
    if len(models) > 1:
        raise DataError(
            f"{path}: logs of several models ({', '.join(sorted(models))}); give those of one model"
        )
    time = min((str(header["eval"]["created"]) for _, header in logs), key=convert_to_utc)
    problem = "; ".join(problems) or None
    environment = join_environments(*(_read_environment(header) for _, header in logs))
    return Run(time, dict(sorted(tasks.items())), next(iter(models)), tuple(notes), problem, environment)


def _read_environment(header: JsonObject) -> Environment:
    """The versions and settings in a header."""
    spec, plan = header["eval"], header.get("plan") or {}
    revision, dataset, model = spec.get("revision") or {}, spec.get("dataset") or {}, spec.get("model")
    return join_environments(
        make_environment(
            prompt={
                "task_args": spec.get("task_args"),
                "task_version": spec.get("task_version"),
                "solvers": [step.get("solver") for step in plan.get("steps") or ()] or None,
                "dataset": {name: dataset.get(name) for name in ("name", "location", "samples")},
            },
            sampling={
                "plan": plan.get("config"),
                "model_generate_config": spec.get("model_generate_config"),
                "config": spec.get("config"),
            },
            model={
                "model": model,
                "model_args": spec.get("model_args"),
                "roles": spec.get("model_roles"),
            },
            engine={
                "base url": spec.get("model_base_url"),
                "provider": str(model).partition("/")[0],
            },
            harness={
                "commit of the task": revision.get("commit"),
                "uncommitted changes": revision.get("dirty"),
            },
        ),
        group_packages(spec.get("packages") or {}),
    )


def _describe_incomplete(file: Path, header: JsonObject) -> list[str]:
    """Why a log cannot be judged; empty if it can be judged."""
    status, error = header.get("status"), header.get("error")
    if header.get("invalidated"):
        return [f"{file.name}: its samples were invalidated by `inspect log`; run them again"]
    if status == "success":
        return []
    why = f": {str(error.get('message'))[:200]}" if error else ""
    return [
        f"{file.name}: the run's status is {status}, expected success{why}; finish it by `inspect eval-retry`"
    ]


def _describe_reducer(file: Path, header: JsonObject) -> list[str]:
    """A line if Inspect states another figure of a sample's epochs than their mean, which is judged."""
    config = header["eval"].get("config") or {}
    stated = config.get("epochs_reducer") or "mean"
    reducers = [stated] if isinstance(stated, str) else list(stated)
    if (config.get("epochs") or 1) == 1 or reducers == ["mean"]:
        return []
    return [
        f"{file.name}: Inspect states {', '.join(map(str, reducers))} of the epochs of a sample, and "
        "slimgate judges their mean; name pass@K or pass^K in --metric to judge one of these"
    ]


def _describe_empty(file: Path, header: JsonObject) -> list[str]:
    """Why there is nothing to pair in a log without samples, with the figures that its results state."""
    if has_samples(file, header):
        return []
    results = header.get("results") or {}
    figures = [
        f"{score.get('name')} {name} {metric['value']:.4g}"
        for score in results.get("scores") or ()
        for name, metric in (score.get("metrics") or {}).items()
        if isinstance(metric.get("value"), int | float)
    ]
    version = "" if "version" in header else ", and no version, so it is not a complete log of Inspect"
    alone = f"; its results alone say {', '.join(figures[:_MOST_FIGURES])}" if figures else ""
    count = f" of {results['total_samples']} samples" if alone and results.get("total_samples") else ""
    return [
        f"{file.name}: it has no samples{version}{alone}{count}; expected the log as `inspect eval` writes "
        "it with log_samples"
    ]


def _make_task_log(file: Path, header: JsonObject) -> TaskLog:
    spec, plan = header["eval"], header.get("plan") or {}
    config = spec.get("config") or {}
    generation = {**(plan.get("config") or {}), **(spec.get("model_generate_config") or {})}
    arguments = read_answer_args(spec.get("model_args") or {})
    # message_limit, token_limit, time_limit, working_limit and others that cut an answer off
    limits = {name: value for name, value in config.items() if name.endswith("_limit")}
    names = (spec.get("dataset") or {}).get("sample_ids") or ()
    epochs = config.get("epochs") or 1
    model_names = _list_own_names(spec)
    return TaskLog(
        rows=partial(_read_rows, file),
        ids=tuple(name_further_epoch(str(name), epoch) for epoch in range(1, epochs + 1) for name in names),
        ranges=_RANGES,
        most_tokens=generation.get("max_tokens"),
        means=dict(_read_means(header)),
        settings={
            "version": spec.get("task_version"),
            "limit": {"limit": convert_to_text(config.get("limit")), "epochs": config.get("epochs")},
            GENERATION: {
                key: value
                for key, value in {**arguments, **generation, **limits}.items()
                if value is not None and key not in _NOT_ANSWERS
            },
            FILTERS: _read_solvers(plan, model_names) if plan else None,
            TASK_ARGS: simplify_options(spec.get("task_args") or {}, model_names=model_names),
            **_read_scorers(header),
        },
        shared_options=(FILTERS, TASK_ARGS, SCORERS),
    )


def _read_means(header: JsonObject) -> Iterator[tuple[tuple[str, str], float]]:
    """The means over all samples that Inspect states: the metrics accuracy and mean, without options."""
    for score in (header.get("results") or {}).get("scores") or ():
        is_mean = score.get("reducer") in (None, "mean") and score.get("scorer") == score.get("name")
        if not is_mean or score.get("unscored_samples"):
            continue
        for name in _MEANS & (score.get("metrics") or {}).keys():
            metric = score["metrics"][name]
            value = metric.get("value")
            if isinstance(value, int | float) and not (metric.get("params") or metric.get("options")):
                yield ("", str(score["name"])), float(value)


def _list_own_names(spec: JsonObject) -> set[str]:
    """The names and paths of the evaluated model."""
    model = str(spec["model"])
    stated = (spec.get("model_args") or {}).values()
    return {model, model.partition("/")[2], *(value for value in stated if isinstance(value, str))} - {""}


def _read_solvers(plan: JsonObject, model_names: Collection[str]) -> dict[str, object]:
    """The solvers in order, each with its parameters, such as the template of a system message."""
    steps = plan.get("steps") or ()
    return {
        f"{at} {step['solver']}": simplify_options(step.get("params") or {}, model_names=model_names)
        for at, step in enumerate(steps, 1)
    }


def _read_scorers(header: JsonObject) -> dict[str, object]:
    """The options of each scorer, and the models in roles, such as the grader. Old logs: from the results.

    A grader that is the evaluated model itself differs between the logs, as its grades may. Without a grader,
    Inspect's scorers take that model.
    """
    spec = header["eval"]
    listed = spec.get("scorers")
    if listed is not None:
        options = number_names((str(scorer["name"]), scorer.get("options") or {}) for scorer in listed)
    else:
        scores = (header.get("results") or {}).get("scores")
        if not scores:
            return {}
        options = {str(score.get("scorer") or score["name"]): score.get("params") or {} for score in scores}
    roles = spec.get("model_roles") or {}
    for name, part in options.items():
        has_grader = part.get("model") or (part.get("model_role") or "grader") in roles
        if name.rpartition("/")[2].partition(" ")[0] in _GRADERS and not has_grader:
            options[name] = {**part, "model": spec["model"]}
    scorers = {**options, _ROLES: roles, _NAMES_OF_ROLES: sorted(roles)}
    return {SCORERS: {name: simplify_options(part, ignored=_NOT_GRADES) for name, part in scorers.items()}}


def _read_rows(file: Path) -> Iterator[Row]:
    for sample in read_samples(file):
        text, prompt = _format_prompt(sample["input"]), _read_whole_prompt(sample)
        target, epoch, error = sample.get("target"), sample.get("epoch", 1), sample.get("error")
        output = sample.get("output") or {}
        choices = output.get("choices") or [{}]
        scores = dict(_read_scores(sample))
        media = _list_media(sample["input"])
        inputs = [text, target, *(sample.get(name) for name in ("choices", "files", "setup")), *media]
        stated = output.get("completion")
        yield Row(
            id=name_further_epoch(str(sample["id"]), epoch),
            scores=(
                {}
                if sample.get("invalidation")
                else {name: _convert_to_number(value) for name, value in scores.items() if _is_number(value)}
            ),
            not_numbers=tuple(name for name, value in scores.items() if not _is_number(value)),
            keys={
                # without its images, the log does not say which document it is
                DOCUMENT: "" if _REMOVED in media else convert_to_text(inputs) or "",
                PROMPT: prompt,
                TARGET: convert_to_text(target) or "",
            },
            cluster=str(sample["id"]),
            error=None if error is None else str(error.get("message")),
            truncated=_is_at_limit(sample) or is_cut_off(choices[0].get("stop_reason")),
            prompt=prompt,
            answer=str(stated)
            if stated
            else _format_content((choices[0].get("message") or {}).get("content")),
            target=convert_to_text(target),
            fields=sample.get("metadata") or None,
            answer_tokens=(output.get("usage") or {}).get("output_tokens"),
        )


def _is_at_limit(sample: JsonObject) -> bool:
    """Whether a limit on messages, tokens, time or cost ended the sample; not a person or a scorer."""
    limit = sample.get("limit")
    return bool(limit and limit.get("type") not in ("operator", "custom"))


def _format_prompt(prompt: str | Sequence[JsonObject]) -> str:
    """A prompt: a text, or messages whose contents are texts or parts."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{message['role']}: {_format_content(message.get('content'))}" for message in prompt)


def _read_whole_prompt(sample: JsonObject) -> str:
    """The messages before the model's first answer, such as a solver's; the input, if there are none."""
    messages = takewhile(
        lambda message: message["role"] != "assistant" or message.get("source") == "input",
        sample.get("messages") or (),
    )
    text, conversation = _format_prompt(sample["input"]), _format_prompt(list(messages))
    return text if conversation in ("", f"user: {text}") else conversation


def _list_media(prompt: str | Sequence[JsonObject]) -> list[object]:
    """The images, sounds and other parts of a prompt that are no text."""
    contents = [] if isinstance(prompt, str) else [message.get("content") for message in prompt]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part.get(part.get("type"), part) for part in parts if part.get("type") != "text"]


def _format_content(content: str | Sequence[JsonObject] | None) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text", "") for part in content if part.get("type") == "text")


def _read_scores(sample: JsonObject) -> Iterator[tuple[str, float | str | None]]:
    """The values of a sample; each key of a mapping is a metric. Old logs have one score."""
    scores = sample.get("scores") or ({"score": sample["score"]} if sample.get("score") else {})
    for name, score in scores.items():
        if isinstance(score["value"], dict):
            yield from ((f"{name}.{key}", value) for key, value in score["value"].items())
        else:
            yield name, score["value"]


def _is_number(value: object) -> bool:
    """Whether a value is a number, represents a number, or is missing."""
    if isinstance(value, str):
        return value in _GRADES or value.lower() in _WORDS or _NUMBER.fullmatch(value) is not None
    return value is None or isinstance(value, int | float)


def _convert_to_number(value: float | str | None) -> float | None:
    if isinstance(value, str) and (grade := _GRADES.get(value, _WORDS.get(value.lower()))) is not None:
        return grade
    return None if value is None else float(value)


reader = Inspect()
