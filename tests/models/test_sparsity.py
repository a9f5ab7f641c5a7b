"""slimgate.models.sparsity: masks worked by hand, exact in number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slimgate.errors import BuildError
from slimgate.models.sparsity import keep_n_of_m, make_keep_masks, zero_

FIRST = torch.tensor([[1.0, 8.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])
SECOND = torch.tensor([[2.0, 7.0, 6.0, 5.0]])


@pytest.mark.parametrize(
    ("scope", "first", "second"),
    [
        ("global", [[0, 1, 0, 0], [1, 1, 1, 1]], [[0, 1, 0, 0]]),  # 1 2 3 4 5 6 go
        ("layer", [[0, 0, 0, 0], [1, 1, 1, 1]], [[0, 1, 1, 0]]),  # 1 3 4 8, 2 5
        ("row", [[0, 1, 0, 1], [0, 0, 1, 1]], [[0, 1, 1, 0]]),
    ],
)
def test_half_goes_of_all_of_each_matrix_or_of_each_row(
    scope: str, first: list[list[int]], second: list[list[int]]
) -> None:
    masks = make_keep_masks([FIRST, SECOND], 0.5, scope)  # type: ignore[arg-type]
    assert [mask.int().tolist() for mask in masks] == [first, second]


@pytest.mark.parametrize("scope", ["global", "layer", "row"])
def test_as_many_go_as_asked_where_all_scores_are_equal(scope: str) -> None:
    masks = make_keep_masks([torch.ones(4, 10)], 0.3, scope)  # type: ignore[arg-type]
    assert int(masks[0].sum()) == 28


def test_n_of_m_keeps_the_highest_of_each_group_along_the_inputs() -> None:
    scores = torch.tensor([[1.0, 9.0, 3.0, 4.0, 5.0, 5.5, 7.0, 8.0]])
    assert keep_n_of_m(scores, 2, 4).int().tolist() == [[0, 1, 0, 1, 0, 0, 1, 1]]
    assert keep_n_of_m(scores, 1, 2).int().tolist() == [[0, 1, 0, 1, 0, 1, 0, 1]]
    assert keep_n_of_m(scores, 1, 8).int().tolist() == [[0, 1, 0, 0, 0, 0, 0, 0]]


def test_n_of_m_equals_a_loop_over_groups() -> None:
    scores = torch.from_numpy(np.random.default_rng(0).random((5, 12)).astype(np.float32))
    mask = keep_n_of_m(scores, 3, 6).numpy()
    for row, keep in zip(scores.numpy(), mask, strict=True):
        for start in (0, 6):
            order = np.argsort(row[start : start + 6])
            assert keep[start : start + 6][order].tolist() == [False] * 3 + [True] * 3


def test_inputs_that_make_no_whole_groups_are_an_error() -> None:
    with pytest.raises(BuildError, match="2:4 sparsity: a layer has 6 inputs, expected a multiple of 4"):
        keep_n_of_m(torch.ones(2, 6), 2, 4)


def test_zeroed_weights_are_plain_zeros_and_others_untouched() -> None:
    weight = torch.tensor([[-1.0, 2.0], [float("inf"), -4.0]])
    zero_(weight, torch.tensor([[False, True], [False, True]]))
    assert weight.tolist() == [[0.0, 2.0], [0.0, -4.0]]
    assert not torch.signbit(weight[:, 0]).any()
