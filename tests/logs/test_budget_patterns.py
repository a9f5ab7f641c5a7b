"""Budgets by pattern: the last one of each kind counts, and a budget that decides nothing is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slimgate.errors import SuiteError
from slimgate.logs.budgets import ComparisonKey, LogBudgets, convert_points_to_growth, parse_budget_tables
from slimgate.logs.file_budgets import ANSWERS, read_file_budgets
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.plugins.reader import Log, Row, TaskLog
from slimgate.results.base import Verdict

DROP, FLOOR = {"drop_points": 2.0}, {"floor": 0.1}
LOOSE = {"drop_points": 90.0}
KEYS = [ComparisonKey("gsm8k/acc", "gsm8k", "acc"), ComparisonKey("arc/acc", "arc", "acc")]


def list_limits(budgets: LogBudgets, task: str) -> dict[str, float]:
    return {
        budget.kind: budget.limit
        for budget in budgets.select_budgets(ComparisonKey(f"{task}/acc", task, "acc"))
    }


def read(stated: dict[str, Any]) -> LogBudgets:
    return read_file_budgets({"budgets": stated}, ANSWERS, "int4", "b.toml").answers


def judge(stated: dict[str, Any], *slices: str) -> LogVerdicts:
    """gsm8k loses 150 of 500 right answers; arc loses none."""

    def make_task(lost: int) -> TaskLog:
        def rows() -> Iterator[Row]:
            for at in range(500):
                yield Row(str(at), {"acc": float(at >= lost)}, fields={"topic": "ab"[at % 2]})

        return TaskLog(rows)

    base = Log("simulated", "base", {"gsm8k": make_task(0), "arc": make_task(0)})
    target = Log("simulated", "int4", {"gsm8k": make_task(150), "arc": make_task(0)})
    return judge_logs(base, target, read(stated), Rules(slices=slices))


@pytest.mark.parametrize(
    "stated",
    [
        pytest.param({"gsm8k*": DROP, "*": FLOOR}, id="a later pattern"),
        pytest.param({"gsm8k*": DROP, "variants": {"int4": {"*": FLOOR}}}, id="a pattern of the target"),
        pytest.param({"*": FLOOR, "gsm8k*": DROP}, id="an earlier pattern"),
    ],
)
def test_another_kind_of_budget_removes_no_limit(stated: dict[str, Any]) -> None:
    assert list_limits(read(stated), "gsm8k") == {**DROP, **FLOOR}
    assert list_limits(read(stated), "arc") == FLOOR
    verdicts = {part.name: part.judged.verdict for part in judge(stated).comparisons}
    assert verdicts == {"gsm8k/acc": Verdict.FAIL, "arc/acc": Verdict.PASS}


def test_of_one_kind_the_last_pattern_counts() -> None:
    budgets = read({"*": {**DROP, **FLOOR}, "gsm8k*": {"drop_points": 1.0}})
    assert list_limits(budgets, "gsm8k") == {"drop_points": 1.0, "floor": 0.1}
    assert list_limits(budgets, "arc") == {"drop_points": 2.0, "floor": 0.1}


def test_another_kind_removes_no_limit_of_a_slice() -> None:
    slices = {"topic": {"a": {"acc": DROP}, "*": {"acc": FLOOR}}, "acc": {"equivalent_points": 95.0}}
    parts = {part.name: part for part in judge({"*": LOOSE, "slices": slices}, "topic").slices}
    kinds = {name: {budget.kind for budget in part.budgets} for name, part in parts.items()}
    assert kinds["gsm8k/acc[topic=a]"] == {"drop_points", "floor", "equivalent_points"}
    assert kinds["gsm8k/acc[topic=b]"] == {"floor", "equivalent_points"}
    assert parts["gsm8k/acc[topic=a]"].judged.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        pytest.param({"gsm8k*": DROP, "*": LOOSE}, '"gsm8k*" drop_points = 2 decides no', id="all"),
        pytest.param({"gsm8k/*": DROP, "gsm8k*": LOOSE}, '"gsm8k*" comes later', id="the same comparisons"),
        pytest.param({"gsm8k/acc": DROP, "gsm8k": LOOSE}, '"gsm8k" comes later', id="a task"),
        pytest.param({"gsm?k": DROP, "gsm*": LOOSE}, '"gsm*" comes later', id="a question mark"),
        pytest.param({"*": DROP, "**": LOOSE}, '"**" comes later', id="two patterns of everything"),
        pytest.param(
            {"gsm8k*": DROP, "variants": {"int4": {"*": LOOSE}}},
            '"gsm8k*" drop_points = 2',
            id="of the target",
        ),
    ],
)
def test_a_budget_that_decides_nothing_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError) as error:
        read(stated).check_used(KEYS)
    assert message in str(error.value)
    assert "write the narrower pattern last" in str(error.value)


def test_a_default_may_have_exceptions_for_everything() -> None:
    budgets = read({"*": DROP, "gsm8k*": LOOSE, "arc*": LOOSE})
    budgets.check_used(KEYS)
    assert list_limits(budgets, "gsm8k") == list_limits(budgets, "arc") == LOOSE
    assert list_limits(budgets, "mmlu") == DROP
    slices = {"acc": DROP, "topic": {"a": {"acc": LOOSE}, "b": {"acc": LOOSE}}}
    parts = [part for part in judge({"*": LOOSE, "slices": slices}, "topic").slices if part.name[:3] != "arc"]
    assert {part.name: part.budgets[0].limit for part in parts} == {
        "gsm8k/acc[topic=a]": 90.0,
        "gsm8k/acc[topic=b]": 90.0,
    }


@pytest.mark.parametrize(
    ("wider", "narrower"),
    [("gs*", "gsm8k"), ("gsm*", "gsm8k/*"), ("gsm*", "gsm?k"), ("gsm8k", "gsm8k/acc"), ("acc", "gsm8k/acc")],
)
def test_a_wider_pattern_may_decide_nothing_in_one_log(wider: str, narrower: str) -> None:
    """The same file is for logs with more metrics."""
    budgets = read({wider: DROP, narrower: LOOSE})
    budgets.check_used(KEYS[:1])
    assert list_limits(budgets, "gsm8k") == LOOSE
    with pytest.raises(SuiteError, match="decides no"):
        read({narrower: DROP, wider: LOOSE}).check_used(KEYS[:1])


def test_a_slice_budget_that_decides_nothing_is_refused() -> None:
    slices = {"topic": {"a": {"acc": DROP}, "*": {"acc": LOOSE}}}
    with pytest.raises(SuiteError, match=r"topic\.a\.acc drop_points = 2 decides no slice: topic\.\*\.acc"):
        judge({"*": LOOSE, "slices": slices}, "topic")


def test_a_limit_that_is_off_leaves_the_other_kinds() -> None:
    off = {"*": {"drop_points": "off", "reason": "known"}}
    assert list_limits(read({"*": {**DROP, **FLOOR}, "variants": {"int4": off}}), "gsm8k") == FLOOR


@pytest.mark.parametrize("points_last", [False, True])
def test_points_and_growth_of_a_perplexity_are_one_kind(points_last: bool) -> None:
    """A limit in points is a growth, so the last of both counts."""
    stated = [("*", {"drop_points": 1.0}), ("wiki*", {"increase_relative": 0.05})]
    budgets = parse_budget_tables({"budgets": dict(stated[::-1] if points_last else stated)}, "b.toml")
    notes: list[str] = []
    growths = convert_points_to_growth(
        "wiki", budgets.select_budgets(ComparisonKey("wiki/ppl", "wiki", "ppl")), notes
    )
    assert [(budget.kind, budget.limit) for budget in growths] == [
        ("increase_relative", 0.01 if points_last else 0.05)
    ]
    assert len(notes) == points_last
