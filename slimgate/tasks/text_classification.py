"""Text classification: one or two text columns, any number of labels.

[task]
kind = "text_classification"
text = ["question1", "question2"]   # one column, or two for sentence pairs
label = "is_duplicate"
max_tokens = 128
pooling = "mean"                    # default "model": the architecture's own classification head
labels = ["0", "1"]                 # only where a ready-made model's label names differ from the data's
positive = "fraud"                  # only for f1, precision, recall and pr_auc of a pair such as fraud and ok
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from slimgate.data.labels import check_positive, class_names
from slimgate.errors import DataError
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Encoded, Rows, TaskFacts, row_groups
from slimgate.tasks.parts import classifiers, texts
from slimgate.tasks.parts.classifiers import SEQUENCE, Head, load_classifier
from slimgate.tasks.parts.texts import TextTask

if TYPE_CHECKING:
    from slimgate.data.guess_input import FoundRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json
    from slimgate.tasks.parts.objectives import Objective


class Params(texts.TextParams):
    """[task] of a text classification."""

    label: str
    """The column of the label."""
    labels: tuple[str, ...] | None = None
    """The data's label of each output of a ready-made model, if the model's names differ."""
    positive: str | None = None
    """The label of two that precision, recall, f1 and pr_auc are of, if the pair is none such as 0 and 1."""


# Rows from which on labels are counted: fewer may well have one each.
ENOUGH_TO_TELL = 100


C = TypeVar("C", bound=Params)


class TextClassification(TextTask[C]):
    also_called = ("sentiment", "sentiment_analysis", "nli")
    pipeline = "text-classification"
    snippet_tail = (
        "shares = np.exp(scores - scores.max(-1, keepdims=True))\n"
        f"shares /= shares.sum(-1, keepdims=True)\n{texts.PRINT_SHARES}"
    )
    auto_class = SEQUENCE
    guess_rank = 40

    def guess(self, data: FoundRows) -> tuple[dict[str, Any], str] | None:
        """Text, and a column of classes. Raises DataError where a header is taken for a row."""
        label = data.label()
        if label is None:
            return None
        columns = data.texts((label,))
        if label in map(str, data.table[label].unique().to_pylist()):
            raise DataError(
                f'"{label}" is the name of a column and a label of its rows: the first row is taken for '
                "its header; give it one, and take a repeated one out"
            )
        pair = "two columns of text" if len(columns) == 2 else "text"
        why = f'{pair} and {data.columns[label].distinct} different values of "{label}"'
        return {"text": columns, "label": label}, why

    def columns(self, params: C) -> tuple[str, ...]:
        """The text columns and the label."""
        return (*params.text, params.label)

    def label_column(self, params: C) -> str:
        """Splits are stratified by it."""
        return params.label

    def metrics(self) -> frozenset[str]:
        """ClassOutcomes hold predictions and probabilities."""
        return frozenset({"prediction", "probabilities"})

    def facts(self, params: C, splits: Mapping[str, Rows]) -> TaskFacts:
        """The classes of all splits. Raises DataError where there is only one, or nearly one a row."""
        values = {
            value for rows in splits.values() for value in rows.table[params.label].unique().to_pylist()
        }
        classes = class_names(values)
        if len(classes) < 2:
            raise DataError(
                f'column "{params.label}" holds one label only ({classes}); a classification needs two'
            )
        count = sum(len(rows) for rows in splits.values())
        if count >= ENOUGH_TO_TELL and len(classes) > count / 2:
            column_names = ", ".join(next(iter(splits.values())).table.column_names)
            raise DataError(
                f'column "{params.label}" holds {len(classes):,} labels in {count:,} rows, most of them of '
                f"one row alone, which nothing can learn; name another of the columns {column_names}"
            )
        check_positive(params.positive, classes)
        return TaskFacts(classes)

    def label_indices(self, params: C, rows: Rows, facts: TaskFacts) -> npt.NDArray[np.int64]:
        """Labels as indices into the classes: (rows,)."""
        index = {name: i for i, name in enumerate(facts.classes)}
        return np.asarray(
            [index[str(value)] for value in rows.table[params.label].to_pylist()], dtype=np.int64
        )

    def targets(self, params: C, rows: Rows, facts: TaskFacts, encoded: Encoded) -> npt.NDArray[np.int64]:
        """What is to be learnt: the label's index of each row, (rows,)."""
        return self.label_indices(params, rows, facts)

    def targets_without_labels(self, params: C, encoded: Encoded, facts: TaskFacts) -> npt.NDArray[np.int64]:
        """What is to be learnt of rows without labels: nothing by labels, (rows,)."""
        from slimgate.tasks.parts.objectives import UNLABELLED

        return np.full(len(encoded.lengths), UNLABELLED, dtype=np.int64)

    def objective(self, params: C) -> Objective:
        """One class a row."""
        from slimgate.tasks.parts.objectives import ClassObjective

        return ClassObjective()

    def head(self, params: C, classes: tuple[str, ...] = ()) -> Head:
        """One class a row."""
        return Head(SEQUENCE, classes, params.labels, mean=params.pooling == "mean")

    def load_reads(self, params: C, config: Json) -> tuple[str, ...]:
        """A fresh head is fitted on both splits; a ready-made one's label order is checked on one."""
        return ("selection",) if classifiers.has_head(self.head(params), config) else ("train", "selection")

    def load_model(self, params: C, ref: ModelRef, context: BuildContext) -> TorchModel:
        """The model of a folder; a head it lacks is fitted on `train` by logistic regression."""
        head = self.head(params, context.facts.classes)
        loaded = load_classifier(head, ref, context, texts=texts.train_texts(params, context))
        if not loaded.ready:
            from slimgate.tasks.parts.heads import fit_head

            train, held_out = texts.head_data(loaded, context, precision="auto")
            context.log.update(fit_head(loaded.layer, train, held_out, seed=context.seed))
            return loaded.model
        from slimgate.tasks.parts.label_order import require_label_order

        order = context.log["output_order"]
        require_label_order(
            loaded.model, params, context, names=list(loaded.own_names), order=order, where=ref.text
        )
        return loaded.model

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: C, group: str | None
    ) -> ClassOutcomes:
        """Softmax of the logits in float64; the prediction is the most probable class."""
        logits = scores.astype(np.float64)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        return ClassOutcomes(
            ids=np.asarray(rows.ids, dtype=np.str_),
            labels=self.label_indices(params, rows, facts),
            predictions=logits.argmax(axis=1).astype(np.int64),
            classes=facts.classes,
            probabilities=probabilities,
            groups=row_groups(rows, group),
            positive=params.positive,
        )


task = TextClassification[Params]()
