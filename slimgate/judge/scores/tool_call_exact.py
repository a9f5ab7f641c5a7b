"""Tool call, exact: 1 if the answer's calls are the expected calls, by name and arguments.

Several calls are compared in their order. Arguments are compared as JSON values: the order of keys does not
count, and 1 equals 1.0. The reference `[]` expects no call.
"""

from __future__ import annotations

from slimgate.judge.scores.base import Score
from slimgate.judge.tool_calls import is_same_json, read_calls
from slimgate.plugins.params import Table


class Params(Table):
    """tool_call_exact has no options."""


class ToolCallExact(Score[Params]):
    right_or_wrong = True

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError if the reference is not a list of calls."""
        if not read_calls(reference) and reference.strip() != "[]":
            raise ValueError(
                f'{reference[:60]!r} was given, expected a call {{"name": …, "arguments": {{…}}}}, '
                "a list of calls, or [] for no call"
            )

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        calls, expected = read_calls(answer), read_calls(reference or "")
        if calls is None or expected is None or len(calls) != len(expected):
            return 0.0
        return float(
            all(
                call.name == other.name and is_same_json(call.arguments, other.arguments)
                for call, other in zip(calls, expected, strict=True)
            )
        )


score = ToolCallExact()
