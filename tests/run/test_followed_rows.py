"""slimgate.run.followed_rows: which rows a report follows, and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from support.outcome_tables import Shares, write_class_answers, write_values

from slimgate.record.answers import Answers, read_answers
from slimgate.run.followed_rows import describe_followed_rows, find_least_sure

LABELS = [0, 1, 2, 0]
RIGHT: Shares = [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]]
LOSES_3: Shares = [*RIGHT[:3], [0.1, 0.9, 0.0]]
LOSES_2_AND_3: Shares = [*RIGHT[:2], [0.5, 0.3, 0.2], [0.1, 0.9, 0.0]]


def model(folder: Path, name: str, shares: Shares) -> Answers:
    return read_answers(write_class_answers(folder / f"{name}.parquet", LABELS, shares))


def texts(rows: Iterable[int]) -> list[str]:
    return [f"text {row}" for row in rows]


def test_lost_least_sure_and_always_right_rows_are_followed(tmp_path: Path) -> None:
    teacher = model(tmp_path, "teacher", RIGHT)
    variants = [model(tmp_path, "a", LOSES_3), model(tmp_path, "b", LOSES_2_AND_3)]
    rows = describe_followed_rows(teacher, variants, texts)
    assert [(row.number, row.why) for row in rows] == [
        (3, "2 of 2 variants lost it, no row was lost by more"),
        (1, "the teacher is least sure of it"),
        (0, "the first that all have right"),
    ]
    assert [row.text for row in rows] == ["text 3", "text 1", "text 0"]
    assert [row.label for row in rows] == ["cat", "dog", "cat"]
    assert [answer.model for answer in rows[0].answers] == ["teacher", "a", "b"]
    assert [answer.prediction for answer in rows[0].answers] == ["cat", "dog", "dog"]


def test_a_row_chosen_twice_stands_once_with_both_reasons(tmp_path: Path) -> None:
    shares = [[0.4, 0.35, 0.25], *RIGHT[1:]]
    [first, *_] = describe_followed_rows(
        model(tmp_path, "teacher", RIGHT), [model(tmp_path, "a", RIGHT)], texts
    )
    assert first.why == "the teacher is least sure of it"
    rows = describe_followed_rows(model(tmp_path, "teacher", shares), [model(tmp_path, "a", RIGHT)], texts)
    assert [row.why for row in rows] == ["the teacher is least sure of it; the first that all have right"]


def test_a_gate_that_no_variant_has_right_follows_what_there_is(tmp_path: Path) -> None:
    wrong = [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    rows = describe_followed_rows(model(tmp_path, "teacher", RIGHT), [model(tmp_path, "a", wrong)], texts)
    assert [row.number for row in rows] == [0, 1]


def test_a_variant_of_other_rows_is_left_out(tmp_path: Path) -> None:
    other = write_class_answers(tmp_path / "old.parquet", LABELS, RIGHT, ids=["w", "x", "y", "z"])
    teacher = model(tmp_path, "teacher", RIGHT)
    assert describe_followed_rows(teacher, [read_answers(other)], texts) == []


def test_without_right_or_wrong_the_most_moved_rows_are_followed(tmp_path: Path) -> None:
    teacher = read_answers(write_values(tmp_path / "teacher.parquet", nats=[1.0, 2.0, 3.0]))
    variant = read_answers(write_values(tmp_path / "int8.parquet", nats=[1.5, 2.1, 1.0]))
    rows = describe_followed_rows(teacher, [variant], texts)
    assert [(row.number, row.why) for row in rows] == [
        (2, "the variants' nats moved furthest from the teacher's"),
        (1, "the variants' nats moved least"),
        (0, "the first row of the gate"),
    ]
    assert [answer.values for answer in rows[0].answers] == [{"nats": 3.0}, {"nats": 1.0}]


@pytest.mark.parametrize(
    ("shares", "row"),
    [([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.5, 0.5, 0.0]], 2), ([[1.0], [1.0]], 0), (None, 0)],
    ids=["margin", "one class", "none"],
)
def test_the_least_sure_row_has_the_smallest_margin(shares: Shares | None, row: int) -> None:
    least_sure, _ = find_least_sure(None if shares is None else np.array(shares))
    assert least_sure == row
