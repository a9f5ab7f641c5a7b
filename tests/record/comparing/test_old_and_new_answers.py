"""When two releases of a model answered alike, and how their answers are paired."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.releases import INT8, make_answers

from slimgate.errors import MeasureError
from slimgate.outcomes import Outcomes
from slimgate.record.comparing.answers import has_same_answers, pair_answers
from slimgate.record.outcome_files import write_outcomes

IDS = np.asarray(["a", "b"])
PLAIN = Outcomes(IDS, values={"nats": np.asarray([1.0, 2.0])}, answers=np.asarray(["x", "y"]))


def test_equal_answers_are_the_same() -> None:
    assert has_same_answers(make_answers(INT8), make_answers(INT8))
    assert has_same_answers(PLAIN, replace(PLAIN))


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, values={"nats": np.asarray([1.0, 2.0 + 1e-12])}),
        replace(PLAIN, values={"bits": np.asarray([1.0, 2.0])}),
        replace(PLAIN, answers=np.asarray(["x", "z"])),
        replace(PLAIN, answers=None),
    ],
    ids=["a digit", "another value", "a word", "no words"],
)
def test_whatever_differs_is_another_answer(other: Outcomes) -> None:
    assert not has_same_answers(PLAIN, other)


def test_a_class_or_its_probability_is_an_answer() -> None:
    outcomes = make_answers(INT8)
    shares = np.full((len(outcomes), 4), 0.25)
    assert not has_same_answers(outcomes, make_answers({**INT8, "loan": range(116)}))
    assert not has_same_answers(outcomes, replace(outcomes, probabilities=shares))
    assert has_same_answers(
        replace(outcomes, probabilities=shares), replace(outcomes, probabilities=shares.copy())
    )


def pair_with_file(folder: Path, old: Outcomes, new: Outcomes) -> tuple[Outcomes, Outcomes]:
    write_outcomes(old, folder / "old.parquet")
    return pair_answers(folder / "old.parquet", new)


def test_older_answers_get_the_order_of_the_newer(tmp_path: Path) -> None:
    old, new = pair_with_file(tmp_path, PLAIN.take(np.asarray([1, 0])), PLAIN)
    assert old.ids.tolist() == new.ids.tolist() == ["a", "b"]
    assert has_same_answers(old, PLAIN)


@pytest.mark.parametrize("before", [None, np.asarray([7, 7])], ids=["none before", "other ones before"])
def test_the_groups_of_the_newer_answers_count(tmp_path: Path, before: np.ndarray | None) -> None:
    newer = replace(PLAIN, groups=np.asarray([0, 1]))
    for outcomes in pair_with_file(tmp_path, replace(PLAIN, groups=before), newer):
        assert outcomes.groups is not None
        assert outcomes.groups.tolist() == [0, 1]


@pytest.mark.parametrize("ids", [["a", "c"], ["a", "a"], ["a"]], ids=["another row", "a row twice", "fewer"])
def test_answers_to_other_rows_are_not_paired(tmp_path: Path, ids: list[str]) -> None:
    older = Outcomes(np.asarray(ids), values={"nats": np.ones(len(ids))})
    with pytest.raises(MeasureError, match="outcomes are not paired"):
        pair_with_file(tmp_path, older, PLAIN)
