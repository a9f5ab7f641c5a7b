"""Compares the settings of a task in two logs, and the documents of the samples that they share."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from slimgate._system.json_text import convert_to_json
from slimgate._system.number_text import format_count
from slimgate.errors import list_names
from slimgate.logs.base_log import cut_text
from slimgate.logs.columns import Samples
from slimgate.logs.json_lines import convert_to_text
from slimgate.logs.pair_notes import LONGEST_QUOTE
from slimgate.logs.predictions.codes import ROWS_AT_ONCE
from slimgate.logs.predictions.files import format_examples
from slimgate.logs.rules import Differences, Rules, prefix_place
from slimgate.outcomes import Ints
from slimgate.plugins.environments import HARNESS
from slimgate.plugins.reader import (
    FILTERS,
    PER_SAMPLE,
    PROMPT,
    SCORERS,
    SETTING_WORDS,
    SETTINGS,
    Digest,
    Log,
    TaskLog,
)


def compare_keys(
    where: str,
    base: Samples,
    target: Samples,
    base_rows: Ints,
    target_rows: Ints,
    differences: Differences,
) -> None:
    """Compares the documents, prompts and targets of matched samples."""
    for key in PER_SAMPLE:
        if key not in base.keys or key not in target.keys:
            continue
        rows = _find_differing_rows(base.keys[key], target.keys[key], base_rows, target_rows)
        if key == PROMPT:  # a failed sample may have stopped before its prompt was complete
            rows = rows[(base.errors[base_rows[rows]] | target.errors[target_rows[rows]]) == 0]
        if not len(rows):
            continue
        text = (
            f"{key}s differ in {len(rows):,} of {format_count(len(base_rows), 'sample', 'samples')} "
            f"({format_examples(base.ids.take(pa.array(base_rows[rows])))})"
        )
        example = ""
        if key not in differences.allow:
            example = _quote_difference(key, base, target, int(base_rows[rows[0]]), int(target_rows[rows[0]]))
        differences.add(key, where, text, example)


def _find_differing_rows(before: Ints, after: Ints, base_rows: Ints, target_rows: Ints) -> Ints:
    """Positions in the shared rows. It compares a part at a time, because copies of all rows take memory."""
    differing = [np.empty(0, np.int64)]  # two runs of a side may share no sample
    for start in range(0, len(base_rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        differing.append(start + np.flatnonzero(before[base_rows[part]] != after[target_rows[part]]))
    return np.concatenate(differing)


def _quote_difference(key: str, base: Samples, target: Samples, base_row: int, other: int) -> str:
    """`, first "…2+3=" and "…2+3 ="`: the texts around their first difference; "" if a log lacks them."""
    rows = base.quote([base_row]).get(base_row), target.quote([other]).get(other)
    texts = [None if row is None else {"prompt": row.prompt, "target": row.target}.get(key) for row in rows]
    if any(row is not None and isinstance(row.keys.get(key), Digest) for row in rows):
        texts = [cut_text(key, text) for text in texts]
    before, after = texts
    if before is None or after is None or before == after:
        return ""
    at = next((k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    start, dots = max(0, at - 20), "…" if at > 20 else ""
    quotes = [f'"{dots}{text[start : at + 40]}"' for text in (before, after)]
    return f", first {' and '.join(quotes)}"


_MAX_NAMED = 4
# States of the user's own repository, which often change.
_OF_USER = frozenset({"git hash", "commit of the task", "uncommitted changes"})


def is_same_version(base: Log, target: Log) -> bool:
    """Whether both logs state one version of their tool, which writes the same options into both."""
    versions = base.environment.get(HARNESS), target.environment.get(HARNESS)
    return bool(versions[0]) and versions[0] == versions[1]


def describe_versions(
    base: Log, target: Log, effect: str = "score the same answer otherwise"
) -> Iterator[str]:
    """A line if other versions of the tool wrote the logs. effect: what another version may do."""
    if versions := _list_versions(base, target):
        yield f"{versions}; another version may {effect}"


def _list_versions(base: Log, target: Log) -> str:
    """`lm-eval 0.4.3 wrote the base's log and 0.4.12 the target's`; "" if their versions do not differ."""
    before, after = (log.environment.get(HARNESS) or {} for log in (base, target))
    differing = [
        f"{name} {before[name]} wrote the base's log and {after[name]} the target's"
        for name in before
        if name not in _OF_USER and name in after and before[name] != after[name]
    ]
    return list_names(differing, _MAX_NAMED) if differing else ""


def describe_tools(base: Log, target: Log) -> str:
    """For a refusal: that two tools, or two versions of a tool, wrote the logs. "" if one version did."""
    if base.tool != target.tool:
        return f"read as {base.tool} and as {target.tool}"
    versions = _list_versions(base, target)
    return f"{versions}; run both with one version" if versions else ""


def compare_settings(
    name: str,
    base: TaskLog,
    target: TaskLog,
    rules: Rules,
    differences: Differences,
    *,
    same_version: bool,
) -> None:
    """Compares the settings of a task.

    differences: gets the settings that differ, and a note on options that only one log has. same_version:
    whether one version of the tool wrote both logs, so that an option in only one of them is a difference.
    """
    before, after = convert_to_json(base.settings), convert_to_json(target.settings)
    if SCORERS in before and SCORERS in after:  # metrics of a scorer that only one log has are not judged
        shared = before[SCORERS].keys() & after[SCORERS].keys()
        for settings in (before, after):
            settings[SCORERS] = {name: part for name, part in settings[SCORERS].items() if name in shared}
    for setting in SETTINGS:
        if setting not in before or setting not in after or before[setting] == after[setting]:
            continue
        if setting == "limit" and rules.analyses > 1:  # the target's log does not have all samples yet
            continue
        words, values = SETTING_WORDS.get(setting, setting), (before[setting], after[setting])
        unshared: list[str] = []
        values = _select_compared(setting, values, (base, target), unshared, same_version=same_version)
        if unshared:
            text = f"{words} that only one of the logs has, and that are not compared: "
            differences.notes.append(prefix_place(name, text + list_names(unshared, _MAX_NAMED)))
        if values[0] != values[1]:
            texts = [_shorten(value) for value in values]
            if texts[0] == texts[1]:  # both are cut before they differ
                texts = [_shorten(value) for value in _keep_differing(*values, deep=True)]
            uncut = " and ".join(convert_to_text(value) or "none" for value in values)
            differences.add(setting, name, f"{words} {' and '.join(texts)}", values=uncut)


def _select_compared(
    setting: str,
    values: tuple[object, object],
    tasks: tuple[TaskLog, TaskLog],
    unshared: list[str],
    *,
    same_version: bool,
) -> tuple[object, object]:
    """The parts of a setting's values that differ. unshared: gets options that only one log has."""
    if any(setting in task.partial_settings for task in tasks):
        values = _keep_stated(*values)
    is_shared = not same_version and any(setting in task.shared_options for task in tasks)
    if is_shared and _has_same_steps(setting, *values):
        values = _keep_shared(*values, "", unshared)
    return _keep_differing(*values)


def _keep_stated(before: object, after: object) -> tuple[object, object]:
    """Keeps the options that both logs state, with their complete values; else both as they are."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return before, after
    shared = [key for key in before if before[key] is not None and after.get(key) is not None]
    return {key: before[key] for key in shared}, {key: after[key] for key in shared}


def _has_same_steps(setting: str, before: object, after: object) -> bool:
    """Whether both have the same steps, so that only options of steps can differ. Only filters have steps."""
    return setting != FILTERS or (
        isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys()
    )


def _keep_shared(before: object, after: object, prefix: str, unshared: list[str]) -> tuple[object, object]:
    """Keeps the options that both have, at every depth.

    prefix: the keys that lead to these values, each with a dot. unshared: gets the options that only one has,
    unless they are empty.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in {**before, **after}.items():
            if not (key in before and key in after) and not _is_empty(value):
                text = json.dumps(value, ensure_ascii=False)
                # a long value is left out
                unshared.append(f"{prefix}{key} = {text}" if len(text) <= LONGEST_QUOTE else f"{prefix}{key}")
        parts = {
            key: _keep_shared(before[key], after[key], f"{prefix}{key}.", unshared)
            for key in before
            if key in after
        }
        return {key: part[0] for key, part in parts.items()}, {key: part[1] for key, part in parts.items()}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [_keep_shared(*values, prefix, unshared) for values in zip(before, after, strict=True)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return (None, None) if _is_empty(before) and _is_empty(after) else (before, after)


def _is_empty(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value in (None, "", [])


def _keep_differing(before: object, after: object, *, deep: bool = False) -> tuple[object, object]:
    """If both are mappings, only their entries that differ; else both as they are. deep: at every depth.

    A missing entry equals None. If both logs have an entry, None also equals {}: versions of lm-eval write
    one or the other for no options. A missing entry does not equal {}: a solver may have no options.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        empty = {
            key for key in before if before[key] in (None, {}) and key in after and after[key] in (None, {})
        }
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key) and key not in empty]
        parts = {key: (before.get(key), after.get(key)) for key in keys}
        if deep:
            parts = {key: _keep_differing(*part, deep=True) for key, part in parts.items()}
        return {key: part[0] for key, part in parts.items()}, {key: part[1] for key, part in parts.items()}
    return before, after


def _shorten(value: object) -> str:
    """The value as text for a message, cut if it is long; `none` if it is empty."""
    text = convert_to_text(value) or "none"
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"
