"""Text classification: one or two text columns, any number of labels.

[task]
kind = "text_classification"
text = ["question1", "question2"]   # one column, or two for sentence pairs
label = "is_duplicate"
max_tokens = 128
pooling = "mean"                    # default "model": the architecture's own classification head
labels = ["0", "1"]                 # only if a ready-made model's label names differ from the data's
positive = "fraud"                  # only for f1, precision, recall and pr_auc of a pair such as fraud and ok
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from slimgate.data.labels import check_positive, index_labels, read_classes, refuse_other_spellings
from slimgate.errors import DataError
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Encoded, Rows, TaskFacts, number_groups
from slimgate.tasks.parts import classifiers
from slimgate.tasks.parts.classifiers import SEQUENCE_CLASSIFIER, Head, load_classifier
from slimgate.tasks.parts.text_task import (
    PRINT_SHARES,
    TextParams,
    TextTask,
    list_train_texts,
    make_head_data,
)

if TYPE_CHECKING:
    from slimgate.data.guess_input import ExaminedRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json
    from slimgate.tasks.parts.objectives import Objective

# With at least this many rows, labels are counted; fewer rows may well have a label each.
ENOUGH_TO_TELL = 100


class Params(TextParams):
    """[task] of a text classification."""

    label: str
    """The column of the label."""
    labels: tuple[str, ...] | None = None
    """The data's label for each output of a finished model, if the model's names differ."""
    positive: str | None = None
    """Which of two labels is the positive label, for precision, recall, f1 and pr_auc; not needed for common
    pairs, such as 0 and 1."""


C = TypeVar("C", bound=Params)


class TextClassification(TextTask[C]):
    also_called = ("sentiment", "sentiment_analysis", "nli")
    pipeline = "text-classification"
    snippet_tail = (
        "shares = np.exp(scores - scores.max(-1, keepdims=True))\n"
        f"shares /= shares.sum(-1, keepdims=True)\n{PRINT_SHARES}"
    )
    auto_class = SEQUENCE_CLASSIFIER
    guess_rank = 40

    def guess(self, sample: ExaminedRows) -> tuple[dict[str, Any], str] | None:
        """Guesses one or two columns of text, and a column with a class in each row.

        Raises DataError if no column is text, if the label column has lists or objects, or if the first row
        was read as the header.
        """
        label = sample.label()
        if label is None:
            return None
        columns = sample.texts((label,))
        if label in map(str, sample.table[label].unique().to_pylist()):
            raise DataError(
                f'"{label}" is the name of a column and also a label of its rows: slimgate uses the first '
                "row as the header; add a header row, or remove a repeated one"
            )
        pair = "two columns of text" if len(columns) == 2 else "text"
        why = f'{pair} and {sample.columns[label].distinct} different values of "{label}"'
        return {"text": columns, "label": label}, why

    def columns(self, params: C) -> tuple[str, ...]:
        """The text columns and the label."""
        return (*params.text, params.label)

    def label_column(self, params: C) -> str:
        """The column of the label. Every split has about the same share of each label."""
        return params.label

    def provides(self) -> frozenset[str]:
        """ClassOutcomes hold predictions and probabilities."""
        return frozenset({"prediction", "probabilities"})

    def facts(self, params: C, splits: Mapping[str, Rows]) -> TaskFacts:
        """The labels of all splits: numbers in numeric order, other labels in alphabetical order.

        Raises DataError if there is only one label; if at least 100 rows have more than half as many labels;
        or if `positive` does not fit the labels.
        """
        classes = read_classes(splits, params.label)
        if len(classes) < 2:
            raise DataError(
                f'column "{params.label}" has only one label ({classes}); a classification needs two'
            )
        count = sum(len(rows) for rows in splits.values())
        if count >= ENOUGH_TO_TELL and len(classes) > count / 2:
            columns = next(iter(splits.values())).table.column_names
            column_names = ", ".join(name for name in columns if name not in ("id", params.label))
            raise DataError(
                f'column "{params.label}" holds {len(classes):,} labels in {count:,} rows, and most '
                "labels occur once, so no model can learn them; choose another of the columns "
                f"{column_names}"
            )
        refuse_other_spellings(classes, params.label)
        check_positive(params.positive, classes)
        return TaskFacts(classes)

    def label_indices(self, params: C, rows: Rows, facts: TaskFacts) -> npt.NDArray[np.int64]:
        """(rows,) labels as indices into the classes."""
        return index_labels(rows, params.label, facts.classes)

    def targets(self, params: C, rows: Rows, facts: TaskFacts, encoded: Encoded) -> npt.NDArray[np.int64]:
        """(rows,) the index of each row's label."""
        return self.label_indices(params, rows, facts)

    def targets_without_labels(self, params: C, encoded: Encoded, facts: TaskFacts) -> npt.NDArray[np.int64]:
        """(rows,) -100 for rows without labels, so that they are learnt from a teacher only."""
        from slimgate.tasks.parts.objectives import UNLABELLED

        return np.full(len(encoded.lengths), UNLABELLED, dtype=np.int64)

    def objective(self, params: C) -> Objective:
        """How models learn: cross-entropy by labels, KL divergence by a teacher's answers."""
        from slimgate.tasks.parts.objectives import ClassObjective

        return ClassObjective()

    def head(self, params: C, classes: tuple[str, ...] = ()) -> Head:
        """A head with one output for each class; `pooling` chooses the architecture's own or the mean's."""
        return Head(SEQUENCE_CLASSIFIER, classes, params.labels, mean=params.pooling == "mean")

    def load_reads(self, params: C, config: Json) -> tuple[str, ...]:
        """`selection` to check the order of a head's outputs, also `train` to fit a new head."""
        return ("selection",) if classifiers.has_head(self.head(params), config) else ("train", "selection")

    def load_model(self, params: C, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads a model. If it has no head, one is fitted on `train` by logistic regression.

        The regularisation of a new head is chosen on `selection`. The outputs of a head that the model has
        are put in the order of the classes, by their names or by `labels`. Up to 500 rows of `selection` must
        not contradict the names.

        Raises BuildError if the model cannot be loaded, or if its outputs are not in the order of their
        names; SuiteError if it must have a head and has none, or if the names of its outputs do not fit the
        labels.
        """
        head = self.head(params, context.facts.classes)
        loaded = load_classifier(head, ref, context, texts=list_train_texts(params.text, context))
        if not loaded.ready:
            from slimgate.tasks.parts.heads import fit_head

            train, held_out = make_head_data(loaded, context, precision="auto")
            log = fit_head(loaded.layer, train, held_out, seed=context.seed, classes=context.facts.classes)
            context.log.update(log)
            return loaded.model
        from slimgate.tasks.parts.label_order import require_label_order

        order = context.log["output_order"]
        require_label_order(
            loaded.model, params, context, names=list(loaded.model_labels), order=order, where=ref.text
        )
        return loaded.model

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: C, group: str | None
    ) -> ClassOutcomes:
        """Converts logits to predictions and probabilities: softmax in float64, and the most probable class.

        scores: (rows, classes) logits, in the order of the rows.
        """
        from scipy.special import softmax

        logits = scores.astype(np.float64)
        return ClassOutcomes(
            ids=np.asarray(rows.ids, dtype=np.str_),
            labels=self.label_indices(params, rows, facts),
            predictions=logits.argmax(axis=1).astype(np.int64),
            classes=facts.classes,
            probabilities=softmax(logits, axis=1),
            groups=number_groups(rows, group),
            positive=params.positive,
        )


task = TextClassification[Params]()
