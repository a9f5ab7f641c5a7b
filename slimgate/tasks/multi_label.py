"""Multi-label classification: a row has any number of labels, including none.

[task]
kind = "multi_label"
text = ["text"]                     # one column, or two for sentence pairs
label = "topics"                    # lists of names, or names with a separator between them
separator = ","                     # between names in one string
label = ["toxic", "insult"]         # or a column of 0 and 1 for each label
names = ["admiration", "anger"]     # if lists hold numbers: the labels of 0, 1, …
threshold = 0.5                     # a label is predicted if its probability is at least this
max_tokens = 128
pooling = "mean"                    # default "model": the architecture's own classification head
labels = ["a", "b"]                 # only if a ready-made model's label names differ from the data's

Metrics: labels_f1_micro, labels_f1_macro, subset_accuracy, hamming_loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.data.guess_input import LABELS
from slimgate.data.labels import (
    list_class_names,
    make_indicators,
    parse_label_sets,
    refuse_other_spellings,
)
from slimgate.errors import DataError
from slimgate.judge.metrics.classes import GOLD
from slimgate.judge.metrics.label_sets import PREDICTED, WRONG
from slimgate.outcomes import RIGHT, Floats, Ints, Outcomes
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Encoded, Rows, TaskFacts, number_groups
from slimgate.tasks.parts.classifiers import SEQUENCE_CLASSIFIER, Head, load_classifier
from slimgate.tasks.parts.text_task import (
    PRINT_SHARES,
    TextParams,
    TextTask,
    list_train_texts,
    make_head_data,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from slimgate.data.guess_input import Column, ExaminedRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.objectives import Objective


# The usual names of columns with several labels, and the signs that join labels.
SETS = ("labels", "topics", "genres", "categories", "emotions", "tags", "classes")
SEPARATORS = (",", ";", "|")


class Params(TextParams):
    """[task] of a multi-label classification."""

    label: str | tuple[str, ...]
    """The column of lists of labels, or a column of 0 and 1 for each label."""
    separator: str = Field(default=",", min_length=1)
    """Text between labels, if a row has its labels in one string."""
    names: tuple[str, ...] | None = None
    """If the lists contain numbers: the label of each number, counted from 0."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Smallest probability at which a label is predicted."""
    labels: tuple[str, ...] | None = None
    """The data's label for each output of a finished model, if the model's names differ."""


class MultiLabel(TextTask[Params]):
    default_metrics = ("labels_f1_micro", "labels_f1_macro", "subset_accuracy")
    proposed_metrics = ("subset_accuracy", "labels_f1_micro", "labels_f1_macro")
    pipeline = "text-classification"
    snippet_tail = f"shares = 1 / (1 + np.exp(-scores))\n{PRINT_SHARES}"
    auto_class = SEQUENCE_CLASSIFIER
    guess_rank = 20

    def guess(self, sample: ExaminedRows) -> tuple[dict[str, Any], str] | None:
        """Guesses text, and lists of labels, joined labels or a column of 0 and 1 for each label."""
        label_guess = _guess_labels(sample)
        if label_guess is None:
            return None
        options, why = label_guess
        label = options["label"]
        columns = sample.texts((label,) if isinstance(label, str) else label)
        names = {"names": sample.stated.names} if sample.stated.names else {}
        return {"text": columns, **options, **names}, why

    def columns(self, params: Params) -> tuple[str, ...]:
        """The text columns and the label columns."""
        return (*params.text, *([params.label] if isinstance(params.label, str) else params.label))

    def label_column(self, params: Params) -> None:
        """None, because sets of labels make no strata."""

    def provides(self) -> frozenset[str]:
        """The names of the values of a row: the number of wrong labels, and whether all are right."""
        return frozenset({WRONG, RIGHT})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """The labels of all splits. Raises DataError if there are none, or labels cannot be read."""
        label_names = {
            name for rows in splits.values() for labels in _read_label_sets(params, rows) for name in labels
        }
        classes = list_class_names(label_names) if isinstance(params.label, str) else params.label
        if not label_names:
            raise DataError(
                f"the label columns {', '.join(self.columns(params)[len(params.text) :])} contain no label"
            )
        if isinstance(params.label, str):
            refuse_other_spellings(classes, params.label)
        return TaskFacts(tuple(classes))

    def targets(
        self, params: Params, rows: Rows, facts: TaskFacts, encoded: Encoded
    ) -> npt.NDArray[np.float32]:
        """The training targets: (rows, labels) 0 or 1."""
        return make_indicators(_read_label_sets(params, rows), facts.classes).astype(np.float32)

    def targets_without_labels(
        self, params: Params, encoded: Encoded, facts: TaskFacts
    ) -> npt.NDArray[np.float32]:
        """(rows, labels) NaN, so that models learn nothing from the labels."""
        return np.full((len(encoded.lengths), len(facts.classes)), np.nan, dtype=np.float32)

    def objective(self, params: Params) -> Objective:
        """The loss for rows with any number of labels."""
        from slimgate.tasks.parts.objectives import LabelsObjective

        return LabelsObjective()

    def head(self, params: Params, classes: tuple[str, ...] = ()) -> Head:
        """A head with one output for each label."""
        mean = params.pooling == "mean"
        return Head(
            SEQUENCE_CLASSIFIER, classes, params.labels, mean=mean, problem_type="multi_label_classification"
        )

    def load_model(self, params: Params, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a ref. Fits a missing head on `train`, with a logistic regression per label."""
        head = self.head(params, context.facts.classes)
        loaded = load_classifier(head, ref, context, texts=list_train_texts(params.text, context))
        if not loaded.ready:
            from slimgate.tasks.parts.heads import fit_labels_head

            train, validation = make_head_data(loaded, context)
            context.log.update(fit_labels_head(loaded.layer, train, validation, seed=context.seed))
        return loaded.model

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
    ) -> Outcomes:
        """The outcomes: labels whose probability reaches the threshold, and the labels of the row."""
        predicted = scores.astype(np.float64) >= log(params.threshold / (1 - params.threshold))
        gold = make_indicators(_read_label_sets(params, rows), facts.classes)
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values=_make_values(facts.classes, gold, predicted.astype(np.float64)),
            given=tuple(f"{GOLD}{name}" for name in facts.classes),
            answers=np.asarray([_join_labels(line, facts.classes) for line in predicted], dtype=np.str_),
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes, in which exactly the labels that these rows do not have are predicted for them."""
        classes = tuple(name.removeprefix(GOLD) for name in outcomes.given)
        gold, predicted = (
            np.stack([outcomes.column(f"{prefix}{c}") for c in classes], axis=1)
            for prefix in (GOLD, PREDICTED)
        )
        predicted[rows] = 1 - gold[rows]
        return replace(outcomes, values=_make_values(classes, gold, predicted), answers=None)


task = MultiLabel()


def _read_label_sets(params: Params, rows: Rows) -> list[frozenset[str]]:
    return parse_label_sets(rows, params.label, separator=params.separator, names=params.names)


def _make_values(classes: tuple[str, ...], gold: Floats, predicted: Floats) -> dict[str, Floats]:
    """The columns of outcomes; gold, predicted: (rows, labels) 0 or 1."""
    wrong = np.asarray((gold != predicted).sum(axis=1), dtype=np.float64)
    return {
        **{f"{GOLD}{name}": column for name, column in zip(classes, gold.T, strict=True)},
        **{f"{PREDICTED}{name}": column for name, column in zip(classes, predicted.T, strict=True)},
        WRONG: wrong,
        RIGHT: (wrong == 0).astype(np.float64),
    }


def _join_labels(predicted: npt.NDArray[np.bool_], classes: tuple[str, ...]) -> str:
    return ", ".join(name for name, yes in zip(classes, predicted, strict=True) if yes) or "(none)"


def _guess_labels(sample: ExaminedRows) -> tuple[dict[str, Any], str] | None:
    """Guesses the options on labels, with the reason; None if no column has several labels."""
    table, columns, stated = sample.table, sample.columns, sample.stated
    list_columns = [name for name, column in columns.items() if column.kind == "list"]
    candidates = [name for name in list_columns if name not in stated.text and stated.label in (None, name)]
    if candidates:
        return {"label": candidates[-1]}, f'lists of labels in "{candidates[-1]}"'
    for name in [stated.label] if stated.label else [name for name in columns if name.lower() in SETS]:
        separator = _find_separator(table[name].to_pylist()) if columns[name].kind == "text" else None
        if separator is not None:
            return {"label": name, "separator": separator}, f'labels joined by "{separator}" in "{name}"'
    has_label_column = stated.label is not None or any(name.lower() in LABELS for name in columns)
    indicators = [name for name, column in columns.items() if _has_zeros_and_ones(column, table[name])]
    if len(indicators) >= 3 and not has_label_column:
        return {"label": indicators}, f"{len(indicators)} columns of 0 and 1"
    return None


def _has_zeros_and_ones(column: Column, values: pa.ChunkedArray) -> bool:
    """Whether all values are 0 or 1."""
    may_be = column.kind in ("number", "flag") and column.distinct <= 2 and column.whole_numbers
    return may_be and {str(value) for value in values.unique().to_pylist()} <= {"0", "1"}


def _find_separator(values: Sequence[object]) -> str | None:
    """The sign that joins labels. A label has at most four words, and occurs five times on average."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    for separator in SEPARATORS:
        parts = [part.strip() for text in texts for part in text.split(separator)]
        joined = len(parts) > len(texts)
        if joined and len(set(parts)) * 5 <= len(parts) and max(len(p.split()) for p in parts) <= 4:
            return separator
    return None
