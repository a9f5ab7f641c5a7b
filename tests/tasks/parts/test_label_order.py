"""slimgate.tasks.parts.label_order: a ready-made head whose outputs mean other labels than their names
say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.building import PARAMS, load_tiny, make_tiny_context
from fixtures.models.ready_made import write_ready_made
from slimgate.errors import BuildError
from slimgate.tasks.parts.label_order import find_order
from slimgate.tasks.text_classification import Params

pytest.importorskip("torch")


def answers(*, rows: int, classes: int, right: float, seed: int = 0) -> tuple[Any, Any]:
    """Predictions that are right that often, and the labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    guesses = random.integers(0, classes, rows)
    return np.where(random.random(rows) < right, labels, guesses), labels


@pytest.mark.parametrize(("classes", "right"), [(2, 0.5), (3, 0.6), (20, 0.8), (77, 0.9)])
def test_a_shuffled_order_is_found_and_contradicts(classes: int, right: float) -> None:
    predictions, labels = answers(rows=500, classes=classes, right=right)
    shuffle = np.roll(np.arange(classes), 1)  # what was class c is now said by output c + 1
    order = find_order(np.roll(np.arange(classes), -1)[predictions], labels, classes)
    assert order.contradicts
    wrong = sum(a != b for a, b in zip(order.order, np.argsort(shuffle), strict=True))
    assert wrong <= classes // 10  # of 77 classes a few have hardly a row in half of 500
    assert order.accuracy_as_is < 0.3 < 0.6 < order.accuracy_in_order
    assert order.rows == 250


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("classes", [2, 5, 77])
@pytest.mark.parametrize("right", [0.0, 0.3, 0.95])
def test_answers_in_the_right_order_never_contradict(seed: int, classes: int, right: float) -> None:
    assert not find_order(*answers(rows=500, classes=classes, right=right, seed=seed), classes).contradicts


@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize("share", [0.05, 0.37, 0.9])
def test_a_constant_model_is_bad_and_not_reordered(answer: int, share: float) -> None:
    labels = (np.random.default_rng(0).random(500) < share).astype(np.int64)
    order = find_order(np.full(500, answer), labels, 2)
    assert not order.contradicts
    assert (order.accuracy_as_is, order.accuracy_in_order) == (0.5, 0.5)


def test_a_swap_of_a_rare_class_is_seen() -> None:
    labels = np.asarray(([0] * 18 + [1] * 2) * 25)
    order = find_order(1 - labels, labels, 2)
    assert order.contradicts
    assert (order.order, order.accuracy_as_is, order.accuracy_in_order) == ((1, 0), 0.0, 1.0)


def test_a_dozen_rows_are_too_few_to_contradict() -> None:
    labels = np.arange(12) % 3 % 2
    order = find_order(1 - labels, labels, 2)
    assert (order.accuracy_as_is, order.accuracy_in_order, order.rows) == (0.0, 1.0, 6)
    assert order.p_value == 0.5**6
    assert not order.contradicts


# --- a model that is loaded


def test_a_head_in_the_wrong_order_is_one_clear_error(tmp_path: Path) -> None:
    write_ready_made(tmp_path / "hub", labels=("pos", "neg"))
    message = (
        r"hub: the order of its outputs is probably not the order of the classes\. The model's names: "
        r"0=pos, 1=neg\. On 100 "
        r"rows of selection, their balanced accuracy is 0\.0[01]\d if they mean 0=pos, 1=neg, "
        r"and (0\.99\d|1\.000) if they mean 0=neg, 1=pos\. "
        r'If the second order is right, set \[task\] labels = \["neg", "pos"\]$'
    )
    with pytest.raises(BuildError, match=message):
        load_tiny(tmp_path / "hub", make_tiny_context(tmp_path / "rows", selection=200))


def test_labels_as_the_error_says_them_put_it_right(tmp_path: Path) -> None:
    write_ready_made(tmp_path / "hub", labels=("pos", "neg"))
    params = Params(**{**PARAMS.model_dump(), "labels": ("neg", "pos")})
    context = make_tiny_context(tmp_path / "rows", selection=200, params=params)
    load_tiny(tmp_path / "hub", context)
    seen = context.log["label_order"]
    assert seen["rows"] == 100
    assert seen["balanced_accuracy"] == seen["in_the_best_order"] > 0.98


def test_without_selection_rows_no_order_is_tried(tmp_path: Path) -> None:
    write_ready_made(tmp_path / "hub", labels=("neg", "pos"))
    context = make_tiny_context(tmp_path / "rows", selection=0)
    load_tiny(tmp_path / "hub", context)
    assert context.log["label_order"] == "not tried: split selection has no rows"
