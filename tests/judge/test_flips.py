from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from slimgate.errors import MeasureError
from slimgate.judge.flips import (
    compare_flips,
    find_flipped_rows,
    judge_flips,
    select_confident_lost_rows,
)
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.results.base import Verdict

Make = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


def outcomes(labels: list[int], scores: list[list[float]] | None, predictions: list[int]) -> ClassOutcomes:
    ids = np.array([f"r{k}" for k in range(len(labels))])
    probabilities = None if scores is None else np.array(scores)
    return ClassOutcomes(ids, np.array(labels), np.array(predictions), ("a", "b"), probabilities)


def test_rows_that_turned_are_found_both_ways(counted: Make) -> None:
    teacher, variant = counted(20, 3, 2, both_wrong=1)
    lost, won = find_flipped_rows(teacher, variant)
    assert lost.tolist() == [0, 1, 2]
    assert won.tolist() == [3, 4]


TEACHER = outcomes([0, 0, 0, 1], [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]], [0, 0, 0, 1])
VARIANT = outcomes([0, 0, 0, 1], [[0.4, 0.6], [0.1, 0.9], [0.7, 0.3], [0.2, 0.8]], [1, 1, 0, 1])
ALL_LOST = outcomes([0, 0, 0, 1], [[0.4, 0.6], [0.1, 0.9], [0.4, 0.6], [0.7, 0.3]], [1, 1, 1, 0])


def bare(model: ClassOutcomes) -> ClassOutcomes:
    return ClassOutcomes(model.ids, model.labels, model.predictions, model.classes)


@pytest.mark.parametrize(
    ("teacher", "variant", "order"),
    [
        (TEACHER, VARIANT, [1, 0]),
        (TEACHER, ALL_LOST, [1, 3, 0, 2]),  # rows as sure as each other stay in order
        (TEACHER, bare(ALL_LOST), [0, 2, 3, 1]),
        (bare(TEACHER), bare(ALL_LOST), [0, 1, 2, 3]),
        (TEACHER, TEACHER, []),
    ],
    ids=["variant", "ties", "teacher", "neither", "none"],
)
def test_the_surest_wrong_answers_come_first(
    teacher: ClassOutcomes, variant: ClassOutcomes, order: list[int]
) -> None:
    assert select_confident_lost_rows(teacher, variant).tolist() == order
    assert select_confident_lost_rows(teacher, variant, limit=1).tolist() == order[:1]


def test_equally_sure_answers_stand_in_the_order_of_the_rows(counted: Make) -> None:
    teacher, variant = counted(200, 60, 0)
    assert select_confident_lost_rows(teacher, variant, limit=60).tolist() == list(range(60))
    assert select_confident_lost_rows(teacher, variant).tolist() == list(range(10))
    labels, wrong = np.zeros(200, dtype=np.int64), np.ones(200, dtype=np.int64)
    sure = np.where(np.arange(200) % 3 == 0, 0.9, 0.6)  # two kinds of rows, in turn
    scores = np.stack([1 - sure, sure], axis=1)
    ids = np.arange(200).astype(np.str_)
    models = (ClassOutcomes(ids, labels, predictions, ("a", "b"), scores) for predictions in (labels, wrong))
    assert select_confident_lost_rows(*models, limit=200).tolist() == [
        *range(0, 200, 3),
        *(k for k in range(200) if k % 3),
    ]


@pytest.mark.parametrize(
    ("lost", "verdict"),
    [(0, Verdict.PASS), (4, Verdict.PASS), (10, Verdict.INCONCLUSIVE), (40, Verdict.FAIL)],
)
def test_the_share_is_held_against_its_budget(counted: Make, lost: int, verdict: Verdict) -> None:
    flips = compare_flips(*counted(1000, lost, 500))
    judged = judge_flips(flips, 1.0, "customers notice")
    assert (flips.share, flips.n, flips.groups) == (lost / 1000, 1000, None)
    assert (judged.kind, judged.limit, judged.verdict) == ("flips_max_percent", 1.0, verdict)
    assert judged.reason == "customers notice"


def test_the_interval_is_clopper_and_pearsons(counted: Make) -> None:
    theirs = binomtest(8, 1000).proportion_ci(confidence_level=0.9, method="exact")
    assert compare_flips(*counted(1000, 8, 5)).interval == pytest.approx((theirs.low, theirs.high), abs=1e-10)


def test_undecided_says_how_many_rows_would_decide(counted: Make) -> None:
    judged = judge_flips(compare_flips(*counted(1000, 8, 0)), 1.0)
    assert judged.verdict is Verdict.INCONCLUSIVE
    rows = judged.n_needed
    assert rows is not None
    # exact: of so many rows, how often do the flips of a share of 0.8 % rule out 1 %
    largest = max(k for k in range(rows // 50) if binom.cdf(k, rows, 0.01) <= 0.05)
    assert binom.cdf(largest, rows, 0.008) == pytest.approx(0.8, abs=0.03)
    assert judge_flips(compare_flips(*counted(1000, 10, 0)), 1.0).n_needed is None


def test_without_a_flip_rows_needed_follow_the_rule_of_three(counted: Make) -> None:
    judged = judge_flips(compare_flips(*counted(100, 0, 0)), 1.0)
    assert judged.verdict is Verdict.INCONCLUSIVE
    # 0.99^n falls to 5 % at 299 rows, and rows that never flip have no unlucky sample
    assert judged.n_needed == pytest.approx(299, rel=0.006)


@pytest.mark.parametrize(("groups", "verdict"), [(298, Verdict.INCONCLUSIVE), (299, Verdict.PASS)])
def test_no_flip_in_groups_shows_as_much_as_their_number(
    counted: Make, groups: int, verdict: Verdict
) -> None:
    """0.99^298 is 5.004 %."""
    pair = counted(5 * groups, 0, 0, groups=np.repeat(np.arange(groups), 5))
    assert judge_flips(compare_flips(*pair), 1.0).verdict is verdict


def test_rows_that_turn_by_whole_groups_tell_less(counted: Make) -> None:
    groups = np.repeat(np.arange(200), 5)
    pair = counted(1000, 40, 0, groups=groups)
    alone, grouped = compare_flips(*counted(1000, 40, 0)), compare_flips(*pair)
    assert grouped.groups == 200
    assert grouped.share == alone.share
    # 8 of 200 groups turned as a whole
    theirs = binomtest(8, 200).proportion_ci(confidence_level=0.9, method="exact")
    assert grouped.interval == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert judge_flips(alone, 2.9).verdict is Verdict.FAIL
    assert judge_flips(grouped, 2.9).verdict is Verdict.INCONCLUSIVE


def test_groups_of_one_row_each_are_no_groups(counted: Make) -> None:
    assert compare_flips(*counted(50, 3, 0, groups=np.arange(50))).groups is None


def test_flips_take_two_models_that_are_right_or_wrong(counted: Make) -> None:
    models = counted(20, 3, 1)
    ranked = Outcomes(models[0].ids, values={"rank": np.ones(20)})
    for pair in ((models[0], ranked), (ranked, models[1])):
        with pytest.raises(MeasureError, match="flips: the rows of this task are neither right nor wrong"):
            find_flipped_rows(*pair)
