"""slimgate.judge.extremes: the made-up rows of outcomes without classes, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_judge_quality import MRR, rows

from slimgate.judge.extremes import with_extremes
from slimgate.judge.metrics.row_sums import mean_of
from slimgate.outcomes import Ints, Outcomes


def samples(groups: Ints | None, left_out: int) -> tuple[list[float], list[float]]:
    """The values of teacher and variant over all rows, and with one unit left out."""
    pair = [
        rows(groups=groups, rank=np.array(ranks)) for ranks in ([1.0, 1.0, 2.0, 4.0], [1.0, 2.0, 2.0, 4.0])
    ]
    found = with_extremes(MRR, *pair)
    return found.sample().tolist(), found.leave_one_out()[:, left_out].tolist()


def test_one_row_falls_from_best_to_worst_and_one_rises() -> None:
    # 1, 1, 1/2, 1/4 and the made-up 1, 0; of the variant 1, 1/2, 1/2, 1/4 and 0, 1
    whole, without = samples(None, 4)
    assert whole == pytest.approx([3.75 / 6, 3.25 / 6])
    assert without == pytest.approx([2.75 / 5, 3.25 / 5])
    _, without = samples(None, 5)
    assert without == pytest.approx([3.75 / 5, 2.25 / 5])


def test_made_up_rows_of_grouped_rows_come_in_whole_groups() -> None:
    # groups of 3 and 1 rows: a lost row is in one of (27 + 1) / (9 + 1) = 2.8 rows, so each made-up one has 3
    whole, without = samples(np.array([5, 5, 5, 9]), 2)
    assert whole == pytest.approx([5.75 / 10, 5.25 / 10])
    assert without == pytest.approx([2.75 / 7, 5.25 / 7])
    _, without = samples(np.array([5, 5, 5, 9]), 3)
    assert without == pytest.approx([5.75 / 7, 2.25 / 7])
    _, without = samples(np.array([5, 5, 5, 9]), 1)
    assert without == pytest.approx([5.5 / 9, 5.0 / 9])


def test_best_and_worst_are_those_of_the_teachers_rows() -> None:
    def ends(outcomes: Outcomes) -> np.ndarray:
        best = (1 / outcomes.column("rank")).max()
        return np.array([[best, 1.0], [0.0, 1.0]])

    terms = mean_of(lambda outcomes: 1 / outcomes.column("rank"))
    metric = replace(MRR, row_sums=replace(terms, extremes=ends))
    pair = [rows(rank=np.array(ranks)) for ranks in ([2.0, 4.0], [1.0, 4.0])]
    # 1/2, 1/4 and the made-up 1/2, 0; of the variant 1, 1/4 and 0, 1/2
    assert with_extremes(metric, *pair).sample().tolist() == pytest.approx([1.25 / 4, 1.75 / 4])
