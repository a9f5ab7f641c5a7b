"""Settings that tools write as nested options, in a form in which two logs can be compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from slimgate._system.json_text import JsonObject
from slimgate.logs.json_lines import convert_to_text

T = TypeVar("T")
# In place of the name or path of the model itself, which always differs between two logs.
OWN_MODEL = "(the model)"
# Arguments of models that change the answers: limits, and how prompts and answers are made.
_ANSWER_ARGS = (
    *("max_gen_toks", "max_length", "truncation", "truncate", "truncation_side"),
    *("enable_thinking", "think_end_token", "think_start_token", "add_bos_token", "prefix_token_id"),
    *("chat_template", "chat_template_args", "chat_template_kwargs", "apply_chat_template"),
    *("system_instruction", "system_prompt", "fewshot_as_multiturn", "add_special_tokens", "eos_string"),
    *("interleave", "max_images", "image_width", "image_height", "image_max_side"),
    *("min_pixels", "max_pixels"),
)
# Names that other tools and models have for one of these arguments.
_OTHER_NAMES = dict.fromkeys(("max_model_len", "max_model_length", "context_length"), "max_length")


def read_answer_args(arguments: JsonObject) -> dict[str, str]:
    """The arguments of a model that change its answers, as texts, because older versions write texts."""
    stated = {
        _OTHER_NAMES.get(name, name): str(value)
        for name, value in arguments.items()
        if value not in (None, "", "None")
    }
    return {name: stated[name] for name in _ANSWER_ARGS if name in stated}


def simplify_options(
    value: object, *, model_names: Collection[str] = (), ignored: Collection[str] = ()
) -> object:
    """The options without the ignored keys, at any depth, and with OWN_MODEL in place of the model's names.

    model_names: names and paths of the model itself. ignored: keys that change no answer and no score.
    """
    if isinstance(value, Mapping):
        return {
            str(name): simplify_options(part, model_names=model_names, ignored=ignored)
            for name, part in value.items()
            if name not in ignored
        }
    if isinstance(value, list | tuple):
        return [simplify_options(part, model_names=model_names, ignored=ignored) for part in value]
    return OWN_MODEL if isinstance(value, str) and value in model_names else value


def drop_unset_options(value: object) -> object:
    """The options without those that are empty or None, which mean the same as no option."""
    if isinstance(value, Mapping):
        options = {str(name): drop_unset_options(part) for name, part in value.items()}
        return {name: part for name, part in options.items() if part not in (None, "", [], {})}
    return [drop_unset_options(part) for part in value] if isinstance(value, list | tuple) else value


def group_by_sample(stated: Sequence[tuple[str, object]]) -> list[object] | dict[str, list[object]]:
    """The value that all samples have, or the values of each sample, because two samples may swap theirs.

    stated: (sample, value). A sample has several values if it occurs several times. None: nothing is stated.
    """
    by_text = {convert_to_text(value): value for _, value in stated}
    if len(by_text) < 2:
        return [value for value in by_text.values() if value is not None]
    by_sample: dict[str, set[str]] = {}
    for sample, value in stated:
        if (text := convert_to_text(value)) is not None:
            by_sample.setdefault(sample, set()).add(text)
    return {sample: [by_text[text] for text in sorted(texts)] for sample, texts in by_sample.items()}


def number_names(parts: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The parts by name; the second one of the same name is `NAME 2`."""
    by_name: dict[str, T] = {}
    for name, part in parts:
        count, key = 1, name
        while key in by_name:
            count += 1
            key = f"{name} {count}"
        by_name[key] = part
    return by_name
