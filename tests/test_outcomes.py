from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.outcomes import ClassOutcomes, Outcomes, check_same_rows, class_outcomes
from slimgate.record.outcome_files import read_outcomes, write_outcomes

IDS = np.array(["a", "b", "c"])


def ranked(*ranks: float) -> Outcomes:
    return Outcomes(
        IDS,
        values={"rank": np.array(ranks), "tokens": np.array([4.0, 5.0, 6.0])},
        given=("tokens",),
        answers=np.array(["x", "y", "z"]),
        groups=np.array([0, 0, 1]),
    )


def test_a_file_gives_every_column_back(tmp_path: Path) -> None:
    written = ranked(1, 2, 7)
    write_outcomes(written, tmp_path / "rows.parquet")
    outcomes = read_outcomes(tmp_path / "rows.parquet")
    assert type(outcomes) is Outcomes
    assert outcomes.given == ("tokens",)
    assert list(outcomes.values) == ["rank", "tokens"]
    assert outcomes.column("rank").tolist() == [1, 2, 7]
    assert outcomes.answers is not None
    assert outcomes.answers.tolist() == ["x", "y", "z"]
    assert outcomes.groups is not None
    assert outcomes.groups.tolist() == [0, 0, 1]


def test_a_classification_may_have_values_beside_probabilities(tmp_path: Path) -> None:
    scores = np.array([[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]])
    written = ClassOutcomes(
        IDS, np.array([0, 1, 1]), np.array([0, 0, 1]), ("n", "y"), scores, values={"p_rank": np.arange(3.0)}
    )
    write_outcomes(written, tmp_path / "rows.parquet")
    outcomes = read_outcomes(tmp_path / "rows.parquet")
    assert isinstance(outcomes, ClassOutcomes)
    assert outcomes.classes == ("n", "y")
    assert outcomes.probabilities is not None
    assert outcomes.probabilities.tolist() == scores.tolist()
    assert outcomes.column("p_rank").tolist() == [0, 1, 2]
    assert outcomes.right.tolist() == [1, 0, 1]


def test_rows_are_taken_with_all_that_stands_beside_them() -> None:
    outcomes = ranked(1, 2, 7).take(np.array([2, 0]))
    assert outcomes.ids.tolist() == ["c", "a"]
    assert outcomes.column("rank").tolist() == [7, 1]
    assert outcomes.groups is not None
    assert outcomes.groups.tolist() == [1, 0]


def test_a_row_changed_if_words_or_values_did_beyond_rounding() -> None:
    base, other = ranked(1, 2, 7), ranked(1.0000001, 3, 7)
    assert base.changed_rows(other).tolist() == [False, True, False]


def test_a_server_that_counts_tokens_otherwise_changes_no_row() -> None:
    """vLLM counts the token that ends an answer: 5.8 % of the answers agreed where 62 % were the same."""
    words = np.array(["a", "b", "c"])
    by_vllm, by_llama = (
        Outcomes(IDS, values={"answer_tokens": np.array(tokens)}, answers=words)
        for tokens in ([2.0, 16.0, 5.0], [1.0, 16.0, 4.0])
    )
    assert not by_vllm.changed_rows(by_llama).any()


def test_rows_are_paired_only_where_what_is_given_agrees() -> None:
    base = ranked(1, 2, 7)
    other = Outcomes(IDS, values={"rank": np.ones(3), "tokens": np.array([4.0, 5.0, 7.0])}, given=("tokens",))
    with pytest.raises(MeasureError, match="have different tokens for the same ids"):
        check_same_rows(base, other)


def test_rows_are_paired_only_if_their_ids_are_in_the_same_order() -> None:
    rows = Outcomes(IDS, values={"rank": np.ones(3)})
    check_same_rows(rows, rows.take(np.arange(3)))
    for other in (rows.take(np.array([1, 0, 2])), Outcomes(np.array(["a", "b", "d"]))):
        with pytest.raises(MeasureError, match="expected the same ids in the same order"):
            check_same_rows(rows, other)


def test_what_is_not_finite_or_not_there_is_an_error() -> None:
    with pytest.raises(MeasureError, match=r"1 of 3 rows have rank .* \(first: row b has nan\), so nothing"):
        ranked(1, np.nan, 7)
    with pytest.raises(MeasureError, match=r"2 of 3 rows have rank .* \(first: row a has -inf\), so nothing"):
        ranked(-np.inf, 2, np.inf)
    with pytest.raises(MeasureError, match="rank has shape"):
        Outcomes(IDS, values={"rank": np.ones(2)})
    with pytest.raises(MeasureError, match='no values "nats"; they have rank, tokens'):
        ranked(1, 2, 3).column("nats")


def test_rows_are_right_by_the_column_of_that_name() -> None:
    assert ranked(1, 2, 3).right is None
    assert Outcomes(IDS, values={"right": np.array([1.0, 0, 1])}).right is not None


@pytest.mark.parametrize("name", ["prediction", "id", "group", "p_0", "answer"])
def test_a_tasks_value_never_takes_the_place_of_a_files_column(name: str, tmp_path: Path) -> None:
    outcomes = Outcomes(np.array(["a"]), values={name: np.ones(1)})
    with pytest.raises(MeasureError, match=f"called {name}, "):
        write_outcomes(outcomes, tmp_path / "outcomes.parquet")


def test_labels_of_one_value_always_have_one_order() -> None:
    names = tuple("0" * count for count in range(1, 9))
    assert class_outcomes(["a"] * len(names), names[::-1]).classes == ("a", *names)
    with pytest.raises(MeasureError, match='the labels "0" and "00" differ only in case'):
        class_outcomes(names[::-1], names)
    assert class_outcomes(names[::-1], names, classes=names).classes == names


@pytest.mark.parametrize("column", ["id", "label", "prediction"])
def test_a_nul_at_the_end_is_an_error(column: str) -> None:
    """Arrays of text lose it, and two ids become one."""
    columns = {"id": ["x", "y"], "label": ["a", "b"], "prediction": ["a", "b"]}
    columns[column] = [columns[column][0], columns[column][0] + "\0"]
    with pytest.raises(MeasureError, match=rf"{column} 1 is '.\\x00', expected no NUL at the end"):
        class_outcomes(columns["label"], columns["prediction"], ids=columns["id"])
