"""The base class of the scores in this folder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from slimgate._system.requirements import check_extra, import_extra
from slimgate.plugins.base import WithParams

P = TypeVar("P", bound=BaseModel)


class Score(WithParams[P]):
    """How right one answer is.

    right_or_wrong: every score is 0 or 1, so that rows can flip. needs_reference: whether it compares the
    answer with a reference; else the reference may be None. higher_is_better: whether more is better.
    compares_with: what `rate` gets as its reference; "tools" is the JSON text of the row's tools.
    needs_every_reference: whether a row with several references is an error if check_reference refuses one of
    them; else one that is not refused is enough.

        class Polite(Score[Params]):
            def rate(self, params, answer, reference):
                return float("please" in answer)

        score = Polite()
    """

    right_or_wrong: bool = False
    needs_reference: bool = True
    higher_is_better: bool = True
    compares_with: Literal["reference", "tools"] = "reference"
    needs_every_reference: bool = False

    @abstractmethod
    def rate(self, params: P, answer: str, reference: str | None) -> float:
        """The score of an answer, from 0 to 1."""

    def check(self, params: P) -> None:
        """Raises MissingExtra if a package is missing, ValueError for an option that the score cannot use."""

    def check_reference(self, params: P, reference: str) -> None:
        """Raises ValueError for a row's reference, or its tools, that the score cannot use."""


def import_for_score(module: str, score: str) -> Any:
    """A package of the extra `answers`. Raises MissingExtra, or BuildError if it cannot be imported."""
    return import_extra(module, "answers", f"score {score}")


def check_for_score(module: str, score: str) -> None:
    """Raises MissingExtra without a package of the extra `answers`. Reading a suite does not import it."""
    check_extra(module, "answers", f"score {score}")
