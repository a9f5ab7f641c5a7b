"""Questions on the terminal, each with the answer that Enter gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from slimgate.errors import DataError

Ask = Callable[[str, str | None], str]


def asker(answers: TextIO, out: TextIO) -> Ask:
    """ask(question, default) -> the answer. Raises DataError where the input ends."""

    def ask(question: str, default: str | None) -> str:
        while True:
            out.write(f"{question}{f' [{default}]' if default else ''}: ")
            out.flush()
            line = answers.readline()
            if not line:
                raise DataError(f"the input ended at the question: {question}")
            if (answer := line.strip()) or default is not None:
                return answer or str(default)

    return ask
