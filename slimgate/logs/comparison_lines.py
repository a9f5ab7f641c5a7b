"""Formats the line of each comparison of two logs, and the notes on their comparisons.

The notes are about the noise of judge models, equal logs, unstated settings, and scores in percent.
"""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.number_text import format_count
from slimgate.budgets.registry import is_in_points
from slimgate.errors import list_names
from slimgate.judge.message import format_message
from slimgate.logs.comparisons import Comparison
from slimgate.logs.judge_noise import describe_judge_noise, is_scored_by_judge
from slimgate.plugins.reader import GENERATION, Log, TaskLog

_MOST_NAMED = 5
UNSTATED_SETTINGS = (
    "the generation settings, such as the temperature, and the number of few-shot examples are not compared, "
    "because the logs do not both state them: check that both runs had the same"
)
# Settings that change the answers of a model.
_ANSWER_SETTINGS = frozenset({GENERATION, "shots"})
# The upper end of scores in percent.
_PERCENT = 100.0


def format_comparison(name: str, comparison: Comparison) -> str:
    """The verdict's line, compared with the base's own noise if that is known."""
    line = format_message(name, comparison.judged)
    if comparison.counts.missing:
        samples = format_count(comparison.counts.missing, "sample has", "samples have")
        line += f" ({samples} no score in one log or both: --missing)"
    noise = comparison.noise
    if noise is None:
        return line
    own_share, target_share = (f"{100 * share:.1f} %" for share in (noise.psi, comparison.flips_share))
    shares = f"the base changes {own_share} of samples by itself, this one {target_share}"
    change = "drop" if comparison.judged.drop_points >= 0 else "gain"
    within = (
        f"; the {change} is within the base's own noise"
        if noise.covers(comparison.judged.drop_points)
        else ""
    )
    return f"{line} ({shares}{within})"


def describe_judges(comparisons: Sequence[Comparison], logs: tuple[Log, Log]) -> list[str]:
    """Lines on how much the scores of a judge model differ; comparisons with the same line share it."""
    has_several_runs = any(log.further for log in logs)
    names_by_line: dict[str, list[str]] = {}
    for comparison in comparisons:
        if comparison.judge_noise is not None:
            line = describe_judge_noise(
                comparison.judge_noise,
                by_judge=is_scored_by_judge(comparison.metric, logs[0].tool),
                has_repeats=has_several_runs or comparison.has_epochs,
            )
            if line is not None:
                names_by_line.setdefault(line, []).append(comparison.name)
    return [f"{list_names(names, _MOST_NAMED)}: {line}" for line, names in names_by_line.items()]


def describe_equal_answers(comparisons: Sequence[Comparison]) -> list[str]:
    """A line if two logs agree in every score and, if both have answers, in every answer."""
    if any(comparison.worse or comparison.better or comparison.changed for comparison in comparisons):
        return []
    has_answers = any(comparison.changed is not None for comparison in comparisons)
    same = "answers and scores" if has_answers else "scores"
    return [f"all {same} are the same in both logs: check that they are of two models"]


def describe_same_model(base: Log, target: Log) -> list[str]:
    """A line if both logs name the same model with the same settings: the target may be the base again.

    A log without settings of its model, such as a table, is compared by the name of the model alone.
    """
    if base.model is None or base.model != target.model:
        return []
    settings = [log.environment["model"] for log in (base, target) if "model" in log.environment]
    if len(settings) == 2 and settings[0] != settings[1]:
        return []
    return [f'both logs state the model "{base.model}": check that the target is not the base again']


def describe_unstated_settings(base: Log, target: Log) -> list[str]:
    """A line if a difference in the settings that change answers cannot be noticed. Names the tasks.

    No line for tables, because a table never states any settings.
    """
    if "table" in (base.tool, target.tool):
        return []
    shared = [name for name in base.tasks if name in target.tasks]
    unstated = [
        name
        for name in shared
        if _ANSWER_SETTINGS.isdisjoint(_list_stated(base.tasks[name]) & _list_stated(target.tasks[name]))
    ]
    if not unstated:
        return []
    names = "" if unstated == shared else f"{list_names(unstated, _MOST_NAMED)}: "
    return [f"{names}{UNSTATED_SETTINGS}"]


def _list_stated(task: TaskLog) -> set[str]:
    """The settings that the log states completely, with all options."""
    return task.settings.keys() - set(task.partial_settings)


def describe_percent(comparisons: Sequence[Comparison]) -> list[str]:
    """Lines if a budget in points is on scores up to 100, because a point is then 0.01 of these scores."""
    names_by_limit: dict[float, list[str]] = {}
    for comparison in comparisons:
        ends = comparison.score_range
        if ends is not None and ends[1] == _PERCENT and comparison.judged.unit == "points":
            for budget in comparison.budgets:
                if is_in_points(budget.kind) and budget.limit < _PERCENT:
                    names_by_limit.setdefault(budget.limit, []).append(comparison.name)
    return [
        f"{list_names([*dict.fromkeys(names)], _MOST_NAMED)}: scores go up to 100, and a point is 0.01 of "
        f"their unit, so a budget of {limit:g} is {limit / _PERCENT:g} in 100; for {limit:g} in 100 write "
        f"{limit * _PERCENT:g}"
        for limit, names in names_by_limit.items()
    ]
