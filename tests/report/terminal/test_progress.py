"""A stage as two lines: what, since when, how far, how long still."""

from __future__ import annotations

import pytest

from slimgate.report.terminal.progress import Stage, format_long_duration, list_stage_lines, list_still_lines

pytest.importorskip("rich")


def shown(stage: Stage, now: float, *, width: int = 100) -> list[str]:
    return list_stage_lines(stage, now, width=width, colour=False)


def test_first_an_earlier_runs_time_says_what_is_left() -> None:
    stage = Stage("distilled · step 2 of 2: distill", began=10.0, expected=60.0)
    assert shown(stage, 22.0) == [
        "distilled · step 2 of 2: distill · 12 s so far · about 48 s left, as before",
        "",
    ]
    assert "65 s so far, 1 min 0 s before" in shown(stage, 75.0)[0].replace("1 min 5 s", "65 s")


def test_without_an_earlier_run_no_time_left_is_shown() -> None:
    assert shown(Stage("int8 · step 1 of 1: int8_dynamic", began=0.0), 3.0)[0].endswith("· 3 s so far")


def test_a_rate_needs_a_twentieth_done_to_say_what_is_left() -> None:
    stage = Stage("x", began=0.0)
    stage.update("train rows · epoch 1 of 2 · loss 0.512", 0, 1000, now=10.0)
    stage.update("train rows · epoch 1 of 2 · loss 0.512", 40, 1000, now=14.0)
    assert shown(stage, 14.0)[1].endswith(" train rows 40/1,000 · 10/s · epoch 1 of 2 · loss 0.512")
    stage.update("train rows · epoch 1 of 2 · loss 0.400", 100, 1000, now=20.0)
    assert "100/1,000 · 10/s · 1 min 30 s left · epoch 1 of 2 · loss 0.400" in shown(stage, 20.0)[1]


def test_another_activity_counts_its_rate_from_its_own_beginning() -> None:
    stage = Stage("x", began=0.0)
    stage.update("teacher", 500, 500, now=50.0)
    stage.update("train rows", 0, 100, now=60.0)
    stage.update("train rows", 50, 100, now=65.0)
    assert "50/100 · 10/s · 5 s left" in shown(stage, 65.0)[1]


def test_a_narrow_terminal_cuts_lines_and_never_wraps_them() -> None:
    stage = Stage("a-variant-of-a-long-name · step 1 of 2: progressive_distill", began=0.0)
    stage.update("train rows · epoch 1 of 2 · loss 0.512", 500, 1000, now=1.0)
    lines = shown(stage, 2.0, width=40)
    assert max(map(len, lines)) == 40
    assert all(line.endswith("…") for line in lines)


def test_control_characters_of_data_are_shown_not_obeyed() -> None:
    stage = Stage("\x1b[31mred\x07 · [bold]step[/bold]", began=0.0)
    stage.update("train\x1b[2J", 1, 2, now=0.0)
    text = "".join(shown(stage, 1.0))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"\x1b[31mred\x07 · [bold]step[/bold]" in text


def test_colours_come_where_they_are_wanted() -> None:
    assert "\x1b[1m" in list_stage_lines(Stage("x", 0.0), 1.0, width=60, colour=True)[0]


def test_a_still_stage_tells_no_time_that_would_soon_be_wrong() -> None:
    stage = Stage("int8 · rounds of b1", began=0.0)
    assert list_still_lines(stage, width=80, colour=False)[0] == (
        "int8 · rounds of b1 · timed, so nothing moves here"
    )


def test_durations_read_as_people_say_them() -> None:
    assert [format_long_duration(s) for s in (0.4, 47, 100, 7500)] == [
        "0 s",
        "47 s",
        "1 min 40 s",
        "2 h 5 min",
    ]
