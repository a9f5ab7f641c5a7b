"""Lines of a run for a log: each long stage when it is over, and at least one a minute before that."""

from __future__ import annotations

import threading
import time

import pytest

from slimgate.report.terminal.progress import PlainLines, Stage, format_log_line

TICK = 0.02


def wait_for(lines: list[str], count: int) -> None:
    until = time.monotonic() + 10
    while len(lines) < count and time.monotonic() < until:
        time.sleep(TICK / 4)
    assert len(lines) >= count, lines


def test_a_stage_that_goes_on_says_how_far_it_is() -> None:
    ended: list[str] = []
    ongoing: list[str] = []
    lines = PlainLines(ended.append, ongoing.append, every=TICK)
    with lines.stage("int8 · step 1 of 1: gptq") as progress:
        progress("predict · second try", 30, 60)
        wait_for(ongoing, len(ongoing) + 2)
    assert ongoing[-1].startswith("slimgate: int8 · step 1 of 1: gptq · ")
    assert " so far · 50 % · predict 30/60" in ongoing[-1]
    assert ongoing[-1].endswith(" · second try")
    assert ended[0].startswith("slimgate: int8 · step 1 of 1: gptq, ")


def test_nothing_is_written_while_something_is_timed() -> None:
    ended: list[str] = []
    ongoing: list[str] = []
    lines = PlainLines(ended.append, ongoing.append, every=TICK)
    with lines.stage("test_latency[int8-b1]", ends=False):
        wait_for(ongoing, 1)
        with lines.stage("int8 · duel on b1", still=True):
            assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_keep_telling)")]
            count = len(ongoing)
            time.sleep(5 * TICK)
            assert len(ongoing) == count
        wait_for(ongoing, count + 1)  # and afterwards it goes on
    assert ended[-1].startswith("slimgate: int8 · duel on b1, ")


def test_before_a_timed_part_a_line_says_so_if_the_last_is_old() -> None:
    now, written = [0.0], list[str]()
    lines = PlainLines(written.append, every=30.0, clock=lambda: now[0])
    with lines.stage("a", still=True):
        now[0] = 31.0
    with lines.stage("b", still=True):
        now[0] = 35.0
    now[0] = 62.0
    with lines.stage("c", still=True):
        now[0] = 63.0
    assert written == ["slimgate: a, 31 s", "slimgate: c, timed, so the next line comes when it is over"]


@pytest.mark.parametrize(
    ("seconds", "quiet", "count"), [(0.5, False, 0), (2.0, False, 1), (2.0, True, 0), (31.0, True, 1)]
)
def test_a_short_stage_has_no_line_and_with_q_only_a_long_one(
    seconds: float, quiet: bool, count: int
) -> None:
    now, written = [0.0], list[str]()
    lines = PlainLines(written.append, quiet=quiet, clock=lambda: now[0])
    with lines.stage("teacher · gate rows"):
        now[0] = seconds
    assert len(written) == count


def test_a_stage_that_fails_says_that_it_gave_up() -> None:
    written: list[str] = []
    with pytest.raises(ValueError, match="x"), PlainLines(written.append).stage("int8 · step 1 of 1: gptq"):
        raise ValueError("x")
    assert written == ["slimgate: int8 · step 1 of 1: gptq, gave up after 0.0 s"]


def test_without_counts_an_earlier_runs_time_says_what_is_left() -> None:
    stage = Stage("student · step 1 of 1: fine_tune", began=0.0, expected=120.0)
    assert format_log_line(stage, 30.0) == (
        "student · step 1 of 1: fine_tune · 30 s so far · about 1 min 30 s left, as before"
    )
