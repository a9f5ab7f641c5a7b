r"""Maths: by math-verify, the answer's formula or number equals the reference's (`$\frac{1}{2}$` is `0.5`).

math-verify finds formulas by their marks, such as `$x+1$` and `\boxed{x+1}`. Of `6 - 5i` without marks it
reads only the last number. So a reference without marks that is not a plain number, as in the column
`answer` of MATH, is read as if it stood between $ and $.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from functools import cache
from typing import Any

from slimgate._system.signals import time_limit
from slimgate.errors import BuildError
from slimgate.judge.scores.base import Score, check_for_score, import_for_score
from slimgate.plugins.params import Table

_SECONDS = 5.0
_MARKS = ("$", r"\(", r"\[", r"\boxed")
# "1,000", "-3/4", "12 %", and the end of a worked solution: "9 * 2 = 18\n#### 18".
_PLAIN_NUMBER = re.compile(
    r"(.*####)?\s*-?((?:\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?|\.\d+)(/\d+)?\s*%?\.?\s*", re.DOTALL
)
# Arguments of commands that are words and not products of letters, and a word of prose.
_TEXT_ARGUMENTS = re.compile(r"\\(text\w*|math\w+|mbox|operatorname|begin|end)\s*\{[^{}]*\}")
# Of "2 1/2" math-verify reads the product.
_PROSE = re.compile(
    r"(?<![A-Za-z\\])(?!sqrt|sinh|cosh|tanh)[A-Za-z][a-z]{3,}|(?<![A-Za-z\\])[A-Za-z]{2,}\s+[A-Za-z]{2,}|\d\s+\d"
)


class Params(Table):
    """maths has no options."""


class Maths(Score[Params]):
    right_or_wrong = True

    def check(self, params: Params) -> None:
        """Raises MissingExtra without math-verify."""
        check_for_score("math_verify", "maths")

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError for a reference that is prose, or that math-verify cannot read."""
        math_verify, formula = _load_math_verify(), list[Any]()
        with suppress(BuildError), time_limit(_SECONDS, "the formula takes too long"):
            formula = _parse(math_verify, _mark_formula(reference))
        is_prose = _is_without_marks(reference) and _PROSE.search(_TEXT_ARGUMENTS.sub(",", reference))
        has_formula = not all(isinstance(part, str) for part in formula)  # "?" is read as the text "?"
        if is_prose or not has_formula:
            raise ValueError(
                f"{reference[:60]!r} was given, expected a number or a formula in LaTeX, which math-verify "
                "can read; in a text, write the formula between $ and $ or in \\boxed{…}"
            )

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0; 0 if math-verify finds nothing to compare, or needs more than 5 seconds."""
        math_verify = _load_math_verify()
        try:
            with time_limit(_SECONDS, "the formula takes too long"):
                return float(_is_equal(math_verify, reference or "", answer))
        except BuildError:  # an answer may contain 9**9**9**9
            return 0.0


score = Maths()


@cache
def _load_math_verify() -> Any:
    """Imports math-verify, and uses it once.

    The import and the first use take seconds, which must not count towards the time limit of an answer.
    """
    math_verify = import_for_score("math_verify", "maths")
    # It would warn that its own time limits are off. They are off because they would replace the timer of a
    # test runner, such as pytest-timeout.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    _is_equal(math_verify, "$x$", "$y$")
    return math_verify


def _is_equal(math_verify: Any, reference: str, answer: str) -> bool:
    expected, formula = _parse(math_verify, _mark_formula(reference)), _parse(math_verify, answer)
    return bool(expected and formula and math_verify.verify(expected, formula, timeout_seconds=None))


def _mark_formula(reference: str) -> str:
    """The reference with marks around a formula that has none."""
    return f"${reference}$" if _is_without_marks(reference) else reference


def _is_without_marks(reference: str) -> bool:
    """Whether a text that is no plain number has nothing that tells math-verify where its formula is."""
    has_marks = any(mark in reference.replace(r"\$", "") for mark in _MARKS)
    return not has_marks and _PLAIN_NUMBER.fullmatch(reference) is None


def _parse(math_verify: Any, text: str) -> list[Any]:
    """The formula or number of a text, as a list; empty if math-verify finds none."""
    return list(math_verify.parse(text, parsing_timeout=None))
