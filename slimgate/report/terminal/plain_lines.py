"""A run whose output goes into a file or a log: a line for each stage that is over; nothing moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from slimgate._system.escape import visible
from slimgate.protocols import Progress, no_progress
from slimgate.report.terminal.progress_lines import duration

# A stage that took less, such as outcomes that the store has, is not worth a line.
SHORT_SECONDS = 1.0


@dataclass(frozen=True)
class PlainLines:
    """Watches a run for a log. write: puts a line of its own there; beside what is timed nothing is written.

    A step of a build is told however short it was: it is not made twice.
    """

    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def stage(self, what: str, *, expected: float | None = None, still: bool = False) -> Iterator[Progress]:  # noqa: ARG002
        """As Watch has it."""
        began, ended = self.clock(), "gave up after "
        try:
            yield no_progress
            ended = ""
        finally:
            seconds = self.clock() - began
            if not still and (seconds >= SHORT_SECONDS or " · step " in what):
                self.write(f"slimgate: {visible(what)}, {ended}{_seconds(seconds)}")


def _seconds(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"
