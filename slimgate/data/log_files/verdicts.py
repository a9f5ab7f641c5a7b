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

from slimgate.data.log_files.budgets import POOLED, LogBudgets
from slimgate.data.log_files.columns import Samples
from slimgate.data.log_files.directions import (
    add_directions,
    check_directions_used,
    describe_unknown,
)
from slimgate.data.log_files.pairs import (
    Counts,
    PairedScores,
    PairedTask,
    Rules,
    comparison_name,
    pair_scores,
    pair_task,
    shared_tasks,
)
from slimgate.errors import DataError, SuiteError
from slimgate.judge.budget_kinds import QualityBudget, is_two_sided, measure_harm
from slimgate.judge.evidence import is_zero_or_one
from slimgate.judge.family import fails_within_family
from slimgate.judge.group_sequential import Look, look_at, look_rows
from slimgate.judge.quality import judge_quality
from slimgate.judge.score_metric import is_share, score_metric, score_outcomes
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Floats, Ints, Outcomes, Texts
from slimgate.samples import Log, Row

# Flipped samples that are kept of a comparison, to quote.
MOST_KEPT = 10
_LONGEST_ID = 64
_AT_ONCE = 500_000
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

    zero_one: a score is right or wrong, so that worse and better are flips. changed: other answers; None
    where the logs hold none. lost: positions of samples that got worse in both logs, the first ten. won: of
    those that got better, of a metric with a budget on both sides.
    base, target: (rows,) the scores; ids: of the samples; groups: as judged. differences: in words.
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
    samples: tuple[Samples, Samples] | None = None
    noise: Noise | None = None

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
class _Found:
    """What grows while tasks are judged."""

    comparisons: list[Comparison] = field(default_factory=list)
    names: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undirected: list[str] = field(default_factory=list)


def judge_logs(
    base: Log, target: Log, budgets: LogBudgets, rules: Rules, *, seed: int = 0, repeat: Log | None = None
) -> LogVerdicts:
    """Judges a target. repeat: a second log of the base, from which its own noise is measured.

    Raises DataError where the logs do not compare, SuiteError for budgets that cannot be judged.
    """
    tasks, lone = shared_tasks(base, target, rules)
    found = _Found(notes=[*base.notes, *target.notes, *lone])
    for task in tasks:
        for paired in pair_task(task, base, target, rules):
            found.notes += paired.differences
            found.comparisons += _task_comparisons(paired, budgets, rules, seed, found)
    budgets.check_used(found.names)
    check_directions_used(rules.directions, found.names)
    if found.undirected:
        unknown = describe_unknown(found.undirected)
        if not found.comparisons:
            raise SuiteError(unknown)
        found.notes.append(f"not compared: {unknown}")
    if not found.comparisons:
        raise DataError(f"{base.shown} and {target.shown}: nothing to judge")
    pooled = _pool(found.comparisons, budgets, seed) if budgets.pooled else None
    together = [*found.comparisons, *([pooled] if pooled else [])]
    looks = [_look_at(one, rules.looks) for one in together]
    judged = fails_within_family([one.judged for one in together], looks)
    found.notes += _describe_looks(together, looks)
    corrected = [replace(one, judged=found) for one, found in zip(together, judged, strict=True)]
    if repeat is not None:
        noise = _noise_of(base, repeat, rules, {one.name for one in corrected}, seed)
        corrected = [replace(one, noise=noise.get(one.name)) for one in corrected]
        found.notes += [f"base again: {repeat.shown}", *repeat.notes]
    alone = corrected[: len(found.comparisons)]
    ordered = sorted(
        alone, key=lambda comparison: -measure_harm(comparison.judged.drop_points, comparison.budgets)
    )
    return LogVerdicts(
        base=base,
        target=target,
        comparisons=tuple(ordered),
        pooled=corrected[-1] if pooled else None,
        notes=tuple(dict.fromkeys(found.notes)),
        tests=sum(len(one.judged.budgets) for one in corrected),
    )


def _look_at(one: Comparison, looks: int) -> Look | None:
    """The look that is due; None where the log is judged once. Raises DataError before the first."""
    if looks == 1:
        return None
    rows, planned = one.counts.judged, one.counts.judged + one.counts.not_run
    found = look_at(rows, planned, looks)
    if found is None:
        raise DataError(
            f"{one.name}: the target has {rows:,} of {planned:,} samples; the first of {looks} looks is at "
            f"{look_rows(planned, looks)[0]:,}"
        )
    return found


def _describe_looks(comparisons: Sequence[Comparison], looks: Sequence[Look | None]) -> list[str]:
    """A line for each number of samples at which there is a look."""
    named: dict[Look, list[str]] = {}
    for one, look in zip(comparisons, looks, strict=True):
        if look is not None:
            named.setdefault(look, []).append(one.name)
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


def _task_comparisons(
    paired: PairedTask, budgets: LogBudgets, rules: Rules, seed: int, found: _Found
) -> Iterator[Comparison]:
    """Raises SuiteError for a budget on metrics of which nobody says whether they are better when higher."""
    names = {metric: comparison_name(paired.task, paired.filter, metric) for metric in paired.metrics}
    found.names += [(name, paired.task, metric) for metric, name in names.items()]
    measured = {
        metric: name for metric, name in names.items() if budgets.is_measured(name, paired.task, metric)
    }
    paired = add_directions(paired, measured, rules.directions)
    unknown = {metric: name for metric, name in measured.items() if metric not in paired.higher_is_better}
    if any(budgets.pooled or budgets.of(name, paired.task, metric) for metric, name in unknown.items()):
        raise SuiteError(describe_unknown([*unknown.values()]))
    found.undirected += unknown.values()
    for metric, name in measured.items():
        if metric in unknown:
            continue
        scores = pair_scores(paired, metric, rules)
        yield _comparison(name, metric, paired, scores, budgets.of(name, paired.task, metric), seed)


def _comparison(
    name: str,
    metric: str,
    paired: PairedTask,
    scores: PairedScores,
    budgets: Sequence[QualityBudget],
    seed: int,
) -> Comparison:
    better = paired.higher_is_better[metric]
    ids = _ids(paired, scores)
    lost = scores.target < scores.base if better else scores.target > scores.base
    won = scores.target > scores.base if better else scores.target < scores.base
    worse, better_rows = _first_positions(scores, lost), _first_positions(scores, won)
    if not is_two_sided(budgets):
        better_rows = ()
    groups = None if scores.clusters is None else np.unique(scores.clusters, return_inverse=True)[1]
    zero_one = is_zero_or_one(scores.base) and is_zero_or_one(scores.target)
    return Comparison(
        name=name,
        task=paired.task,
        filter=paired.filter,
        metric=metric,
        higher_is_better=better,
        zero_one=zero_one,
        judged=_judge(
            name, ids, scores.base, scores.target, groups, better, budgets, seed, zero_one=zero_one
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
        samples=(_to_quote(paired.base), _to_quote(paired.target)) if worse or better_rows else None,
    )


def _first_positions(scores: PairedScores, turned: Bools) -> tuple[tuple[int, int], ...]:
    """In base and target, of the first samples that turned."""
    rows = np.flatnonzero(turned)[:MOST_KEPT]
    return tuple((int(scores.base_rows[at]), int(scores.target_rows[at])) for at in rows)


def _to_quote(samples: Samples) -> Samples:
    """The samples without their columns, so that these are freed: quoting reads the log again."""
    none, no_flags = np.empty(0, np.int64), np.empty(0, np.uint8)
    ids = pa.array([], pa.large_string())
    return Samples(ids, none, {}, {}, None, None, no_flags, no_flags, {}, samples.rows)


def _judge(
    name: str,
    ids: Texts,
    base: Floats,
    target: Floats,
    groups: Ints | None,
    better: bool,
    budgets: Sequence[QualityBudget],
    seed: int,
    *,
    zero_one: bool,
) -> QualityJudgement:
    metric = score_metric(name, higher_is_better=better, zero_one=zero_one, share=is_share(base, target))
    before, after = (score_outcomes(ids, one, groups, right=zero_one) for one in (base, target))
    try:
        return judge_quality(metric, before, after, budgets, seed=seed)
    except SuiteError as error:
        raise SuiteError(f"{name}: {error}") from error


def _ids(paired: PairedTask, scores: PairedScores) -> Texts:
    """(rows,) the ids, each at most 64 characters."""
    found = np.empty(len(scores.base), dtype=_ID)
    mine, theirs = scores.base_rows >= 0, scores.base_rows < 0
    for rows, at, samples in (
        (mine, scores.base_rows, paired.base),
        (theirs, scores.target_rows, paired.target),
    ):
        if rows.any():
            _fill(found, np.flatnonzero(rows), samples.ids, at)
    return cast(Texts, found)


def _fill(found: Any, rows: Ints, ids: pa.Array, at: Ints) -> None:
    """Some at a time: ten million Python texts take half a gigabyte."""
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        texts = pc.utf8_slice_codeunits(ids.take(pa.array(at[part])), 0, _LONGEST_ID)
        found[part] = texts.to_pylist()


def _answers_changed(paired: PairedTask, scores: PairedScores) -> int | None:
    if paired.base.answers is None or paired.target.answers is None:
        return None
    changed = 0
    for start in range(0, len(scores.base_rows), _AT_ONCE):
        rows, others = (one[start : start + _AT_ONCE] for one in (scores.base_rows, scores.target_rows))
        both = (rows >= 0) & (others >= 0)
        changed += int((paired.base.answers[rows[both]] != paired.target.answers[others[both]]).sum())
    return changed


def _pool(comparisons: Sequence[Comparison], budgets: LogBudgets, seed: int) -> Comparison:
    """All samples of all comparisons as one; the scores of one sample are one cluster.

    Raises DataError for scores that are not from 0 to 1, whose mean says nothing.
    """
    for one in comparisons:
        if not is_share(one.base, one.target):
            raise DataError(
                f"{one.name}: scores are not from 0 to 1, so they cannot be pooled; leave it out by --metric"
            )
    base = np.concatenate([_upwards(one, one.base) for one in comparisons])
    target = np.concatenate([_upwards(one, one.target) for one in comparisons])
    groups = _pooled_groups(comparisons)
    ids = cast(Texts, np.concatenate([one.ids for one in comparisons]))
    counts = {key: sum(getattr(one.counts, key) for one in comparisons) for key in Counts.__annotations__}
    zero_one = all(one.zero_one for one in comparisons)
    return Comparison(
        name=POOLED,
        task="",
        filter="",
        metric=POOLED,
        higher_is_better=True,
        zero_one=zero_one,
        judged=_judge(POOLED, ids, base, target, groups, True, budgets.pooled, seed, zero_one=zero_one),
        budgets=budgets.pooled,
        counts=Counts(**counts),
        worse=sum(one.worse for one in comparisons),
        better=sum(one.better for one in comparisons),
        changed=None,
        lost=(),
        won=(),
        base=base,
        target=target,
        ids=ids,
        groups=groups,
    )


def _upwards(one: Comparison, scores: Floats) -> Floats:
    return scores if one.higher_is_better else 1 - scores


def _pooled_groups(comparisons: Sequence[Comparison]) -> Ints | None:
    """(rows,) equal for all scores of one sample or cluster of a task; None where each stands alone."""
    found: list[Ints] = []
    tasks: dict[str, dict[Any, int]] = {}
    several = len({one.task for one in comparisons}) < len(comparisons)
    if not several and all(one.groups is None for one in comparisons):
        return None
    total = 0
    for one in comparisons:
        known = tasks.setdefault(one.task, {})
        keys = one.ids.tolist() if one.groups is None else one.groups.tolist()
        codes = np.empty(len(keys), np.int64)
        for at, key in enumerate(keys):
            code = known.get(key)
            if code is None:
                code = known[key] = total
                total += 1
            codes[at] = code
        found.append(codes)
    return np.concatenate(found)


def _noise_of(base: Log, repeat: Log, rules: Rules, wanted: set[str], seed: int) -> Mapping[str, Noise]:
    """By comparison what changed between two logs of the base."""
    again = judge_logs(base, repeat, LogBudgets(), replace(rules, looks=1), seed=seed)
    found = {}
    for one in again.comparisons:
        if one.name in wanted:
            found[one.name] = Noise(one.worse + one.better, one.flips_share, one.judged)
    return found


def quoted_samples(
    verdicts: LogVerdicts, most: int = MOST_KEPT, *, better: bool = False
) -> list[QuotedSample]:
    """Samples that got worse: of the comparison that lost most first, each sample once.

    better: those that got better instead, of comparisons with a budget on both sides.
    """
    found: list[QuotedSample] = []
    seen: set[tuple[str, str]] = set()
    for one in verdicts.comparisons:
        if len(found) >= most or one.samples is None:
            continue
        turned = one.won if better else one.lost
        pairs = [pair for pair in turned if min(pair) >= 0][: most - len(found)]
        before = one.samples[0].quote(at for at, _ in pairs)
        after = one.samples[1].quote(at for _, at in pairs)
        for at, other in pairs:
            row, changed = before[at], after[other]
            if (one.task, row.id) not in seen:
                seen.add((one.task, row.id))
                found.append(QuotedSample(one.name, row.id, row, changed))
    return found


def outcomes_of(verdicts: LogVerdicts, *, of_base: bool) -> Outcomes:
    """All comparisons as one table of scores, in the order of their names.

    The column `comparison` is the number of the comparison in that order; ids are `NAME: ID`.
    """
    from slimgate.judge.score_metric import COMPARISON, SCORE

    ordered = by_name(verdicts)
    ids = [f"{one.name}: {key}" for one in ordered for key in one.ids.tolist()]
    scores = np.concatenate([one.base if of_base else one.target for one in ordered])
    numbers = np.repeat(np.arange(len(ordered)), [len(one.base) for one in ordered]).astype(np.float64)
    return Outcomes(
        np.array(ids, dtype=_ID),
        values={SCORE: scores, COMPARISON: numbers},
        given=(COMPARISON,),
        groups=_pooled_groups(ordered),
    )


def by_name(verdicts: LogVerdicts) -> list[Comparison]:
    """The comparisons in the order of their names."""
    return sorted(verdicts.comparisons, key=lambda one: one.name)
