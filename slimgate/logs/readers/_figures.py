"""Figures that a tool states for a whole run: alone they are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError, list_names

_MOST_SHOWN = 8


def make_figures_error(
    path: Path, figures: Iterable[tuple[str, float]], needed: str, remedy: str
) -> DataError:
    """One line with the figures of a file that cannot be judged.

    Args:
        path: the file.
        figures: (name, value) of each; the first eight are quoted.
        needed: what a verdict needs, such as "the score of each sample".
        remedy: what to do.
    """
    shown = list_names([f"{name} {value:.6g}" for name, value in figures], _MOST_SHOWN)
    return DataError(
        f"{path}: it has only aggregate figures ({shown or 'none'}), and a verdict needs {needed}; {remedy}"
    )


def list_task_figures(results: JsonObject) -> Iterator[tuple[str, float]]:
    """`task/metric` of the table `results` that lm-eval and lighteval write, without standard errors."""
    tasks = results.get("results")
    for task, figures in tasks.items() if isinstance(tasks, dict) else ():
        for key, value in figures.items() if isinstance(figures, dict) else ():
            metric = key.removesuffix(",none")
            if isinstance(value, float) and "_stderr" not in metric:
                yield f"{task}/{metric}", value
