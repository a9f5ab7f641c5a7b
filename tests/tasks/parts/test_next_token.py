"""A teacher's likeliest tokens, and KL of another model from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from slimgate.tasks.parts import next_token
from slimgate.tasks.parts.language_model import Windows, split_into_windows
from slimgate.tasks.parts.next_token import compute_kl, count_places, find_top_tokens

Floats = npt.NDArray[np.float64]


class Table:
    """A predictor whose logits at a place are a line of a table, by the token there."""

    def __init__(self, table: Floats) -> None:
        self.table = table.astype(np.float32)

    def prepare(self, batch: Any) -> Any:
        return batch["input_ids"]

    def forward(self, ids: Any) -> Any:
        return self.table[ids]

    def fetch(self, logits: Any) -> Any:
        return logits


def encoded(*documents: list[int]) -> Windows:
    return split_into_windows(documents, max_tokens=4, stride=2, padding=0)


def order(rows: Windows) -> list[list[int]]:
    """Batches of two windows, the last window first."""
    last_first = list(range(len(rows.lengths)))[::-1]
    return [last_first[at : at + 2] for at in range(0, len(last_first), 2)]


def kl(teacher: Floats, variant: Floats, rows: Windows) -> tuple[Floats, Any]:
    top = find_top_tokens(Table(teacher), rows, iter(order(rows)))  # type: ignore[arg-type]
    measured = compute_kl(top, Table(variant), rows, iter(order(rows)))  # type: ignore[arg-type]
    assert measured is not None
    return measured


def exact(teacher: Floats, variant: Floats, ids: list[int]) -> Floats:
    log_p, log_q = (logits - np.log(np.exp(logits).sum(-1, keepdims=True)) for logits in (teacher, variant))
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)[ids]


RNG = np.random.default_rng(0)
TEACHER, VARIANT = RNG.normal(size=(10, 10)), RNG.normal(size=(10, 10))
ROWS = encoded([1, 2, 3, 4, 5, 6], [7, 8, 9])
# of which the next token is predicted; the second window of the first document counts its last two
PLACES = [1, 2, 3, 4, 5, 7, 8]


def test_a_kl_worked_by_hand() -> None:
    """KL((1/2, 1/2) || (3/4, 1/4)) = ln 2 - ln 3 / 2."""
    distances, same = kl(np.log([[1.0, 1.0]] * 2), np.log([[3.0, 1.0]] * 2), encoded([0, 1]))
    assert distances == pytest.approx([np.log(2) - np.log(3) / 2])
    assert same.tolist() == [True]  # the teacher holds both as likely


def test_small_vocabularies_give_the_exact_kl() -> None:
    distances, same = kl(TEACHER, VARIANT, ROWS)
    assert count_places(ROWS).tolist() == [3, 2, 2]
    assert distances == pytest.approx(exact(TEACHER, VARIANT, PLACES), rel=1e-5)
    assert same.tolist() == (TEACHER.argmax(-1) == VARIANT.argmax(-1))[PLACES].tolist()


def test_a_model_is_at_no_distance_from_itself() -> None:
    distances, same = kl(TEACHER, TEACHER, ROWS)
    assert not distances.any()
    assert same.all()


@pytest.mark.parametrize("top", [9, 10])
def test_kl_is_exact_where_at_most_one_token_is_left(monkeypatch: pytest.MonkeyPatch, top: int) -> None:
    monkeypatch.setattr(next_token, "TOP", top)
    assert kl(TEACHER, VARIANT, ROWS)[0] == pytest.approx(exact(TEACHER, VARIANT, PLACES), rel=1e-4)


@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_the_others_are_estimated_without_bias(monkeypatch: pytest.MonkeyPatch, noise: float) -> None:
    """Of 300 tokens with flat probabilities 20 are kept and 20 drawn, at 2,000 places."""
    monkeypatch.setattr(next_token, "TOP", 20)
    monkeypatch.setattr(next_token, "DRAWN", 20)
    rng = np.random.default_rng(1)
    teacher = rng.normal(size=(300, 300))
    variant = teacher + noise * rng.normal(size=(300, 300))
    ids = rng.integers(0, 300, size=(2000, 2)).tolist()
    distances, _ = kl(teacher, variant, split_into_windows(ids, max_tokens=4, stride=4, padding=0))
    expected = exact(teacher, variant, [pair[0] for pair in ids])
    assert distances.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert np.quantile(distances, 0.5) == pytest.approx(np.quantile(expected, 0.5), rel=0.1)
    assert distances.min() >= 0


def test_a_window_that_was_not_read_has_no_kl() -> None:
    top = find_top_tokens(Table(TEACHER), ROWS, iter(order(ROWS)))  # type: ignore[arg-type]
    measured = compute_kl(top, Table(TEACHER), ROWS, iter(order(ROWS)[:1]))  # type: ignore[arg-type]
    assert measured is not None
    assert 0 < np.isnan(measured[0]).sum() < len(measured[0])


def test_tokens_that_both_models_exclude_add_nothing() -> None:
    excluded = np.where(np.arange(10) < 6, TEACHER, -np.inf)
    assert kl(excluded, excluded, ROWS)[0] == pytest.approx(0, abs=1e-6)


def test_another_vocabulary_is_not_compared() -> None:
    top = find_top_tokens(Table(TEACHER), ROWS, iter(order(ROWS)))  # type: ignore[arg-type]
    wider = Table(np.zeros((10, 11)))
    assert compute_kl(top, wider, ROWS, iter(order(ROWS))) is None  # type: ignore[arg-type]


def test_certain_tokens_and_impossible_ones_have_a_finite_kl() -> None:
    sure, other = np.full((10, 10), -200.0), np.full((10, 10), -200.0)
    sure[:, 0], other[:, 1] = 200.0, 200.0
    distances, same = kl(sure, other, ROWS)
    assert np.isfinite(distances).all()
    assert distances.min() > 80
    assert not same.any()
