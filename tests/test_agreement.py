"""Whether a converted model answers as before: differences by hand, padding, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.building import tiny_context
from slimgate.agreement import check_agreement
from slimgate.errors import BuildError

BATCH = {"input_ids": np.zeros((2, 3), np.int64), "attention_mask": np.array([[1, 1, 1], [1, 0, 0]])}
BEFORE = np.array([[1.0, -1.0], [1.0, -1.0]], dtype=np.float32)  # their standard deviation is 1


def test_the_difference_is_logged_in_standard_deviations(tmp_path: Path) -> None:
    context = tiny_context(tmp_path)
    after = BEFORE + np.array([[0, 0.25], [0, 0]], dtype=np.float32)
    check_agreement([BEFORE], [after], [BATCH], context, tolerance=0.25)
    assert context.log == {
        "agreement_rows": 2,
        "max_difference": 0.25,
        "max_difference_relative": 0.25,
        "tolerance": 0.25,
    }


def test_more_than_the_tolerance_is_an_error_that_says_both(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"up to 0.5 apart, 0.5 of their standard deviation.*at most 0.4;"):
        check_agreement([BEFORE], [BEFORE + 0.5], [BATCH], tiny_context(tmp_path), tolerance=0.4)


def test_scores_of_padding_do_not_count(tmp_path: Path) -> None:
    before = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    after, wrong = before.copy(), before.copy()
    after[1, 1:] = 100
    wrong[1, 0] = 100
    check_agreement([before], [after], [BATCH], tiny_context(tmp_path), tolerance=1e-6)
    with pytest.raises(BuildError, match="disagrees"):
        check_agreement([before], [wrong], [BATCH], tiny_context(tmp_path), tolerance=1e-6)


def test_other_shapes_and_nan_are_errors(tmp_path: Path) -> None:
    context = tiny_context(tmp_path)
    with pytest.raises(BuildError, match=r"gives scores \(2, 1\), expected \(2, 2\)"):
        check_agreement([BEFORE], [BEFORE[:, :1]], [BATCH], context, tolerance=1.0)
    with pytest.raises(BuildError, match="NaN or infinite"):
        check_agreement([BEFORE], [BEFORE * np.nan], [BATCH], context, tolerance=1.0)
