"""Pools the comparisons of all tasks into one comparison over all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from slimgate.errors import DataError
from slimgate.judge.evidence import is_zero_or_one
from slimgate.judge.named_scores import SHARE
from slimgate.judge.over_runs import RunScores
from slimgate.logs.budgets import POOLED, LogBudgets
from slimgate.logs.columns import number_samples
from slimgate.logs.comparisons import Comparison, ScoreRows, judge_scores
from slimgate.logs.row_groups import group_rows
from slimgate.logs.score_pairs import Counts
from slimgate.outcomes import Floats, Ints, Texts


def pool_comparisons(comparisons: Sequence[Comparison], budgets: LogBudgets, seed: int) -> Comparison:
    """All samples of one comparison of each task; equal questions in any task are one group.

    Each sample counts once, with the mean of its epochs. Otherwise a task with four epochs would count four
    times.

    Raises DataError for scores that are not from 0 to 1, because their mean has no meaning.
    """
    _check_ranges(comparisons)
    comparisons = [_join_epochs(part) if part.has_epochs else part for part in comparisons]
    base = np.concatenate([_turn_upwards(comparison, comparison.base) for comparison in comparisons])
    target = np.concatenate([_turn_upwards(comparison, comparison.target) for comparison in comparisons])
    rows = ScoreRows(
        name=POOLED,
        higher_is_better=True,
        zero_one=all(comparison.zero_one for comparison in comparisons),
        ids=cast(Texts, np.concatenate([comparison.ids for comparison in comparisons])),
        base=base,
        target=target,
        groups=_group_over_tasks(comparisons),
        runs=_pool_runs(comparisons),
    )
    return Comparison(
        **vars(rows),
        task="",
        filter="",
        metric=POOLED,
        judged=judge_scores(replace(rows, score_range=SHARE), budgets.pooled, seed),
        budgets=budgets.pooled,
        counts=replace(_add_counts(comparisons), judged=len(base)),
        worse=int((target < base).sum()),
        better=int((target > base).sum()),
    )


def _check_ranges(comparisons: Sequence[Comparison]) -> None:
    for comparison in comparisons:
        if comparison.score_range != SHARE:
            raise DataError(
                f"{comparison.name}: its scores are not declared to be from 0 to 1, so they cannot be "
                f"pooled; leave this comparison out with --metric, or write --range {comparison.metric}=0:1"
            )


def _add_counts(comparisons: Sequence[Comparison]) -> Counts:
    """The sum of each count."""
    names = Counts.__annotations__
    return Counts(**{name: sum(getattr(part.counts, name) for part in comparisons) for name in names})


def _pool_runs(comparisons: Sequence[Comparison]) -> RunScores | None:
    """The scores of every run; None unless all comparisons have several runs."""
    base, target = [], []
    for comparison in comparisons:
        if comparison.runs is None:
            return None
        base.append(_turn_upwards(comparison, comparison.runs.base))
        target.append(_turn_upwards(comparison, comparison.runs.target))
    return RunScores(np.concatenate(base, axis=1), np.concatenate(target, axis=1))


def _join_epochs(comparison: Comparison) -> Comparison:
    """The comparison with one row for each sample: the mean over its epochs."""
    samples = number_samples(comparison.ids.tolist())
    first_rows = np.unique(samples, return_index=True)[1]
    epochs = np.bincount(samples)

    def average(scores: Floats) -> Floats:
        return np.bincount(samples, scores) / epochs

    runs = comparison.runs and RunScores(
        *(np.stack([average(run) for run in side]) for side in (comparison.runs.base, comparison.runs.target))
    )
    base, target = average(comparison.base), average(comparison.target)
    return replace(
        comparison,
        ids=comparison.ids[first_rows],
        counts=comparison.counts.with_samples(len(first_rows)),
        base=base,
        target=target,
        groups=None if comparison.groups is None else comparison.groups[first_rows],
        documents=None if comparison.documents is None else comparison.documents[first_rows],
        runs=runs,
        zero_one=comparison.zero_one and is_zero_or_one(base) and is_zero_or_one(target),
    )


def _group_over_tasks(comparisons: Sequence[Comparison]) -> Ints | None:
    """(rows,) equal for samples of one cluster, and for samples of any task with the same question."""
    documents = np.concatenate([part.documents for part in comparisons if part.documents is not None])
    if all(part.groups is None for part in comparisons):
        return group_rows(None, documents)
    clusters: list[Ints] = []
    first_code = 0
    for part in comparisons:
        codes = np.arange(len(part.base)) if part.groups is None else part.groups
        clusters.append(first_code + codes)
        first_code += int(codes.max()) + 1
    return group_rows(np.concatenate(clusters), documents)


def _turn_upwards(comparison: Comparison, scores: Floats) -> Floats:
    return scores if comparison.higher_is_better else 1 - scores
