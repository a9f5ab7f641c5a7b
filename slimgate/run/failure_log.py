"""Formats the log of a failed step, for a file next to the report: its progress and where it failed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from slimgate.errors import SlimgateError
from slimgate.plugins.base import Progress

# Of a longer log, only the end is kept.
_MAX_CHARACTERS = 50_000


@dataclass
class LastProgress:
    """Passes progress on and remembers the last message."""

    progress: Progress
    last: str = field(default="nothing", init=False)

    def __call__(self, text: str, done: int, total: int) -> None:
        self.last = f"{text}, {done:,} of {total:,}"
        self.progress(text, done, total)


def format_step_log(
    error: SlimgateError,
    *,
    step_name: str,
    params: object,
    seconds: float,
    last_progress: str,
    noted: Mapping[str, object],
) -> str:
    """The log of a step that raised. noted: the entries of `context.log` so far."""
    facts = {
        "step": step_name,
        "options": params,
        "seconds": f"{seconds:.1f}",
        "last progress": last_progress,
        "noted so far": dict(noted) or "nothing",
    }
    lines = [f"{name:<14}{value}" for name, value in facts.items()]
    return shorten_log("\n".join([str(error), "", *lines, "", *_list_log_parts(error)]))


def format_error_log(error: BaseException) -> str:
    """The log that an error carries, else its traceback; "" if its message says everything."""
    if isinstance(error, SlimgateError):
        return error.log or ("\n".join(_list_log_parts(error)) if error.__cause__ else "")
    return shorten_log(_format_traceback(error))


def shorten_log(text: str) -> str:
    """The last _MAX_CHARACTERS characters, and a line that says how many are left out."""
    dropped = len(text) - _MAX_CHARACTERS
    return text if dropped <= 0 else f"… ({dropped:,} more characters)\n{text[dropped:]}"


def _list_log_parts(error: BaseException) -> Iterator[str]:
    """The logs of the step's processes, and the traceback of its error."""
    cause: BaseException | None = error.__cause__ or error
    while cause is not None:
        if isinstance(cause, SlimgateError) and cause.log:
            yield cause.log
        cause = cause.__cause__
    yield _format_traceback(error.__cause__ or error)


def _format_traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
