"""fixtures.sources.docstring_pairs: summaries, their bodies, and hard negatives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fixtures.sources import docstring_pairs as source
from fixtures.sources.hard_negatives import assign_negatives
from slimgate.errors import DataError, SuiteError

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]
SMALL = ("networkx", "filelock")
PARAMS = source.Params(packages=SMALL)


def read(**options: Any) -> Rows:
    params = source.Params(**{"packages": SMALL, **options})
    rows: Rows = source.source.read(params, scratch=Path())["all"].to_pylist()
    return rows


@pytest.fixture(scope="module")
def pairs() -> Rows:
    return read()


@pytest.fixture(scope="module")
def dealt() -> Rows:
    return read(negatives=2)


# --- summary and body

DOCSTRING = """Return the number of nodes in the graph. It counts each once.

This is the same as the length of the graph, and it is computed anew for each call.

Parameters
----------
name : str
    What it is called by whom it may concern in all of the places.

The graph may be directed.
"""


def test_the_summary_is_the_first_sentence_the_body_the_rest() -> None:
    assert source.split_docstring(DOCSTRING, PARAMS) == (
        "Return the number of nodes in the graph.",
        "It counts each once. This is the same as the length of the graph, and it is computed anew for each "
        "call. The graph may be directed.",
    )


def test_a_long_body_is_cut_at_a_sentence() -> None:
    params = source.Params(packages=SMALL, body_words=(3, 23))
    pair = source.split_docstring(DOCSTRING, params)
    assert pair is not None
    assert pair[1].endswith("for each call.")
    assert len(pair[1].split()) == 22


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Return the number of nodes.",
        "Return the number of nodes.\n\nToo short a body.",
        "count(nodes)\n\n" + DOCSTRING,
        "Return it all now.\n\nThis says: return it all now. And more words follow to make it long enough.",
        "Nodes.\n\n" + DOCSTRING,
    ],
    ids=["empty", "no body", "short body", "signature first", "summary repeated", "one word"],
)
def test_docstrings_without_summary_or_body_give_no_pair(docstring: str) -> None:
    assert source.split_docstring(docstring, PARAMS) is None


# --- pairs


def test_without_negatives_every_pair_is_a_true_one(pairs: Rows) -> None:
    assert tuple(pairs[0]) == source.COLUMNS == source.source.columns(PARAMS)
    assert {row["same"] for row in pairs} == {"1"}
    assert len(pairs) > 500
    assert {row["package"] for row in pairs} == set(SMALL)
    assert source.source.parts(PARAMS) == ("all",)
    assert source.source.is_real(PARAMS)


def test_summaries_and_bodies_are_unique_and_disjoint(pairs: Rows) -> None:
    for column in ("summary", "body"):
        assert len({row[column] for row in pairs}) == len(pairs)
    assert not any(row["summary"].rstrip(".").lower() in row["body"].lower() for row in pairs)
    assert all(3 <= len(row["summary"].split()) <= 30 for row in pairs)
    assert all(12 <= len(row["body"].split()) <= 60 for row in pairs)


def test_copies_that_differ_in_names_of_code_are_taken_once() -> None:
    def row(summary: str, body: str) -> dict[str, str]:
        return {"summary": summary, "body": body}

    rows = [
        row("Load a BertModel from here.", "It reads BertConfig first, then the weights."),
        row("Load a T5Model from here.", "It reads another thing first."),
        row("Save a model there.", "It reads T5Config first, then the weights."),
        row("Save it all there.", "It writes weights first."),
    ]
    assert [row["summary"] for row in source.drop_repeats(iter(rows))] == [
        "Load a BertModel from here.",
        "Save it all there.",
    ]


def test_rows_are_the_same_each_time(dealt: Rows) -> None:
    assert read(negatives=2) == dealt


# --- hard negatives


def test_a_summary_is_never_its_own_negative(pairs: Rows, dealt: Rows) -> None:
    bodies = {row["summary"]: row["body"] for row in pairs}
    for row in dealt:
        assert (bodies[row["summary"]] == row["body"]) == (row["same"] == "1")


def test_every_summary_has_its_negatives_once(dealt: Rows) -> None:
    counts = Counter((row["summary"], row["same"]) for row in dealt)
    assert {count for (_, same), count in counts.items() if same == "1"} == {1}
    assert {count for (_, same), count in counts.items() if same == "0"} == {2}
    assert len({(row["summary"], row["body"]) for row in dealt}) == len(dealt) > 1000


def test_every_body_is_wrong_twice_as_often_as_right(dealt: Rows) -> None:
    right = Counter(row["body"] for row in dealt if row["same"] == "1")
    wrong = Counter(row["body"] for row in dealt if row["same"] == "0")
    assert set(right.values()) == {1}
    assert wrong == dict.fromkeys(right, 2)


def test_a_negative_comes_from_the_file_of_its_summary(pairs: Rows, dealt: Rows) -> None:
    """So with the file as the group no body stands in two splits."""
    home = {row["body"]: row["file"] for row in pairs}
    assert all(home[row["body"]] == row["file"] for row in dealt)


def test_negatives_are_closer_than_random_bodies(dealt: Rows) -> None:
    def shared(row: dict[str, str]) -> float:
        summary, body = (set(row[name].lower().split()) for name in ("summary", "body"))
        return len(summary & body) / len(summary)

    wrong = [row for row in dealt if row["same"] == "0"]
    unrelated = [{**a, "body": b["body"]} for a, b in zip(wrong, wrong[7:], strict=False)]
    assert np.mean([shared(row) for row in wrong]) > 1.2 * np.mean([shared(row) for row in unrelated])


def test_the_likest_are_dealt_as_a_whole() -> None:
    likeness = np.asarray([[0.9, 0.5, 0.4], [0.2, 0.9, 0.3], [0.6, 0.1, 0.9]])
    # Of the two ways to give everyone another's: 0.5 + 0.3 + 0.6 against 0.4 + 0.2 + 0.1.
    assert assign_negatives(likeness, np.eye(3), 1) == [(0, 1), (1, 2), (2, 0)]
    assert assign_negatives(likeness, np.eye(3), 2) == [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 1)]
    assert assign_negatives(likeness, np.eye(3), 3) == []


def test_a_text_that_says_the_same_is_no_negative() -> None:
    alike = np.eye(4)
    alike[0, 1] = alike[1, 0] = 0.95
    dealt = assign_negatives(np.ones((4, 4)), alike, 1)
    assert sorted(query for query, _ in dealt) == sorted(text for _, text in dealt) == [0, 1, 2, 3]
    assert not {(0, 1), (1, 0)} & set(dealt)
    assert assign_negatives(np.ones((2, 2)), np.full((2, 2), 0.95), 1) == []


# --- options


def test_the_digest_follows_the_options() -> None:
    changes = [{"negatives": 1}, {"body_words": (12, 61)}, {"summary_words": (3, 31)}, {"mask_names": True}]
    digests = {
        source.source.digest(source.Params(**options)) for options in (*changes, {"packages": SMALL}, {}, {})
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": -1}, "greater than or equal to 0"),
        ({"body_words": (60, 12)}, "body_words = [60, 12] was given, expected [least, most]"),
        ({"packages": ("pandas", "pandas")}, "expected each once"),
        ({"negative": 1}, "unknown key negative. Did you mean negatives?"),
    ],
)
def test_wrong_options_say_what_came(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        source.Params(**options)
    assert message in str(caught.value)


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(SuiteError, match=r"^docstring_pairs: no installed package is named"):
        source.source.columns(source.Params(packages=("no_such_package",)))


def test_no_pair_is_an_error() -> None:
    with pytest.raises(DataError, match=r"body of 500 words or more with 3 others beside it in its file$"):
        read(packages=("filelock",), body_words=(500, 600), negatives=3)
