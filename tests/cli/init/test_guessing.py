"""Which task rows are taken for, by their columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from slimgate.cli.init.guessing import guess
from slimgate.data.guess_input import UserColumns
from slimgate.errors import DataError

N = 60
TEXT = [f"this is sentence number {i} of them" for i in range(N)]
OTHER = [f"and another one called {i * 7} here" for i in range(N)]
CLASS = ["yes" if i % 3 else "no" for i in range(N)]

SHAPES: dict[str, tuple[dict[str, list[Any]], str, dict[str, Any]]] = {
    "a text and its class": (
        {"review": TEXT, "stars": ["1", "5"] * 30},
        "text_classification",
        {"text": ("review",), "label": "stars"},
    ),
    "two texts": (
        {"first": TEXT, "second": OTHER, "same": CLASS},
        "text_classification",
        {"text": ("first", "second"), "label": "same"},
    ),
    "a label before a confidence": (
        {"text": TEXT, "label": CLASS, "score": [i / 7 for i in range(N)]},
        "text_classification",
        {"text": ("text",), "label": "label"},
    ),
    "a measured number": (
        {"sentence1": TEXT, "sentence2": OTHER, "label": [str(i / 7) for i in range(N)]},
        "text_regression",
        {"text": ("sentence1", "sentence2"), "score": "label"},
    ),
    "lists of labels": (
        {"text": TEXT, "topics": [["a", "b"], []] * 30},
        "multi_label",
        {"text": ("text",), "label": "topics"},
    ),
    "joined labels": (
        {"text": TEXT, "topics": ["a, b", "b", "a"] * 20},
        "multi_label",
        {"text": ("text",), "label": "topics", "separator": ","},
    ),
    "columns of 0 and 1": (
        {"text": TEXT, "toxic": ["0", "1"] * 30, "insult": ["0", "1"] * 30, "threat": ["0", "1"] * 30},
        "multi_label",
        {"text": ("text",), "label": ["toxic", "insult", "threat"]},
    ),
    "words and tags": (
        {"tokens": [["a", "b"]] * N, "ner": [["O", "B-PER"]] * N},
        "token_classification",
        {"words": "tokens", "tags": "ner"},
    ),
    "tags as text": (
        {"text": TEXT, "tags": [" ".join(["O"] * 7)] * N},
        "token_classification",
        {"words": "text", "tags": "tags"},
    ),
    "texts that belong together": (
        {"query": TEXT, "document": OTHER},
        "sentence_embedding",
        {"pair": ("query", "document")},
    ),
}


@pytest.mark.parametrize(("rows", "kind", "options"), SHAPES.values(), ids=SHAPES)
def test_the_columns_tell_the_task(rows: dict[str, list[Any]], kind: str, options: dict[str, Any]) -> None:
    guessed = guess(pa.table(rows), UserColumns(), causal=False)
    assert (guessed.kind, dict(guessed.options)) == (kind, options)


def test_views_of_strings_are_text() -> None:
    rows = {
        "text": pa.array(TEXT, pa.string_view()),
        "label": pa.array(["a", "b"] * (N // 2), pa.string_view()),
    }
    guessed = guess(pa.table(rows), UserColumns(), causal=False)
    assert (guessed.kind, guessed.options) == ("text_classification", {"text": ("text",), "label": "label"})


def test_text_alone_is_for_a_language_model_only() -> None:
    rows = pa.table({"text": TEXT})
    assert guess(rows, UserColumns(), causal=True).kind == "causal_lm"
    with pytest.raises(
        DataError,
        match=r"no column looks like the label of a task: the columns are text\. Name the label column with",
    ):
        guess(rows, UserColumns(), causal=False)


ANSWERS = [str(i * 3) for i in range(N)]
CHOICES = [["one", "two", "three"]] * N
OF_LANGUAGE_MODELS: dict[str, tuple[dict[str, list[Any]], str, dict[str, Any]]] = {
    "prompts and numbers": (
        {"prompt": TEXT, "answer": ANSWERS},
        "text_generation",
        {
            "prompt": "prompt",
            "reference": "answer",
            "scores": ("exact_match", "numeric"),
            "max_new_tokens": 8,
        },
    ),
    "messages and words": (
        {"messages": [[{"role": "user", "content": "Hello"}]] * N, "response": ["two words"] * N},
        "text_generation",
        {"prompt": "messages", "reference": "response", "scores": ("normalized_match",), "max_new_tokens": 8},
    ),
    "questions and sentences": (
        {"question": TEXT, "answer": OTHER},
        "text_generation",
        {"prompt": "question", "reference": "answer", "scores": ("rouge",), "max_new_tokens": 32},
    ),
    "questions and classes": (
        {"question": TEXT, "answer": CLASS},
        "text_classification",
        {"text": ("question",), "label": "answer"},
    ),
    "choices in a list": (
        {"question": TEXT, "choices": CHOICES, "answer": [i % 3 for i in range(N)]},
        "multiple_choice",
        {"context": "question", "choices": "choices", "answer": "answer"},
    ),
    "choices with their letters": (
        {
            "ctx": TEXT,
            "choices": [{"text": ["a", "b"], "label": ["A", "B"]}] * N,
            "answerKey": ["A", "B"] * 30,
        },
        "multiple_choice",
        {"context": "ctx", "choices": "choices", "answer": "answerKey"},
    ),
    "a column for each choice": (
        {"question": TEXT, "A": OTHER, "B": TEXT, "C": OTHER, "answer": ["A", "B", "C"] * 20},
        "multiple_choice",
        {"context": "question", "choices": ("A", "B", "C"), "answer": "answer"},
    ),
}


@pytest.mark.parametrize(("rows", "kind", "options"), OF_LANGUAGE_MODELS.values(), ids=OF_LANGUAGE_MODELS)
def test_prompts_and_choices_are_for_a_language_model(
    rows: dict[str, list[Any]], kind: str, options: dict[str, Any]
) -> None:
    guessed = guess(pa.table(rows), UserColumns(), causal=True)
    assert (guessed.kind, dict(guessed.options)) == (kind, options)


@pytest.mark.parametrize(
    ("text", "target"), [("text", "target"), ("article", "summary"), ("question", "answer")]
)
def test_texts_and_targets_are_for_an_encoder_decoder(text: str, target: str) -> None:
    rows = pa.table({target: OTHER, text: TEXT})
    guessed = guess(rows, UserColumns(), causal=False, encoder_decoder=True)
    assert (guessed.kind, guessed.options["text"], guessed.options["reference"]) == (
        "text_to_text",
        text,
        target,
    )
    assert guess(rows, UserColumns(), causal=False).kind != "text_to_text"


def test_an_encoder_decoder_writes_few_targets_too_but_no_labels() -> None:
    rows = pa.table({"text": TEXT, "target": CLASS})
    assert guess(rows, UserColumns(), causal=False, encoder_decoder=True).kind == "text_to_text"
    labels = rows.rename_columns(["text", "label"])
    assert guess(labels, UserColumns(), causal=False, encoder_decoder=True).kind == "text_classification"
    guessed = guess(labels, UserColumns("text_to_text", label="label"), causal=False, encoder_decoder=True)
    assert (guessed.kind, guessed.options["reference"]) == ("text_to_text", "label")


def test_two_texts_may_be_a_question_for_a_language_model() -> None:
    rows = pa.table({"query": TEXT, "document": OTHER})
    with pytest.raises(DataError, match=r"Use --task text_generation --text query --label document to judge"):
        guess(rows, UserColumns(), causal=True)
    guessed = guess(rows, UserColumns("text_generation", ("query",), "document"), causal=True)
    assert (guessed.options["prompt"], guessed.options["reference"]) == ("query", "document")
    alone = guess(rows, UserColumns(task="causal_lm", text=("document",)), causal=True)
    assert tuple(alone.options["text"]) == ("document",)


def test_prompts_are_no_task_of_an_encoder_and_of_no_other_label() -> None:
    rows = pa.table({"prompt": TEXT, "answer": OTHER, "intent": CLASS})
    assert guess(rows, UserColumns(label="intent"), causal=True).kind == "text_classification"
    assert guess(rows, UserColumns(task="text_generation"), causal=False).options["reference"] == "answer"
    pairs = guess(rows.select(["prompt", "answer"]), UserColumns(), causal=False)
    assert (pairs.kind, tuple(pairs.options["pair"])) == ("sentence_embedding", ("prompt", "answer"))
    alone = guess(rows.select(["prompt"]), UserColumns(task="text_generation"), causal=True)
    assert dict(alone.options) == {"prompt": "prompt"}


def test_options_take_precedence_over_guesses() -> None:
    rows = pa.table({"text": TEXT, "stars": ["1", "2", "3"] * 20, "shop": CLASS})
    assert guess(rows, UserColumns(), causal=False).options["label"] == "shop"
    assert guess(rows, UserColumns(label="stars"), causal=False).options["label"] == "stars"
    guessed = guess(rows, UserColumns(task="text_regression", label="stars"), causal=False)
    assert (guessed.options["score"], guessed.left) == ("stars", ("shop",))


RETRIEVAL = {
    "queries": {"query_id": [f"q{i}" for i in range(N)], "text": TEXT, "kind": CLASS},
    "documents": {"doc_id": [f"d{i}" for i in range(N)], "text": TEXT},
    "qrels": {"query-id": [f"q{i}" for i in range(N)], "corpus-id": TEXT, "score": [1, 0] * (N // 2)},
}


@pytest.mark.parametrize("rows", RETRIEVAL.values(), ids=list(RETRIEVAL))
def test_tables_of_a_retrieval_benchmark_are_to_be_joined(rows: dict[str, list[object]]) -> None:
    message = f'column "{next(iter(rows))}": this looks like a table of queries.*join the tables into one'
    with pytest.raises(DataError, match=message):
        guess(pa.table(rows), UserColumns(), causal=False)


def test_ids_do_no_harm_to_pairs_and_to_a_named_label() -> None:
    ids = {"query_id": [f"q{i}" for i in range(N)], "text": TEXT}
    pairs = pa.table({**ids, "document": [f"{text} again" for text in TEXT]})
    assert guess(pairs, UserColumns(), causal=False).kind == "sentence_embedding"
    labelled = pa.table({**ids, "kind": CLASS})
    assert guess(labelled, UserColumns(label="kind"), causal=False).kind == "text_classification"


def test_a_column_of_documents_is_the_group() -> None:
    rows = pa.table({"text": TEXT, "label": CLASS, "document": [f"d{i // 4}" for i in range(N)]})
    assert guess(rows, UserColumns(), causal=False).group == "document"


WRONG = {
    "column": (UserColumns(label="lable"), 'the rows have no column "lable". Did you mean label?'),
    "task": (UserColumns(task="text_clasification"), "Did you mean text_classification"),
    "other task": (
        UserColumns(task="token_classification"),
        "the columns look like sentence|no column looks like",
    ),
}


@pytest.mark.parametrize(("columns", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_reported(columns: UserColumns, message: str) -> None:
    with pytest.raises(DataError, match=message):
        guess(pa.table({"text": TEXT, "label": CLASS}), columns, causal=False)


def test_tags_that_are_numbers_want_their_names() -> None:
    rows = pa.table({"tokens": [["a", "b"]] * N, "ner_tags": [[0, 1]] * N})
    with pytest.raises(DataError, match="name them with --names O,B-PER,I-PER"):
        guess(rows, UserColumns(), causal=False)
    assert guess(rows, UserColumns(names=("O", "B-X")), causal=False).options["names"] == ("O", "B-X")


def test_columns_of_objects_are_to_be_written_as_columns() -> None:
    table = pa.table({"doc": [{"text": text} for text in TEXT], "meta": [{"label": name} for name in CLASS]})
    message = r"columns are doc, meta; doc has objects or bytes: write each field of an object as a column"
    with pytest.raises(DataError, match=message):
        guess(table, UserColumns(), causal=False)
