"""The live lines of a terminal: below the line that is being written, rewritten in place by a thread.

After every frame the cursor returns to its place, so that the next writer (pytest: a dot, a name) continues
there. While something is timed there is no thread and nothing is written.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from slimgate.plugins.base import Progress
from slimgate.report.terminal.progress import HEIGHT, Stage, list_stage_lines, list_still_lines

EVERY_SECONDS = 0.25
_NARROWEST, _LOWEST = 20, HEIGHT + 2


@dataclass
class LiveLines:
    """Watches a run on a terminal. Only the thread draws, except while something is timed.

    descriptor: of the terminal, opened separately, so that nothing that captures standard output captures it.
    column: how far the current line is written.
    """

    descriptor: int
    column: Callable[[], int]
    colour: bool
    clock: Callable[[], float] = time.monotonic
    _stages: list[Stage] = field(default_factory=list)
    _visible: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @contextmanager
    def stage(
        self,
        activity: str,
        *,
        expected: float | None = None,
        still: bool = False,
        ends: bool = True,  # noqa: ARG002  lines that go away do not say that a stage is over
    ) -> Iterator[Progress]:
        """As in Watch; inside another stage it takes its place."""
        stage = Stage(activity, self.clock(), expected, is_timed=still)
        self.pause()
        self._stages.append(stage)
        self.resume()
        try:
            yield lambda state, done, total: stage.update(state, done, total, self.clock())
        finally:
            self.pause()
            self._stages.pop()
            self.resume()

    def pause(self) -> None:
        """Removes the lines and ends the thread: a debugger needs the terminal, or the stage ends."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
        if self._visible:
            self._write_below([""] * HEIGHT)
            self._visible = False

    def resume(self) -> None:
        """Shows the current stage, if there is one."""
        if not self._stages:
            return
        stage = self._stages[-1]
        if stage.is_timed:
            self._draw(lambda width: list_still_lines(stage, width=width, colour=self.colour))
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, args=(stage, self._stop), daemon=True)
        self._thread.start()

    def _keep_drawing(self, stage: Stage, stop: threading.Event) -> None:
        """Draws a stage again and again; a stage that ends at once is never drawn."""
        while not stop.wait(EVERY_SECONDS):
            self._draw(lambda width: list_stage_lines(stage, self.clock(), width=width, colour=self.colour))

    def _draw(self, lines: Callable[[int], list[str]]) -> None:
        try:
            size = os.get_terminal_size(self.descriptor)
        except OSError:  # the terminal is closed
            return
        if size.columns >= _NARROWEST and size.lines >= _LOWEST:
            self._write_below(lines(size.columns - 1))
            self._visible = True

    def _write_below(self, lines: list[str]) -> None:
        """Writes the lines below the current line in one call, and moves the cursor back."""
        frame = "".join(f"\n\r\x1b[2K{line}" for line in lines)
        back = f"\x1b[{len(lines)}A\x1b[{self.column() + 1}G"
        written = (frame + back).encode()
        try:
            while written:
                written = written[os.write(self.descriptor, written) :]
        except OSError:  # a closed terminal, or a pipe without reader: progress is no reason to fail
            return


def can_draw(environment: Mapping[str, str]) -> bool:
    """Whether a terminal moves its cursor, and is no log of a CI system."""
    ci = environment.get("CI") or environment.get("BUILD_NUMBER")
    return not ci and environment.get("TERM", "dumb") not in ("dumb", "unknown", "")
