"""What readers of rows share: the keys of a row, why its answer ended, the error about a malformed row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slimgate.errors import DataError
from slimgate.plugins.reader import DOCUMENT, PROMPT, READ_ERRORS, TARGET

# The reasons why an answer ended, as servers and libraries write them, in lower case: at the length limit,
# and others.
CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_length")
ENDED = (
    *("stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call"),
    "content_filter",
)


def is_cut_off(reason: object) -> bool | None:
    """Whether the answer ended at the length limit; None if there is no reason."""
    return None if reason is None else str(reason).lower() in CUT_OFF


def make_keys(
    *, document: str | None = None, prompt: str | None = None, target: str | None = None
) -> dict[str, str]:
    """`Row.keys`, without those that the log does not have."""
    texts = {DOCUMENT: document, PROMPT: prompt, TARGET: target}
    return {name: text for name, text in texts.items() if text is not None}


@contextmanager
def refuse_malformed(problem: str, expected: str = "") -> Iterator[None]:
    """Turns an error of READ_ERRORS into a DataError, because the log is not as its tool writes logs.

    problem: what is wrong where, such as `a.jsonl: line 3 is not a sample of sgl-eval`. expected: the end of
    the message.
    """
    try:
        yield
    except READ_ERRORS as error:
        raise DataError(f"{problem} ({type(error).__name__}: {error}){expected}") from None
