"""Scores of a written answer, from 0 to 1: one file for each, or a function of the user.

A task calls the scores. A metric is the mean of a score.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from slimgate.errors import MeasureError, SuiteError, format_suggestion
from slimgate.judge.named_scores import find_score_direction
from slimgate.judge.scores.base import Score
from slimgate.plugins.loading import load_user_object
from slimgate.plugins.params import Table

__all__ = ["ChosenScore", "Score", "list_score_names", "load_score"]


@cache
def list_score_names() -> tuple[str, ...]:
    """The names of slimgate's own scores."""
    package = importlib.import_module("slimgate.judge.scores")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in names if name != "base" and not name.startswith("_")))


def is_better_higher(name: str) -> bool:
    """Whether a higher value of a score of slimgate is better."""
    score: Score[Any] = importlib.import_module(f"slimgate.judge.scores.{name}").score
    return score.higher_is_better


@dataclass(frozen=True)
class ChosenScore:
    """A score with the options that a suite chose."""

    name: str
    score: Score[Any]
    params: Any

    def check_reference(self, reference: str) -> None:
        """Raises ValueError for a row's reference, or its tools, that the score cannot use."""
        self.score.check_reference(self.params, reference)

    @property
    def worst(self) -> float:
        """The score of an answer that a server never returned: 0, or 1 if lower is better."""
        return float(not self.score.higher_is_better)

    def rate_best(self, answer: str, references: Sequence[str]) -> float:
        """The best score over a row's references, as in SQuAD; without any, the score of the answer alone."""
        best = max if self.score.higher_is_better else min
        return best(self.rate(answer, reference) for reference in references or (None,))

    def rate(self, answer: str, reference: str | None) -> float:
        """Raises MeasureError if a user's function gives something else than a number from 0 to 1."""
        score = self.score.rate(self.params, answer, reference)
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise MeasureError(f"score {self.name} gave {score!r}, expected a number from 0 to 1")
        return float(score)


def load_score(name: str, options: dict[str, object]) -> ChosenScore:
    """The score of that name, or a user's own function "package.module:function".

    Raises SuiteError with the nearest name, ValueError (of pydantic) for wrong options.
    """
    if ":" in name:
        return ChosenScore(name, _UserFunction(name), Table.model_validate(options))
    if name not in list_score_names():
        near = format_suggestion(name, list_score_names())
        raise SuiteError(
            f'"{name}": no such score, and not a function of your own, which has the form '
            f'"package.module:function"{near}'
        )
    score: Score[Any] = importlib.import_module(f"slimgate.judge.scores.{name}").score
    params = score.Params.model_validate(options)
    score.check(params)
    return ChosenScore(name, score, params)


class _UserFunction(Score[Table]):
    """A score that a function of the user computes from the answer and the reference."""

    needs_reference = False

    def __init__(self, name: str) -> None:
        self._function = load_user_object("score", name)
        if not inspect.isroutine(self._function):
            actual = type(self._function).__name__
            raise SuiteError(
                f'score "{name}": it is of type {actual}, expected a function of (answer, reference)'
            )
        direction = find_score_direction(name, self._function)
        if direction is None:
            function_name = name.rpartition(":")[2]
            raise SuiteError(
                f'score "{name}": its name does not say whether higher is better; below the function, '
                f"write {function_name}.higher_is_better = True, or False"
            )
        self.higher_is_better = direction

    def rate(self, params: Table, answer: str, reference: str | None) -> float:
        """The value that the function returns."""
        return self._function(answer, reference)  # type: ignore[no-any-return]
