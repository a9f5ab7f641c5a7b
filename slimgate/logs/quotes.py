"""Samples to quote, and the scores of all comparisons as one table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from slimgate.logs.changed_rows import MAX_CHANGED_ROWS
from slimgate.logs.comparisons import Comparison
from slimgate.logs.verdicts import LogVerdicts
from slimgate.outcomes import Ints, Outcomes
from slimgate.plugins.reader import Row

_ID = np.dtypes.StringDType()


@dataclass(frozen=True)
class QuotedSample:
    """A sample that got worse or better, with the prompt and both answers as the logs have them."""

    comparison: str
    id: str
    base: Row
    target: Row


def list_quoted_samples(
    verdicts: LogVerdicts, limit: int = MAX_CHANGED_ROWS, *, better: bool = False
) -> list[QuotedSample]:
    """Samples that got worse, those of the comparison that lost most first, each sample once.

    better: samples that got better instead, for comparisons with a budget on both sides.
    """
    quoted: list[QuotedSample] = []
    seen: set[tuple[str, str]] = set()
    for comparison in verdicts.comparisons:
        if len(quoted) >= limit or comparison.samples is None:
            continue
        changed = comparison.won if better else comparison.lost
        places = [pair for pair in changed if min(pair) >= 0][: limit - len(quoted)]
        base_rows = comparison.samples[0].quote(base_place for base_place, _ in places)
        target_rows = comparison.samples[1].quote(target_place for _, target_place in places)
        for base_place, target_place in places:
            row = base_rows[base_place]
            if (comparison.task, row.id) not in seen:
                seen.add((comparison.task, row.id))
                quoted.append(QuotedSample(comparison.name, row.id, row, target_rows[target_place]))
    return quoted


def join_outcomes(verdicts: LogVerdicts, *, of_base: bool) -> Outcomes:
    """All comparisons as one table of scores, in the order of their names.

    The column `comparison` is the number of the comparison in that order; ids are `NAME: ID`.
    """
    from slimgate.judge.score_metric import COMPARISON, SCORE, SIZE

    ordered = sort_by_name(verdicts)
    ids = [f"{comparison.name}: {key}" for comparison in ordered for key in comparison.ids.tolist()]
    scores = np.concatenate([comparison.base if of_base else comparison.target for comparison in ordered])
    numbers = np.repeat(np.arange(len(ordered)), [len(comparison.base) for comparison in ordered]).astype(
        np.float64
    )
    values = {SCORE: scores, COMPARISON: numbers}
    shared: tuple[str, ...] = (COMPARISON,)
    if any(comparison.sizes is not None for comparison in ordered):
        # in a mean of scores each row counts once
        parts = [np.ones(len(row.base)) if row.sizes is None else row.sizes for row in ordered]
        values[SIZE], shared = np.concatenate(parts), (COMPARISON, SIZE)
    return Outcomes(
        np.array(ids, dtype=_ID),
        values=values,
        given=shared,
        groups=_number_groups(ordered),
    )


def _number_groups(comparisons: Sequence[Comparison]) -> Ints | None:
    """(rows,) equal for all scores of one sample or cluster of a task; None if each is independent."""
    share_samples = len({comparison.task for comparison in comparisons}) < len(comparisons)
    if not share_samples and all(comparison.groups is None for comparison in comparisons):
        return None
    numbers = count()
    codes_by_task: dict[str, defaultdict[object, int]] = {}
    groups: list[Ints] = []
    for comparison in comparisons:
        codes = codes_by_task.setdefault(comparison.task, defaultdict(numbers.__next__))
        keys = comparison.ids.tolist() if comparison.groups is None else comparison.groups.tolist()
        groups.append(np.array([codes[key] for key in keys], np.int64))
    return np.concatenate(groups)


def sort_by_name(verdicts: LogVerdicts) -> list[Comparison]:
    """The comparisons in the order of their names."""
    return sorted(verdicts.comparisons, key=lambda comparison: comparison.name)
