"""Progress of a run as text: lines for a log (`PlainLines`), and the two lines of a stage on a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from slimgate._system.escape import escape_invisible
from slimgate.plugins.base import Progress

# A shorter stage, such as outcomes that the store has, gets no line.
SHORT_SECONDS = 1.0
# How often a stage reports its progress. Timed stages write nothing, so a log has about a line a minute.
EVERY_SECONDS = 30.0
# Before this share is done, or in the first second, the time of earlier runs says more than the rate so far.
EARLY = 0.05
HEIGHT = 2
_WIDEST_BAR = 30


@dataclass
class PlainLines:
    """Watches a run for a log. While something is timed nothing is written.

    write: writes a separate line to the log. write_from_thread: the same from another thread, while the
    thread with the tests works; None if that is not possible. quiet: only long stages are reported. A step of
    a build is always reported, because it is built only once.
    """

    write: Callable[[str], None]
    write_from_thread: Callable[[str], None] | None = None
    quiet: bool = False
    every: float = EVERY_SECONDS
    clock: Callable[[], float] = time.monotonic
    _stages: list[Stage] = field(default_factory=list)
    _last: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @contextmanager
    def stage(
        self, activity: str, *, expected: float | None = None, still: bool = False, ends: bool = True
    ) -> Iterator[Progress]:
        """As in Watch; inside another stage it takes its place."""
        stage, outcome = Stage(activity, self.clock(), expected, is_timed=still), "gave up after "
        self._pause()
        if still and self._is_overdue():
            self._write_line(
                self.write, f"{escape_invisible(activity)}, timed, so the next line comes when it is over"
            )
        self._stages.append(stage)
        self._resume()
        try:
            yield lambda state, done, total: stage.update(state, done, total, self.clock())
            outcome = ""
        finally:
            self._pause()
            self._stages.pop()
            seconds = self.clock() - stage.began
            if ends and self._is_worth_a_line(activity, seconds, still=still):
                self._write_line(
                    self.write, f"{escape_invisible(activity)}, {outcome}{_format_short_duration(seconds)}"
                )
            self._resume()

    def _is_worth_a_line(self, activity: str, seconds: float, *, still: bool) -> bool:
        if still or self.quiet:
            return seconds >= self.every
        return seconds >= SHORT_SECONDS or " · step " in activity

    def _is_overdue(self) -> bool:
        if self._last is None:
            self._last = self.clock()
        return self.clock() - self._last >= self.every

    def _write_line(self, write: Callable[[str], None], line: str) -> None:
        self._last = self.clock()
        write(f"slimgate: {line}")

    def _pause(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _resume(self) -> None:
        """Starts a thread that reports the current stage, unless something is timed in it."""
        if not self._stages or self._stages[-1].is_timed or self.write_from_thread is None:
            return
        self._is_overdue()  # the first stage starts the clock
        self._stop = threading.Event()
        arguments = (self._stages[-1], self._stop, self.write_from_thread)
        self._thread = threading.Thread(target=self._keep_reporting, args=arguments, daemon=True)
        self._thread.start()

    def _keep_reporting(self, stage: Stage, stop: threading.Event, write: Callable[[str], None]) -> None:
        while not stop.wait(max(SHORT_SECONDS, (self._last or 0.0) + self.every - self.clock())):
            if self._is_overdue():
                self._write_line(write, format_log_line(stage, self.clock()))


def format_log_line(stage: Stage, now: float) -> str:
    """A text such as `int8 · gate rows · 12 s so far · 43 % · predict 2,580/6,000 · 160/s · 21 s left`."""
    line = f"{escape_invisible(stage.title)} · {_format_stage_times(stage, now)}"
    if stage.total > 0:
        line += f" · {100 * stage.done // stage.total} % · {escape_invisible(_format_progress(stage, now))}"
    return line


def _format_short_duration(seconds: float) -> str:
    return format_long_duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"


@dataclass
class Stage:
    """A current stage.

    is_timed: whether something is timed in it, so that nothing may be written. activity: what is counted now.
    note: the text after it. began, activity_began: seconds of the same clock.
    """

    title: str
    began: float
    expected: float | None = None
    is_timed: bool = False
    activity: str = ""
    note: str = ""
    done: int = 0
    total: int = 0
    activity_began: float = 0.0

    def update(self, text: str, done: int, total: int, now: float) -> None:
        """Updates the progress; rate and remaining time count from the beginning of an activity."""
        activity, _, self.note = text.partition(" · ")
        if activity != self.activity or done < self.done:
            self.activity, self.activity_began = activity, now
        self.done, self.total = done, total


def list_stage_lines(stage: Stage, now: float | None, *, width: int, colour: bool) -> list[str]:
    """HEIGHT lines of at most `width` cells, with styles if there is colour. now: None: no times."""
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    console = Console(
        width=width,
        force_terminal=True,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
    )
    name, _, rest = escape_invisible(stage.title).partition(" · ")
    times = "" if now is None else f" · {_format_stage_times(stage, now)}"
    head = Text.assemble((name, "bold"), f" · {rest}" if rest else "", (times, "cyan"))
    with console.capture() as captured:
        console.print(head, overflow="ellipsis", no_wrap=True)
        if stage.total > 0 and now is not None:
            bar = min(_WIDEST_BAR, width // 4)
            console.print(ProgressBar(total=stage.total, completed=stage.done, width=bar), end="")
            text = Text(f" {escape_invisible(_format_progress(stage, now))}")
            text.truncate(width - bar, overflow="ellipsis")
            console.print(text, no_wrap=True)
    lines = captured.get().splitlines()
    return (lines + [""] * HEIGHT)[:HEIGHT]


def list_still_lines(stage: Stage, *, width: int, colour: bool) -> list[str]:
    """The lines of a stage during which nothing is written: they stay true until it ends."""
    still = Stage(f"{stage.title} · timed, so nothing moves here", stage.began)
    return list_stage_lines(still, None, width=width, colour=colour)


def _format_stage_times(stage: Stage, now: float) -> str:
    """A text such as `12 s so far · about 29 s left, as before`."""
    gone = now - stage.began
    if stage.expected is None or _is_rate_known(stage, now):
        return f"{format_long_duration(gone)} so far"
    if gone >= stage.expected:
        return f"{format_long_duration(gone)} so far, {format_long_duration(stage.expected)} before"
    left = format_long_duration(stage.expected - gone)
    return f"{format_long_duration(gone)} so far · about {left} left, as before"


def _is_rate_known(stage: Stage, now: float) -> bool:
    """Whether the rate so far gives the remaining time."""
    return stage.done > EARLY * stage.total > 0 and now - stage.began >= SHORT_SECONDS


def _format_progress(stage: Stage, now: float) -> str:
    """A text such as `train 1,504/9,000 · 160/s · 47 s left · epoch 1 of 2 · loss 0.412`."""
    clauses = [f"{stage.activity} {stage.done:,}/{stage.total:,}"]
    seconds = now - stage.activity_began
    if seconds > 0 and stage.done:
        rate = stage.done / seconds
        clauses.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if _is_rate_known(stage, now):
            clauses.append(f"{format_long_duration(max(stage.total - stage.done, 0) / rate)} left")
    return " · ".join([*clauses, stage.note] if stage.note else clauses)


def format_long_duration(seconds: float) -> str:
    """`47 s`, `1 min 40 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
