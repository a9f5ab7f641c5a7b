"""The time limit of a search. It is checked between builds, and inside a build at each report of progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from slimgate.errors import SlimgateError
from slimgate.plugins.base import Progress
from slimgate.run.progress import Watch


class OutOfTime(SlimgateError):
    """The search has used up its time; the current build is abandoned."""


@dataclass
class Clock:
    """The time limit and the time used since the clock was made. now: returns seconds, as time.monotonic."""

    seconds: float
    now: Callable[[], float] = time.monotonic
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.now()

    @property
    def seconds_used(self) -> float:
        """Seconds since the clock was made."""
        return self.now() - self._start

    @property
    def seconds_left(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self.seconds - self.seconds_used)

    def check(self) -> None:
        """Raises OutOfTime if no time is left."""
        if not self.seconds_left:
            raise OutOfTime(f"the time limit of {self.seconds / 60:g} min is used up")

    def limit_watch(self, watch: Watch) -> Watch:
        """A watch that raises OutOfTime if a step reports progress when no time is left."""
        return _LimitedWatch(self, watch)


@dataclass(frozen=True)
class _LimitedWatch:
    clock: Clock
    watch: Watch

    @contextmanager
    def stage(
        self, activity: str, *, expected: float | None = None, still: bool = False, ends: bool = True
    ) -> Iterator[Progress]:
        with self.watch.stage(activity, expected=expected, still=still, ends=ends) as progress:

            def report(activity: str, done: int, total: int) -> None:
                self.clock.check()
                progress(activity, done, total)

            yield report
