"""Holm's correction over the budgets of a log: a FAIL must also hold if all budgets are judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import list_names
from slimgate.judge.family import InterimAnalysis, withhold_family_fails
from slimgate.logs.comparisons import Comparison

_MOST_NAMED = 5


def name_comparisons(comparisons: Sequence[Comparison]) -> str:
    """The names of the first comparisons, and how many more there are."""
    return list_names([comparison.name for comparison in comparisons], _MOST_NAMED)


def correct_failures(
    comparisons: Sequence[Comparison], analyses: Sequence[InterimAnalysis | None], notes: list[str]
) -> tuple[list[Comparison], int]:
    """The comparisons after Holm's correction, and the number of budgets that it counts.

    Two metrics of a task with the same scores in both logs and the same budgets are one hypothesis: both get
    the verdict of the first, and the second names the first as `same_as`. notes: gets their names.
    """
    first_of = _find_first_same(comparisons)
    distinct = [at for at, first in enumerate(first_of) if at == first]
    judged = withhold_family_fails(
        [comparisons[at].judged for at in distinct], [analyses[at] for at in distinct]
    )
    by_place = dict(zip(distinct, judged, strict=True))
    for first in dict.fromkeys(first for at, first in enumerate(first_of) if at != first):
        same = [comparisons[at] for at, place in enumerate(first_of) if place == first != at]
        notes.append(
            f"{name_comparisons([comparisons[first], *same])} have the same scores in both logs, so Holm's "
            "correction and the totals count them once"
        )
    corrected = []
    for comparison, first in zip(comparisons, first_of, strict=True):
        judgement, same_as = by_place[first], None
        if comparison is not comparisons[first]:
            same_as = comparisons[first].name
            judgement = replace(judgement, metric=comparison.judged.metric)
        corrected.append(replace(comparison, judged=judgement, same_as=same_as))
    return corrected, sum(len(judgement.budgets) for judgement in judged)


def _find_first_same(comparisons: Sequence[Comparison]) -> list[int]:
    """(comparisons,) the place of the first one with the same hypothesis, which may be its own place."""
    first_of: list[int] = []
    for at, comparison in enumerate(comparisons):
        same = (
            first
            for first, earlier in enumerate(comparisons[:at])
            if earlier.task == comparison.task and _is_same_hypothesis(earlier, comparison)
        )
        # of many slices without a budget, nothing depends on which are the same
        is_needed = comparison.budgets or comparison.slice_of is None
        first_of.append(next(same, at) if is_needed else at)
    return first_of


def _is_same_hypothesis(earlier: Comparison, later: Comparison) -> bool:
    """Whether the verdicts of both depend on the same scores, budgets, direction and range."""
    return (
        earlier.budgets == later.budgets
        and earlier.higher_is_better is later.higher_is_better
        and (earlier.score_range, earlier.cap, earlier.corpus) == (later.score_range, later.cap, later.corpus)
        and all(map(_is_equal, _list_arrays(earlier), _list_arrays(later)))
    )


def _list_arrays(comparison: Comparison) -> list[npt.NDArray[Any] | None]:
    """The ids and scores, with the sizes and the scores of each run where there are any."""
    runs = comparison.runs
    arrays = [comparison.ids, comparison.base, comparison.target, comparison.sizes]
    return [*arrays, *((None, None) if runs is None else (runs.base, runs.target))]


def _is_equal(first: npt.NDArray[Any] | None, second: npt.NDArray[Any] | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def correct_slices(slices: Sequence[Comparison]) -> list[Comparison]:
    """The slices after Holm's correction: as in suites, slices that a budget names are a second family."""
    corrected: list[Comparison] = []
    for is_named in (False, True):
        family = [part for part in slices if part.slice_of and part.slice_of.is_named is is_named]
        corrected += correct_failures(family, [None] * len(family), [])[0]
    # no note names equal slices, so each is shown
    return [replace(part, same_as=None) for part in corrected]
