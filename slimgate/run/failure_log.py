"""What is known of a step that failed, for a file beside the report: how far it was, where it broke."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from slimgate.errors import SlimgateError
from slimgate.protocols import Progress

# A log is for a reader: of a longer one the end is kept.
MOST = 50_000


@dataclass
class Heard:
    """Hands progress on and remembers what was told last."""

    progress: Progress
    last: str = field(default="nothing", init=False)

    def __call__(self, what: str, done: int, total: int) -> None:
        self.last = f"{what}, {done:,} of {total:,}"
        self.progress(what, done, total)


def step_log(
    error: SlimgateError, *, method: str, params: Any, seconds: float, told: str, noted: Mapping[str, Any]
) -> str:
    """The log of a step that raised. told: its last progress; noted: what it had put into its own log."""
    facts = {
        "step": method,
        "options": params,
        "seconds": f"{seconds:.1f}",
        "told last": told,
        "noted so far": dict(noted) or "nothing",
    }
    lines = [f"{name:<14}{value}" for name, value in facts.items()]
    return shorten("\n".join([str(error), "", *lines, "", *_parts(error)]))


def error_log(error: BaseException) -> str:
    """The log that an error carries, else its traceback; "" for an error that says all in its line."""
    if isinstance(error, SlimgateError):
        return error.log or ("\n".join(_parts(error)) if error.__cause__ else "")
    return shorten(_traceback(error))


def shorten(text: str) -> str:
    """At most MOST characters, the last ones."""
    return text if len(text) <= MOST else f"… ({len(text) - MOST:,} more characters)\n{text[-MOST:]}"


def _parts(error: BaseException) -> Iterator[str]:
    """What processes of the step said, and the traceback of what it raised."""
    found: BaseException | None = error.__cause__ or error
    while found is not None:
        if isinstance(found, SlimgateError) and found.log:
            yield found.log
        found = found.__cause__
    yield _traceback(error.__cause__ or error)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
