"""Progress as it reaches a terminal: what is written, and when."""

from __future__ import annotations

import itertools

from slimgate.progress import ProgressLine, progress_text


def line(clock: list[float], written: list[str]) -> ProgressLine:
    times = itertools.chain(clock, itertools.repeat(clock[-1]))
    return ProgressLine(written.append, lambda: 7, 60, clock=lambda: next(times))


def test_the_text_says_what_how_far_how_fast_and_how_long_still() -> None:
    assert progress_text("teacher: step fine_tune: train", 50, 282, 10.0) == (
        "teacher: step fine_tune: train 50/282 · 5.0/s · 46 s left"
    )


def test_the_first_step_has_no_rate_yet() -> None:
    assert progress_text("int8: predict", 0, 6000, 0.0) == "int8: predict 0/6,000"


def test_minutes_are_told_as_such() -> None:
    assert progress_text("x", 1, 101, 1.0).endswith("1 min 40 s left")


def test_it_writes_below_the_line_and_returns_to_where_pytest_was() -> None:
    written: list[str] = []
    line([0.0, 1.0], written)("x", 1, 10)
    assert written == ["\n\x1b[2Kx 1/10\x1b[1A\x1b[8G"]


def test_it_rewrites_five_times_a_second_at_most() -> None:
    written: list[str] = []
    show = line([0.0, 0.1, 0.15, 0.25], written)
    for done in range(1, 5):
        show("x", done, 10)
    assert len(written) == 2


def test_the_last_step_takes_the_line_away() -> None:
    written: list[str] = []
    show = line([0.0, 1.0], written)
    show("x", 1, 2)
    show("x", 2, 2)
    assert written[-1] == "\n\x1b[2K\x1b[1A\x1b[8G"


def test_what_was_never_shown_is_not_taken_away() -> None:
    written: list[str] = []
    line([0.0], written)("x", 2, 2)
    assert written == []


def test_a_line_never_wraps() -> None:
    written: list[str] = []
    line([0.0], written)("w" * 200, 1, 10)
    assert len(written[0]) == len("\n\x1b[2K") + 59 + len("\x1b[1A\x1b[8G")
