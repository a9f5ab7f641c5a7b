"""The time limit of a search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slimgate.cli.tune.clock import Clock, OutOfTime
from slimgate.plugins.base import Progress


def test_a_step_that_tells_how_far_it_is_ends_with_the_time() -> None:
    moments = iter([100.0, 110.0, 159.0, 160.0])
    clock = Clock(60.0, now=lambda: next(moments))
    reports: list[tuple[str, int, int]] = []

    class Messages:
        @contextmanager
        def stage(self, _what: str, **_more: object) -> Iterator[Progress]:
            yield lambda *report: reports.append(report)

    with clock.limit_watch(Messages()).stage("x · step 1 of 1: fine_tune") as progress:
        progress("train", 1, 9)
        progress("train", 2, 9)
        with pytest.raises(OutOfTime, match="the time limit of 1 min is used up"):
            progress("train", 3, 9)
    assert reports == [("train", 1, 9), ("train", 2, 9)]
