"""A log is of one model; chooses the model of a file that holds answers of several.

`promptfoo eval` asks several providers in one run, each under several prompts, and writes one file.
`--model` chooses a provider, a prompt or both of each side. So it can judge two prompts of one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from slimgate._system.toml import format_value as quoted
from slimgate.errors import DataError, did_you_mean, list_names
from slimgate.logs.runs import ANY, BASE, REPEAT, SIDES, TARGET, parse_by_side
from slimgate.plugins.reader import Log

_MOST_MODELS = 8


def parse_models(texts: str | Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """The model of each side, or of every side, which is "". Texts: `NAME`, `base=NAME`. Raises DataError."""
    return parse_by_side("model", texts, _parse_model, "the name of a model")


def _parse_model(text: str) -> tuple[str, str]:
    """Reads a choice. A model's name may contain = too, so only a side may come before it."""
    side, separator, name = text.partition("=")
    return (side.strip(), name) if separator and side.strip() in SIDES else (ANY, text)


def choose_models(base: Log, target: Log, choices: Mapping[str, str]) -> tuple[Log, Log]:
    """Both logs with one model each. choices: from `parse_models`.

    Raises DataError if a choice fits no model, if a log holds several models without a choice, or if both
    sides are the same model of the same file under the same prompt.
    """
    is_one_file = _resolve(base) == _resolve(target)
    unchosen = {
        side: log
        for side, log in ((BASE, base), (TARGET, target))
        if (log.models or (is_one_file and log.prompts)) and not {side, ANY} & choices.keys()
    }
    if unchosen:
        raise DataError(_describe_unchosen(unchosen, choices, is_one_file=is_one_file))
    chosen = _choose(base, BASE, choices), _choose(target, TARGET, choices)
    if has_parts(base) and is_one_file and chosen[0].model == chosen[1].model:
        raise DataError(
            f"{base.shown}: base and target are both {chosen[0].model}; choose two models by "
            f"{_suggest_choices({BASE: base, TARGET: target}, {})}"
        )
    return chosen


def has_parts(log: Log) -> bool:
    """Whether `--model` can choose a part of the log."""
    return bool(log.models or log.prompts)


def choose_repeat_model(repeat: Log, base: Log, choices: Mapping[str, str]) -> Log:
    """The log of `--repeat` with one model: the chosen model, or else that of the base."""
    if has_parts(repeat) and not {REPEAT, ANY} & choices.keys() and base.model is not None:
        choices = {**choices, REPEAT: base.model}
    return _choose(repeat, REPEAT, choices)


def _choose(log: Log, side: str, choices: Mapping[str, str]) -> Log:
    """The log, and each of its further runs, with one model."""
    chosen, *further = (_choose_model(run, side, choices) for run in (log, *log.further))
    return replace(chosen, further=tuple(further)) if further else chosen


def _choose_model(log: Log, side: str, choices: Mapping[str, str]) -> Log:
    name = choices.get(side, choices.get(ANY) if has_parts(log) else None)
    if name is None:
        return log
    written = quoted(name) if " " in name else name
    shown = f"--model {side}={written}" if side in choices else f"--model {written}"
    if not has_parts(log):
        if log.model != name:
            raise DataError(
                f"{shown}: {log.shown} is a log of {log.model or 'a model that it does not name'}"
            )
        return log
    parts = _name_parts(log)
    if name not in parts:
        near = did_you_mean(name, parts)
        raise DataError(f"{shown}: no such model in {log.shown}; it has {_list_models(log)}{near}")
    return parts[name]


def _name_parts(log: Log) -> dict[str, Log]:
    """What `--model` can choose, by name: each model, and each prompt of it."""
    models = log.models or (log,)
    by_prompt = {str(part.model): part for model in models for part in model.prompts.values()}
    return {**log.prompts, **by_prompt, **{str(model.model): model for model in models}}


def _resolve(log: Log) -> Path:
    return Path(log.shown).resolve()


def _describe_unchosen(unchosen: Mapping[str, Log], choices: Mapping[str, str], *, is_one_file: bool) -> str:
    """What the logs hold, each file once, and options that choose a model. unchosen: by side."""
    logs = {_resolve(log): log for log in unchosen.values()}
    models_by_file = " and ".join(f"{log.shown} has answers {_describe_parts(log)}" for log in logs.values())
    has_table = any(log.tool == "table" for log in logs.values())
    other = "; rename the column model if it is something else" if has_table else ""
    return f"{models_by_file}: choose by {_suggest_choices(unchosen, choices if is_one_file else {})}{other}"


def _suggest_choices(logs: Mapping[str, Log], chosen: Mapping[str, str]) -> str:
    """`--model base=NAME --model target=OTHER`. logs: by side. chosen: what the user has chosen."""
    suggested = {(_resolve(log), name) for log in logs.values() for name in chosen.values()}
    options = []
    for side, log in logs.items():
        names = [str(part.model) for part in log.models] or list(log.prompts)
        name = next((name for name in names if (_resolve(log), name) not in suggested), names[0])
        suggested.add((_resolve(log), name))
        options.append(f'--model {side}="{name}"')
    return " ".join(options)


def _describe_parts(log: Log) -> str:
    """`of 2 models (large, small), each under 2 prompts (old, new; a prompt is chosen by "large, old")`."""
    prompts = (log.models or (log,))[0].prompts
    names = f"{len(prompts)} prompts ({list_names(list(prompts), _MOST_MODELS)}"
    if not log.models:
        return f"under {names})"
    models = f"of {len(log.models)} models ({_list_models(log)})"
    first = next((str(part.model) for part in prompts.values()), None)
    return models if first is None else f'{models}, each under {names}; "{first}" is one prompt of a model)'


def _list_models(log: Log) -> str:
    names = [str(part.model) for part in log.models]
    prompts = (log.models or (log,))[0].prompts
    return list_names(names or [*prompts, str(log.model)], _MOST_MODELS)
