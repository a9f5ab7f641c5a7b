"""fixtures/sources/banking77_pairs.py: pairs of real questions whose label neither question tells alone."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fixtures.sources.banking77_pairs import COLUMNS, form_groups, list_pairs, main
from fixtures.sources.hard_negatives import compute_text_vectors

ROOT = Path(__file__).parents[2]
DATA = (ROOT / "../shared/data/banking77").resolve()

QUESTIONS = [
    ("where is my new card", "arrival"),
    ("my new card has not come", "arrival"),
    ("my card was stolen", "stolen"),
    ("somebody stole my new card", "stolen"),
    ("what is the rate", "rate"),
    ("which rate do you use", "rate"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """The rows of both files, by the command."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is missing: the pairs are made of it")
    folder = tmp_path_factory.mktemp("pairs")
    main(["--data", str(DATA), str(folder)])
    return {name: _rows(folder / f"{name}.csv") for name in ("train", "test")}


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_group_is_of_two_intents_that_are_alike() -> None:
    """Cards that are new and cards that were stolen share words; rates are left without a partner."""
    vectors = compute_text_vectors([text for text, _ in QUESTIONS])
    [group] = form_groups(vectors, [intent for _, intent in QUESTIONS], 2)
    assert (sorted(group.questions), sorted(group.rivals)) == ([0, 1], [2, 3])


def test_two_of_each_intent_are_two_true_and_two_false_pairs() -> None:
    pairs = list(list_pairs(QUESTIONS, 2, "train"))
    intent = dict(QUESTIONS)
    assert [same for _, _, same, _ in pairs] == ["1", "1", "0", "0"]
    assert all((intent[question] == intent[other]) == (same == "1") for question, other, same, _ in pairs)
    assert {group for *_, group in pairs} == {"train-0"}


def test_of_8000_train_and_6000_gate_pairs_half_are_true(
    written: dict[str, list[dict[str, str]]],
) -> None:
    assert tuple(written["train"][0]) == COLUMNS
    assert {name: len(rows) for name, rows in written.items()} == {"train": 8000, "test": 6000}
    for rows in written.values():
        assert np.mean([row["same"] == "1" for row in rows]) == 0.5
        assert len({(row["question1"], row["question2"]) for row in rows}) == len(rows)


@pytest.mark.parametrize(("name", "each"), [("train", 1), ("test", 2)])
def test_each_question_is_in_as_many_true_pairs_as_in_false_ones(
    written: dict[str, list[dict[str, str]]], name: str, each: int
) -> None:
    counts = Counter(
        (row[column], row["same"]) for row in written[name] for column in ("question1", "question2")
    )
    assert set(counts.values()) == {each}


def test_labels_are_those_of_the_intents(written: dict[str, list[dict[str, str]]]) -> None:
    for name, rows in written.items():
        intent = {row["text"]: row["category"] for row in _rows(DATA / f"{name}.csv")}
        assert all(
            (intent[row["question1"]] == intent[row["question2"]]) == (row["same"] == "1") for row in rows
        )


def test_no_question_stands_in_two_groups_or_in_both_files(
    written: dict[str, list[dict[str, str]]],
) -> None:
    groups: dict[str, set[str]] = {}
    for rows in written.values():
        for row in rows:
            for column in ("question1", "question2"):
                groups.setdefault(row[column].casefold(), set()).add(row["group"])
    assert {len(names) for names in groups.values()} == {1}
    sizes = Counter(row["group"] for row in written["test"])
    assert set(sizes.values()) == {12}  # small groups: 500 of them are what the gate's statistics go by
