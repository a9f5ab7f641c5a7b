"""The time limit of a search, kept inside builds as well as between them."""

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
    """Counts from its creation. now: seconds, such as time.monotonic."""

    seconds: float
    now: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.now()

    @property
    def seconds_used(self) -> float:
        """Seconds since its creation."""
        return self.now() - self._began

    @property
    def seconds_left(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self.seconds - self.seconds_used)

    def check(self) -> None:
        """Raises OutOfTime if no time is left."""
        if not self.seconds_left:
            raise OutOfTime(f"the {self.seconds / 60:g} minutes are used")

    def limit_watch(self, watch: Watch) -> Watch:
        """A watch that also ends a step that reports progress, when the time is over."""
        return _Limited(self, watch)


@dataclass(frozen=True)
class _Limited:
    clock: Clock
    watch: Watch

    @contextmanager
    def stage(
        self, activity: str, *, expected: float | None = None, still: bool = False, ends: bool = True
    ) -> Iterator[Progress]:
        with self.watch.stage(activity, expected=expected, still=still, ends=ends) as progress:

            def tell(activity: str, done: int, total: int) -> None:
                self.clock.check()
                progress(activity, done, total)

            yield tell
