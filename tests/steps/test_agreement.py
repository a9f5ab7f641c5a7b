"""Whether a converted model answers as before: differences by hand, padding, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.building import make_tiny_context
from fixtures.models.tiny import make_tiny_tokenizer
from slimgate.errors import BuildError
from slimgate.steps import agreement
from slimgate.steps.agreement import check_agreement, make_calibration_batches, score_batches

BATCH = {"input_ids": np.zeros((2, 3), np.int64), "attention_mask": np.array([[1, 1, 1], [1, 0, 0]])}
BEFORE = np.array([[1.0, -1.0], [1.0, -1.0]], dtype=np.float32)  # their standard deviation is 1


def test_the_difference_is_logged_in_standard_deviations(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
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
        check_agreement([BEFORE], [BEFORE + 0.5], [BATCH], make_tiny_context(tmp_path), tolerance=0.4)


def test_scores_of_padding_do_not_count(tmp_path: Path) -> None:
    before = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    after, wrong = before.copy(), before.copy()
    after[1, 1:] = 100
    wrong[1, 0] = 100
    check_agreement([before], [after], [BATCH], make_tiny_context(tmp_path), tolerance=1e-6)
    with pytest.raises(BuildError, match="disagrees"):
        check_agreement([before], [wrong], [BATCH], make_tiny_context(tmp_path), tolerance=1e-6)


def test_other_shapes_and_nan_are_errors(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    with pytest.raises(BuildError, match=r"gives scores \(2, 1\), expected \(2, 2\)"):
        check_agreement([BEFORE], [BEFORE[:, :1]], [BATCH], context, tolerance=1.0)
    with pytest.raises(BuildError, match="NaN or infinite"):
        check_agreement([BEFORE], [BEFORE * np.nan], [BATCH], context, tolerance=1.0)


class Vocabulary:
    """A language model's shape of answers: each token scores 200,000 others, by its own number."""

    def prepare(self, batch: Any) -> Any:
        return batch["input_ids"]

    def forward(self, prepared: Any) -> Any:
        return prepared[..., None] + np.arange(200_000, dtype=np.float32)

    def fetch(self, output: Any) -> Any:
        return output

    def close(self) -> None:
        """Holds nothing."""


def test_of_a_large_vocabulary_the_same_few_scores_are_kept(tmp_path: Path) -> None:
    [first], [other] = (score_batches(Vocabulary(), [BATCH]) for _ in range(2))
    assert first.shape[:2] == (2, 3)
    assert first.size <= agreement.MAX_NUMBERS
    check_agreement([first], [other], [BATCH], make_tiny_context(tmp_path), tolerance=1e-6)
    with pytest.raises(BuildError, match="disagrees"):
        check_agreement([first], [other[..., ::-1]], [BATCH], make_tiny_context(tmp_path), tolerance=0.1)


def test_long_rows_come_in_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, tokenizer = (
        make_tiny_context(tmp_path / "rows", calibration=16),
        make_tiny_tokenizer(tmp_path / "hub"),
    )
    assert [len(batch["input_ids"]) for batch in make_calibration_batches(tokenizer, context)] == [16]
    monkeypatch.setattr(agreement, "BATCH_TOKENS", 64)
    batches = make_calibration_batches(tokenizer, context)
    assert sum(len(batch["input_ids"]) for batch in batches) == 16
    assert max(batch["input_ids"].size for batch in batches) <= 64
