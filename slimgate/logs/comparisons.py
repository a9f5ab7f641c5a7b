"""One metric of one task under one filter: the scores of both logs, and the verdict on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pyarrow as pa

from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.evidence import is_zero_or_one
from slimgate.judge.named_scores import SHARE, Range, find_known_cap, find_known_range, is_bounded_range
from slimgate.judge.over_runs import RunScores
from slimgate.judge.quality import judge_quality
from slimgate.judge.score_metric import make_score_metric, make_score_outcomes
from slimgate.judge.unbounded import is_bounded
from slimgate.judge.verdict import QualityJudgement
from slimgate.logs.budgets import PERPLEXITY, ComparisonKey, LogBudgets, convert_points_to_growth
from slimgate.logs.changed_rows import (
    Positions,
    choose_quoted,
    count_changed_answers,
    find_worse_and_better,
    list_row_ids,
)
from slimgate.logs.columns import Samples
from slimgate.logs.declared_ranges import ScoreEnds, check_scores, list_scores
from slimgate.logs.directions import (
    add_directions,
    describe_contradictions,
    describe_unknown,
)
from slimgate.logs.judge_noise import JudgeNoise, measure_judge_noise
from slimgate.logs.pair_notes import format_place
from slimgate.logs.pairs import PairedTask
from slimgate.logs.passes import score_sample_passes
from slimgate.logs.row_groups import group_rows
from slimgate.logs.rules import Differences, Rules, prefix_place
from slimgate.logs.score_pairs import Counts, PairedScores, format_comparison_name, pair_scores
from slimgate.outcomes import Floats, Ints, Texts
from slimgate.plugins.reader import METRICS, CorpusKind


@dataclass(frozen=True, eq=False)
class Noise:
    """Two logs of the base, which show what changes by chance.

    flips, psi: samples whose score changed, and their share. judged: with the second log as the target.
    """

    flips: int
    psi: float
    judged: QualityJudgement

    def covers(self, drop_points: float) -> bool:
        """Whether a drop or gain is within the 90 % interval of the base compared with itself."""
        low, high = self.judged.interval or (0.0, 0.0)
        return abs(drop_points) <= max(abs(low), abs(high))


@dataclass(frozen=True)
class SliceOf:
    """The comparison that a slice is part of: the slice is the samples whose field has this value.

    is_named: whether its budgets name the slice, and are not the budgets of every slice.
    """

    name: str
    field: str
    value: str
    is_named: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreRows:
    """The scores of one metric as they are judged. Arrays are (rows,).

    name: of the comparison.
    zero_one: whether every score is right or wrong.
    ids: of the samples.
    base, target: the scores; for several runs, their means.
    groups: equal for rows that are judged together; None if each row is independent.
    score_range: None if it is not known, and for a figure of sums.
    cap: the most that a row counts for, if the range has an open end.
    sizes, corpus: for a figure of sums, its second sum, and how the figure is computed; None for a mean.
    runs: for several runs, the scores of each.
    """

    name: str
    higher_is_better: bool
    zero_one: bool
    ids: Texts
    base: Floats
    target: Floats
    groups: Ints | None
    score_range: Range | None = None
    cap: float | None = None
    sizes: Floats | None = None
    corpus: CorpusKind | None = None
    runs: RunScores | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(ScoreRows):
    """One metric of one task under one filter.

    worse, better: samples whose score fell and rose; flips, if scores are right or wrong.
    changed: samples with another answer; None if the logs hold no answers.
    lost: the first ten samples that got worse.
    won: the first ten samples that got better, for a metric with a budget on both sides.
    documents: (rows,) digests of the samples' questions, if all tasks are pooled.
    samples: of base and target, to quote rows from.
    noise: of the base compared with itself, if it was measured.
    slice_of: for a slice, the comparison that it is part of.
    length_in, contents: as in PairedTask.
    judge_noise: how much the scores of one answer differ, if it was scored again.
    has_epochs: whether several rows may be of one sample.
    same_as: the name of an earlier metric of the task with the same scores in both logs and the same budgets,
        so that totals count them once.
    """

    task: str
    filter: str
    metric: str
    judged: QualityJudgement
    budgets: tuple[QualityBudget, ...]
    counts: Counts
    worse: int
    better: int
    changed: int | None = None
    lost: Positions = ()
    won: Positions = ()
    documents: Ints | None = None
    samples: tuple[Samples, Samples] | None = None
    noise: Noise | None = None
    slice_of: SliceOf | None = None
    length_in: str | None = None
    judge_noise: JudgeNoise | None = None
    has_epochs: bool = False
    same_as: str | None = None
    contents: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> ComparisonKey:
        return ComparisonKey(self.name, self.task, self.metric)

    @property
    def flips_share(self) -> float:
        """The share of samples whose score changed."""
        return (self.worse + self.better) / self.counts.judged


@dataclass
class Collected:
    """The results so far while tasks are judged.

    keys: of all comparisons that the logs have.
    undirected: those that are not judged, because nothing says whether more is better.
    accepted: the differences of the logs that were accepted, as `Differences.accepted`.
    """

    comparisons: list[Comparison] = field(default_factory=list)
    slices: list[Comparison] = field(default_factory=list)
    keys: list[ComparisonKey] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undirected: list[ComparisonKey] = field(default_factory=list)
    accepted: frozenset[str] = frozenset()


def compare_task(
    paired: PairedTask,
    budgets: LogBudgets,
    rules: Rules,
    seed: int,
    collected: Collected,
    differences: Differences,
) -> Iterator[tuple[Comparison, PairedScores]]:
    """Compares a task. Once the logs are known not to compare, it judges nothing and collects differences.

    Raises SuiteError for a budget on metrics whose direction is not known.
    """
    keys = [_make_key(paired, metric) for metric in paired.metrics]
    collected.keys += keys
    _note_base_alone(paired, budgets, collected, differences)
    measured = [key for key in keys if budgets.is_measured(key)]
    paired = add_directions(paired, measured, rules.directions)
    unknown = [key for key in measured if key.metric not in paired.higher_is_better]
    if any(_has_budget(budgets, key) for key in unknown):
        raise SuiteError(describe_unknown(unknown))
    collected.undirected += unknown
    differences.notes += describe_contradictions(paired, measured, rules.directions)
    for key in measured:
        if key in unknown:
            continue
        ends = _find_ends(key, paired, budgets)
        scores = pair_scores(paired, key.metric, rules, differences, ends.ends)
        if scores is None or differences.has_refused:
            continue
        limits = budgets.select_budgets(key)
        if scores.sizes is not None and paired.corpus.get(key.metric) == PERPLEXITY:
            limits = convert_points_to_growth(key.name, limits, differences.notes)
        comparison = _make_comparison(key, paired, scores, ends, limits, seed)
        differences.notes += _describe_joined_samples(comparison, scores)
        yield comparison, scores
    yield from _compare_passes(paired, budgets, rules, seed, collected, differences)


def _find_ends(key: ComparisonKey, paired: PairedTask, budgets: LogBudgets) -> ScoreEnds:
    """The range of a metric: as the user declares it, else as the logs do, else by its name."""
    if (declared := budgets.find_range(key)) is not None:
        return ScoreEnds(declared, is_declared=True)
    return ScoreEnds(paired.ranges.get(key.metric) or find_known_range(key.metric), is_declared=False)


def _make_key(paired: PairedTask, metric: str) -> ComparisonKey:
    name = format_comparison_name(paired.task, paired.filter, metric)
    return ComparisonKey(name, paired.task, metric)


def _note_base_alone(
    paired: PairedTask, budgets: LogBudgets, collected: Collected, differences: Differences
) -> None:
    """Collects the metrics that only the base has scores of. Each that has a budget is a difference."""
    for metric in paired.base_alone:
        key = _make_key(paired, metric)
        collected.keys.append(key)
        if budgets.is_measured(key) and _has_budget(budgets, key):
            text = (
                "the base has scores of it, and the target has none: a scorer may have failed in every sample"
            )
            differences.add(METRICS, key.name, text)


def _has_budget(budgets: LogBudgets, comparison: ComparisonKey) -> bool:
    return bool(budgets.pooled or budgets.select_budgets(comparison))


def _compare_passes(
    paired: PairedTask,
    budgets: LogBudgets,
    rules: Rules,
    seed: int,
    collected: Collected,
    differences: Differences,
) -> Iterator[tuple[Comparison, PairedScores]]:
    """pass@k and pass^k of each metric of right and wrong, if a budget or --metric names them."""
    for pass_metric, metric in product(budgets.passes, paired.metrics):
        answers_key = _make_key(paired, metric)
        key = ComparisonKey(f"{answers_key.name}/{pass_metric.name}", paired.task, pass_metric.name)
        if not budgets.is_measured(key):
            continue
        known = add_directions(paired, [answers_key._replace(name=key.name)], rules.directions)
        if not known.higher_is_better.get(metric) or not _is_right_or_wrong(paired, metric):
            continue
        collected.keys.append(key)
        answers = pair_scores(known, metric, rules, differences)
        if answers is None or differences.has_refused:
            continue
        directed = replace(paired, higher_is_better={key.metric: True})
        scores = score_sample_passes(key.name, pass_metric, paired, answers)
        ends, limits = ScoreEnds(SHARE, is_declared=True), budgets.select_budgets(key)
        comparison = _make_comparison(key, directed, scores, ends, limits, seed)
        differences.notes += _describe_joined_samples(comparison, scores)
        yield comparison, scores


def _is_right_or_wrong(paired: PairedTask, metric: str) -> bool:
    sides = [
        samples.scores[metric] if samples.runs is None else samples.runs[metric]
        for samples in (paired.base, paired.target)
    ]
    return all(is_zero_or_one(scores[~np.isnan(scores)]) for scores in sides)


def _make_rows(key: ComparisonKey, paired: PairedTask, scores: PairedScores, ends: ScoreEnds) -> ScoreRows:
    higher_is_better = paired.higher_is_better[key.metric]
    ids = list_row_ids(paired, scores)
    corpus = None if scores.sizes is None else paired.corpus[key.metric]
    zero_one, score_range, cap = False, None, None
    if corpus is None:
        check_scores(key, ids, scores, ends, higher_is_better=higher_is_better)
        zero_one, score_range, cap = _find_scale(key.metric, scores, ends.ends)
    return ScoreRows(
        name=key.name,
        higher_is_better=higher_is_better,
        zero_one=zero_one,
        ids=ids,
        base=scores.base,
        target=scores.target,
        groups=group_rows(scores.clusters, scores.documents),
        score_range=score_range,
        cap=cap,
        sizes=scores.sizes,
        corpus=corpus,
        runs=scores.runs,
    )


def _make_comparison(
    key: ComparisonKey,
    paired: PairedTask,
    scores: PairedScores,
    ends: ScoreEnds,
    budgets: Sequence[QualityBudget],
    seed: int,
) -> Comparison:
    """Judges the scores of a metric. Raises DataError for a score outside of the range."""
    metric, rows = key.metric, _make_rows(key, paired, scores, ends)
    higher_is_better = rows.higher_is_better
    worse_and_better = find_worse_and_better(scores.base, scores.target, higher_is_better=higher_is_better)
    lost: Positions = ()
    won: Positions = ()
    if metric != ANSWER_LENGTH:  # a longer answer is not a worse one
        lost, won = choose_quoted(
            scores, worse_and_better, higher_is_better=higher_is_better, budgets=budgets
        )
    return Comparison(
        **vars(rows),
        task=paired.task,
        filter=paired.filter,
        metric=metric,
        judged=judge_scores(rows, budgets, seed),
        budgets=tuple(budgets),
        counts=scores.counts,
        worse=int(worse_and_better[0].sum()),
        better=int(worse_and_better[1].sum()),
        changed=count_changed_answers(paired, scores),
        lost=lost,
        won=won,
        documents=scores.documents,
        samples=(_drop_columns(paired.base), _drop_columns(paired.target)) if lost or won else None,
        length_in=paired.length_in if metric == ANSWER_LENGTH else None,
        has_epochs=paired.base.has_epochs,
        contents=paired.contents,
        judge_noise=measure_judge_noise(paired, metric) if metric in paired.metrics else None,
    )


def _find_scale(
    metric: str, scores: PairedScores, declared: Range | None
) -> tuple[bool, Range | None, float | None]:
    """Whether every score is right or wrong; the range, and the cap of a row if the range has an open end."""
    listed = (values for _, values in list_scores(scores))
    is_right_or_wrong = declared in (None, SHARE) and all(map(is_zero_or_one, listed))
    # means over runs may lie between
    zero_one = is_right_or_wrong and is_zero_or_one(scores.base) and is_zero_or_one(scores.target)
    score_range = SHARE if is_right_or_wrong else declared
    cap = find_known_cap(metric) if score_range is not None and not is_bounded_range(score_range) else None
    return zero_one, score_range, cap


def _describe_joined_samples(comparison: Comparison, scores: PairedScores) -> list[str]:
    """A line if groups have rows of several samples, because these have the same document."""
    if comparison.groups is None:
        return []
    rows, groups = len(comparison.groups), int(comparison.groups.max()) + 1
    if groups >= (rows if scores.clusters is None else len(np.unique(scores.clusters))):
        return []
    text = f"some of {rows:,} samples ask the same as others, so they count as {groups:,} groups"
    return [prefix_place(format_place(comparison.task, comparison.filter), text)]


def _drop_columns(samples: Samples) -> Samples:
    """The samples without their columns, so that these are freed: quoting reads the log again."""
    none, no_flags = np.empty(0, np.int64), np.empty(0, np.uint8)
    ids = pa.array([], pa.large_string())
    return Samples(ids, none, {}, {}, {}, None, None, no_flags, no_flags, {}, samples.rows)


def judge_scores(rows: ScoreRows, budgets: Sequence[QualityBudget], seed: int) -> QualityJudgement:
    """The verdict on the scores. Raises SuiteError for a budget that they cannot decide."""
    metric = make_score_metric(
        rows.name,
        higher_is_better=rows.higher_is_better,
        zero_one=rows.zero_one,
        score_range=rows.score_range,
        cap=rows.cap,
        corpus=rows.corpus,
    )
    before, after = (
        make_score_outcomes(rows.ids, scores, rows.groups, right=rows.zero_one, sizes=rows.sizes)
        for scores in (rows.base, rows.target)
    )
    try:
        return judge_quality(metric, before, after, budgets, seed=seed, runs=rows.runs)
    except SuiteError as error:
        has_cap = any(budget.cap is not None for budget in budgets)
        hint = "" if is_bounded(metric) or has_cap else f"; {metric.open_range}"
        raise SuiteError(f"{metric.name}: {error}{hint}") from error
