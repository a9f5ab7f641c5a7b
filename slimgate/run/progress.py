"""Reports the progress of a run to a watcher: one stage after another, and how far each is.

    with watch.stage("distilled · step 2 of 2: distill", expected=41.0) as progress:
        progress("train · epoch 1 of 2 · loss 0.412", 1_504, 9_000)

In a step's text, what follows the first " · " is a note, which may change from call to call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from slimgate.plugins.base import Progress, no_progress


class Watch(Protocol):
    """A watcher of a run, such as the terminal."""

    def stage(
        self, title: str, *, expected: float | None = None, still: bool = False, ends: bool = True
    ) -> AbstractContextManager[Progress]:
        """Shows a stage until the block ends; the block gets a function that reports its progress.

        expected: seconds that it took before. still: something is being timed, so nothing else may run or
        write meanwhile. ends: whether a log gets a line at the end.
        """


class Unwatched:
    """A watcher that shows nothing."""

    @contextmanager
    def stage(
        self,
        _what: str,
        *,
        expected: float | None = None,  # noqa: ARG002
        still: bool = False,  # noqa: ARG002
        ends: bool = True,  # noqa: ARG002
    ) -> Iterator[Progress]:
        yield no_progress


UNWATCHED = Unwatched()
