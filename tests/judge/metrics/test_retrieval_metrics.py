"""Metrics of ranks: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import Outcomes

NAMES = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg_at_10")


def outcomes(ranks: list[float], gains: list[float] | None = None) -> Outcomes:
    rank = np.asarray(ranks, dtype=np.float64)
    ids = np.asarray([f"q{i}" for i in range(len(ranks))], dtype=np.str_)
    ndcg = 1 / rank if gains is None else np.asarray(gains)
    return Outcomes(ids, values={"right": (rank == 1) * 1.0, "rank": rank, "ndcg_at_10": ndcg})


def test_values_by_hand() -> None:
    queries = outcomes([1, 2, 5, 10, 20], [1.0, 0.6, 0.4, 0.3, 0.0])
    values = {name: compute_value(load_metric(name), queries) for name in NAMES}
    assert values["recall_at_1"] == pytest.approx(1 / 5)
    assert values["recall_at_5"] == pytest.approx(3 / 5)
    assert values["recall_at_10"] == pytest.approx(4 / 5)
    assert values["mrr"] == pytest.approx((1 + 0.5 + 0.2 + 0.1 + 0.05) / 5)
    assert values["ndcg_at_10"] == pytest.approx(2.3 / 5)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_queries_changes_nothing(name: str) -> None:
    queries = outcomes([1, 2, 5, 10, 20])
    turned = queries.take(np.asarray([4, 2, 0, 1, 3]))
    assert compute_value(load_metric(name), turned) == pytest.approx(
        compute_value(load_metric(name), queries)
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_queries_are_an_error(name: str) -> None:
    with pytest.raises(MeasureError, match="no rows"):
        compute_value(load_metric(name), outcomes([]))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_ranks_pass_and_a_tenth_of_queries_lost_fails(name: str) -> None:
    teacher = outcomes([1.0] * 900 + [3.0] * 100)
    budget = [QualityBudget(kind="drop_points", limit=2.0)]
    same = judge_quality(load_metric(name), teacher, teacher, budget)
    assert same.budgets[0].verdict == "PASS"
    worse = outcomes([1.0] * 800 + [3.0] * 100 + [500.0] * 100)
    lost = judge_quality(load_metric(name), teacher, worse, budget)
    assert lost.budgets[0].verdict == "FAIL"
    assert lost.drop_points > 9
