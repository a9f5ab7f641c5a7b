"""Text classification: one or two text columns, any number of labels.

[task]
kind = "text_classification"
text = ["question1", "question2"]   # one column, or two for sentence pairs
label = "is_duplicate"
max_tokens = 128
pooling = "mean"                    # default "model": the architecture's own classification head
labels = ["0", "1"]                 # only where a ready-made model's label names differ from the data's
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate import classifier_loading
from slimgate.classifier_loading import (
    HEAD_ROWS,
    SEQUENCE,
    Head,
    Loaded,
    check_positions,
    load_classifier,
    model_labels,
)
from slimgate.encoding import EncodedTexts, encode_texts
from slimgate.errors import DataError
from slimgate.labels import class_names, output_order
from slimgate.outcomes import ClassOutcomes
from slimgate.protocols import BuildContext, Encoded, ModelRef, Rows, TaskFacts, row_groups
from slimgate.tables import Table

if TYPE_CHECKING:
    from slimgate.objectives import Objective


class Params(Table):
    """[task] of a text classification."""

    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    label: str
    max_tokens: int = Field(default=128, ge=2)
    pooling: Literal["model", "mean"] = "model"
    labels: tuple[str, ...] | None = None


def columns(params: Params) -> tuple[str, ...]:
    """The text columns and the label."""
    return (*params.text, params.label)


def text_columns(params: Params) -> tuple[str, ...]:
    """What must not stand in two splits; of a pair, the pair."""
    return params.text


def label_column(params: Params) -> str:
    """Splits are stratified by it."""
    return params.label


def metrics() -> frozenset[str]:
    """ClassOutcomes hold predictions and probabilities."""
    return frozenset({"prediction", "probabilities"})


def facts(params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
    """The classes of all splits. Raises DataError where there is only one."""
    values = {value for rows in splits.values() for value in rows.table[params.label].unique().to_pylist()}
    classes = class_names(values)
    if len(classes) < 2:
        raise DataError(
            f'column "{params.label}" holds one label only ({classes}); a classification needs two'
        )
    return TaskFacts(classes)


def label_indices(params: Params, rows: Rows, facts: TaskFacts) -> npt.NDArray[np.int64]:
    """Labels as indices into the classes: (rows,)."""
    index = {name: i for i, name in enumerate(facts.classes)}
    return np.asarray([index[str(value)] for value in rows.table[params.label].to_pylist()], dtype=np.int64)


def targets(params: Params, rows: Rows, facts: TaskFacts, encoded: Encoded) -> npt.NDArray[np.int64]:
    """What is to be learnt: the label's index of each row, (rows,)."""
    return label_indices(params, rows, facts)


def unlabelled(params: Params, encoded: Encoded, facts: TaskFacts) -> npt.NDArray[np.int64]:
    """What is to be learnt of rows without labels: nothing by labels, (rows,)."""
    from slimgate.objectives import UNLABELLED

    return np.full(len(encoded.lengths), UNLABELLED, dtype=np.int64)


def objective(params: Params) -> Objective:
    """One class a row."""
    from slimgate.objectives import ClassObjective

    return ClassObjective()


def check_model(params: Params, ref: ModelRef, config: dict[str, Any], facts: TaskFacts | None) -> None:
    """Raises SuiteError where a config.json cannot serve this task."""
    check_positions(params.max_tokens, ref, config)
    if facts is not None and has_head(params, config) and not ref.fresh:
        output_order(model_labels(config), facts.classes, params.labels, ref.text)


def has_head(params: Params, config: Mapping[str, Any]) -> bool:
    """Whether the saved model comes with a classification head of its own."""
    return params.pooling == "model" and classifier_loading.has_head(SEQUENCE, config)


def load_reads(params: Params, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Splits that loading reads: those that a fresh head is fitted on."""
    return () if has_head(params, config) else ("train", "selection")


def load_model(params: Params, ref: ModelRef, context: BuildContext) -> Any:
    """The model of a folder; a head it lacks is fitted on `train` by logistic regression."""
    head = Head(SEQUENCE, context.facts.classes, params.labels, mean=params.pooling == "mean")
    loaded = load_classifier(head, ref, context, texts=train_texts(params, context))
    if not loaded.ready:
        _fit_fresh_head(loaded, params, context)
    return loaded.model


def train_texts(params: Params, context: BuildContext) -> Iterator[str]:
    """Every text of `train`; the rows are read where a tokenizer is trained, and not before."""
    for column in params.text:
        yield from (str(value) for value in context.rows("train").table[column].to_pylist())


def _fit_fresh_head(loaded: Loaded, params: Params, context: BuildContext) -> None:
    from slimgate.heads import classifier_inputs, fit_head

    def data(split: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        rows = Rows(context.rows(split).table.slice(0, HEAD_ROWS))  # a split's rows stand in random order
        # a user's own task may have another way to encode
        encoded = context.task.encode_rows(params, rows, loaded.model.tokenizer)
        features = classifier_inputs(loaded.model.network, loaded.layer, encoded)
        return features, label_indices(params, rows, context.facts)

    held_out = data("selection") if len(context.splits.get("selection", ())) else None
    context.log.update(fit_head(loaded.layer, data("train"), held_out, seed=context.seed))


def encode_rows(params: Params, rows: Rows, tokenizer: Any) -> EncodedTexts:
    """Tokenises the text columns."""
    texts = [rows.table[column].to_pylist() for column in params.text]
    return encode_texts(tokenizer, texts, max_tokens=params.max_tokens)


def row_encoder(params: Params, folder: Path) -> Callable[[Rows], EncodedTexts]:
    """Tokenises rows by the tokenizer of an artifact, which is loaded once."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda rows: encode_rows(params, rows, tokenizer)


def outcomes(
    facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
) -> ClassOutcomes:
    """Softmax of the logits in float64; the prediction is the most probable class."""
    logits = scores.astype(np.float64)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return ClassOutcomes(
        ids=np.asarray(rows.ids, dtype=np.str_),
        labels=label_indices(params, rows, facts),
        predictions=logits.argmax(axis=1).astype(np.int64),
        classes=facts.classes,
        probabilities=probabilities,
        groups=row_groups(rows, group),
    )
