"""The labels of a class metric, and the positive label for precision, recall and F1.

The positive label of two is the one that the user states, or that of a conventional pair. Any other pair is
refused: of "fraud" and "ok" the second by name is "ok", and a model that never predicts "fraud" would then
have a recall of 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np

from slimgate.errors import SuiteError
from slimgate.outcomes import ClassOutcomes, Outcomes

# Pairs of negative and positive label, in lower case.
CONVENTIONAL = (
    ("0", "1"),
    ("-1", "1"),
    ("false", "true"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("negative", "positive"),
    ("neg", "pos"),
    ("-", "+"),
    ("absent", "present"),
)
# What makes the negative label of a positive one: not_spam and spam.
NEGATIONS = ("not", "non", "no")
_STRAYS = "no label"
# Prefix of the columns of 0 and 1 that hold the labels of multi-label rows.
GOLD = "gold:"


def find_conventional_positive(labels: Sequence[str]) -> str | None:
    """The positive label of two that are a conventional pair; None for any other labels."""
    if len(labels) != 2:
        return None
    for negative, positive in ((0, 1), (1, 0)):
        pair = _normalize_label(labels[negative]), _normalize_label(labels[positive])
        if pair in CONVENTIONAL or _is_negation(*pair) or _are_numbered(*pair):
            return labels[positive]
    return None


def _normalize_label(label: str) -> str:
    """The label in lower case, with one kind of separator; 1.0 as 1."""
    text = (
        "_".join(label.casefold().replace("-", "_").split()) if len(label.strip()) > 2 else label.casefold()
    )
    return text.removesuffix(".0") if text.removesuffix(".0").lstrip("-").isdigit() else text


def _is_negation(negative: str, positive: str) -> bool:
    """Whether the negative label is the positive one with "not", "non" or "no" before it."""
    return (
        any(negative in (f"{word}_{positive}", f"{word}{positive}") for word in NEGATIONS)
        and len(positive) > 1
    )


def _are_numbered(negative: str, positive: str) -> bool:
    """Whether both labels are the same name, with 0 and with 1 at the end: LABEL_0 and LABEL_1."""
    return (negative[:-1], negative[-1:], positive[-1:]) == (positive[:-1], "0", "1")


def find_positive_label(outcomes: ClassOutcomes) -> str | None:
    """The positive label of two: as stated, else that of a conventional pair; None if it is not known."""
    return find_conventional_positive(outcomes.label_set) if outcomes.positive is None else outcomes.positive


def require_positive(metric: str, outcomes: ClassOutcomes) -> str:
    """The positive label of two. Raises SuiteError with the rows of each label if it is not known."""
    positive = find_positive_label(outcomes)
    if positive is not None:
        return positive
    sizes = np.bincount(outcomes.labels, minlength=len(outcomes.classes))
    refuse_positive(metric, {name: int(sizes[k]) for k, name in enumerate(outcomes.label_set)})


def refuse_positive(metric: str, rows: Mapping[str, int]) -> NoReturn:
    """Raises SuiteError: nothing says which label is positive. rows: by label, those that have it."""
    counts = " and ".join(f'"{name}" ({count:,} rows)' for name, count in rows.items())
    raise SuiteError(
        f"{metric} needs the positive label, and it is not known which of {counts} is positive: write "
        '--positive LABEL, or in a suite positive = "LABEL" in [task]'
    )


def arrange_classes(outcomes: Outcomes, metric: str, *, of_positive: bool, of_counts: bool) -> Outcomes:
    """The outcomes in the form that a class metric reads; other outcomes unchanged.

    of_positive: the metric is of the positive label of two, which becomes the second class. of_counts: it
    reads predictions alone, so all strays become one class. Raises SuiteError if the positive label is needed
    and not known.
    """
    if not isinstance(outcomes, ClassOutcomes):
        return outcomes
    if of_counts and outcomes.strays > 1:
        labels = len(outcomes.label_set)
        outcomes = replace(
            outcomes,
            predictions=np.minimum(outcomes.predictions, labels),
            classes=(*outcomes.label_set, _STRAYS),
            probabilities=None,
            strays=1,
        )
    if len(outcomes.label_set) != 2 or not (of_positive or outcomes.positive is not None):
        return outcomes
    positive = require_positive(metric, outcomes) if of_positive else outcomes.positive
    if outcomes.label_set[1] == positive:
        return outcomes
    order = np.array([1, 0, *range(2, len(outcomes.classes))])
    return replace(
        outcomes,
        labels=order[outcomes.labels],
        predictions=order[outcomes.predictions],
        classes=tuple(outcomes.classes[k] for k in order),
        probabilities=None if outcomes.probabilities is None else outcomes.probabilities[:, order],
        positive=positive,
    )


def list_absent_labels(outcomes: Outcomes) -> list[str]:
    """The labels of the task that no row has."""
    if isinstance(outcomes, ClassOutcomes):
        sizes = np.bincount(outcomes.labels, minlength=len(outcomes.classes))
        return [name for k, name in enumerate(outcomes.label_set) if not sizes[k]]
    columns = (name for name in outcomes.values if name.startswith(GOLD))
    return [name.removeprefix(GOLD) for name in columns if not outcomes.values[name].any()]


def list_scarce_labels(outcomes: Outcomes, fewest: int) -> list[str]:
    """The labels of the task that have rows, but fewer than `fewest`: so few hardly show how rows vary."""
    if not isinstance(outcomes, ClassOutcomes):
        return []
    sizes = np.bincount(outcomes.labels, minlength=len(outcomes.classes))
    return [name for name, size in zip(outcomes.label_set, sizes, strict=False) if 0 < size < fewest]
