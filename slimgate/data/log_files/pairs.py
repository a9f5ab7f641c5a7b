"""The samples of one task in two logs, matched by id and checked: comparable, or refused with examples.

Nothing is dropped in silence: samples that only one log has, that failed, or that have no score are counted,
and `missing` says what happens: "fail" refuses, "drop" leaves them out, "as-wrong" gives them the worst
score.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.data.log_files.columns import Samples, read_samples
from slimgate.data.log_files.json_lines import as_text, plain_json
from slimgate.data.log_files.kept import as_kept
from slimgate.data.predictions.codes import match_ids
from slimgate.data.predictions.files import EXAMPLES, some
from slimgate.errors import DataError, format_suggestion
from slimgate.outcomes import Floats, Ints
from slimgate.samples import COMPARED, PER_SAMPLE, SETTINGS, TASKS, Digest, Log, Row, TaskLog

Missing = Literal["fail", "drop", "as-wrong"]
# What a reader calls the things that a log may differ in.
_WORDS = {
    "document": "documents",
    "prompt": "prompts",
    "target": "targets",
    "chat_template": "chat template",
    "version": "task version",
    "generation": "generation settings",
}
_LONGEST = 60
_AT_ONCE = 500_000


@dataclass(frozen=True)
class Rules:
    """What two logs may differ in (`--allow`), and what happens to samples without a score (`--missing`).

    looks: how often the target's log is judged while it grows; samples that it lacks are then not yet run.
    directions: by pattern of a comparison's name, task or metric, whether it is better when higher.
    """

    allow: frozenset[str] = frozenset()
    missing: Missing = "fail"
    looks: int = 1
    directions: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """Samples of one comparison: judged, and without a score in one log or both.

    only_base, only_target: samples that the other log lacks; unscored_*: there, but failed or without a
    score. unscored_both: the metric is not of them, such as a named score of other tests; they do not count.
    truncated_*: answers that were cut off, which are judged as they are. not_run: samples that the target
    has not run yet, where its log is judged while it grows.
    """

    judged: int
    only_base: int = 0
    only_target: int = 0
    unscored_base: int = 0
    unscored_target: int = 0
    unscored_both: int = 0
    truncated_base: int = 0
    truncated_target: int = 0
    not_run: int = 0

    @property
    def missing(self) -> int:
        return self.only_base + self.only_target + self.unscored_base + self.unscored_target


@dataclass(frozen=True, eq=False)
class PairedTask:
    """One task under one filter in both logs. base_rows, target_rows: (rows,) positions of the same samples.

    differences: what was allowed to differ, in words.
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
    differences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PairedScores:
    """The scores of one metric. base, target: (rows,), nothing missing. clusters: (rows,) digests, or None.

    base_rows, target_rows: (rows,) positions in both logs, -1 where a log lacks the sample.
    """

    base: Floats
    target: Floats
    base_rows: Ints
    target_rows: Ints
    clusters: Ints | None
    counts: Counts


def check_options(allow: Collection[str]) -> None:
    """Raises DataError for what no log can be allowed to differ in."""
    for name in allow:
        if name not in COMPARED:
            raise DataError(
                f"--allow {name}: expected one of {', '.join(COMPARED)}{format_suggestion(name, COMPARED)}"
            )


def shared_tasks(base: Log, target: Log, rules: Rules) -> tuple[list[str], list[str]]:
    """The tasks of both logs, and what differs in words. Raises DataError where one log lacks a task."""
    shared = [name for name in base.tasks if name in target.tasks]
    lacking = [
        f"{log.shown} lacks {_list_tasks(names)}"
        for log, names in (
            (target, [name for name in base.tasks if name not in target.tasks]),
            (base, [name for name in target.tasks if name not in base.tasks]),
        )
        if names
    ]
    if not shared:
        raise DataError(f"no task in common: {'; '.join(lacking)}")
    if lacking and TASKS not in rules.allow:
        raise DataError(f"{'; '.join(lacking)}: run it, or judge what both have by --allow tasks")
    return shared, lacking


def _list_tasks(names: Sequence[str]) -> str:
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    what = "task" if len(names) == 1 else "tasks"
    return f"the {what} {', '.join(names[:EXAMPLES])}{more}"


def pair_task(name: str, base: Log, target: Log, rules: Rules) -> list[PairedTask]:
    """The samples of a task in both logs, one entry a filter. Raises DataError where they do not compare."""
    before, after = base.tasks[name], target.tasks[name]
    differences = _settings(name, base, target, rules)
    both = [read_samples(f"{log.shown} {name}", log.tasks[name]) for log in (base, target)]
    filters = [one for one in both[0] if one in both[1]]
    if others := sorted(set(both[0]) ^ set(both[1])):
        said = f"{name}: filter {', '.join(map(repr, others))} is in one log alone"
        if not filters or "filters" not in rules.allow:
            raise DataError(f"{said} ({base.shown}, {target.shown}); accept it by --allow filters")
        differences.append(said)
    better = {**after.higher_is_better, **before.higher_is_better}
    _check_directions(name, before, after)
    return [
        _pair(
            name,
            one,
            both[0].pop(one),
            both[1].pop(one),
            (base.shown, target.shown),
            better,
            differences,
            rules,
        )
        for one in filters
    ]


def _check_directions(name: str, before: TaskLog, after: TaskLog) -> None:
    for metric, better in before.higher_is_better.items():
        if after.higher_is_better.get(metric, better) is not better:
            raise DataError(
                f"{name}: metric {metric} is better {_up(better)} in one log and not in the other"
            )


def _up(better: bool) -> str:
    return "when higher" if better else "when lower"


def _settings(name: str, base: Log, target: Log, rules: Rules) -> list[str]:
    """Settings that differ and may. Raises DataError for those that may not."""
    before, after = (plain_json(log.tasks[name].settings) for log in (base, target))
    found: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    for setting in SETTINGS:
        if setting not in before or setting not in after or before[setting] == after[setting]:
            continue
        if setting == "limit" and rules.looks > 1:  # the target's log is of the samples so far
            continue
        values = " and ".join(_short(one) for one in _differing(before[setting], after[setting]))
        said = f"{_WORDS.get(setting, setting)} {values}"
        (found if setting in rules.allow else refused).append((setting, said))
    if refused:
        words = "; ".join(said for _, said in refused)
        flags = " ".join(f"--allow {setting}" for setting, _ in refused)
        raise DataError(
            f"{name}: {base.shown} and {target.shown} differ in {words}: not comparable; accept it by {flags}"
        )
    return [f"{name}: {said}" for _, said in found]


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
    shown: tuple[str, str],
    better: Mapping[str, bool],
    differences: Sequence[str],
    rules: Rules,
) -> PairedTask:
    where = name if not filter_ else f"{name} ({filter_})"
    base_rows, target_rows = _same_samples(base, target)
    if not len(base_rows):
        raise DataError(f"{where}: {shown[0]} and {shown[1]} have no sample in common: {some(base.ids)}")
    told = [*differences, *_keys(where, base, target, base_rows, target_rows, shown, rules)]
    metrics = tuple(metric for metric in base.scores if metric in target.scores)
    if not metrics:
        one, other = ", ".join(base.scores) or "none", ", ".join(target.scores) or "none"
        raise DataError(f"{where}: no metric in common: {shown[0]} has {one}, {shown[1]} has {other}")
    if others := sorted(set(base.scores) ^ set(target.scores)):
        told.append(f"{where}: metric {', '.join(others)} is in one log alone")
    told += _describe_not_numbers(where, base, target)
    return PairedTask(
        task=name,
        filter=filter_,
        base=_without_checked_columns(base),
        target=_without_checked_columns(target),
        base_rows=base_rows,
        target_rows=target_rows,
        only_base=0 if rules.looks > 1 else len(base) - len(base_rows),
        not_run=len(base) - len(base_rows) if rules.looks > 1 else 0,
        only_target=len(target) - len(target_rows),
        higher_is_better=better,
        metrics=metrics,
        differences=tuple(told),
    )


def _without_checked_columns(samples: Samples) -> Samples:
    """The samples without what only matching them took: of millions of rows that is most of the memory."""
    return replace(samples, order=samples.order[:0].copy(), keys={})


def _describe_not_numbers(where: str, base: Samples, target: Samples) -> list[str]:
    """A line for each metric of which some samples have a list or a text in place of a score."""
    found = []
    for metric in sorted({**base.not_numbers, **target.not_numbers}):
        counts = [one.not_numbers.get(metric, 0) for one in (base, target)]
        found.append(
            f"{where}: {metric} is no number in {counts[0]:,} samples of the base and {counts[1]:,} of the "
            "target, so these are not judged"
        )
    return found


def _same_samples(base: Samples, target: Samples) -> tuple[Ints, Ints]:
    """Positions of the samples that both have, in the order of the base."""
    order = match_ids(base.ids, base.order, target.ids, target.order)
    if order is not None:
        return np.arange(len(base)), order
    at = pc.index_in(base.ids, value_set=target.ids)
    found = pc.fill_null(at, -1).to_numpy().astype(np.int64)
    rows = np.flatnonzero(found >= 0)
    return rows, found[rows]


def _keys(
    where: str,
    base: Samples,
    target: Samples,
    base_rows: Ints,
    target_rows: Ints,
    shown: tuple[str, str],
    rules: Rules,
) -> list[str]:
    """What of documents, prompts and targets differs and may. Raises DataError with examples otherwise."""
    found = []
    for key in PER_SAMPLE:
        if key not in base.keys or key not in target.keys:
            continue
        rows = _rows_that_differ(base.keys[key], target.keys[key], base_rows, target_rows)
        if not len(rows):
            continue
        said = (
            f"{where}: {_WORDS[key]} differ in {len(rows):,} of {len(base_rows):,} samples "
            f"({some(base.ids.take(pa.array(base_rows[rows])))})"
        )
        if key not in rules.allow:
            example = _example(key, base, target, int(base_rows[rows[0]]), int(target_rows[rows[0]]))
            raise DataError(
                f"{said}: {shown[0]} and {shown[1]} are not comparable{example}; accept it by --allow {key}"
            )
        found.append(said)
    return found


def _rows_that_differ(before: Ints, after: Ints, base_rows: Ints, target_rows: Ints) -> Ints:
    """Positions in the shared rows; some at a time, since copies of millions of rows take memory."""
    found = []
    for start in range(0, len(base_rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found.append(start + np.flatnonzero(before[base_rows[part]] != after[target_rows[part]]))
    return np.concatenate(found)


def _example(key: str, base: Samples, target: Samples, one: int, other: int) -> str:
    """`, first "…2+3=" and "…2+3 ="`: around where the texts part; "" where the log does not hold them."""
    rows = base.quote([one]).get(one), target.quote([other]).get(other)
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


def pair_scores(paired: PairedTask, metric: str, rules: Rules) -> PairedScores:
    """The scores of a metric on all samples that count. Raises DataError where some are missing."""
    base = paired.base.scores[metric][paired.base_rows]
    target = paired.target.scores[metric][paired.target_rows]
    no_base, no_target = np.isnan(base), np.isnan(target)
    failed = (paired.base.errors[paired.base_rows] + paired.target.errors[paired.target_rows]).astype(bool)
    neither = no_base & no_target & ~failed
    no_base, no_target = no_base & ~neither, no_target & ~neither
    counts = Counts(
        judged=0,
        only_base=paired.only_base,
        only_target=paired.only_target,
        not_run=paired.not_run,
        unscored_base=int(no_base.sum()),
        unscored_target=int(no_target.sum()),
        unscored_both=int(neither.sum()),
        truncated_base=int(paired.base.truncated[paired.base_rows].sum()),
        truncated_target=int(paired.target.truncated[paired.target_rows].sum()),
    )
    where = comparison_name(paired.task, paired.filter, metric)
    if counts.missing and rules.missing == "fail":
        raise DataError(_missing(where, paired, counts, no_base | no_target))
    if rules.missing == "as-wrong" and counts.missing:
        return _as_wrong(where, paired, metric, counts, neither)
    scored = ~(no_base | no_target | neither)
    if scored.all():  # copies of millions of rows are left out
        return _scores_of(paired, base, target, paired.base_rows, paired.target_rows, counts)
    rows = np.flatnonzero(scored)
    if not len(rows):
        raise DataError(f"{where}: no sample has a score in both logs")
    return _scores_of(
        paired, base[rows], target[rows], paired.base_rows[rows], paired.target_rows[rows], counts
    )


def _scores_of(
    paired: PairedTask, base: Floats, target: Floats, base_rows: Ints, target_rows: Ints, counts: Counts
) -> PairedScores:
    clusters = None
    if paired.base.clusters is not None and paired.target.clusters is not None:
        own, theirs = paired.base.clusters[base_rows], paired.target.clusters[target_rows]
        clusters = np.where(base_rows >= 0, own, theirs)
    return PairedScores(base, target, base_rows, target_rows, clusters, replace(counts, judged=len(base)))


def _missing(where: str, paired: PairedTask, counts: Counts, unscored: npt.NDArray[np.bool_]) -> str:
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (counts.only_base, "are in the base's log alone"),
            (counts.only_target, "are in the target's log alone"),
            (counts.unscored_base, "have no score in the base's log"),
            (counts.unscored_target, "have no score in the target's log"),
        )
        if count
    ]
    rows = paired.base_rows[np.flatnonzero(unscored)]
    if not len(rows):
        lone = paired.base.ids if counts.only_base else paired.target.ids
        other = paired.target.ids if counts.only_base else paired.base.ids
        examples = lone.filter(pc.is_null(pc.index_in(lone, value_set=other)))
    else:
        examples = paired.base.ids.take(pa.array(rows))
    return (
        f"{where}: of {len(paired.base_rows):,} shared samples or beside them {', '.join(parts)} "
        f"({some(examples)}): --missing drop leaves them out, --missing as-wrong counts them as wrong"
    )


def _as_wrong(
    where: str, paired: PairedTask, metric: str, counts: Counts, neither: npt.NDArray[np.bool_]
) -> PairedScores:
    """Every sample of either log; what a log has no score of is wrong there."""
    both = [paired.base.scores[metric], paired.target.scores[metric]]
    known = np.concatenate([scores[~np.isnan(scores)] for scores in both])
    if not len(known):
        raise DataError(f"{where}: no sample has a score in either log")
    if known.min() < 0 or known.max() > 1:
        raise DataError(
            f"{where}: scores from {known.min():g} to {known.max():g} have no value that is wrong; "
            "--missing as-wrong needs scores from 0 to 1"
        )
    wrong = 0.0 if paired.higher_is_better[metric] else 1.0
    filled = [np.where(np.isnan(scores), wrong, scores) for scores in both]
    lone = [
        np.setdiff1d(np.arange(len(one)), rows)
        for one, rows in ((paired.base, paired.base_rows), (paired.target, paired.target_rows))
    ]
    if paired.not_run:
        lone[0] = lone[0][:0]
    shared = paired.base_rows[~neither], paired.target_rows[~neither]
    base = np.concatenate([filled[0][shared[0]], filled[0][lone[0]], np.full(len(lone[1]), wrong)])
    target = np.concatenate([filled[1][shared[1]], np.full(len(lone[0]), wrong), filled[1][lone[1]]])
    base_rows = np.concatenate([shared[0], lone[0], np.full(len(lone[1]), -1)])
    target_rows = np.concatenate([shared[1], np.full(len(lone[0]), -1), lone[1]])
    return _scores_of(paired, base, target, base_rows, target_rows, counts)


def comparison_name(task: str, filter_: str, metric: str) -> str:
    """`gsm8k/strict-match/exact_match`: task, filter where there is one, metric."""
    return "/".join(part for part in (task, filter_, metric) if part)
