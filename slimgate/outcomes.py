"""Outcomes: what a model did on each gate row. They are numbers and, for some tasks, also texts.

    Outcomes        any task: named columns of numbers (nats and tokens, a rank, counts of spans)
    ClassOutcomes   a classification: labels, predictions, probabilities

outcome_files.py writes and reads both as parquet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from slimgate._system.names import convert_to_names, find_two_spellings, normalize_group, normalize_spelling
from slimgate.errors import MeasureError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]

# The column of 0 and 1 in which a row is right or wrong, for tasks whose rows are one or the other.
RIGHT = "right"
# Columns that compare a row's answer with another model's answer.
SAME_ANSWERS, SIMILAR_ANSWERS = "same_answers", "similar_answers"
# For answers that a draft model helped to write: the number of tokens after the first token, and the number
# of passes in which the main model verified them.
VERIFIED_TOKENS, PASSES = "verified_tokens", "verification_passes"
# Values of a row: the tokens of its answer, and the most that it may have.
TOKENS, MOST_TOKENS = "answer_tokens", "most_answer_tokens"
# Values that do not show whether an answer changed: comparisons with another answer, and the work of a draft.
_NOT_COMPARED = frozenset({SAME_ANSWERS, SIMILAR_ANSWERS, VERIFIED_TOKENS, PASSES})
# Next to the texts of answers, counts of tokens show nothing more. Servers count differently: vLLM counts the
# token that ends an answer, llama.cpp's server does not.
_COUNTS = frozenset({TOKENS, MOST_TOKENS})
# How a written answer fails, whatever it says.
TRUNCATED, EMPTY, LOOPING, FAILED = "truncated", "empty", "looping", "failed"
# Two runs of one model may add in different orders; a row counts as changed only beyond this difference.
_ROUNDING = 1e-3
# How far the sum of a row's probabilities may lie from 1.
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One row for each gate example, in the order of the gate split.

    ids: (rows,) str; values: name -> (rows,) float64, finite; given: the names of values that belong to the
    rows, not to the model (a gold score, a count of tokens), hence the same for all models; answers: (rows,)
    the text that the model answered, or None; groups: (rows,) int64, equal for rows that are not independent
    (one file, document or user), or None. Raises MeasureError if shapes disagree or a value is not finite.
    """

    ids: Texts
    values: Mapping[str, Floats] = field(default_factory=dict, kw_only=True)
    given: tuple[str, ...] = field(default=(), kw_only=True)
    answers: Texts | None = field(default=None, kw_only=True)
    groups: Ints | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_length("groups", self.groups)
        self._check_length("answers", self.answers)
        for name, column in self.values.items():
            self._check_length(name, column)
        self.check_finite()

    def check_finite(self) -> None:
        """Raises MeasureError if a value is not finite. The judge checks again: arrays can change."""
        for name, column in self.values.items():
            self._check_finite_column(name, column)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def right(self) -> Floats | None:
        """(rows,) 1.0 if the model has the row right, else 0.0; None if rows are neither right nor wrong."""
        return self.values.get(RIGHT)

    def column(self, name: str) -> Floats:
        """The values of one name.

        Args:
            name: a key of `values`.

        Returns:
            (rows,) float64.

        Raises:
            MeasureError: if there are no such values.
        """
        if name not in self.values:
            known = ", ".join(self.values) or "none"
            raise MeasureError(f'outcomes have no values "{name}"; they have {known}')
        return self.values[name]

    def take(self, rows: Ints) -> Self:
        """Selects rows by position.

        Args:
            rows: (k,) int64 positions, in the order of the result. A position may occur more than once.

        Returns:
            The outcomes of these rows, of the same class.
        """
        return replace(self, **self._select_fields(rows))

    def read_only(self) -> Self:
        """The same outcomes in arrays that cannot be changed: views, without a copy of the numbers."""
        rows = self._select_fields(slice(None))
        for array in (*rows["values"].values(), *rows.values()):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        return replace(self, **rows)

    def _select_fields(self, rows: Ints | slice) -> dict[str, Any]:
        """The values of the fields that have one value a row, at the given positions."""
        return {
            "ids": self.ids[rows],
            "values": {name: column[rows] for name, column in self.values.items()},
            "answers": None if self.answers is None else self.answers[rows],
            "groups": None if self.groups is None else self.groups[rows],
        }

    def changed_rows(self, other: Outcomes) -> npt.NDArray[np.bool_]:
        """Marks the rows on which two models differ, in their answers or by more than rounding in a value.

        It compares what both have: `answers`, and values of the same name. A value differs if it is off by
        more than 0.001, absolute plus relative. Ignored are comparisons with another model's answer, the
        work of a draft model and, if both have `answers`, numbers of tokens.

        Args:
            other: the outcomes of the other model on the same rows.

        Returns:
            (rows,) bool.
        """
        changed, ignored = np.zeros(len(self), dtype=np.bool_), _NOT_COMPARED
        if self.answers is not None and other.answers is not None:
            changed |= self.answers != other.answers
            ignored |= _COUNTS
        for name in (self.values.keys() & other.values.keys()) - ignored:
            values, other_values = self.values[name], other.values[name]
            changed |= ~np.isclose(values, other_values, rtol=_ROUNDING, atol=_ROUNDING)
        return changed

    def _check_length(self, name: str, column: npt.NDArray[np.generic] | None) -> None:
        if column is not None and column.shape != (len(self),):
            raise MeasureError(f"outcomes: {name} has shape {column.shape}, expected ({len(self)},)")

    def _check_finite_column(self, name: str, column: Floats) -> None:
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise MeasureError(
                f"outcomes: {len(bad)} of {len(self)} rows have {name} that is NaN or infinite (first: row "
                f"{self.ids[bad[0]]} has {column[bad[0]]:g}), so nothing can be judged: the numbers of the "
                "model overflow, or the code that computes this value divides by zero"
            )


@dataclass(frozen=True, eq=False)
class ClassOutcomes(Outcomes):
    """The outcomes of a classification.

    labels, predictions: (rows,) int64 indices into `classes`; probabilities: (rows, classes) float64, each
    row summing to 1, or None where a tool gives predictions only.
    strays: how many of the last classes are no labels of the task: a model answered them, which is wrong.
    positive: the class for which precision, recall, F1 and PR-AUC of two labels are computed, or None.
    """

    labels: Ints
    predictions: Ints
    classes: tuple[str, ...]
    probabilities: Floats | None = None
    strays: int = field(default=0, kw_only=True)
    positive: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_length("labels", self.labels)
        self._check_length("predictions", self.predictions)
        if self.positive is not None and self.positive not in self.label_set:
            raise MeasureError(
                f'outcomes: positive "{self.positive}" is not one of the labels {", ".join(self.label_set)}'
            )
        if self.probabilities is None:
            return
        if self.probabilities.shape != (len(self), len(self.classes)):
            raise MeasureError(
                f"outcomes: probabilities have shape {self.probabilities.shape}, "
                f"expected ({len(self)}, {len(self.classes)})"
            )

    @property
    def label_set(self) -> tuple[str, ...]:
        """The classes that a row can be labelled as: all but the strays."""
        return self.classes[: len(self.classes) - self.strays]

    @property
    def stray_rows(self) -> npt.NDArray[np.bool_]:
        """(rows,) whether the prediction is no label of the task."""
        return np.asarray(self.predictions >= len(self.label_set))

    def check_finite(self) -> None:
        """Checks the values as the base class does, and the probabilities."""
        super().check_finite()
        if self.probabilities is not None:
            # of each row, the first probability that is not finite, if there is one
            worst = np.argmin(np.isfinite(self.probabilities), axis=1, keepdims=True)
            self._check_finite_column(
                "a probability", np.take_along_axis(self.probabilities, worst, axis=1)[:, 0]
            )

    @property
    def right(self) -> Floats:
        """(rows,) 1.0 if the prediction is the label, else 0.0."""
        return np.asarray(self.predictions == self.labels, dtype=np.float64)

    def _select_fields(self, rows: Ints | slice) -> dict[str, Any]:
        return {
            **super()._select_fields(rows),
            "labels": self.labels[rows],
            "predictions": self.predictions[rows],
            "probabilities": None if self.probabilities is None else self.probabilities[rows],
        }

    def with_strays(self, names: Sequence[str]) -> Self:
        """Sets the list of strays. Two models can be compared only if their lists are equal.

        Args:
            names: all strays, including those of these outcomes.

        Returns:
            The same outcomes over the labels of the task, followed by these strays. A new stray has
            probability 0.

        Raises:
            ValueError: if a stray of these outcomes is not among the names.
        """
        classes = (*self.label_set, *names)
        order = np.array([classes.index(name) for name in self.classes])
        probabilities = self.probabilities
        if probabilities is not None:
            probabilities = np.zeros((len(self), len(classes)))
            probabilities[:, order] = self.probabilities
        return replace(
            self,
            predictions=order[self.predictions],
            classes=classes,
            probabilities=probabilities,
            strays=len(names),
        )

    def with_wrong_rows(self, rows: Ints) -> Self:
        """Makes rows wrong, as the planted fault of the self-test does.

        The prediction becomes the class after the label, and the probabilities of both are exchanged.

        Args:
            rows: (k,) int64 positions.

        Returns:
            A copy in which these rows are wrong.
        """
        predictions, probabilities = self.predictions.copy(), self.probabilities
        labels = self.labels[rows]
        predictions[rows] = wrong = (labels + 1) % len(self.classes)
        if probabilities is not None:
            probabilities = probabilities.copy()
            probabilities[rows, labels], probabilities[rows, wrong] = (
                probabilities[rows, wrong],
                probabilities[rows, labels],
            )
        return replace(self, predictions=predictions, probabilities=probabilities)

    def changed_rows(self, other: Outcomes) -> npt.NDArray[np.bool_]:
        """Marks the rows for which two models predict different classes.

        Args:
            other: the ClassOutcomes of the other model on the same rows, with the same classes.

        Returns:
            (rows,) bool.
        """
        assert isinstance(other, ClassOutcomes)
        return np.asarray(self.predictions != other.predictions)


def align_strays(teacher: ClassOutcomes, variant: ClassOutcomes) -> tuple[ClassOutcomes, ClassOutcomes]:
    """Both over the strays of both. Their labels must be the same."""
    strays = sorted({*teacher.classes, *variant.classes} - set(teacher.label_set))
    return teacher.with_strays(strays), variant.with_strays(strays)


def check_same_rows(teacher: Outcomes, variant: Outcomes) -> None:
    """Raises MeasureError unless both hold the same rows with the same labels, in the same order."""
    if len(teacher) != len(variant) or not np.array_equal(teacher.ids, variant.ids):
        raise MeasureError(
            f"outcomes are not paired: {len(teacher)} teacher rows and {len(variant)} variant rows, "
            "expected the same ids in the same order"
        )
    if (
        isinstance(teacher, ClassOutcomes)
        and isinstance(variant, ClassOutcomes)
        and not (
            (teacher.classes, teacher.strays) == (variant.classes, variant.strays)
            and np.array_equal(teacher.labels, variant.labels)
        )
    ):
        raise MeasureError(
            "outcomes are not paired: teacher and variant have different labels for the same ids"
        )
    for name in teacher.given:
        if not np.array_equal(teacher.column(name), variant.column(name)):
            raise MeasureError(
                f"outcomes are not paired: teacher and variant have different {name} for the same ids"
            )


def class_outcomes(
    labels: Sequence[Any] | npt.NDArray[Any],
    predictions: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    probabilities: npt.ArrayLike | None = None,
    classes: Sequence[Any] | None = None,
    ids: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    positive: Any = None,
) -> ClassOutcomes:
    """Makes the outcomes of a classifier from lists or arrays.

    Args:
        labels: (rows,) numbers or names.
        predictions: (rows,) numbers or names; default: the most probable classes.
        probabilities: (rows, classes), each row summing to 1.
        classes: all labels of the task, which name the columns; default: the labels of the rows, sorted. A
            prediction that is none of them is wrong.
        ids: (rows,) names of the rows; default: their numbers. Two models are compared row by row, so both
            must have the same.
        groups: (rows,) equal for rows that are not independent, such as those of one document.
        positive: which of two labels precision, recall, F1 and PR-AUC are computed for.

    Raises:
        MeasureError: for shapes that disagree, for a label that is none of the classes, for a prediction that
            is a label in another spelling, and for labels in two spellings unless `classes` has both.
    """
    gold = convert_to_names("label", labels)
    chances = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    names = _name_classes(gold, classes)
    if chances is not None:
        _check_probabilities(chances, (len(gold), len(names)))
    if predictions is not None:
        predicted_names = convert_to_names("prediction", predictions)
    elif chances is not None and classes is not None:
        predicted_names = [names[k] for k in chances.argmax(axis=1)]
    else:
        raise MeasureError("class_outcomes: give predictions, or probabilities and classes")
    row_ids = [str(number) for number in range(len(gold))] if ids is None else convert_to_names("id", ids)
    _check_distinct("id", row_ids)
    strays = _sort_names(set(predicted_names) - set(names))
    _check_spelling(strays, names)
    return ClassOutcomes(
        np.asarray(row_ids, dtype=np.str_),
        labels=_find_numbers(gold, names),
        predictions=_find_numbers(predicted_names, [*names, *strays]),
        classes=(*names, *strays),
        probabilities=None if chances is None else np.pad(chances, ((0, 0), (0, len(strays)))),
        groups=None
        if groups is None
        else np.unique([*map(normalize_group, convert_to_names("group", groups))], return_inverse=True)[1],
        strays=len(strays),
        positive=None if positive is None else convert_to_names("positive", [positive])[0],
    )


def _name_classes(gold: Sequence[str], classes: Sequence[Any] | None) -> list[str]:
    """The names of `classes`, or else the labels, sorted. Raises MeasureError for two spellings of a name."""
    if classes is not None:
        names = convert_to_names("class", classes)
        _check_distinct("class", names)
        return names
    names = _sort_names(gold)
    if pair := find_two_spellings(names):
        raise MeasureError(
            f'class_outcomes: the labels "{pair[0]}" and "{pair[1]}" differ only in case, spaces or the '
            "writing of a number; write both the same way, or give all labels as classes"
        )
    return names


def _check_spelling(strays: Sequence[str], labels: Sequence[str]) -> None:
    """Raises MeasureError if a stray differs from a label in its spelling only."""
    by_spelling = {normalize_spelling(label): label for label in labels}
    for stray in strays:
        if (label := by_spelling.get(normalize_spelling(stray))) is not None:
            raise MeasureError(
                f'class_outcomes: prediction "{stray}" is the label "{label}" in another spelling, so '
                "slimgate cannot tell whether it is right; write both the same way"
            )


def _sort_names(names: Iterable[str]) -> list[str]:
    """The names, each once and sorted: by value if all are numbers, else as text."""
    distinct = sorted(set(names))  # the order of a set changes from process to process
    try:
        return sorted(distinct, key=float)  # stable: names of one value, such as 1 and 01, keep their order
    except ValueError:
        return distinct


def _check_distinct(column: str, names: Sequence[str]) -> None:
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise MeasureError(
            f'class_outcomes: {column} "{repeated[0]}" was given more than once, expected each once'
        )


def _check_probabilities(chances: Floats, shape: tuple[int, int]) -> None:
    if chances.shape != shape:
        raise MeasureError(f"class_outcomes: probabilities have shape {chances.shape}, expected {shape}")
    wrong = ~((chances >= 0).all(axis=1) & np.isclose(chances.sum(axis=1), 1, rtol=0, atol=SUM_TOLERANCE))
    if wrong.any():
        raise MeasureError(
            f"class_outcomes: the probabilities of {int(wrong.sum())} of {len(wrong)} rows are below 0 or do "
            f"not sum to 1 (first: row {int(wrong.argmax())})"
        )


def _find_numbers(names: Sequence[str], classes: Sequence[str]) -> Ints:
    """(names,) the number of each name in `classes`. Raises MeasureError for a name that is not there."""
    numbers = {name: number for number, name in enumerate(classes)}
    if unknown := [name for name in names if name not in numbers]:
        raise MeasureError(f'class_outcomes: "{unknown[0]}" is not one of the classes {", ".join(numbers)}')
    return np.asarray([numbers[name] for name in names], dtype=np.int64)
