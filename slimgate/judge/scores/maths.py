r"""Maths: the answer's formula or number equals the reference's by math-verify (`\frac{1}{2}` is `0.5`)."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from slimgate._system.time_limit import time_limit
from slimgate.errors import BuildError
from slimgate.judge.scores.base import Score, check_for_score, import_for_score
from slimgate.plugins.params import Table

_SECONDS = 5.0


class Params(Table):
    """maths has no options."""


class Maths(Score[Params]):
    right_or_wrong = True

    def check(self, params: Params) -> None:
        """Raises MissingExtra without math-verify."""
        check_for_score("math_verify", "maths")

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
    """The package, after a first use. Both take seconds, which must not count against an answer's limit."""
    math_verify = import_for_score("math_verify", "maths")
    # it warns that its own time limits are off; they are alarms that would stop the alarms of a test runner
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    _is_equal(math_verify, "$x$", "$y$")
    return math_verify


def _is_equal(math_verify: Any, reference: str, answer: str) -> bool:
    gold, parsed_answer = (math_verify.parse(text, parsing_timeout=None) for text in (reference, answer))
    return bool(gold and parsed_answer and math_verify.verify(gold, parsed_answer, timeout_seconds=None))
