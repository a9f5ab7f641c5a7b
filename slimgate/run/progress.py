"""What is going on, as a run tells whoever watches: one stage after another, and how far each is.

    with watch.stage("distilled · step 2 of 2: distill", expected=41.0) as progress:
        progress("train · epoch 1 of 2 · loss 0.412", 1_504, 9_000)

What follows the first " · " of the text that a step tells is a note, which may change from call to call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from slimgate.protocols import Progress, no_progress


class Watch(Protocol):
    """Who watches a run."""

    def stage(
        self, what: str, *, expected: float | None = None, still: bool = False, ends: bool = True
    ) -> AbstractContextManager[Progress]:
        """Until the block is left, `what` is going on; the block is given what tells how far it is.

        expected: seconds that it took before. still: something is timed meanwhile: nothing may run or be
        written beside it. ends: whether a log has a line when it is over.
        """


class Unwatched:
    """Nobody watches."""

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
