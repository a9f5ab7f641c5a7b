"""slimgate/budgets: each kind of budget is one object, and every table, report and comparison knows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slimgate.budgets.base import METRIC, BudgetKind, MetricBudgetKind, Question
from slimgate.budgets.registry import find_kind, list_budget_kinds, list_metric_kinds
from slimgate.judge.budget_kinds import QualityBudget, compute_allowed_drop
from slimgate.judge.budget_tables import (
    TOKEN_TABLES,
    FlipsBudget,
    FlopsBudget,
    MeasurementBudgetTable,
    MemoryBudget,
    QualityBudgetTable,
    QuantizedBudget,
    SizeBudget,
    SliceBudget,
)
from slimgate.judge.latency_budgets import LatencyBudgetTable
from slimgate.record.budgets import Judged, is_looser, judge_under_limit
from slimgate.report.page.budgets import format_limit_words
from slimgate.report.status import describe_budget
from slimgate.results.base import BudgetFacts

# The keys of each table of [budgets] that are limits.
KEYS = {
    METRIC: tuple(QualityBudgetTable.model_fields.keys() & list_metric_kinds().keys()),
    "size": (SizeBudget.kind, QuantizedBudget.kind),
    "memory": (MemoryBudget.kind,),
    "flops": (FlopsBudget.kind,),
    "flips": (FlipsBudget.kind,),
    "slices": (SliceBudget.kind,),
    "latency": LatencyBudgetTable.kinds,
    "measurements": MeasurementBudgetTable.kinds,
    **{name: table.kinds for name, table in TOKEN_TABLES.items()},
}
# Every kind on a metric, in the order of lists: the drop that a limit of 0.6 allows if the teacher has 0.9.
# A new kind needs a line here.
ALLOWED = {
    "drop_points": 0.006,
    "equivalent_points": 0.006,
    "drop_relative": 0.6 * 0.9,
    "error_increase_relative": 0.6 * (1 - 0.9),
    "increase_relative": 0.6 * 0.9,
    "floor": 0.9 - 0.6,
    "ceiling": 0.6 - 0.9,
    "length_ratio_max": (0.6 - 1) * 0.9,
    "length_ratio_min": (1 - 0.6) * 0.9,
}
TWO_SIDED = {"equivalent_points"}
KINDS = [pytest.param(kind, id=f"{kind.table}-{kind.name}") for kind in list_budget_kinds().values()]


def test_every_limits_key_has_an_object_and_every_object_a_key() -> None:
    assert {(table, name) for table, names in KEYS.items() for name in names} == set(list_budget_kinds())
    assert list(list_metric_kinds()) == list(ALLOWED)


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_of_a_limit_have_its_number(kind: BudgetKind) -> None:
    assert kind.limit_text.count("{:g}") == 1
    assert ("20" if kind.percent else "0.2") in kind.format_limit(0.2)
    named = f"slices.{METRIC}" if kind.table == "slices" else kind.name
    if (kind.table, kind.name) != ("top1_agreement", "floor"):
        assert format_limit_words(named, 0.2) == kind.format_limit(0.2)
    assert describe_budget(named)


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_gets_looser_in_the_direction_of_its_kind(kind: BudgetKind) -> None:
    assert is_looser(kind.name, 2.0, 1.0) is not kind.is_minimum
    assert is_looser(kind.name, 1.0, 2.0) is kind.is_minimum
    assert not is_looser(kind.name, 1.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCONCLUSIVE"])
def test_the_judged_limit_has_the_judged_verdict(kind: BudgetKind, verdict: str) -> None:
    facts = BudgetFacts(kind=kind.name, limit=1.0, verdict=verdict, value=1.0, interval=(0.9, 1.1))
    assert judge_under_limit(kind.name, 1.0, Judged("x", None, facts, 1.0, (0.9, 1.1))) == verdict


@pytest.mark.parametrize("kind", KINDS)
def test_another_limit_is_read_off_the_interval(kind: BudgetKind) -> None:
    facts = BudgetFacts(
        kind=kind.name, limit=1.0, verdict="INCONCLUSIVE", value=1.0, fail_interval=(0.8, 1.2)
    )
    judged = Judged("x", None, facts, 1.0, (0.9, 1.1))
    easy, hard = (0.5, 2.0) if kind.is_minimum else (2.0, 0.5)
    assert judge_under_limit(kind.name, easy, judged) == "PASS"
    assert judge_under_limit(kind.name, hard, judged) == "FAIL"


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_kind_allows_is_worked_by_hand(name: str) -> None:
    kind = list_metric_kinds()[name]
    assert compute_allowed_drop(QualityBudget(name, 0.6), 0.9) == pytest.approx(ALLOWED[name])
    assert kind.in_points == name.endswith("_points")
    assert kind.two_sided == (name in TWO_SIDED)


@pytest.mark.parametrize("question", ["drop", "change"])
@pytest.mark.parametrize(
    "changes",
    [{"allowed_drop": lambda limit, teacher: limit * teacher}, {"percent": True}],
    ids=["share", "percent"],
)
def test_a_question_about_points_takes_no_other_unit(question: Question, changes: dict[str, Any]) -> None:
    points = replace(list_metric_kinds()["drop_points"], question=question)
    with pytest.raises(ValueError, match=rf'drop_points: question="{question}" tests a limit in'):
        replace(points, **changes)


def test_a_name_in_two_tables_is_found_by_its_table() -> None:
    floor, agreement = find_kind("floor"), find_kind("floor", "top1_agreement")
    assert isinstance(floor, MetricBudgetKind)
    assert agreement is not None
    assert (floor.table, agreement.table) == (METRIC, "top1_agreement")
    assert find_kind("no_such_kind") is None
