"""Whether a metric of a log is better when higher: by the user, the log, its tool, or a known name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from slimgate.errors import SuiteError, format_suggestion, list_names
from slimgate.judge.named_scores import find_known_direction
from slimgate.logs.budgets import ComparisonKey
from slimgate.logs.pairs import PairedTask

_MOST_NAMED = 8


def read_directions(higher: Sequence[str], lower: Sequence[str]) -> dict[str, bool]:
    """The direction of each pattern: True if higher is better. Raises SuiteError for a pattern with both."""
    if twice := sorted(set(higher) & set(lower)):
        raise SuiteError(
            f'"{twice[0]}" was given as better when higher and as better when lower; expected one'
        )
    return {**dict.fromkeys(higher, True), **dict.fromkeys(lower, False)}


def add_directions(
    paired: PairedTask, measured: Sequence[ComparisonKey], stated: Mapping[str, bool]
) -> PairedTask:
    """The task with the direction of each measured metric that is known.

    measured: the comparisons of the task that are judged. stated: as in Rules. Raises SuiteError if it
    contradicts the log, or itself.
    """
    metrics = [key.metric for key in measured]
    known = {metric: paired.known_directions.get(metric, find_known_direction(metric)) for metric in metrics}
    directions = {metric: better for metric, better in known.items() if better is not None}
    directions |= paired.higher_is_better
    for key in measured:
        by_user = {better for pattern, better in stated.items() if key.is_matched_by(pattern)}
        if len(by_user) > 1:
            raise SuiteError(
                f"{key.name}: both higher_is_better and lower_is_better match it; expected only one of them"
            )
        for better in by_user:
            if paired.higher_is_better.get(key.metric, better) is not better:
                opposite = _format_direction(not better)
                raise SuiteError(
                    f"{key.name}: the log says that it is better when {opposite}, but you state the opposite"
                )
            directions[key.metric] = better
    return replace(paired, higher_is_better=directions)


def describe_contradictions(
    paired: PairedTask, measured: Sequence[ComparisonKey], stated: Mapping[str, bool]
) -> list[str]:
    """A note for each metric whose direction is not the usual one of its name.

    The arguments are those of `add_directions`.
    """
    notes = []
    for key in measured:
        usual, better = find_known_direction(key.metric), paired.higher_is_better.get(key.metric)
        if usual is None or better is None or better is usual:
            continue
        who = "you state" if any(map(key.is_matched_by, stated)) else "the log or its tool states"
        notes.append(
            f"{key.name} is judged as better when {_format_direction(better)}, as {who}; a metric of this "
            f"name is usually better when {_format_direction(usual)}"
        )
    return notes


def _format_direction(better_when_higher: bool) -> str:
    return "higher" if better_when_higher else "lower"


def describe_unknown(unknown: Sequence[ComparisonKey]) -> str:
    """Which comparisons have no direction, and what to write."""
    names = list(dict.fromkeys(key.name for key in unknown))
    metric = unknown[0].metric
    return (
        f"{list_names(names, _MOST_NAMED)}: neither the log nor the name says whether more is better; write "
        f'--higher-is-better "{metric}" or --lower-is-better "{metric}" for each (in a suite: '
        f'higher_is_better = ["{metric}"] in [logs]), or choose others by --metric'
    )


def check_directions_used(stated: Mapping[str, bool], comparisons: Sequence[ComparisonKey]) -> None:
    """Raises SuiteError for a pattern that matches no comparison."""
    for pattern in stated:
        if not any(key.is_matched_by(pattern) for key in comparisons):
            near = format_suggestion(pattern, [key.name for key in comparisons])
            raise SuiteError(f'higher_is_better or lower_is_better: no comparison matches "{pattern}"{near}')
