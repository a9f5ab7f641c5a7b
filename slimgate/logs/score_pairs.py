"""The scores of one metric in both logs, on all samples that count.

Nothing is dropped silently. Samples are counted as missing if only one log has them, if they failed, or if
they have no score in one log or in both. `Rules.missing` says what happens to them:

    "fail"      the comparison is refused
    "drop"      they are left out
    "as-wrong"  they get the worst score in the target; those without a score in the base are left out

In some logs a metric belongs to some samples only, such as an assertion of one test
(`TaskLog.optional_metrics`). The other samples then do not count as missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np
import pyarrow as pa

from slimgate._system.number_text import format_count
from slimgate.data.arrow import Mask
from slimgate.errors import DataError
from slimgate.judge.named_scores import Range, find_known_cap, format_range
from slimgate.judge.over_runs import RunScores
from slimgate.logs.columns import NO_METRIC, Samples
from slimgate.logs.pair_notes import LONGEST_QUOTE, describe_all_failed, format_place, read_error
from slimgate.logs.pairs import PairedTask
from slimgate.logs.predictions.codes import list_missing
from slimgate.logs.predictions.files import format_examples
from slimgate.logs.rules import Differences, Rules
from slimgate.outcomes import Floats, Ints

# What happens to samples without a score, for notes: by the value of --missing.
_CONSEQUENCES = {
    "drop": "left out",
    "as-wrong": "wrong if only the target has no score, left out if the base has none",
}


@dataclass(frozen=True)
class Counts:
    """Samples of one comparison: judged, and without a score in one log or both.

    only_base, only_target: samples that the other log lacks.
    unscored_*: samples of both logs that failed or have no score, in one log or in both.
    not_of_metric: samples that do not have the metric in either log, such as a score of another test; they do
        not count as missing.
    truncated_*: answers that were cut off; they are judged as they are.
    not_run: samples that the target has not run yet, if its log grows.
    """

    judged: int
    only_base: int = 0
    only_target: int = 0
    unscored_base: int = 0
    unscored_target: int = 0
    unscored_both: int = 0
    not_of_metric: int = 0
    truncated_base: int = 0
    truncated_target: int = 0
    not_run: int = 0

    @property
    def missing(self) -> int:
        """Samples without a score in one log or both."""
        return (
            self.only_base + self.only_target + self.unscored_base + self.unscored_target + self.unscored_both
        )

    def with_samples(self, samples: int) -> Counts:
        """A copy that counts samples in place of epochs: as `judged`, and in proportion as `not_run`."""
        return replace(self, judged=samples, not_run=-(-self.not_run * samples // self.judged))


@dataclass(frozen=True, eq=False)
class PairedScores:
    """The scores of one metric; nothing is missing.

    base, target: (rows,) scores; for several runs, their means.
    base_rows, target_rows: (rows,) positions in both logs, -1 if the target lacks the sample.
    clusters: (rows,) as in Samples, or None.
    documents: (rows,) digests of the samples' documents, from `same_documents`.
    sizes: (rows,) for a ratio of sums, the same in both logs; None for a mean of scores.
    runs: the scores of each run, if there are several.
    """

    base: Floats
    target: Floats
    base_rows: Ints
    target_rows: Ints
    clusters: Ints | None
    documents: Ints
    counts: Counts
    sizes: Floats | None = None
    runs: RunScores | None = None


def pair_scores(
    paired: PairedTask, metric: str, rules: Rules, differences: Differences, ends: Range | None = None
) -> PairedScores | None:
    """The scores of a metric on all samples that count; None if `differences` got a reason to refuse them.

    ends: the range of the metric; None if it is not known.
    Raises DataError if no sample has a score in both logs, or if the scores have no worst value.
    """
    base = paired.base.scores[metric][paired.base_rows]
    target = paired.target.scores[metric][paired.target_rows]
    no_base, no_target = np.isnan(base), np.isnan(target)
    of_metric = _has_metric(paired.base, metric)[paired.base_rows]
    of_metric |= _has_metric(paired.target, metric)[paired.target_rows]
    not_of_metric = no_base & no_target & ~of_metric
    counts = _count_samples(paired, no_base, no_target, not_of_metric)
    where = format_comparison_name(paired.task, paired.filter, metric)
    if counts.missing:
        text = _describe_missing(paired, counts, (no_base | no_target) & ~not_of_metric)
        if rules.missing == "fail":
            if all_failed := describe_all_failed(paired.base, paired.target, differences.shown):
                differences.refuse(format_place(paired.task, paired.filter), all_failed)
            else:
                differences.add_missing(where, text + _describe_first_error(paired))
            return None
        consequence = _CONSEQUENCES[rules.missing]
        differences.note_missing(where, f"{text}: {consequence} (--missing {rules.missing})")
        if rules.missing == "as-wrong":
            return _score_missing_as_wrong(where, paired, metric, counts, not_of_metric, ends)
    base_rows, target_rows = paired.base_rows, paired.target_rows
    scored = ~(no_base | no_target)
    if not scored.all():  # else the copies of millions of rows are not needed
        rows = np.flatnonzero(scored)
        if not len(rows):
            raise DataError(f"{where}: no sample has a score in both logs{_describe_first_error(paired)}")
        base, target, base_rows, target_rows = base[rows], target[rows], base_rows[rows], target_rows[rows]
    scores = _make_scores(paired, metric, base, target, base_rows, target_rows, counts)
    return _add_sizes(where, paired, metric, scores, differences)


def _count_samples(paired: PairedTask, no_base: Mask, no_target: Mask, not_of_metric: Mask) -> Counts:
    """The counts of the shared samples that lack a score, and of those in one log alone."""
    return Counts(
        judged=0,
        only_base=paired.only_base,
        only_target=paired.only_target,
        not_run=paired.not_run,
        unscored_base=int((no_base & ~no_target).sum()),
        unscored_target=int((no_target & ~no_base).sum()),
        unscored_both=int((no_base & no_target & ~not_of_metric).sum()),
        not_of_metric=int(not_of_metric.sum()),
        truncated_base=int(paired.base.truncated[paired.base_rows].sum()),
        truncated_target=int(paired.target.truncated[paired.target_rows].sum()),
    )


def _add_sizes(
    where: str, paired: PairedTask, metric: str, scores: PairedScores, differences: Differences
) -> PairedScores | None:
    """The scores with their sizes, if the logs have them; None if the sizes of the two logs differ."""
    before, after = paired.base.sizes.get(metric), paired.target.sizes.get(metric)
    if before is None and after is None:
        return scores
    if metric not in paired.corpus:
        raise DataError(
            f"{where}: its rows have sizes, but its reader does not set corpus for this metric, so it is not "
            "known how the figure of all samples follows from them"
        )
    if scores.runs is not None:
        raise DataError(
            f"{where}: it is a ratio of sums over all samples, which can only be judged with one run of "
            "each side; leave it out with --metric, or give one run of each side"
        )
    missing = np.full(len(scores.base), np.nan)
    base_sizes, target_sizes = (
        missing if column is None else column[rows]
        for column, rows in ((before, scores.base_rows), (after, scores.target_rows))
    )
    differing = int((base_sizes != target_sizes).sum())  # NaN differs from NaN
    if differing:
        differences.refuse(
            where,
            "it is a mean over other words, bytes or documents in "
            f"{format_count(differing, 'sample', 'samples')}",
        )
        return None
    return replace(scores, sizes=base_sizes)


def _has_metric(samples: Samples, metric: str) -> Mask:
    """(samples,) whether a sample without a score should have one: it failed, or its score is empty."""
    if samples.empty is None:
        return np.ones(len(samples), np.bool_)
    flags = samples.errors.astype(np.bool_)
    for name in (metric, NO_METRIC):
        if name in samples.empty:
            flags[samples.empty[name]] = True
    return flags


def _make_scores(
    paired: PairedTask,
    metric: str,
    base: Floats,
    target: Floats,
    base_rows: Ints,
    target_rows: Ints,
    counts: Counts,
    wrong: float = nan,
) -> PairedScores:
    """Adds clusters, documents and the scores of each run. wrong: the score of a sample that a run lacks."""
    runs = None
    if paired.base.runs is not None or paired.target.runs is not None:
        runs = RunScores(
            _read_run_scores(paired.base, metric, base_rows, wrong),
            _read_run_scores(paired.target, metric, target_rows, wrong),
        )
        base, target = runs.base.mean(axis=0), runs.target.mean(axis=0)
    clusters = None
    # paired samples have groups in both logs or in neither
    if paired.base.clusters is not None and paired.target.clusters is not None:
        clusters = paired.base.clusters[base_rows]
    documents = _read_documents(paired, base_rows, target_rows)
    counts = replace(counts, judged=len(base))
    return PairedScores(base, target, base_rows, target_rows, clusters, documents, counts, runs=runs)


def _read_documents(paired: PairedTask, base_rows: Ints, target_rows: Ints) -> Ints:
    """(rows,) digests of the documents, of the base's log if it has them; negative if neither log has one."""
    documents = -1 - np.arange(len(base_rows))
    for samples, rows in ((paired.target, target_rows), (paired.base, base_rows)):
        if samples.documents is not None:
            of_log = np.where(rows >= 0, samples.documents[rows], -1)
            documents = np.where(of_log >= 0, of_log, documents)
    return documents


def _read_run_scores(samples: Samples, metric: str, rows: Ints, wrong: float) -> Floats:
    """(runs, rows) the scores of each run. rows: positions, -1 if the log lacks the sample."""
    by_run = samples.scores[metric][None] if samples.runs is None else samples.runs[metric]
    scores = np.where(rows >= 0, by_run[:, rows], nan)
    return np.where(np.isnan(scores), wrong, scores)


def _describe_missing(paired: PairedTask, counts: Counts, unscored: Mask) -> str:
    """How many samples miss a score, and examples. unscored: (pairs,) whether a pair misses one."""
    parts = [
        f"{count:,} {verb if count > 1 else singular} {words}"
        for count, singular, verb, words in (
            (counts.only_base, "is", "are", "only in the base's log"),
            (counts.only_target, "is", "are", "only in the target's log"),
            (counts.unscored_base, "has", "have", "no score in the base's log"),
            (counts.unscored_target, "has", "have", "no score in the target's log"),
            (counts.unscored_both, "has", "have", "no score in either log"),
        )
        if count
    ]
    rows = paired.base_rows[np.flatnonzero(unscored)]
    if len(rows):
        examples = paired.base.ids.take(pa.array(rows))
    else:
        sides = (paired.base.ids, paired.target.ids)
        ids, other_ids = sides if counts.only_base else reversed(sides)
        examples = list_missing(ids, other_ids)
    total = len(paired.base_rows) + counts.only_base + counts.only_target
    return f"of {format_count(total, 'sample', 'samples')} {', '.join(parts)} ({format_examples(examples)})"


def _describe_first_error(paired: PairedTask) -> str:
    """`, first error "time-out"`: why the first failed sample has no answer; "" if none failed."""
    for samples, rows in ((paired.target, paired.target_rows), (paired.base, paired.base_rows)):
        failed = np.flatnonzero(samples.errors[rows])
        if len(failed):
            error = read_error(samples, int(rows[failed[0]]))
            return f', first error "{error[:LONGEST_QUOTE]}"' if error else ""
    return ""


def _score_missing_as_wrong(
    where: str,
    paired: PairedTask,
    metric: str,
    counts: Counts,
    not_of_metric: Mask,
    ends: Range | None,
) -> PairedScores:
    """The scores of every sample with a score in the base; wrong in the target if it has no score there.

    A sample without a score in the base is left out. If it counted as wrong, it would lower the base's mean,
    and so allow the target to lose as many other samples.
    """
    base_scores, target_scores = paired.base.scores[metric], paired.target.scores[metric]
    wrong = _find_wrong_score(where, paired, metric, ends)
    scored = ~np.isnan(base_scores)
    shared = scored[paired.base_rows] & ~not_of_metric
    only_base = np.setdiff1d(np.flatnonzero(scored), paired.base_rows)
    # samples that the target has not run yet are not missing
    only_base = only_base[only_base < len(paired.base) - paired.not_run]
    base_rows = np.concatenate([paired.base_rows[shared], only_base])
    target_rows = np.concatenate([paired.target_rows[shared], np.full(len(only_base), -1)])
    if not len(base_rows):
        raise DataError(f"{where}: no sample that the target has run has a score in the base's log")
    target = np.where(target_rows >= 0, target_scores[target_rows], nan)
    target = np.where(np.isnan(target), wrong, target)
    return _make_scores(paired, metric, base_scores[base_rows], target, base_rows, target_rows, counts, wrong)


def _find_wrong_score(where: str, paired: PairedTask, metric: str, ends: Range | None) -> float:
    """The score of a wrong answer, 0 or 1. Raises DataError for scores of another range."""
    base_scores, target_scores = paired.base.scores[metric], paired.target.scores[metric]
    if np.isnan(base_scores).all():
        raise DataError(
            f"{where}: no sample has a score in the base's log{_describe_first_error(paired)}; run the base "
            "again"
        )
    known = np.concatenate([values[~np.isnan(values)] for values in (base_scores, target_scores)])
    if known.min() < 0 or known.max() > 1:
        raise DataError(
            f"{where}: scores from {known.min():g} to {known.max():g} have no value that is wrong; "
            "--missing as-wrong needs scores from 0 to 1"
        )
    wrong = 0.0 if paired.higher_is_better[metric] else 1.0
    if ends is not None and _find_worst(metric, ends, higher_is_better=wrong == 0) != wrong:
        raise DataError(
            f"{where}: scores from {format_range(ends)} have another worst value than {wrong:g}; --missing "
            "as-wrong needs scores from 0 to 1; leave these samples out with --missing drop, or write their "
            "worst score into the log"
        )
    return wrong


def _find_worst(metric: str, ends: Range, *, higher_is_better: bool) -> float | None:
    """The worst score of a sample, which is the cap of a metric without an upper end; None without a cap."""
    if higher_is_better:
        return ends[0]
    return ends[1] if isfinite(ends[1]) else find_known_cap(metric)


def format_comparison_name(task: str, filter_: str, metric: str) -> str:
    """`gsm8k/strict-match/exact_match`: task, filter if there is one, metric."""
    return "/".join(part for part in (task, filter_, metric) if part)
