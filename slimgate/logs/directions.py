"""Whether a metric of a log is better when higher: by the user, the log, its tool, or a known name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from slimgate.errors import SuiteError, format_suggestion, list_names
from slimgate.judge.directions import find_known_direction
from slimgate.logs.budgets import is_match
from slimgate.logs.pairs import PairedTask

_MOST_NAMED = 8


def read_directions(higher: Sequence[str], lower: Sequence[str]) -> dict[str, bool]:
    """The direction of each pattern: True if higher is better. Raises SuiteError for a pattern with both."""
    if twice := sorted(set(higher) & set(lower)):
        raise SuiteError(
            f'"{twice[0]}" was given as better when higher and as better when lower; expected one'
        )
    return {**dict.fromkeys(higher, True), **dict.fromkeys(lower, False)}


def add_directions(paired: PairedTask, measured: Mapping[str, str], stated: Mapping[str, bool]) -> PairedTask:
    """The task with the direction of each measured metric that is known. measured: metric -> comparison.

    stated: as in Rules. Raises SuiteError if it contradicts the log, or itself.
    """
    known = {metric: paired.known_directions.get(metric, find_known_direction(metric)) for metric in measured}
    directions = {metric: better for metric, better in known.items() if better is not None}
    directions |= paired.higher_is_better
    for metric, name in measured.items():
        by_user = {
            better for pattern, better in stated.items() if is_match(pattern, name, paired.task, metric)
        }
        if len(by_user) > 1:
            raise SuiteError(
                f"{name}: both higher_is_better and lower_is_better match it; expected only one of them"
            )
        for better in by_user:
            if paired.higher_is_better.get(metric, better) is not better:
                up = "lower" if better else "higher"
                raise SuiteError(
                    f"{name}: the log says that it is better when {up}, but you state the opposite"
                )
            directions[metric] = better
    return replace(paired, higher_is_better=directions)


def describe_contradictions(
    paired: PairedTask, measured: Mapping[str, str], stated: Mapping[str, bool]
) -> list[str]:
    """A note for each metric whose direction is not the usual one of its name.

    The arguments are those of `add_directions`.
    """
    notes = []
    for metric, name in measured.items():
        usual, better = find_known_direction(metric), paired.higher_is_better.get(metric)
        if usual is None or better is None or better is usual:
            continue
        is_stated = any(is_match(pattern, name, paired.task, metric) for pattern in stated)
        who = "you state" if is_stated else "the log or its tool states"
        notes.append(
            f"{name} is judged as better when {_format_direction(better)}, as {who}; a metric of this "
            f"name is usually better when {_format_direction(usual)}"
        )
    return notes


def _format_direction(better_when_higher: bool) -> str:
    return "higher" if better_when_higher else "lower"


def describe_unknown(unknown: Sequence[tuple[str, str]]) -> str:
    """Which comparisons have no direction, and what to write. unknown: the name and the metric of each."""
    names = list(dict.fromkeys(name for name, _ in unknown))
    metric = unknown[0][1]
    return (
        f"{list_names(names, _MOST_NAMED)}: neither the log nor the name says whether more is better; write "
        f'--higher-is-better "{metric}" or --lower-is-better "{metric}" for each (in a suite: '
        f'higher_is_better = ["{metric}"] in [logs]), or choose others by --metric'
    )


def check_directions_used(stated: Mapping[str, bool], names: Sequence[tuple[str, str, str]]) -> None:
    """Raises SuiteError for a pattern that matches no comparison. names: comparison, task and metric."""
    for pattern in stated:
        if not any(is_match(pattern, *name) for name in names):
            near = format_suggestion(pattern, [name for name, _, _ in names])
            raise SuiteError(f'higher_is_better or lower_is_better: no comparison matches "{pattern}"{near}')
