"""The samples of one task in two logs, matched by id and checked: comparable, or refused with examples.

Nothing is dropped in silence: samples that only one log has, that failed, or that have no score in one log
or in both are counted, and `missing` says what happens: "fail" refuses, "drop" leaves them out, "as-wrong"
gives them the worst score where they have none. Only a log whose reader says so has metrics of some samples,
such as an assertion of one test; they are not missing in the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.json_text import plain_json
from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.errors import DataError, format_suggestion
from slimgate.judge.over_runs import RunScores
from slimgate.judge.score_ranges import SHARE, Range
from slimgate.logs.answer_columns import AnswerChecks, compare_answers
from slimgate.logs.base_log import as_kept
from slimgate.logs.columns import NO_METRIC, Samples, read_samples
from slimgate.logs.differences import Differences
from slimgate.logs.json_lines import as_text
from slimgate.logs.pair_notes import (
    describe_all_failed,
    describe_counts,
    describe_not_numbers,
    describe_scored_errors,
    format_place,
    list_metrics,
)
from slimgate.logs.predictions.codes import match_ids
from slimgate.logs.predictions.files import some
from slimgate.logs.same_documents import digest_documents
from slimgate.logs.several_runs import join_samples, list_tasks, with_tasks_of_all, without_seeds
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.reader import (
    COMPARED,
    PER_SAMPLE,
    SETTING_WORDS,
    SETTINGS,
    TASKS,
    Corpus,
    Digest,
    Log,
    Row,
    TaskLog,
)

Missing = Literal["fail", "drop", "as-wrong"]
SameId = Literal["fail", "epochs", "runs"]
_LONGEST = 60
_AT_ONCE = 500_000


@dataclass(frozen=True)
class Rules:
    """What two logs may differ in (`--allow`), and what happens to samples without a score (`--missing`).

    looks: how often the target's log is judged while it grows; samples that it lacks are then not yet run.
    directions: by pattern of a comparison's name, task or metric, whether it is better when higher.
    runs: which run of a log that holds several, as `parse_choices` has it. models: which model of a log that
    holds several, as `parse_models` has it. same_id: what several rows of one id are: "fail" refuses,
    "epochs" reads them as repeats of one sample, "runs" as runs of their own, and so the epochs that the log
    numbers. slices: fields of the samples by which each comparison is sliced. checks: of the answers, where
    their behaviour is judged too.
    """

    allow: frozenset[str] = frozenset()
    missing: Missing = "fail"
    looks: int = 1
    directions: Mapping[str, bool] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    same_id: SameId = "fail"
    models: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    checks: AnswerChecks | None = None


@dataclass(frozen=True)
class Counts:
    """Samples of one comparison: judged, and without a score in one log or both.

    only_base, only_target: samples that the other log lacks; unscored_*: there, but failed or without a
    score, in one log or in both. not_of_metric: the metric is not of them in either log, such as a named
    score of other tests; they are not missing. truncated_*: answers that were cut off, which are judged as
    they are. not_run: samples that the target has not run yet, where its log is judged while it grows.
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


@dataclass(frozen=True, eq=False)
class PairedTask:
    """One task under one filter in both logs. base_rows, target_rows: (rows,) places of the same samples.

    metrics: that both have scores of; base_alone: those of which the target has none. corpus: by metric, of
    those whose scores have sizes, the figure of all samples. ranges: of metrics that slimgate made of the
    answers. length_in: what their lengths are counted in.
    """

    task: str
    filter: str
    base: Samples
    target: Samples
    base_rows: Ints
    target_rows: Ints
    only_base: int
    only_target: int
    not_run: int
    higher_is_better: Mapping[str, bool]
    metrics: tuple[str, ...]
    base_alone: tuple[str, ...] = ()
    corpus: Mapping[str, Corpus] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    length_in: str | None = None


@dataclass(frozen=True, eq=False)
class PairedScores:
    """The scores of one metric. base, target: (rows,), nothing missing. clusters: (rows,) digests, or None.

    base_rows, target_rows: (rows,) positions in both logs, -1 where a log lacks the sample. documents:
    (rows,) digests of what the samples ask, as `same_documents` has them. sizes: (rows,) of a figure of sums,
    the same in both logs; None of a mean of scores. runs: of several runs the scores of each, of which base
    and target are the means.
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


def check_options(allow: Collection[str]) -> None:
    """Raises DataError for what no log can be allowed to differ in."""
    for name in allow:
        if name not in COMPARED:
            raise DataError(
                f"--allow {name}: expected one of {', '.join(COMPARED)}{format_suggestion(name, COMPARED)}"
            )


def shared_tasks(base: Log, target: Log, differences: Differences) -> list[str]:
    """The tasks of both logs; tasks of one alone are a difference. Raises DataError where they share none."""
    base, target = (with_tasks_of_all(log, differences) for log in (base, target))
    shared = [name for name in base.tasks if name in target.tasks]
    lacking = [
        f"{log.shown} lacks {list_tasks(names)}"
        for log, names in (
            (target, [name for name in base.tasks if name not in target.tasks]),
            (base, [name for name in target.tasks if name not in base.tasks]),
        )
        if names
    ]
    if not shared:
        raise DataError(f"no task in common: {'; '.join(lacking)}")
    for text in lacking:
        differences.add(TASKS, "", text)
    return shared


def pair_task(name: str, base: Log, target: Log, rules: Rules, differences: Differences) -> list[PairedTask]:
    """The samples of a task in both logs, one entry a filter. differences: gets what does not compare."""
    _compare_settings(name, base.tasks[name], target.tasks[name], rules, differences)
    is_written = base.tasks[name].written and target.tasks[name].written
    checks = rules.checks if is_written and not (base.further or target.further) else None
    before, after = (_read_runs(name, log, rules, checks, differences) for log in (base, target))
    filters = [filter_ for filter_ in before if filter_ in after]
    if lone := sorted(set(before) ^ set(after)):
        text = f"filter {', '.join(map(repr, lone))} is in one log alone"
        if filters:
            differences.add("filters", name, text)
        else:
            differences.refuse(name, text)
    better = {**target.tasks[name].higher_is_better, **base.tasks[name].higher_is_better}
    _compare_directions(name, base.tasks[name], target.tasks[name], differences)
    pairs = (
        _pair(name, filter_, before.pop(filter_), after.pop(filter_), better, rules, differences)
        for filter_ in filters
    )
    tasks = base.tasks[name], target.tasks[name]
    corpus = {**tasks[1].corpus, **tasks[0].corpus}
    known = [replace(paired, corpus=corpus) for paired in pairs if paired is not None]
    return [
        paired if checks is None else _add_behaviour(paired, tasks, checks, differences.notes)
        for paired in known
    ]


def _add_behaviour(
    paired: PairedTask, tasks: tuple[TaskLog, TaskLog], checks: AnswerChecks, notes: list[str]
) -> PairedTask:
    """The task with scores of how its answers behave. A metric of the log with such a name stays as it is."""
    before, after = paired.base.behaviour, paired.target.behaviour
    assert before is not None
    assert after is not None
    answers = compare_answers(before, after, tasks, checks)
    names = [name for name in answers.base if name not in paired.metrics]
    if ANSWER_LENGTH in names:
        where = format_place(paired.task, paired.filter) or "all samples"
        notes.append(f"{where}: {ANSWER_LENGTH} counts {answers.measure}")
    base, target = (
        replace(
            samples,
            scores={**samples.scores, **{name: scores[name] for name in names}},
            empty=samples.empty
            and {**samples.empty, **{name: np.flatnonzero(np.isnan(scores[name])) for name in names}},
        )
        for samples, scores in ((paired.base, answers.base), (paired.target, answers.target))
    )
    return replace(
        paired,
        base=base,
        target=target,
        metrics=(*paired.metrics, *names),
        higher_is_better={**paired.higher_is_better, **dict.fromkeys(names, False)},
        ranges={name: SHARE if name != ANSWER_LENGTH else answers.ends for name in names},
        length_in=answers.measure if ANSWER_LENGTH in names else None,
    )


def _read_runs(
    name: str, log: Log, rules: Rules, checks: AnswerChecks | None, differences: Differences
) -> dict[str, Samples]:
    """By filter the samples of a side, of all its runs, which must be alike."""
    runs = []
    for run in (log, *log.further):
        samples = read_samples(f"{run.shown} {name}".rstrip(), run.tasks[name], rules.slices, checks)
        differences.notes += describe_counts(name, run, samples)
        runs.append(samples)
        if run is log:
            continue
        where = f"{name} ({run.shown} beside {log.shown})".lstrip()
        _compare_settings(
            where, without_seeds(log.tasks[name]), without_seeds(run.tasks[name]), rules, differences
        )
        if set(samples) != set(runs[0]):
            differences.refuse(where, f"filters {', '.join(map(repr, sorted(set(samples) ^ set(runs[0]))))}")
            continue
        for filter_, first in runs[0].items():
            rows = _same_samples(first, samples[filter_])
            _compare_keys(format_place(where, filter_), first, samples[filter_], *rows, differences)
    return {
        filter_: join_samples([samples[filter_] for samples in runs if filter_ in samples])
        for filter_ in [*runs[0]]
    }


def _compare_directions(name: str, before: TaskLog, after: TaskLog, differences: Differences) -> None:
    for metric, better in before.higher_is_better.items():
        if after.higher_is_better.get(metric, better) is not better:
            differences.refuse(
                name, f"metric {metric} is better {_up(better)} in one log and not in the other"
            )


def _up(better: bool) -> str:
    return "when higher" if better else "when lower"


def _compare_settings(
    name: str, base: TaskLog, target: TaskLog, rules: Rules, differences: Differences
) -> None:
    before, after = plain_json(base.settings), plain_json(target.settings)
    for setting in SETTINGS:
        if setting not in before or setting not in after or before[setting] == after[setting]:
            continue
        if setting == "limit" and rules.looks > 1:  # the target's log is of the samples so far
            continue
        values = " and ".join(_short(value) for value in _differing(before[setting], after[setting]))
        differences.add(setting, name, f"{SETTING_WORDS.get(setting, setting)} {values}")


def _differing(before: Any, after: Any) -> tuple[Any, Any]:
    """Of two mappings only the entries that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return {key: before.get(key) for key in keys}, {key: after.get(key) for key in keys}
    return before, after


def _short(value: Any) -> str:
    text = as_text(value) or "none"
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}…"


def _pair(
    name: str,
    filter_: str,
    base: Samples,
    target: Samples,
    better: Mapping[str, bool],
    rules: Rules,
    differences: Differences,
) -> PairedTask | None:
    """None where the two have no sample or no metric in common, which is a difference."""
    where = format_place(name, filter_)
    base_rows, target_rows = _same_samples(base, target)
    if not len(base_rows):
        differences.refuse(where, f"no sample in common: {some(base.ids)} and {some(target.ids)}")
        return None
    _compare_keys(where, base, target, base_rows, target_rows, differences)
    metrics = tuple(metric for metric in base.scores if metric in target.scores)
    if not metrics:
        names = [list_metrics(samples) for samples in (base, target)]
        differences.refuse(where, f"no metric in common: the base has {names[0]}, the target has {names[1]}")
        return None
    if lone := sorted(set(base.scores) ^ set(target.scores)):
        differences.notes.append(f"{where}: metric {', '.join(lone)} is in one log alone")
    differences.notes += [
        *describe_not_numbers(where, base, target),
        *describe_scored_errors(where, base, target),
    ]
    only_base = len(base) - len(base_rows)
    return PairedTask(
        task=name,
        filter=filter_,
        base=_without_checked_columns(base),
        target=_without_checked_columns(target),
        base_rows=base_rows,
        target_rows=target_rows,
        only_base=0 if rules.looks > 1 else only_base,
        not_run=only_base if rules.looks > 1 else 0,
        only_target=len(target) - len(target_rows),
        higher_is_better=better,
        metrics=metrics,
        base_alone=tuple(metric for metric in base.scores if metric not in target.scores),
    )


def _without_checked_columns(samples: Samples) -> Samples:
    """The samples without what only matching them took: of millions of rows that is most of the memory."""
    return replace(samples, order=samples.order[:0].copy(), keys={}, documents=digest_documents(samples))


def _same_samples(base: Samples, target: Samples) -> tuple[Ints, Ints]:
    """Positions of the samples that both have, in the order of the base."""
    order = match_ids(base.ids, base.order, target.ids, target.order)
    if order is not None:
        return np.arange(len(base)), order
    at = pc.index_in(base.ids, value_set=target.ids)
    places = pc.fill_null(at, -1).to_numpy().astype(np.int64)
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]


def _compare_keys(
    where: str,
    base: Samples,
    target: Samples,
    base_rows: Ints,
    target_rows: Ints,
    differences: Differences,
) -> None:
    """Documents, prompts and targets of the same samples."""
    for key in PER_SAMPLE:
        if key not in base.keys or key not in target.keys:
            continue
        rows = _rows_that_differ(base.keys[key], target.keys[key], base_rows, target_rows)
        if not len(rows):
            continue
        text = (
            f"{key}s differ in {len(rows):,} of {len(base_rows):,} samples "
            f"({some(base.ids.take(pa.array(base_rows[rows])))})"
        )
        example = ""
        if key not in differences.allow:
            example = _example(key, base, target, int(base_rows[rows[0]]), int(target_rows[rows[0]]))
        differences.add(key, where, text, example)


def _rows_that_differ(before: Ints, after: Ints, base_rows: Ints, target_rows: Ints) -> Ints:
    """Positions in the shared rows; some at a time, since copies of millions of rows take memory."""
    differing = []
    for start in range(0, len(base_rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        differing.append(start + np.flatnonzero(before[base_rows[part]] != after[target_rows[part]]))
    return np.concatenate(differing)


def _example(key: str, base: Samples, target: Samples, base_row: int, other: int) -> str:
    """`, first "…2+3=" and "…2+3 ="`: around where the texts part; "" where the log does not hold them."""
    rows = base.quote([base_row]).get(base_row), target.quote([other]).get(other)
    texts = [_text(key, row) for row in rows]
    if any(row is not None and isinstance(row.keys.get(key), Digest) for row in rows):
        texts = [as_kept(key, text) for text in texts]
    before, after = texts
    if before is None or after is None or before == after:
        return ""
    at = next((k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    cut = [f'"{"…" if at > 20 else ""}{text[max(0, at - 20) : at + 40]}"' for text in (before, after)]
    return f", first {' and '.join(cut)}"


def _text(key: str, row: Row | None) -> str | None:
    if row is None:
        return None
    return {"prompt": row.prompt, "target": row.target}.get(key)


def pair_scores(
    paired: PairedTask, metric: str, rules: Rules, differences: Differences
) -> PairedScores | None:
    """The scores of a metric on all samples that count; None where some are missing and must not be.

    Raises DataError where no sample has a score in both logs, or none that can be wrong.
    """
    base = paired.base.scores[metric][paired.base_rows]
    target = paired.target.scores[metric][paired.target_rows]
    no_base, no_target = np.isnan(base), np.isnan(target)
    of_metric = _is_of_metric(paired.base, metric)[paired.base_rows]
    of_metric |= _is_of_metric(paired.target, metric)[paired.target_rows]
    neither = no_base & no_target
    not_of_metric = neither & ~of_metric
    counts = Counts(
        judged=0,
        only_base=paired.only_base,
        only_target=paired.only_target,
        not_run=paired.not_run,
        unscored_base=int((no_base & ~no_target).sum()),
        unscored_target=int((no_target & ~no_base).sum()),
        unscored_both=int((neither & of_metric).sum()),
        not_of_metric=int(not_of_metric.sum()),
        truncated_base=int(paired.base.truncated[paired.base_rows].sum()),
        truncated_target=int(paired.target.truncated[paired.target_rows].sum()),
    )
    where = comparison_name(paired.task, paired.filter, metric)
    if counts.missing:
        text = _describe_missing(where, paired, counts, (no_base | no_target) & ~not_of_metric)
        if rules.missing == "fail" and (
            all_failed := describe_all_failed(paired.base, paired.target, differences.shown)
        ):
            differences.refuse(format_place(paired.task, paired.filter), all_failed)
            return None
        if rules.missing == "fail":
            differences.add_missing(text + _first_error(paired))
            return None
        done = "left out" if rules.missing == "drop" else "counted as wrong where they have no score"
        differences.notes.append(f"{text}: {done} (--missing {rules.missing})")
        if rules.missing == "as-wrong":
            return _as_wrong(where, paired, metric, counts, not_of_metric)
    scored = ~(no_base | no_target)
    if scored.all():  # copies of millions of rows are left out
        scores = _scores_of(paired, metric, base, target, paired.base_rows, paired.target_rows, counts)
        return _with_sizes(where, paired, metric, scores, differences)
    rows = np.flatnonzero(scored)
    if not len(rows):
        raise DataError(f"{where}: no sample has a score in both logs{_first_error(paired)}")
    scores = _scores_of(
        paired, metric, base[rows], target[rows], paired.base_rows[rows], paired.target_rows[rows], counts
    )
    return _with_sizes(where, paired, metric, scores, differences)


def _with_sizes(
    where: str, paired: PairedTask, metric: str, scores: PairedScores, differences: Differences
) -> PairedScores | None:
    """The scores with their sizes, where both logs have them; None where these are not the same."""
    before, after = paired.base.sizes.get(metric), paired.target.sizes.get(metric)
    if before is None and after is None:
        return scores
    if scores.runs is not None:
        raise DataError(
            f"{where}: it is a ratio of sums over all samples, which is judged by one run of each side; "
            "leave it out by --metric, or give one run"
        )
    missing = np.full(len(scores.base), np.nan)
    sizes, other = (
        missing if column is None else column[rows]
        for column, rows in ((before, scores.base_rows), (after, scores.target_rows))
    )
    differing = int((sizes != other).sum())  # NaN differs from NaN
    if differing:
        differences.refuse(
            where, f"it is a mean over other words, bytes or documents in {differing:,} samples"
        )
        return None
    return replace(scores, sizes=sizes)


def _is_of_metric(samples: Samples, metric: str) -> npt.NDArray[np.bool_]:
    """(samples,) whether the metric is of a sample; an optional one is of those that failed or are empty."""
    if samples.empty is None:
        return np.ones(len(samples), np.bool_)
    flags = samples.errors.astype(np.bool_)
    for name in (metric, NO_METRIC):
        if name in samples.empty:
            flags[samples.empty[name]] = True
    return flags


def _scores_of(
    paired: PairedTask,
    metric: str,
    base: Floats,
    target: Floats,
    base_rows: Ints,
    target_rows: Ints,
    counts: Counts,
    wrong: float = nan,
) -> PairedScores:
    """wrong: in place of scores that a run lacks."""
    runs = None
    if paired.base.runs is not None or paired.target.runs is not None:
        runs = RunScores(
            _scores_of_runs(paired.base, metric, base_rows, wrong),
            _scores_of_runs(paired.target, metric, target_rows, wrong),
        )
        base, target = runs.base.mean(axis=0), runs.target.mean(axis=0)
    clusters = None
    if paired.base.clusters is not None and paired.target.clusters is not None:
        clusters = _take_either(paired.base.clusters, paired.target.clusters, base_rows, target_rows)
    documents = -1 - np.arange(len(base))
    if paired.base.documents is not None and paired.target.documents is not None:
        documents = _take_either(paired.base.documents, paired.target.documents, base_rows, target_rows)
    counts = replace(counts, judged=len(base))
    return PairedScores(base, target, base_rows, target_rows, clusters, documents, counts, runs=runs)


def _scores_of_runs(samples: Samples, metric: str, rows: Ints, wrong: float) -> Floats:
    """(runs, rows) the scores of each run. rows: positions, -1 where the log lacks the sample."""
    lines = samples.scores[metric][None] if samples.runs is None else samples.runs[metric]
    scores = np.where(rows >= 0, lines[:, rows], nan)
    return np.where(np.isnan(scores), wrong, scores)


def _take_either(before: Ints, after: Ints, base_rows: Ints, target_rows: Ints) -> Ints:
    """(rows,) the base's values; those of the target for samples that the base lacks."""
    return np.where(base_rows >= 0, before[base_rows], after[target_rows])


def _describe_missing(where: str, paired: PairedTask, counts: Counts, unscored: npt.NDArray[np.bool_]) -> str:
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (counts.only_base, "are in the base's log alone"),
            (counts.only_target, "are in the target's log alone"),
            (counts.unscored_base, "have no score in the base's log"),
            (counts.unscored_target, "have no score in the target's log"),
            (counts.unscored_both, "have no score in either log"),
        )
        if count
    ]
    rows = paired.base_rows[np.flatnonzero(unscored)]
    if not len(rows):
        lone = paired.base.ids if counts.only_base else paired.target.ids
        shared = paired.target.ids if counts.only_base else paired.base.ids
        examples = lone.filter(pc.is_null(pc.index_in(lone, value_set=shared)))
    else:
        examples = paired.base.ids.take(pa.array(rows))
    total = len(paired.base_rows) + counts.only_base + counts.only_target
    return f"{where}: of {total:,} samples {', '.join(parts)} ({some(examples)})"


def _first_error(paired: PairedTask) -> str:
    """`, first error "time-out"`: why a tool has no answer, where its log says it."""
    for samples, rows in ((paired.target, paired.target_rows), (paired.base, paired.base_rows)):
        failed = np.flatnonzero(samples.errors[rows])
        if len(failed):
            at = int(rows[failed[0]])
            row = samples.quote([at]).get(at)
            text = " ".join(str(row.error if row else "").split())
            return f', first error "{text[: 2 * _LONGEST]}"' if text else ""
    return ""


def _as_wrong(
    where: str, paired: PairedTask, metric: str, counts: Counts, not_of_metric: npt.NDArray[np.bool_]
) -> PairedScores:
    """Every sample of either log that the metric is of; without a score in a log it is wrong there."""
    scores = [paired.base.scores[metric], paired.target.scores[metric]]
    known = np.concatenate([values[~np.isnan(values)] for values in scores])
    if not len(known):
        raise DataError(f"{where}: no sample has a score in either log{_first_error(paired)}")
    if known.min() < 0 or known.max() > 1:
        raise DataError(
            f"{where}: scores from {known.min():g} to {known.max():g} have no value that is wrong; "
            "--missing as-wrong needs scores from 0 to 1"
        )
    wrong = 0.0 if paired.higher_is_better[metric] else 1.0
    filled = [np.where(np.isnan(values), wrong, values) for values in scores]
    lone = [
        np.setdiff1d(np.flatnonzero(~np.isnan(values) | _is_of_metric(samples, metric)), rows)
        for values, samples, rows in zip(
            scores,
            (paired.base, paired.target),
            (paired.base_rows, paired.target_rows),
            strict=True,
        )
    ]
    if paired.not_run:
        lone[0] = lone[0][:0]
    shared = paired.base_rows[~not_of_metric], paired.target_rows[~not_of_metric]
    base = np.concatenate([filled[0][shared[0]], filled[0][lone[0]], np.full(len(lone[1]), wrong)])
    target = np.concatenate([filled[1][shared[1]], np.full(len(lone[0]), wrong), filled[1][lone[1]]])
    base_rows = np.concatenate([shared[0], lone[0], np.full(len(lone[1]), -1)])
    target_rows = np.concatenate([shared[1], np.full(len(lone[0]), -1), lone[1]])
    return _scores_of(paired, metric, base, target, base_rows, target_rows, counts, wrong)


def comparison_name(task: str, filter_: str, metric: str) -> str:
    """`gsm8k/strict-match/exact_match`: task, filter where there is one, metric."""
    return "/".join(part for part in (task, filter_, metric) if part)
