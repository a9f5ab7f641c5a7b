"""slimgate.judge.extremes: the made-up rows of outcomes without classes, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.rank_rows import MRR, make_rows

from slimgate.judge.extremes import add_extreme_rows
from slimgate.judge.metrics.base import mean_of
from slimgate.outcomes import Ints, Outcomes


def made_up(groups: Ints | None) -> tuple[list[list[float]], Ints | None]:
    """The terms of the made-up rows: sum and count of the teacher, then of the variant."""
    pair = [
        make_rows(groups=groups, rank=np.array(ranks))
        for ranks in ([1.0, 1.0, 2.0, 4.0], [1.0, 2.0, 2.0, 4.0])
    ]
    terms, members = add_extreme_rows(MRR, *pair)
    assert terms[:4].tolist() == [[1, 1, 1, 1], [1, 1, 0.5, 1], [0.5, 1, 0.5, 1], [0.25, 1, 0.25, 1]]
    return terms[4:].tolist(), members


def test_one_row_falls_from_best_to_worst_and_one_rises() -> None:
    assert made_up(None) == ([[1, 1, 0, 1], [0, 1, 1, 1]], None)


def test_made_up_rows_of_grouped_rows_come_in_whole_groups() -> None:
    # groups of 3 and 1 rows: a lost row is in one of (27 + 1) / (9 + 1) = 2.8 rows, so each made-up one has 3
    terms, members = made_up(np.array([5, 5, 5, 9]))
    assert terms == [[1, 1, 0, 1]] * 3 + [[0, 1, 1, 1]] * 3
    assert members is not None
    assert members.tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3]


def test_best_and_worst_are_those_of_the_teachers_rows() -> None:
    def ends(outcomes: Outcomes) -> np.ndarray:
        best = (1 / outcomes.column("rank")).max()
        return np.array([[best, 1.0], [0.0, 1.0]])

    terms = mean_of(lambda outcomes: 1 / outcomes.column("rank"))
    metric = replace(MRR, row_sums=replace(terms, extremes=ends))
    pair = [make_rows(rank=np.array(ranks)) for ranks in ([2.0, 4.0], [1.0, 4.0])]
    assert add_extreme_rows(metric, *pair)[0][2:].tolist() == [[0.5, 1, 0, 1], [0, 1, 0.5, 1]]
