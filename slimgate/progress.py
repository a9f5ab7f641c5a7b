"""Progress in a terminal: one line below pytest's own, of what is being built or predicted right now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

EVERY_SECONDS = 0.2


@dataclass
class ProgressLine:
    """Shows `teacher: step fine_tune: train 120/282 · 6.1/s · 27 s left`, rewritten in place.

    write: writes to the terminal and flushes; column: how far pytest has written on its current line;
    width: of the terminal.
    """

    write: Callable[[str], None]
    column: Callable[[], int]
    width: int
    clock: Callable[[], float] = time.monotonic
    _what: str = ""
    _began: float = 0.0
    _shown: float = field(default=float("-inf"))
    _visible: bool = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """done of total steps, rows or whatever `what` counts."""
        now = self.clock()
        if what != self._what or done <= 1:
            self._what, self._began = what, now
        if done >= total:
            self.clear()
        elif now - self._shown >= EVERY_SECONDS:
            self._shown = now
            self._below(progress_text(what, done, total, now - self._began)[: self.width - 1])
            self._visible = True

    def clear(self) -> None:
        """Takes the line away."""
        if self._visible:
            self._below("")
            self._visible = False

    def _below(self, text: str) -> None:
        """Writes the line below the current one, and goes back to where pytest left off."""
        self.write(f"\n\x1b[2K{text}\x1b[1A\x1b[{self.column() + 1}G")


def progress_text(what: str, done: int, total: int, seconds: float) -> str:
    """The line, with rate and time left once there is a rate."""
    text = f"{what} {done:,}/{total:,}"
    if seconds <= 0 or not done:
        return text
    rate = done / seconds
    return f"{text} · {rate:,.1f}/s · {_duration((total - done) / rate)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
