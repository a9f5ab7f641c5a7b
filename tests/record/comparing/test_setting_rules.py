"""The rules by which the new value of a setting demands less, and how a change of it is described."""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.record.comparing.demands import format_setting, list_weaker_settings

LOAD = {"concurrency": 8, "request_rate": None, "requests": 100, "blocks": 12, "service_level": None}


def describe_weaker(key: str, before: object, now: object) -> list[str]:
    return [weakening.change for weakening in list_weaker_settings({key: before}, {key: now})]


@pytest.mark.parametrize(
    ("now", "is_weaker"),
    [
        ([LOAD], False),
        ([{**LOAD, "concurrency": 1}, LOAD], False),
        ([{**LOAD, "requests": 200, "blocks": 24}], False),
        ([{**LOAD, "requests": 99}], True),
        ([{**LOAD, "blocks": 11}], True),
        ([{**LOAD, "requests": 200, "blocks": 11}], True),
        ([{**LOAD, "service_level": {"ttft_ms": 900.0}}], True),
        ([{**LOAD, "concurrency": 1}], True),
        ([{**LOAD, "concurrency": None, "request_rate": 8.0}], True),
        ([], True),
        (None, True),
    ],
    ids=[
        *("the same", "one more load", "more requests and blocks", "fewer requests", "fewer blocks"),
        *("more requests and fewer blocks", "another service level", "fewer users", "a rate"),
        *("no load", "not set"),
    ],
)
def test_each_load_must_stay_as_heavy(now: list[dict[str, Any]] | None, is_weaker: bool) -> None:
    assert bool(describe_weaker("measure.loads", [LOAD], now)) is is_weaker


def test_a_first_load_is_not_weaker() -> None:
    assert (
        describe_weaker("measure.loads", [], [LOAD]) == describe_weaker("measure.loads", None, [LOAD]) == []
    )


RANGE = "logs.range of gsm8k/acc"
BOTH, UNKNOWN = "right or wrong", "not declared"


@pytest.mark.parametrize(
    ("key", "before", "now", "is_weaker"),
    [
        ("measure.rounds", 60, 60, False),
        ("measure.rounds", 60, 61, False),
        ("measure.rounds", 60, 59, True),
        ("measure.rounds", 60, None, True),
        ("logs.missing", "fail", "fail", False),
        ("logs.missing", "fail", "as-wrong", True),
        ("logs.missing", "drop", "as-wrong", False),
        ("logs.missing", "fail", None, False),
        (RANGE, [0, 1], [0, 1], False),
        (RANGE, [0, 1], [0, 100], True),
        (RANGE, [0, 1], UNKNOWN, True),
        (RANGE, UNKNOWN, [0, 1], True),
        (RANGE, BOTH, [0, 1], False),
        (RANGE, BOTH, UNKNOWN, False),
        (RANGE, BOTH, [0, 100], True),
    ],
)
def test_a_setting_demands_less_by_its_rule(key: str, before: object, now: object, is_weaker: bool) -> None:
    """Whether all scores are 0 or 1 depends on the answers, so that alone is no other range."""
    assert bool(describe_weaker(key, before, now)) is is_weaker


def test_another_teacher_is_described_without_digests() -> None:
    words = ["the teacher is another model: its files differ"]
    assert describe_weaker("teacher.files", "a", "b") == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not set"), ({}, "not set"), (0, "0"), ("x" * 78, f'"{"x" * 78}"'), ("x" * 79, f'"{"x" * 78}…')],
    ids=["none", "an empty table", "zero", "80 characters", "81 characters"],
)
def test_a_long_value_is_cut_after_80_characters(value: object, text: str) -> None:
    assert format_setting(value) == text
