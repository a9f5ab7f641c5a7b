"""slimgate.models.predict: a row's scores depend neither on its batch nor on the order of prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context
from slimgate.errors import DataError, MeasureError
from slimgate.models.predict import predict_scores, split_into_batches
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks import text_classification
from slimgate.tasks.parts.encoding import EncodedTexts

pytest.importorskip("torch")


@pytest.fixture(params=["bert", "gpt2"])
def predicted(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[EagerPredictor, EncodedTexts]:
    context = make_tiny_context(tmp_path, train=40)
    folder = write_tiny_classifier(tmp_path / "hub", request.param, initializer_range=0.3)
    model = load_tiny(folder, context)
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    assert len(set(encoded.lengths.tolist())) > 4
    return EagerPredictor(model.network, "cpu"), encoded


def test_scores_do_not_depend_on_batch_size_or_order(predicted: tuple[EagerPredictor, EncodedTexts]) -> None:
    predictor, encoded = predicted
    alone = predict_scores(predictor, encoded, batch_size=1)
    assert alone.shape == (40, 2)
    assert alone.dtype == np.float32
    assert np.ptp(alone[:, 0]) > 1e-3
    for batch_size in (7, 64):
        assert np.abs(predict_scores(predictor, encoded, batch_size=batch_size) - alone).max() < 1e-5
    order = np.random.default_rng(0).permutation(40)
    assert np.abs(predict_scores(predictor, encoded, batch_size=7, order=order) - alone).max() < 1e-5


class Recorder:
    """Gives back the first token of each row, and remembers the widths of the batches."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def prepare(self, batch: Any) -> Any:
        self.widths.append(batch["input_ids"].shape[1])
        return batch["input_ids"]

    def forward(self, prepared: Any) -> Any:
        return prepared[:, :1]

    def fetch(self, output: Any) -> Any:
        return output.astype(np.float32)

    def close(self) -> None: ...


def encoded_of(rows: list[list[int]]) -> EncodedTexts:
    return EncodedTexts(
        {"input_ids": rows}, {"input_ids": 0}, "right", np.asarray([len(r) for r in rows], np.int64)
    )


def test_the_longest_rows_come_first_answers_in_the_rows_order() -> None:
    recorder, seen = Recorder(), []
    rows = [[10], [11, 0, 0], [12, 0], [13, 0, 0, 0]]
    scores = predict_scores(
        recorder,
        encoded_of(rows),
        batch_size=3,
        progress=lambda task, done, total: seen.append((task, done, total)),
    )
    assert recorder.widths == [4, 1]
    assert scores.tolist() == [[10], [11], [12], [13]]
    assert seen == [("predict", 3, 4), ("predict", 4, 4)]


class Shifted(Recorder):
    """A row too many in the first batch and one too few in the second: in sum, one for each row."""

    def fetch(self, output: Any) -> Any:
        scores = super().fetch(output)
        return np.concatenate([scores, scores[-1:]]) if len(self.widths) == 1 else scores[:-1]


class Whole(Recorder):
    """One row of scores for each batch, which numpy would repeat for all rows."""

    def fetch(self, output: Any) -> Any:
        return super().fetch(output).mean(axis=0, keepdims=True)


@pytest.mark.parametrize(
    ("predictor", "batch_size", "shape"),
    [(Shifted(), 2, r"\(3, 1\) for a batch of 2 rows"), (Whole(), 4, r"\(1, 1\) for a batch of 4 rows")],
    ids=["shifted", "one-for-all"],
)
def test_a_batch_gives_a_row_of_scores_for_each_row(predictor: Recorder, batch_size: int, shape: str) -> None:
    with pytest.raises(MeasureError, match=f"scores have the shape {shape}, expected"):
        predict_scores(predictor, encoded_of([[10], [11], [12], [13]]), batch_size=batch_size)


class Reusing(Recorder):
    """Writes the scores of every batch into the same memory, as bound outputs of a runtime do."""

    memory = np.zeros((4, 1), np.float32)

    def fetch(self, output: Any) -> Any:
        self.memory[: len(output)] = output
        return self.memory[: len(output)]


def test_a_runtime_may_use_the_memory_of_its_scores_again() -> None:
    encoded = encoded_of([[10], [11], [12], [13]])
    assert predict_scores(Reusing(), encoded, batch_size=2).tolist() == [[10], [11], [12], [13]]


def test_no_rows_are_an_error() -> None:
    with pytest.raises(DataError, match="there are no rows to predict"):
        predict_scores(Recorder(), encoded_of([]), batch_size=3)


@pytest.mark.parametrize(
    ("rows", "tokens", "expected"),
    [
        (3, None, [[0, 1, 2], [3, 4]]),
        (5, 12, [[0], [1, 2], [3, 4]]),  # 9 | 6 + 6 | 3 + 3: a third row of 3 would fit, a third of 6 not
        (2, 100, [[0, 1], [2, 3], [4]]),
        (5, 1, [[0], [1], [2], [3], [4]]),
        (5, 31, [[0, 1, 2], [3, 4]]),  # padded to the longest: three of 9 fill 27
    ],
)
def test_batches_hold_so_many_rows_and_padded_tokens_at_most(
    rows: int, tokens: int | None, expected: list[list[int]]
) -> None:
    lengths = np.asarray([9, 6, 5, 3, 3])
    assert list(split_into_batches(lengths, [0, 1, 2, 3, 4], rows, tokens)) == expected


def test_rows_that_grow_longer_count_with_the_longest() -> None:
    assert list(split_into_batches(np.asarray([1, 1, 8]), [0, 1, 2], 5, 8)) == [[0, 1], [2]]


def test_a_budget_of_tokens_changes_no_score(predicted: tuple[EagerPredictor, EncodedTexts]) -> None:
    predictor, encoded = predicted
    plain = predict_scores(predictor, encoded, batch_size=64)
    assert np.abs(predict_scores(predictor, encoded, batch_size=64, batch_tokens=40) - plain).max() < 1e-5


def test_a_token_without_an_embedding_is_named(predicted: tuple[EagerPredictor, EncodedTexts]) -> None:
    predictor, encoded = predicted
    ids = [[10**6 for _ in row] for row in encoded.columns["input_ids"]]
    unknown = replace(encoded, columns={**encoded.columns, "input_ids": ids})
    with pytest.raises(MeasureError, match="no embedding for a token or a position of a row"):
        predict_scores(predictor, unknown, batch_size=4)
