"""Small logs of two models, and their samples in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from slimgate.errors import DataError
from slimgate.logs.pairs import PairedTask, pair_task
from slimgate.logs.rules import Differences, Rules
from slimgate.plugins.reader import Log, Row, TaskLog

Scores = Sequence[float | None]


def make_log(shown: str, tasks: Mapping[str, Sequence[Row]], **more: Any) -> Log:
    directions = {"higher_is_better": {"em": True, "wer": False}, **more}
    by_name = {name: TaskLog(lambda rows=rows: iter(rows), **directions) for name, rows in tasks.items()}
    return Log("tool", shown, by_name)


def make_rows(scores: Scores, *, metric: str = "em", first: int = 0, **more: Any) -> list[Row]:
    return [Row(str(first + at), {metric: score}, **more) for at, score in enumerate(scores)]


def make_differences(*allow: str) -> Differences:
    return Differences(("base", "target"), allow)


def pair_rows(
    base: Sequence[Row],
    target: Sequence[Row],
    *,
    rules: Rules | None = None,
    differences: Differences | None = None,
    **more: Any,
) -> PairedTask:
    """Pairs the rows of two logs of the task gsm8k, which has only one filter."""
    logs = make_log("base", {"gsm8k": base}, **more), make_log("target", {"gsm8k": target}, **more)
    (paired,) = pair_task("gsm8k", *logs, rules or Rules(), differences or make_differences())
    return paired


def read_refusal(differences: Differences) -> str:
    """The message of the error that refuses the logs."""
    with pytest.raises(DataError) as error:
        differences.check()
    return str(error.value)
