"""The task sentence_embedding: what is relevant to what, outcomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.refused_options import read_refusal

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny
from fixtures.models.embeddings import LABELS, PAIRS, make_embedding_context
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.run.planted_fault import judge_exchanged_answers
from slimgate.tasks import sentence_embedding as task

Params = task.Params
NONE = TaskFacts(())


def rows_of(**columns: list[Any]) -> Rows:
    count = len(next(iter(columns.values())))
    return Rows(pa.table({"id": [f"r{i}" for i in range(count)], **columns}))


def test_columns_are_the_texts_and_the_label() -> None:
    assert task.task.columns(PAIRS) == task.task.text_columns(PAIRS) == ("summary", "text")
    assert task.task.label_column(PAIRS) is None
    assert task.task.columns(LABELS) == ("text", "label")
    assert task.task.text_columns(LABELS) == ("text",)
    assert task.task.label_column(LABELS) == "label"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none was given, expected pair = [query column, document column], or text and label"),
        ({"text": "a"}, "text was given, expected pair = [query column, document column], or text and label"),
        ({"pair": ("a", "b"), "label": "c"}, "pair and label was given, expected pair = [query column"),
        ({"pair": ("a", "b"), "text": "a", "label": "c"}, "pair and text and label was given, expected pair"),
        (
            {"pair": ("a", "b"), "prompts": ("query: ",)},
            "prompts has 1 entries, expected 2: one for each column of texts (a, b)",
        ),
        (
            {"pair": ("a", "b"), "matryoshka": (64, 128)},
            "matryoshka: [64, 128] was given, expected falling numbers, such as [384, 256, 128]",
        ),
        ({"pair": ("a", "b"), "scale": 0.0}, "scale: Input should be greater than 0"),
        (
            {"text": "a", "label": "b", "symmetric": True},
            "symmetric = true is for pairs: rows with a label are query and document at once",
        ),
    ],
    ids=["nothing", "no label", "pair and label", "both", "one prompt", "rising", "scale", "symmetric"],
)
def test_wrong_params_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(Params, options).startswith(message)


def test_a_query_belongs_to_documents_equal_up_to_white_space() -> None:
    rows = rows_of(summary=["a", "b", "c"], text=["one  two", "three", "one two"])
    numbers = task.task.targets(PAIRS, rows, NONE, None)  # type: ignore[arg-type]
    assert numbers[0] == numbers[2] != numbers[1]


@pytest.mark.parametrize(
    ("labels", "share"), [("xy", "100.0"), ("xyzww", "60.0")], ids=["every row", "most rows"]
)
def test_rows_alone_with_their_labels_find_nothing(labels: str, share: str) -> None:
    """Such rows are wrong in both models. With many of them, a large loss on the others was a small drop."""
    lonely = rows_of(text=list("abcde")[: len(labels)], label=list(labels))
    for split in ("gate", "confirm"):
        with pytest.raises(DataError, match=f"{share} % of the {split} rows share their label with no other"):
            task.task.facts(LABELS, {split: lonely})
    rows = rows_of(text=["a", "b"], label=["x", "y"])
    assert task.task.facts(LABELS, {"train": rows}).classes == ("x", "y")
    assert task.task.facts(PAIRS, {"gate": rows}).classes == ()
    spelled = rows_of(text=["a", "b", "c", "d"], label=["x", "x", "X", "X"])
    with pytest.raises(DataError, match='has the labels "X" and "x", which differ only in case'):
        task.task.facts(LABELS, {"gate": spelled})


def test_rows_alone_with_their_labels_are_named() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    sentences = []
    for labels in ("xxyz", "xxyy"):
        rows = rows_of(text=list("abcd"), label=list(labels))
        sentences.append(task.list_rows_alone(task.task.outcomes(NONE, rows, vectors, LABELS, None)))
    assert sentences == [
        ["50.0 % of the rows share their label with no other row, so drops look smaller"],
        [],
    ]


def test_each_text_of_a_pair_is_encoded_by_itself(tmp_path: Path) -> None:
    context = make_embedding_context(tmp_path / "rows", PAIRS)
    model = load_tiny(write_tiny(tmp_path / "m", "bert"), context)
    rows = rows_of(summary=["good film", "bad"], text=["good nice film", "bad"])
    encoded = task.task.encode_rows(PAIRS, rows, model.tokenizer)
    assert encoded.lengths.tolist() == [5, 3]
    batch = encoded.batch([1, 0])
    assert batch["input_ids"].shape == (4, 5)
    assert batch["attention_mask"].sum(1).tolist() == [3, 4, 3, 5]
    assert encoded.batch([0], 4)["input_ids"].shape == (2, 4)
    assert (encoded.take([1]).batch([0])["input_ids"] == encoded.batch([1])["input_ids"]).all()
    more = encoded.join(encoded)
    assert more.lengths.tolist() == [5, 3, 5, 3]
    assert (more.batch([3])["input_ids"] == encoded.batch([1])["input_ids"]).all()
    model.save(tmp_path)
    again = task.task.row_encoder(PAIRS, tmp_path)(rows)
    assert (again.batch([0, 1])["input_ids"] == encoded.batch([0, 1])["input_ids"]).all()


def test_tokens_of_training_rows_are_those_of_both_texts(tmp_path: Path) -> None:
    model = load_tiny(write_tiny(tmp_path / "m", "bert"), make_embedding_context(tmp_path / "rows", PAIRS))
    rows = rows_of(summary=["good film", "bad"], text=["good nice film", "bad"])
    assert task.task.encode_rows(PAIRS, rows, model.tokenizer).tokens == 4 + 5 + 3 + 3


def test_a_prompt_is_before_each_text(tmp_path: Path) -> None:
    params = Params(pair=("summary", "text"), max_tokens=32, prompts=("a ", "the plot "))
    context = make_embedding_context(tmp_path / "rows", params)
    model = load_tiny(write_tiny(tmp_path / "m", "bert"), context)
    encoded = task.task.encode_rows(params, rows_of(summary=["good"], text=["bad"]), model.tokenizer)
    tokens = [
        model.tokenizer.decode(ids, skip_special_tokens=True) for ids in encoded.batch([0])["input_ids"]
    ]
    assert tokens == ["a good", "the plot bad"]


def test_outcomes_of_pairs_are_the_ranks_of_their_own_documents() -> None:
    rows = rows_of(summary=["a", "b"], text=["x", "y"], file=["f", "f"])
    # the first query is nearer to the other's document; lengths do not count
    scores = np.asarray([[[2, 0], [0, 1]], [[0, 3], [1, 5]]], dtype=np.float32)
    outcomes = task.task.outcomes(NONE, rows, scores, PAIRS, "file")
    assert outcomes.values["rank"].tolist() == [2, 2]
    assert outcomes.values["right"].tolist() == [0, 0]
    assert outcomes.groups is not None
    assert outcomes.groups.tolist() == [0, 0]
    dot = Params(pair=("summary", "text"), similarity="dot")
    assert task.task.outcomes(NONE, rows, scores, dot, None).values["rank"].tolist() == [2, 1]


def test_documents_of_equal_text_take_one_place() -> None:
    rows = rows_of(summary=["a", "b", "c"], text=["x", "y y", "y  y"])
    scores = np.asarray([[[1, 0], [0, 1]], [[1, 0], [1, 0]], [[1, 0], [1, 0]]], dtype=np.float32)
    outcomes = task.task.outcomes(NONE, rows, scores, PAIRS, None)
    assert outcomes.values["rank"].tolist() == [2, 1, 1]
    assert outcomes.values["ndcg_at_10"].tolist() == pytest.approx([1 / np.log2(3), 1, 1])


def test_outcomes_by_label_leave_the_row_itself_out() -> None:
    rows = rows_of(text=["a", "b", "c"], label=["x", "x", "y"])
    scores = np.asarray([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
    outcomes = task.task.outcomes(NONE, rows, scores, LABELS, None)
    assert outcomes.values["rank"].tolist() == [1, 1, 4]
    assert outcomes.right is not None
    assert outcomes.right.tolist() == [1, 1, 0]


def test_queries_and_documents_may_have_other_forms() -> None:
    rows = rows_of(text=["a", "b", "c"], label=["x", "x", "y"])
    queries, documents = [[1, 0], [0.1, 1], [1, 1]], [[0, 1], [1, 0], [0.1, 1]]
    scores = np.stack([queries, documents], axis=1).astype(np.float32)
    assert task.task.outcomes(NONE, rows, scores, LABELS, None).values["rank"].tolist() == [1, 2, 4]


@pytest.mark.parametrize("metric", ["recall_at_1", "recall_at_10", "mrr", "ndcg_at_10"])
def test_a_planted_fault_is_seen(metric: str) -> None:
    random = np.random.default_rng(0)
    labels = [str(i % 20) for i in range(400)]
    vectors = random.normal(size=(20, 16))[np.arange(400) % 20] + 0.3 * random.normal(size=(400, 16))
    rows = rows_of(text=labels, label=labels)
    teacher = task.task.outcomes(NONE, rows, vectors.astype(np.float32), LABELS, None)
    budget = QualityBudget(kind="drop_points", limit=2.0)
    judged = judge_exchanged_answers(
        teacher, metric, budget, seed=0, damage_rows=task.task.with_planted_fault
    )
    assert judged.verdict == "FAIL"
    assert judged.drop_points == pytest.approx(4, abs=0.3)
