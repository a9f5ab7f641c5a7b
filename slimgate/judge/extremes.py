"""Made-up rows, lost and gained, for changes that the sample did not draw.

Without them, few observed changes would be taken for proof that no others occur (`random_weights`). With one
change each way, they are those of Bonett and Price (2012, J. Educ. Behav. Stat. 37:479-488). They are added
where a change moves the metric most. For a macro average that is the smallest class, or several classes if
they have few rows. For binary precision or recall it is the class that the metric is of, whether or not it is
the smaller one.

For outcomes without classes, one row falls from its best to its worst and one rises; the metric defines a
row's best and worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.group_sizes import add_groups
from slimgate.judge.metrics.base import FromConfusion, Metric, compute_value
from slimgate.judge.metrics.confusion import compute_confusion
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes

# The class whose rows change, and the class that they are mistaken for.
Place = tuple[int, int]

# How many of the smallest classes are tried: a change in a rarer class moves a metric more.
_CANDIDATES = 8
# Which of the teacher's right rows a change makes wrong: the upper decile by its probability. The more
# confident an answer was, the more its change costs ROC-AUC and log loss. With the median row, a too-large
# drop from 1 % of changed rows passed 8 to 15 % of the time at n = 200 to 1,000, with the upper decile at
# most 6 %.
_SURENESS = 0.9
# The rule of three: how many lost units a sample without a loss cannot exclude.
_UNSEEN = 3.0
# A number of rows so small that their effect is in proportion to it.
_FEW = 1e-3
# A made-up change may be too small by this share of a row: an error rate of 6 % in place of 5 %.
_SHORT = 0.2


def add_pseudo_changes(
    metric: Metric, teacher: ClassOutcomes, variant: ClassOutcomes
) -> tuple[ClassOutcomes, ClassOutcomes]:
    """Both outcomes with the same two rows appended: teacher right and variant wrong, then the reverse.

    If classes have few rows, there are two rows for each of several classes, all that are lost first.
    Their probabilities are those of a row of that class of which the model was sure, and of the same row
    mistaken for the other class. If rows come in groups, each change is a whole group of the usual size of a
    row's group, because what the sample did not draw comes in groups too.
    """
    places = _choose_places(metric, teacher)
    # each model's own scores: those of the other may rank above or below all of its rows
    before = _append_changes(teacher, places, is_right_first=True)
    after = _append_changes(variant, places, is_right_first=False)
    return before, replace(after, ids=before.ids)  # the same names, once


def _choose_places(metric: Metric, teacher: ClassOutcomes) -> list[Place]:
    """The classes whose rows change, each with the class that they are mistaken for; mostly one.

    By a change in one class, a mean over classes can lose no more than this class. But three unseen rows that
    are lost may be of three classes. So if classes have few rows, rows of several of them change.
    """
    sizes = np.bincount(teacher.labels, minlength=len(teacher.classes))
    present = np.flatnonzero(sizes)
    smallest = present[np.argsort(sizes[present], kind="stable")][:_CANDIDATES]
    targets = smallest if len(smallest) > 1 else np.arange(len(teacher.classes))
    pairs = [(int(label), int(wrong)) for label in smallest for wrong in targets if label != wrong]
    if not pairs:
        raise MeasureError(f"{metric.name}: the task has only one class, so no answer can change")
    rows = add_groups(teacher.groups)[1]
    if metric.from_confusion is None:
        # both pairs of two classes are tried; with more classes, each pair would cost two passes over all
        # rows
        ranked = pairs
        if len(pairs) == 2:
            ranked = [max(pairs, key=lambda pair: _compute_effect(metric, teacher, *pair))]
        # of a class with k rows, three more that are lost are the share 3 / (k + 3) and not 3 / k
        ratio = 1 + _UNSEEN * rows / sizes[ranked[0][0]]
    else:
        counts = compute_confusion(teacher, np.ones(len(teacher)))
        effects = _compute_effects(metric.from_confusion, counts, pairs)
        ranked = [pairs[at] for at in np.argsort(-effects, kind="stable")]
        ratio = _compute_ratio(metric.from_confusion, counts, ranked[0], rows)
    places = ranked[:1]
    # each of two classes changes with one row: it is mistaken for the other
    count = ceil(ratio - _SHORT) if len(present) > 2 else 1
    while len(places) < count:
        labels, used = {label for label, _ in places}, {name for place in places for name in place}
        rest = [pair for pair in ranked if pair[0] not in labels]
        if not rest:
            break
        places.append(min(rest, key=lambda pair: len(used.intersection(pair))))
    return places


def _compute_ratio(from_confusion: FromConfusion, counts: Floats, place: Place, rows: int) -> float:
    """The factor by which three units of a class move the metric less than a small part of a unit promises.

    This number of classes must lose a unit until the metric moves as far as in proportion. rows: of a unit.
    """
    unseen = _UNSEEN * rows
    small, large = (_compute_effects(from_confusion, counts, [place], moved)[0] for moved in (_FEW, unseen))
    return float(small * unseen / _FEW / large) if large > 0 else 1.0


def _compute_effect(metric: Metric, teacher: ClassOutcomes, label: int, wrong: int) -> float:
    """How much two rows of a class move the metric when they turn from right to mistaken."""
    values = []
    for prediction, scores in zip((label, wrong), _make_turned_scores(teacher, label, wrong), strict=True):
        more = _append_rows(teacher, [label] * 2, [prediction] * 2, [scores] * 2)
        values.append(compute_value(metric, more))
    return abs(values[0] - values[1])


def _compute_effects(
    from_confusion: FromConfusion, counts: Floats, pairs: list[Place], rows: float = 1.0
) -> Floats:
    """(pairs,) how much rows of a class move the metric when they turn from right to mistaken."""
    label, wrong = np.array(pairs).T
    at = np.arange(len(pairs))
    right_row = np.repeat(counts[None], len(pairs), axis=0)
    wrong_row = right_row.copy()
    right_row[at, label, label] += rows
    wrong_row[at, label, wrong] += rows
    return np.abs(from_confusion(right_row) - from_confusion(wrong_row))


def _make_turned_scores(
    outcomes: ClassOutcomes, label: int, wrong: int
) -> tuple[Floats, Floats] | tuple[None, None]:
    """(classes,) probabilities of a right row of the class, and of the same row mistaken for the other class.

    The mistaken row has the two classes swapped or, if that is worse, the scores of a row of the other class.
    None without probabilities.
    """
    right = _take_row(outcomes, label, ordered_by=label, quantile=_SURENESS)
    if right is None:
        return None, None
    if right[label] < right[wrong]:
        right = _swap_scores(right, label, wrong)
    turned = _swap_scores(right, label, wrong)
    # Swapped scores of a rare class may still rank above nearly all other rows: 0.2, if these have 0.01. Then
    # a lost row would cost an area under a curve nothing.
    other = _take_row(outcomes, wrong, ordered_by=label, quantile=1 - _SURENESS)
    mistaken = turned if other is None or turned[label] <= other[label] else other
    if mistaken[label] == right[label]:  # as if all scores are equal: the row would not change either
        certain = np.eye(len(right))
        return certain[label], certain[wrong]
    return right, mistaken


def _take_row(outcomes: ClassOutcomes, of_class: int, *, ordered_by: int, quantile: float) -> Floats | None:
    """(classes,) probabilities of a row of a class, if possible a right one.

    The rows are ordered by the probability of the class `ordered_by`; the row is at this quantile of them.
    None without probabilities, or without a row of the class.
    """
    of_label = outcomes.labels == of_class
    if outcomes.probabilities is None or not of_label.any():
        return None
    hits = of_label & (outcomes.predictions == of_class)
    rows = outcomes.probabilities[hits if hits.any() else of_label]
    return np.asarray(rows[np.argsort(rows[:, ordered_by], kind="stable")[int(quantile * len(rows))]])


def _swap_scores(scores: Floats, label: int, wrong: int) -> Floats:
    swapped = scores.copy()
    swapped[[label, wrong]] = scores[[wrong, label]]
    return swapped


def _append_changes(
    outcomes: ClassOutcomes, places: Sequence[Place], *, is_right_first: bool
) -> ClassOutcomes:
    """The outcomes with two rows for each place: those of one side of all places, then those of the other."""
    right, mistaken = zip(*places, strict=True)
    predictions = (*right, *mistaken) if is_right_first else (*mistaken, *right)
    pairs = [_make_turned_scores(outcomes, *place) for place in places]
    sides = zip(*(pair if is_right_first else pair[::-1] for pair in pairs), strict=True)
    return _append_rows(outcomes, right * 2, predictions, [scores for side in sides for scores in side])


def _append_rows(
    outcomes: ClassOutcomes,
    labels: Sequence[int],
    predictions: Sequence[int],
    scores: Sequence[Floats | None],
) -> ClassOutcomes:
    groups, size = add_groups(outcomes.groups, len(labels))
    probabilities = outcomes.probabilities
    if probabilities is not None:
        more = np.stack([row for row in scores if row is not None])
        probabilities = np.concatenate([probabilities, np.repeat(more, size, axis=0)])
    ids = [f"pseudo {at}" for at in range(len(labels))]
    return ClassOutcomes(
        ids=np.append(outcomes.ids, np.repeat(ids, size)),
        labels=np.append(outcomes.labels, np.repeat(labels, size)),
        predictions=np.append(outcomes.predictions, np.repeat(predictions, size)),
        classes=outcomes.classes,
        probabilities=probabilities,
        groups=groups,
        strays=outcomes.strays,
        positive=outcomes.positive,
    )


def add_extreme_rows(metric: Metric, teacher: Outcomes, variant: Outcomes) -> tuple[Floats, Ints | None]:
    """(rows + 2, 2k) terms of both models and the groups, made-up rows (or whole groups) last.

    Raises MeasureError for a metric that does not say what a row's best and worst are.
    """
    row_sums = metric.row_sums
    if row_sums is None or row_sums.extremes is None:
        raise MeasureError(
            f"{metric.name}: on outcomes without classes a metric needs row_mean, per_row, row_sums with "
            "extremes, documents or correlated; see Metric in slimgate/judge/metrics/base.py"
        )
    ends = row_sums.extremes(teacher)
    groups, size = add_groups(teacher.groups)
    lost_and_gained = np.repeat(ends, size, axis=0), np.repeat(ends[::-1], size, axis=0)
    pairs = [
        np.concatenate([row_sums.terms(outcomes), made_up])
        for outcomes, made_up in zip((teacher, variant), lost_and_gained, strict=True)
    ]
    return np.concatenate(pairs, axis=1), groups
