"""Choice letter: the answer names the letter of the reference, as `B`, `(B)` or `The answer is B`."""

from __future__ import annotations

import re

from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table

# What may be between the word "answer" and the letter: **Answer:** **(B)**.
_GAP = r"[\s:*(]*"
# "Answer: B" and "the answer is B" come first, because "answer B" and "option B" may also be wrong ones. A
# letter by itself comes last.
_PATTERNS = tuple(
    map(
        re.compile,
        (
            rf"(?i:answer)(?:{_GAP}(?i:is)\b|[\s*]*:){_GAP}([A-Z])\b",
            rf"(?i:answer|choice|option)(?:{_GAP}(?i:is))?{_GAP}([A-Z])\b",
            r"^\s*\(?\**([A-Za-z])(?:[).:,*]|\s*$)",
            r"(?<![\w'])([B-HJ-Z]|A(?=[).:,]|\s*$))(?![\w'])",
        ),
    )
)


class Params(Table):
    """choice_letter has no options."""


class ChoiceLetter(Score[Params]):
    right_or_wrong = True

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError if the reference names no letter, because every answer would be wrong."""
        if find_choice_letter(reference) is None:
            raise ValueError(f'{reference[:60]!r} was given, expected the letter of a choice, such as "B"')

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        letter = find_choice_letter(answer)
        return float(letter is not None and letter == find_choice_letter(reference or ""))


score = ChoiceLetter()


def find_choice_letter(text: str) -> str | None:
    """The letter that a text names, in upper case. "A" and "I" inside a sentence are words."""
    matches = (pattern.search(text) for pattern in _PATTERNS)
    return next((match.group(1).upper() for match in matches if match), None)
