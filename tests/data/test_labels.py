"""slimgate.data.labels: the order of classes, and which output of a ready-made model means which."""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.data.labels import find_output_order, list_class_names
from slimgate.errors import SuiteError


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["pos", "neg", "pos"], ("neg", "pos")),
        ([10, 9, 0], ("0", "9", "10")),
        (["10", "9", "0"], ("0", "9", "10")),
        (["1", "-1", "0"], ("-1", "0", "1")),
        (["10", "9", "other"], ("10", "9", "other")),
        ([True, False], ("False", "True")),
        ([0.5, 10.0, 2.0], ("0.5", "2.0", "10.0")),
        (["b", None, "a"], ("a", "b")),
        ([], ()),
    ],
    ids=["text", "int", "digits", "signs", "digits and text", "bool", "float", "null", "none"],
)
def test_classes_are_sorted_by_number_or_alphabet(values: list[Any], classes: tuple[str, ...]) -> None:
    assert list_class_names(values) == classes
    assert list_class_names(reversed(values)) == classes


def test_names_are_matched_by_name() -> None:
    assert find_output_order(["neg", "pos"], ("neg", "pos"), None, "m") == [0, 1]
    assert find_output_order(["c", "a", "b"], ("a", "b", "c"), None, "m") == [1, 2, 0]


def test_generic_names_mean_classes_that_are_numbers() -> None:
    assert find_output_order(["LABEL_0", "LABEL_1"], ("0", "1"), None, "m") == [0, 1]


def test_stated_labels_are_those_of_the_outputs() -> None:
    assert find_output_order(["LABEL_0", "LABEL_1"], ("neg", "pos"), ["pos", "neg"], "m") == [1, 0]


@pytest.mark.parametrize(
    ("model", "classes", "stated"),
    [
        (["LABEL_0", "LABEL_1"], ("neg", "pos"), None),
        (["negative", "positive"], ("neg", "pos"), None),
        (["a", "b", "c"], ("a", "b"), None),
        (["a"], ("a", "b"), None),
        (["a", "a"], ("a", "b"), None),
        (["x", "y"], ("a", "b"), ["a", "c"]),
        (["x", "y", "z"], ("a", "b"), ["a", "b"]),
    ],
    ids=["generic", "other names", "more outputs", "fewer", "twice", "stated wrong", "stated too few"],
)
def test_labels_that_do_not_fit_are_an_error_that_shows_both(
    model: list[str], classes: tuple[str, ...], stated: list[str] | None
) -> None:
    with pytest.raises(SuiteError) as caught:
        find_output_order(model, classes, stated, "../m")
    message = str(caught.value)
    assert message.startswith("../m: the model's labels do not fit the data's labels. Model: 0=" + model[0])
    assert "data: " + ", ".join(f"{i}={name}" for i, name in enumerate(classes)) in message
    assert "[task] labels" in message


def test_many_labels_are_shown_in_part() -> None:
    with pytest.raises(SuiteError, match=r"7=c7, … \(77 in all\)"):
        find_output_order([f"c{i}" for i in range(77)], ("a", "b"), None, "m")
