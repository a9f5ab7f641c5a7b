"""Live lines at a pseudo-terminal: where they are written, that they go, and that timing has its peace."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
from collections.abc import Iterator
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

import pytest
from support.terminal_session import Screen

from slimgate.report.terminal.live import EVERY_SECONDS, LiveLines, can_draw


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Our end of a terminal of 40 × 100, and the other."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, pack("HHHH", 40, 100, 0, 0))
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def written(ours: int) -> str:
    raw = b""
    while select.select([ours], [], [], 0.05)[0]:
        raw += os.read(ours, 65536)
    return raw.decode()


def test_the_lines_stand_below_pytests_own_and_leave_no_trace(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    os.write(theirs, b"bench/x.toml ..")
    screen = Screen()
    live = LiveLines(theirs, lambda: 15, colour=False)
    with live.stage("int8 · step 1 of 1: int8_dynamic"):
        time.sleep(3 * EVERY_SECONDS)
        screen.feed(written(ours))
        assert screen.lines[0] == "bench/x.toml .."
        assert screen.lines[1].startswith("int8 · step 1 of 1: int8_dynamic · ")
    os.write(theirs, b".F")
    screen.feed(written(ours))
    assert screen.lines == ["bench/x.toml ...F", "", ""]
    assert not screen.unknown


def test_while_timing_no_thread_runs_and_nothing_is_written(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    before = threading.active_count()
    live = LiveLines(theirs, lambda: 0, colour=False)
    with live.stage("int8"):
        assert threading.active_count() == before + 1
        with live.stage("int8 · rounds of b1", still=True) as progress:
            assert threading.active_count() == before
            assert "int8 · rounds of b1 · timed" in written(ours)
            progress("round", 1, 2)
            time.sleep(2 * EVERY_SECONDS)
            assert written(ours) == ""
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_stage_that_ends_at_once_is_never_shown(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    with LiveLines(theirs, lambda: 0, colour=False).stage("from the store"):
        pass
    assert written(ours) == ""


def test_a_stage_that_raises_takes_its_lines_away(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    live = LiveLines(theirs, lambda: 0, colour=False)
    with pytest.raises(ValueError, match="the wheel"), live.stage("x", still=True):
        raise ValueError("the wheel came off")
    screen = Screen()
    screen.feed(written(ours))
    assert not any(screen.lines)


@pytest.mark.parametrize(
    "environment", [{"TERM": "dumb"}, {}, {"TERM": "xterm", "CI": "true"}], ids=["dumb", "none", "CI"]
)
def test_logs_and_dumb_terminals_get_no_lines(environment: dict[str, str]) -> None:
    assert not can_draw(environment)
    assert can_draw({"TERM": "xterm"})
