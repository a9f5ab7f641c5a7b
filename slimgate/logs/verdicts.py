"""The verdict on two logs: every task, filter and metric judged on the samples of both.

One task is held at a time, and of it only columns of numbers; see `columns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.errors import DataError, SuiteError
from slimgate.judge.budget_kinds import QualityBudget, is_two_sided, measure_harm
from slimgate.judge.evidence import is_zero_or_one
from slimgate.judge.family import fails_within_family
from slimgate.judge.group_sequential import Look, look_at, look_rows
from slimgate.judge.metrics.base import Metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.score_metric import score_metric, score_outcomes
from slimgate.judge.score_ranges import (
    SHARE,
    Range,
    format_range,
    is_bounded_range,
    known_cap,
    known_range,
    rows_outside,
    scales_differ,
)
from slimgate.judge.unbounded import is_bounded
from slimgate.judge.verdict import QualityJudgement
from slimgate.logs.budgets import POOLED, LogBudgets
from slimgate.logs.columns import Samples, digest, number_epochs
from slimgate.logs.differences import Differences
from slimgate.logs.directions import (
    add_directions,
    check_directions_used,
    describe_unknown,
)
from slimgate.logs.pairs import (
    Counts,
    PairedScores,
    PairedTask,
    Rules,
    comparison_name,
    pair_scores,
    pair_task,
    shared_tasks,
)
from slimgate.logs.runs import choose_repeat, choose_runs
from slimgate.logs.same_documents import group_rows
from slimgate.outcomes import Floats, Ints, Outcomes, Texts
from slimgate.plugins.reader import Log, Row

# Flipped samples that are kept of a comparison, to quote.
MOST_KEPT = 10
_LONGEST_ID = 64
_AT_ONCE = 500_000
_MOST_NAMED = 5
_ID = np.dtypes.StringDType()
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Noise:
    """Two logs of the base: what changes when nothing is meant to.

    flips, psi: samples whose score changed, and their share. judged: the second log in the target's place.
    """

    flips: int
    psi: float
    judged: QualityJudgement

    def covers(self, drop_points: float) -> bool:
        """Whether a drop or gain is no larger than the 90 % interval of the base against itself allows."""
        low, high = self.judged.interval or (0.0, 0.0)
        return abs(drop_points) <= max(abs(low), abs(high))


@dataclass(frozen=True, eq=False)
class Comparison:
    """One metric of one task under one filter. worse, better: samples whose score fell and rose.

    zero_one: a score is right or wrong, so that worse and better are flips. score_range, cap: of the metric,
    None where not known. changed: other answers; None where the logs hold none. lost: positions of samples
    that got worse in both logs, the first ten. won: of those that got better, of a metric with a budget on
    both sides.
    base, target: (rows,) the scores; ids: of the samples; groups: as judged. documents: (rows,) digests of
    what the samples ask, where all tasks are pooled.
    """

    name: str
    task: str
    filter: str
    metric: str
    higher_is_better: bool
    zero_one: bool
    judged: QualityJudgement
    budgets: tuple[QualityBudget, ...]
    counts: Counts
    worse: int
    better: int
    changed: int | None
    lost: tuple[tuple[int, int], ...]
    won: tuple[tuple[int, int], ...]
    base: Floats
    target: Floats
    ids: Texts
    groups: Ints | None
    documents: Ints | None = None
    samples: tuple[Samples, Samples] | None = None
    noise: Noise | None = None
    score_range: Range | None = None
    cap: float | None = None

    @property
    def flips_share(self) -> float:
        """The share of samples whose score changed."""
        return (self.worse + self.better) / self.counts.judged


@dataclass(frozen=True, eq=False)
class LogVerdicts:
    """All comparisons of a target with the base, the largest drop first, of a budget on both sides also the
    largest gain. pooled: over all samples, or None.

    notes: what was accepted or could not be compared. tests: budgets that Holm's correction counts.
    """

    base: Log
    target: Log
    comparisons: tuple[Comparison, ...]
    pooled: Comparison | None
    notes: tuple[str, ...]
    tests: int

    @property
    def everything(self) -> tuple[Comparison, ...]:
        """The pooled comparison first, where there is one."""
        return self.comparisons if self.pooled is None else (self.pooled, *self.comparisons)


@dataclass(frozen=True)
class QuotedSample:
    """A sample that got worse or better, with the prompt and both answers as the logs have them."""

    comparison: str
    id: str
    base: Row
    target: Row


@dataclass
class _Collected:
    """What grows while tasks are judged."""

    comparisons: list[Comparison] = field(default_factory=list)
    names: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undirected: list[str] = field(default_factory=list)


def judge_logs(
    base: Log, target: Log, budgets: LogBudgets, rules: Rules, *, seed: int = 0, repeat: Log | None = None
) -> LogVerdicts:
    """Judges a target. repeat: a second log of the base, from which its own noise is measured.

    Raises DataError where the logs do not compare, with all that differs; SuiteError for budgets that cannot
    be judged.
    """
    base, target = choose_runs(base, target, rules.runs)
    if repeat is not None:
        repeat = choose_repeat(repeat, base, rules.runs)
        _check_repeat(repeat, base, target)
    return _judge_runs(base, target, budgets, rules, seed, repeat)


def _check_repeat(repeat: Log, base: Log, target: Log) -> None:
    """Raises DataError for a run of the target, whose difference from the base is no noise."""
    if repeat.model is not None and repeat.model == target.model != base.model:
        raise DataError(
            f"--repeat {repeat.shown}: it is of {repeat.model}, the target's model; expected a second log of "
            f"the base {base.model or base.shown}"
        )


def _judge_runs(
    base: Log, target: Log, budgets: LogBudgets, rules: Rules, seed: int, repeat: Log | None
) -> LogVerdicts:
    if rules.same_id == "epochs":
        base, target = _number_log_epochs(base), _number_log_epochs(target)
        repeat = None if repeat is None else _number_log_epochs(repeat)
    differences = Differences((base.shown, target.shown), rules.allow, [*base.notes, *target.notes])
    collected = _Collected(notes=differences.notes)
    for task in shared_tasks(base, target, differences):
        ranges = _ranges_of_logs(task, base, target)
        for paired in pair_task(task, base, target, rules, differences):
            collected.comparisons += _task_comparisons(
                paired, budgets, rules, seed, collected, differences, ranges
            )
    differences.check()
    budgets.check_used(collected.names)
    check_directions_used(rules.directions, collected.names)
    if collected.undirected:
        unknown = describe_unknown(collected.undirected)
        if not collected.comparisons:
            raise SuiteError(unknown)
        collected.notes.append(f"not compared: {unknown}")
    if not collected.comparisons:
        raise DataError(f"{base.shown} and {target.shown}: nothing to judge")
    pooled = None
    if budgets.pooled:
        parts = _choose_main(collected.comparisons)
        collected.notes.append(f"{POOLED}: {_list_names(parts)}, of each task its first metric in the log")
        pooled = _pool(parts, budgets, seed)
    together = [*collected.comparisons, *([pooled] if pooled else [])]
    looks = [_look_at(comparison, rules.looks) for comparison in together]
    corrected, tests = _correct_failures(together, looks, collected.notes)
    collected.notes += _describe_looks(together, looks)
    if repeat is not None:
        noise = _noise_of(base, repeat, rules, {comparison.name for comparison in corrected}, seed, budgets)
        corrected = [replace(comparison, noise=noise.get(comparison.name)) for comparison in corrected]
        collected.notes += [f"base again: {repeat.shown}", *repeat.notes]
    alone = corrected[: len(collected.comparisons)]
    collected.notes += _describe_equal_answers(alone)
    ordered = sorted(
        alone, key=lambda comparison: -measure_harm(comparison.judged.drop_points, comparison.budgets)
    )
    return LogVerdicts(
        base=base,
        target=target,
        comparisons=tuple(ordered),
        pooled=corrected[-1] if pooled else None,
        notes=tuple(dict.fromkeys(collected.notes)),
        tests=tests,
    )


def _number_log_epochs(log: Log) -> Log:
    return replace(log, tasks={name: number_epochs(task) for name, task in log.tasks.items()})


def _correct_failures(
    comparisons: Sequence[Comparison], looks: Sequence[Look | None], notes: list[str]
) -> tuple[list[Comparison], int]:
    """The comparisons after Holm's correction, and the number of budgets that it counts.

    Two metrics of a task with the same scores in both logs and the same budgets are one hypothesis: both get
    the verdict of the first. notes: gets their names.
    """
    first_of = _find_first_same(comparisons)
    distinct = [at for at, first in enumerate(first_of) if at == first]
    judged = fails_within_family([comparisons[at].judged for at in distinct], [looks[at] for at in distinct])
    by_place = dict(zip(distinct, judged, strict=True))
    for first in dict.fromkeys(first for at, first in enumerate(first_of) if at != first):
        same = [comparisons[at] for at, place in enumerate(first_of) if place == first != at]
        notes.append(
            f"{comparisons[first].name} has in both logs the scores of {_list_names(same)}; Holm's "
            "correction counts them once"
        )
    corrected = []
    for comparison, first in zip(comparisons, first_of, strict=True):
        judgement = by_place[first]
        if comparison is not comparisons[first]:
            judgement = replace(judgement, metric=comparison.judged.metric)
        corrected.append(replace(comparison, judged=judgement))
    return corrected, sum(len(judgement.budgets) for judgement in judged)


def _find_first_same(comparisons: Sequence[Comparison]) -> list[int]:
    """(comparisons,) the place of the first one that is the same hypothesis, which may be its own."""
    first_of: list[int] = []
    for at, comparison in enumerate(comparisons):
        same = (
            first
            for first, earlier in enumerate(comparisons[:at])
            if earlier.task == comparison.task and _is_same_hypothesis(earlier, comparison)
        )
        first_of.append(next(same, at) if comparison.budgets else at)
    return first_of


def _is_same_hypothesis(earlier: Comparison, later: Comparison) -> bool:
    return (
        earlier.budgets == later.budgets
        and earlier.higher_is_better is later.higher_is_better
        and np.array_equal(earlier.base, later.base)
        and np.array_equal(earlier.target, later.target)
        and np.array_equal(earlier.ids, later.ids)
    )


def _describe_equal_answers(comparisons: Sequence[Comparison]) -> list[str]:
    """A line where two logs agree in every score and answer: they may be of one model."""
    if any(comparison.worse or comparison.better or comparison.changed for comparison in comparisons):
        return []
    if all(comparison.changed is None for comparison in comparisons):
        return []
    return ["all answers and scores are the same in both logs: check that they are of two models"]


def _list_names(comparisons: Sequence[Comparison]) -> str:
    names = [comparison.name for comparison in comparisons[:_MOST_NAMED]]
    more = len(comparisons) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _choose_main(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The first comparison of each task in the order of its log: of one document only one score is pooled."""
    first: dict[str, Comparison] = {}
    for comparison in comparisons:
        first.setdefault(comparison.task, comparison)
    return list(first.values())


def _look_at(comparison: Comparison, looks: int) -> Look | None:
    """The look that is due; None where the log is judged once. Raises DataError before the first."""
    if looks == 1:
        return None
    rows, planned = comparison.counts.judged, comparison.counts.judged + comparison.counts.not_run
    look = look_at(rows, planned, looks)
    if look is None:
        raise DataError(
            f"{comparison.name}: the target has {rows:,} of {planned:,} samples; the first of "
            f"{looks} looks is at "
            f"{look_rows(planned, looks)[0]:,}"
        )
    return look


def _describe_looks(comparisons: Sequence[Comparison], looks: Sequence[Look | None]) -> list[str]:
    """A line for each number of samples at which there is a look."""
    named: dict[Look, list[str]] = {}
    for comparison, look in zip(comparisons, looks, strict=True):
        if look is not None:
            named.setdefault(look, []).append(comparison.name)
    lines = []
    for look, names in named.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        due = (
            ""
            if look.number == look.of
            else f"; the next is at {look_rows(look.planned, look.of)[look.number]:,}"
        )
        lines.append(
            f"look {look.number} of {look.of} at {look.rows:,} of {look.planned:,} samples of "
            f"{', '.join(names[:3])}{more}: PASS and FAIL at a level of {100 * look.level():.2g} %, "
            f"not 5 %{due}"
        )
    return lines


def _ranges_of_logs(task: str, base: Log, target: Log) -> Mapping[str, Range]:
    """By metric the range that the logs declare. Raises DataError where they declare two."""
    before, after = base.tasks[task].ranges, target.tasks[task].ranges
    for metric in before:
        if metric in after and tuple(before[metric]) != tuple(after[metric]):
            raise DataError(
                f"{task}: {metric} is from {format_range(before[metric])} in {base.shown} and from "
                f"{format_range(after[metric])} in {target.shown}, so they do not compare"
            )
    return {**after, **before}


def _task_comparisons(
    paired: PairedTask,
    budgets: LogBudgets,
    rules: Rules,
    seed: int,
    collected: _Collected,
    differences: Differences,
    ranges: Mapping[str, Range],
) -> Iterator[Comparison]:
    """Nothing is judged once the logs are known not to compare; what differs is still collected.

    Raises SuiteError for a budget on metrics of which nobody says whether they are better when higher.
    """
    names = {metric: comparison_name(paired.task, paired.filter, metric) for metric in paired.metrics}
    collected.names += [(name, paired.task, metric) for metric, name in names.items()]
    measured = {
        metric: name for metric, name in names.items() if budgets.is_measured(name, paired.task, metric)
    }
    paired = add_directions(paired, measured, rules.directions)
    unknown = {metric: name for metric, name in measured.items() if metric not in paired.higher_is_better}
    if any(budgets.pooled or budgets.of(name, paired.task, metric) for metric, name in unknown.items()):
        raise SuiteError(describe_unknown([*unknown.values()]))
    collected.undirected += unknown.values()
    for metric, name in measured.items():
        if metric in unknown:
            continue
        scores = pair_scores(paired, metric, rules, differences)
        if scores is None or differences.refused:
            continue
        own_budgets = budgets.of(name, paired.task, metric)
        declared = budgets.range_of(name, paired.task, metric)
        known = ranges.get(metric) or known_range(metric)
        comparison = _comparison(
            name, metric, paired, scores, own_budgets, seed, differences.notes, (declared, known)
        )
        yield comparison if budgets.pooled else replace(comparison, documents=None)


def _comparison(
    name: str,
    metric: str,
    paired: PairedTask,
    scores: PairedScores,
    budgets: Sequence[QualityBudget],
    seed: int,
    notes: list[str],
    ranges: tuple[Range | None, Range | None],
) -> Comparison:
    """ranges: of the metric, as the user declares it, and as the logs or its name do."""
    better = paired.higher_is_better[metric]
    ids = _ids(paired, scores)
    zero_one = is_zero_or_one(scores.base) and is_zero_or_one(scores.target)
    declared = ranges[0] or ranges[1]
    _check_range(name, metric, ids, scores, ranges, better)
    zero_one = zero_one and declared in (None, SHARE)
    score_range = SHARE if zero_one else declared
    cap = known_cap(metric) if score_range is not None and not is_bounded_range(score_range) else None
    lost = scores.target < scores.base if better else scores.target > scores.base
    won = scores.target > scores.base if better else scores.target < scores.base
    worse, better_rows = _first_positions(scores, lost), _first_positions(scores, won)
    if not is_two_sided(budgets):
        better_rows = ()
    groups = group_rows(scores.clusters, scores.documents)
    if groups is not None and groups.max() + 1 < (
        len(groups) if scores.clusters is None else len(np.unique(scores.clusters))
    ):
        notes.append(_describe_groups(paired, groups))
    return Comparison(
        name=name,
        task=paired.task,
        filter=paired.filter,
        metric=metric,
        higher_is_better=better,
        zero_one=zero_one,
        judged=_judge(
            _metric(name, better, score_range, cap, zero_one=zero_one),
            ids,
            scores.base,
            scores.target,
            groups,
            budgets,
            seed,
            zero_one=zero_one,
        ),
        budgets=tuple(budgets),
        counts=scores.counts,
        worse=int(lost.sum()),
        better=int(won.sum()),
        changed=_answers_changed(paired, scores),
        lost=worse,
        won=better_rows,
        base=scores.base,
        target=scores.target,
        ids=ids,
        groups=groups,
        documents=scores.documents,
        samples=(_to_quote(paired.base), _to_quote(paired.target)) if worse or better_rows else None,
        score_range=score_range,
        cap=cap,
    )


def _first_positions(scores: PairedScores, turned: Bools) -> tuple[tuple[int, int], ...]:
    """In base and target, of the first samples that turned."""
    rows = np.flatnonzero(turned)[:MOST_KEPT]
    return tuple((int(scores.base_rows[at]), int(scores.target_rows[at])) for at in rows)


def _describe_groups(paired: PairedTask, groups: Ints) -> str:
    where = f"{paired.task} ({paired.filter})" if paired.filter else paired.task
    return (
        f"{where}: some of {len(groups):,} samples ask the same as others, so they count as "
        f"{int(groups.max()) + 1:,} groups"
    )


def _metric(
    name: str, better: bool, score_range: Range | None, cap: float | None, *, zero_one: bool
) -> Metric:
    return score_metric(name, higher_is_better=better, zero_one=zero_one, score_range=score_range, cap=cap)


def _check_range(
    name: str,
    metric: str,
    ids: Texts,
    scores: PairedScores,
    ranges: tuple[Range | None, Range | None],
    better: bool,
) -> None:
    """Raises DataError for scores of two scales, and for a score outside the declared range."""
    declared, known = ranges
    ends = declared or known
    means = float(scores.base.mean()), float(scores.target.mean())
    unending = ends is not None and not is_bounded_range(ends)
    # without an upper end a ruined model may be so far off: it fails, and no PASS comes of it
    is_ruined = unending and (means[0] > means[1]) == better
    if not is_ruined and scales_differ(scores.base, scores.target, ends):
        shown = " and ".join(
            f"{who} {float(values.min()):.4g} to {float(values.max()):.4g}"
            for who, values in (("base", scores.base), ("target", scores.target))
        )
        raise DataError(
            f"{name}: the logs have scores of two scales ({shown}), so they do not compare; write both as "
            "shares or both as percent"
        )
    if ends is None:
        return
    for who, values in (("base", scores.base), ("target", scores.target)):
        outside = rows_outside(values, ends)
        if len(outside):
            at = int(outside[0])
            source = (
                "that --range or [ranges] declare"
                if declared
                else f"that its name or its log says; if it has another, write --range {metric}=LOW:HIGH"
            )
            raise DataError(
                f"{name}: sample {ids[at]} of the {who} has a score of {values[at]:g}, outside of the range "
                f"{format_range(ends)} {source}"
            )


def _to_quote(samples: Samples) -> Samples:
    """The samples without their columns, so that these are freed: quoting reads the log again."""
    none, no_flags = np.empty(0, np.int64), np.empty(0, np.uint8)
    ids = pa.array([], pa.large_string())
    return Samples(ids, none, {}, {}, {}, None, None, no_flags, no_flags, {}, samples.rows)


def _judge(
    metric: Metric,
    ids: Texts,
    base: Floats,
    target: Floats,
    groups: Ints | None,
    budgets: Sequence[QualityBudget],
    seed: int,
    *,
    zero_one: bool,
) -> QualityJudgement:
    before, after = (
        score_outcomes(ids, scores_of_side, groups, right=zero_one) for scores_of_side in (base, target)
    )
    try:
        return judge_quality(metric, before, after, budgets, seed=seed)
    except SuiteError as error:
        hint = "" if is_bounded(metric) else f"; {metric.open_range}"
        raise SuiteError(f"{metric.name}: {error}{hint}") from error


def _ids(paired: PairedTask, scores: PairedScores) -> Texts:
    """(rows,) the ids, each of at most 64 characters, and distinct as they are in the log."""
    row_ids = np.empty(len(scores.base), dtype=_ID)
    mine, theirs = scores.base_rows >= 0, scores.base_rows < 0
    for rows, at, samples in (
        (mine, scores.base_rows, paired.base),
        (theirs, scores.target_rows, paired.target),
    ):
        if rows.any():
            _fill(row_ids, np.flatnonzero(rows), samples.ids, at)
    return cast(Texts, row_ids)


def _fill(target: Any, rows: Ints, ids: pa.Array, at: Ints) -> None:
    """Some at a time: ten million Python texts take half a gigabyte."""
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        texts = ids.take(pa.array(at[part]))
        shorten = pc.max(pc.utf8_length(texts)).as_py() > _LONGEST_ID
        target[part] = [_short_id(text) for text in texts.to_pylist()] if shorten else texts.to_pylist()


def _short_id(text: str) -> str:
    """At most 64 characters, which differ for ids that differ: a digest takes the place of the end."""
    return text if len(text) <= _LONGEST_ID else f"{text[: _LONGEST_ID - 13]}~{digest(text):012x}"


def _answers_changed(paired: PairedTask, scores: PairedScores) -> int | None:
    if paired.base.answers is None or paired.target.answers is None:
        return None
    changed = 0
    for start in range(0, len(scores.base_rows), _AT_ONCE):
        rows, target_rows = (
            rows_of_side[start : start + _AT_ONCE] for rows_of_side in (scores.base_rows, scores.target_rows)
        )
        in_both = (rows >= 0) & (target_rows >= 0)
        changed += int(
            (paired.base.answers[rows[in_both]] != paired.target.answers[target_rows[in_both]]).sum()
        )
    return changed


def _pool(comparisons: Sequence[Comparison], budgets: LogBudgets, seed: int) -> Comparison:
    """All samples of one comparison a task; samples that ask the same, in whatever task, are one group.

    Raises DataError for scores that are not from 0 to 1, whose mean says nothing.
    """
    for comparison in comparisons:
        if comparison.score_range != SHARE:
            raise DataError(
                f"{comparison.name}: its scores are not declared to be from 0 to 1, so they "
                "cannot be pooled; leave "
                f"it out by --metric, or write --range {comparison.metric}=0:1"
            )
    base = np.concatenate([_upwards(comparison, comparison.base) for comparison in comparisons])
    target = np.concatenate([_upwards(comparison, comparison.target) for comparison in comparisons])
    groups = _group_over_tasks(comparisons)
    ids = cast(Texts, np.concatenate([comparison.ids for comparison in comparisons]))
    counts = {
        key: sum(getattr(comparison.counts, key) for comparison in comparisons)
        for key in Counts.__annotations__
    }
    zero_one = all(comparison.zero_one for comparison in comparisons)
    return Comparison(
        name=POOLED,
        task="",
        filter="",
        metric=POOLED,
        higher_is_better=True,
        zero_one=zero_one,
        judged=_judge(
            _metric(POOLED, True, SHARE, None, zero_one=zero_one),
            ids,
            base,
            target,
            groups,
            budgets.pooled,
            seed,
            zero_one=zero_one,
        ),
        budgets=budgets.pooled,
        counts=Counts(**counts),
        worse=sum(comparison.worse for comparison in comparisons),
        better=sum(comparison.better for comparison in comparisons),
        changed=None,
        lost=(),
        won=(),
        base=base,
        target=target,
        ids=ids,
        groups=groups,
    )


def _group_over_tasks(comparisons: Sequence[Comparison]) -> Ints | None:
    """(rows,) equal for samples of one cluster, and for those of any task that ask the same."""
    documents = np.concatenate([part.documents for part in comparisons if part.documents is not None])
    if all(part.groups is None for part in comparisons):
        return group_rows(None, documents)
    clusters: list[Ints] = []
    first = 0
    for part in comparisons:
        codes = np.arange(len(part.base)) if part.groups is None else part.groups
        clusters.append(first + codes)
        first += int(codes.max()) + 1
    return group_rows(np.concatenate(clusters), documents)


def _upwards(comparison: Comparison, scores: Floats) -> Floats:
    return scores if comparison.higher_is_better else 1 - scores


def _pooled_groups(comparisons: Sequence[Comparison]) -> Ints | None:
    """(rows,) equal for all scores of one sample or cluster of a task; None where each stands alone."""
    groups: list[Ints] = []
    tasks: dict[str, dict[Any, int]] = {}
    several = len({comparison.task for comparison in comparisons}) < len(comparisons)
    if not several and all(comparison.groups is None for comparison in comparisons):
        return None
    total = 0
    for comparison in comparisons:
        known = tasks.setdefault(comparison.task, {})
        keys = comparison.ids.tolist() if comparison.groups is None else comparison.groups.tolist()
        codes = np.empty(len(keys), np.int64)
        for at, key in enumerate(keys):
            code = known.get(key)
            if code is None:
                code = known[key] = total
                total += 1
            codes[at] = code
        groups.append(codes)
    return np.concatenate(groups)


def _noise_of(
    base: Log, repeat: Log, rules: Rules, metrics: set[str], seed: int, budgets: LogBudgets
) -> Mapping[str, Noise]:
    """By comparison what changed between two logs of the base."""
    measured = LogBudgets(measured=budgets.measured, ranges=budgets.ranges)
    again = _judge_runs(base, repeat, measured, replace(rules, looks=1, same_id="fail"), seed, None)
    noise = {}
    for comparison in again.comparisons:
        if comparison.name in metrics:
            noise[comparison.name] = Noise(
                comparison.worse + comparison.better, comparison.flips_share, comparison.judged
            )
    return noise


def quoted_samples(
    verdicts: LogVerdicts, limit: int = MOST_KEPT, *, better: bool = False
) -> list[QuotedSample]:
    """Samples that got worse: of the comparison that lost most first, each sample once.

    better: those that got better instead, of comparisons with a budget on both sides.
    """
    quoted: list[QuotedSample] = []
    seen: set[tuple[str, str]] = set()
    for comparison in verdicts.comparisons:
        if len(quoted) >= limit or comparison.samples is None:
            continue
        turned = comparison.won if better else comparison.lost
        pairs = [pair for pair in turned if min(pair) >= 0][: limit - len(quoted)]
        before = comparison.samples[0].quote(at for at, _ in pairs)
        after = comparison.samples[1].quote(at for _, at in pairs)
        for at, other in pairs:
            row, changed = before[at], after[other]
            if (comparison.task, row.id) not in seen:
                seen.add((comparison.task, row.id))
                quoted.append(QuotedSample(comparison.name, row.id, row, changed))
    return quoted


def outcomes_of(verdicts: LogVerdicts, *, of_base: bool) -> Outcomes:
    """All comparisons as one table of scores, in the order of their names.

    The column `comparison` is the number of the comparison in that order; ids are `NAME: ID`.
    """
    from slimgate.judge.score_metric import COMPARISON, SCORE

    ordered = by_name(verdicts)
    ids = [f"{comparison.name}: {key}" for comparison in ordered for key in comparison.ids.tolist()]
    scores = np.concatenate([comparison.base if of_base else comparison.target for comparison in ordered])
    numbers = np.repeat(np.arange(len(ordered)), [len(comparison.base) for comparison in ordered]).astype(
        np.float64
    )
    return Outcomes(
        np.array(ids, dtype=_ID),
        values={SCORE: scores, COMPARISON: numbers},
        given=(COMPARISON,),
        groups=_pooled_groups(ordered),
    )


def by_name(verdicts: LogVerdicts) -> list[Comparison]:
    """The comparisons in the order of their names."""
    return sorted(verdicts.comparisons, key=lambda comparison: comparison.name)
