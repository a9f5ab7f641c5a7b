"""The task token_classification: words and tags, the first token of a word, fresh heads, spans."""

from __future__ import annotations

import builtins
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny
from fixtures.models.task_rows import make_task_context
from slimgate.errors import DataError, MissingExtra, SuiteError
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.models.predict import predict_scores
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks import token_classification as task
from slimgate.tasks.parts.objectives import NO_ANSWER, UNLABELLED

PARAMS = task.Params(words="tokens", tags="tags", max_tokens=12)


def rows_of(tokens: list[Any], tags: list[Any]) -> Rows:
    return Rows(pa.table({"id": [f"r{i}" for i in range(len(tokens))], "tokens": tokens, "tags": tags}))


def answers(model: Any, context: Any, rows: Rows, params: task.Params = PARAMS) -> Any:
    encoded = task.task.encode_rows(params, rows, model.tokenizer)
    predictor = EagerPredictor(model.network, "cpu")
    scores = predict_scores(
        predictor,
        encoded,
        batch_size=3,
        read=lambda output, batch: task.task.read_output(params, output, batch),
    )
    return task.task.outcomes(context.facts, rows, scores, params, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["nan", "infinite"])
def test_scores_that_are_not_finite_give_no_tag(bad: float) -> None:
    """The largest of NaN scores was the first tag, so that a broken model had tags like any other."""
    output = np.asarray([[[0.1, 0.9], [bad, 0.5], [0.7, 0.2]]], dtype=np.float32)
    tags = task.task.read_output(PARAMS, output, {"word_of": np.asarray([[0, 1, 2]])})
    assert tags[0, [0, 2]].tolist() == [1, 0]
    assert np.isnan(tags[0, 1])


@pytest.mark.parametrize(
    ("tokens", "tags", "names"),
    [
        ([["a", "b"]], [["O", "B-X"]], None),
        (["a b"], ["O B-X"], None),
        ([["a", "b"]], [[0, 1]], ("O", "B-X", "I-X")),
        (["a b"], ["0 1"], ("O", "B-X", "I-X")),
    ],
    ids=["lists", "text of a csv", "numbers", "numbers of a csv"],
)
def test_words_and_tags_of_every_form_become_the_same(tokens: Any, tags: Any, names: Any) -> None:
    params = task.Params(words="tokens", tags="tags", names=names)
    rows = rows_of(tokens, tags)
    assert task.task.facts(params, {"train": rows}).classes == ("B-X", "O")
    assert task.list_words(rows, "tokens") == [["a", "b"]]
    assert task._read_row_tags(params, rows) == [["O", "B-X"]]


@pytest.mark.parametrize(
    ("tags", "names", "message"),
    [
        ([["O"], ["O"]], None, "column tags, row r1: 1 tags for 2 words, expected one per word"),
        ([["O"], ["O", "PER"]], None, 'row r1: tag "PER", expected O, B-TYPE or I-TYPE$'),
        ([[0], [0, 1]], None, r'tag "0", .*; \[task\] name it by names'),
        ([[0], [0, 7]], ("O", "B-X"), r'tag "7", .*; \[task\] names has only 2 entries, counted from 0'),
        ([["O"], ["O", "O"]], None, "has no span: every word is O"),
        ([["B-PER"], ["O", "B-Per"]], None, 'tags" has the labels "B-PER" and "B-Per", which differ only in'),
    ],
    ids=["too few", "no BIO tag", "a number without names", "a number beyond", "no span", "two spellings"],
)
def test_tags_that_cannot_be_read_are_named(tags: Any, names: Any, message: str) -> None:
    params = task.Params(words="tokens", tags="tags", names=names)
    with pytest.raises(DataError, match=message):
        task.task.facts(params, {"train": rows_of([["a"], ["a", "b"]], tags)})


def test_without_seqeval_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("seqeval"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r'pip install "slimgate\[ner\]"'):
        task.task.facts(PARAMS, {"train": rows_of([["a"]], [["B-X"]])})


def test_the_first_token_of_a_word_has_its_tag(tmp_path: Path) -> None:
    context = make_task_context(tmp_path / "rows", "token_classification")
    model = load_tiny(write_tiny(tmp_path / "hub", "bert"), context)
    index = {name: i for i, name in enumerate(context.facts.classes)}
    # "film-plot" is three tokens of one word
    rows = rows_of([["good", "film-plot"], ["bad"]], [["B-PRAISE", "O"], ["B-BLAME"]])
    encoded = task.task.encode_rows(PARAMS, rows, model.tokenizer)
    assert [list(words) for words in encoded.word_of] == [[-1, 0, 1, -1, -1, -1], [-1, 0, -1]]
    targets = task.task.targets(PARAMS, rows, context.facts, encoded)
    n = NO_ANSWER
    assert targets[[0, 1]].tolist() == [
        [n, index["B-PRAISE"], index["O"], n, n, n],
        [n, index["B-BLAME"], n, n, n, n],
    ]
    assert task.task.targets_without_labels(PARAMS, encoded, context.facts)[[1]].tolist() == [
        [n, UNLABELLED, n]
    ]
    turned = [[-1, 0, -1, -1, -1, -1], [-1, 0, 1, -1, -1, -1]]
    assert encoded.extra_arrays([1, 0])["word_of"].tolist() == turned
    assert encoded.take([1, 0]).extra_arrays([0, 1])["word_of"].tolist() == turned


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "electra", "gpt2", "llama"])
def test_a_fresh_head_learns_the_tags_of_words(tmp_path: Path, architecture: str) -> None:
    context = make_task_context(tmp_path / "rows", "token_classification", train=96)
    model = load_tiny(write_tiny(tmp_path / "hub", architecture, initializer_range=0.2), context)
    assert context.log["head"] == "logistic regression"
    outcomes = answers(model, context, context.rows("train"), context.task_params)
    tags = [tag for row in context.rows("train").table["tags"].to_pylist() for tag in row]
    assert compute_value(load_metric("tag_accuracy"), outcomes) > tags.count("O") / len(tags)
    alone = [answers(model, context, Rows(context.rows("train").table.slice(i, 1)), context.task_params)
             for i in range(4)]  # fmt: skip
    assert [str(single.answers[0]) for single in alone if single.answers is not None] == list(
        outcomes.answers[:4]
    )


def test_words_that_were_cut_off_count_as_outside(tmp_path: Path) -> None:
    context = make_task_context(tmp_path / "rows", "token_classification")
    model = load_tiny(write_tiny(tmp_path / "hub", "bert"), context)
    rows = rows_of([["good"] * 20], [["B-PRAISE"] * 20])
    outcomes = answers(model, context, rows)
    assert outcomes.answers is not None
    tags = str(outcomes.answers[0]).split()
    assert len(tags) == 20
    assert tags[10:] == ["O"] * 10  # ten words and two special tokens are twelve
    assert outcomes.column("tags").tolist() == [20]


def test_a_ready_made_taggers_outputs_are_put_in_the_datas_order(tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification

    names = ["O", "B-PRAISE", "I-PRAISE", "B-BLAME", "I-BLAME"]
    folder = write_tiny(tmp_path / "hub", "bert")
    network = AutoModelForTokenClassification.from_pretrained(folder, id2label=dict(enumerate(names)))
    network.save_pretrained(folder)
    context = make_task_context(tmp_path / "rows", "token_classification")
    load_tiny(folder, context)
    order = [names.index(name) for name in context.facts.classes]
    assert context.log == {"head": "the model's own", "output_order": order}
    config = {"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "B-PER"}}
    with pytest.raises(SuiteError, match="Model: 0=O, 1=B-PER"):
        task.task.check_model(PARAMS, ModelRef("m"), config, context.facts)


def test_span_metrics_are_seqevals() -> None:
    from seqeval.metrics import f1_score, precision_score, recall_score

    draw = random.Random(0)
    tags = ("O", "B-X", "I-X", "B-Y", "I-Y")
    gold, predicted = ([[draw.choice(tags) for _ in range(1 + i % 12)] for i in range(60)] for _ in range(2))
    facts = task.task.facts(PARAMS, {"train": rows_of(gold, gold)})
    scores = np.full((60, 12), -1.0)
    for line, row in zip(scores, predicted, strict=True):
        line[: len(row)] = [facts.classes.index(tag) for tag in row]
    outcomes = task.task.outcomes(facts, rows_of(gold, gold), scores, PARAMS, None)
    for name, expected in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        value = compute_value(load_metric(f"span_{name}"), outcomes)
        assert value == pytest.approx(expected(gold, predicted), abs=1e-12)


def test_spoiled_rows_have_no_tag_and_no_span_right() -> None:
    facts = task.task.facts(PARAMS, {"train": rows_of([["a"]], [["B-X"]])})
    scores = np.asarray([[0.0] + [-1.0] * 11, [1.0] + [-1.0] * 11])
    outcomes = task.task.outcomes(facts, rows_of([["a"], ["b"]], [["B-X"], ["O"]]), scores, PARAMS, None)
    assert compute_value(load_metric("span_f1"), outcomes) == 1
    worse = task.task.with_planted_fault(outcomes, np.array([0, 1]))
    assert compute_value(load_metric("span_f1"), worse) == 0
    assert compute_value(load_metric("tag_accuracy"), worse) == 0
    assert worse.column("spans_predicted").tolist() == [1, 1]
