"""The verdict on two logs: every task, filter and metric judged on the samples of both.

One task is held at a time, and only its columns of numbers; see `columns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from slimgate.errors import DataError, SuiteError, list_names
from slimgate.judge.budget_kinds import measure_harm
from slimgate.judge.family import (
    InterimAnalysis,
    compute_analysis_rows,
    find_due_analysis,
    withhold_family_fails,
)
from slimgate.logs.answer_columns import read_answer_checks
from slimgate.logs.budgets import POOLED, LogBudgets
from slimgate.logs.compared_settings import describe_tools, describe_versions
from slimgate.logs.comparison_lines import (
    describe_equal_answers,
    describe_judges,
    describe_percent,
    describe_same_model,
    describe_unstated_settings,
)
from slimgate.logs.comparisons import Collected, Comparison, Noise, compare_task
from slimgate.logs.declared_ranges import find_declared_ranges
from slimgate.logs.directions import check_directions_used, describe_unknown
from slimgate.logs.large_gains import describe_large_gains
from slimgate.logs.models import choose_models, choose_repeat_model
from slimgate.logs.pairs import list_shared_tasks, pair_task
from slimgate.logs.pooled import pool_comparisons
from slimgate.logs.rules import Differences, Rules
from slimgate.logs.runs import choose_repeat, choose_runs
from slimgate.logs.same_run import check_repeat_rows, check_target_runs
from slimgate.logs.several_runs import convert_epochs_to_runs, describe_runs, number_epochs
from slimgate.logs.slice_budgets import read_slices
from slimgate.logs.slices import check_slices, list_sliced_fields, slice_comparison
from slimgate.outcomes import Floats, Ints, Texts
from slimgate.plugins.reader import Log

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


def _list_arrays(comparison: Comparison) -> list[Floats | Ints | Texts | None]:
    """The ids and scores, with the sizes and the scores of each run where there are any."""
    runs = comparison.runs
    arrays = [comparison.ids, comparison.base, comparison.target, comparison.sizes]
    return [*arrays, *((None, None) if runs is None else (runs.base, runs.target))]


def _is_equal(first: Floats | Ints | Texts | None, second: Floats | Ints | Texts | None) -> bool:
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


@dataclass(frozen=True, eq=False)
class LogVerdicts:
    """All comparisons of a target with the base, the largest drop first.

    With a budget on both sides the largest gain comes early too.

    pooled: over all samples, or None.
    notes: what was accepted or could not be compared.
    tests: how many budgets Holm's correction counts.
    slices: of the comparisons, in the same order.
    rules: the rules by which the logs were compared.
    accepted: the differences that the rules allow and the logs have.
    """

    base: Log
    target: Log
    comparisons: tuple[Comparison, ...]
    pooled: Comparison | None
    notes: tuple[str, ...]
    tests: int
    slices: tuple[Comparison, ...] = ()
    rules: Rules = field(default_factory=Rules)
    accepted: frozenset[str] = frozenset()

    @property
    def without_slices(self) -> tuple[Comparison, ...]:
        """The pooled comparison first, if there is one; then the comparisons."""
        return self.comparisons if self.pooled is None else (self.pooled, *self.comparisons)

    @property
    def with_slices(self) -> tuple[Comparison, ...]:
        """All that is judged: `without_slices`, then the slices."""
        return (*self.without_slices, *self.slices)


def judge_logs(
    base: Log,
    target: Log,
    budgets: LogBudgets,
    rules: Rules,
    *,
    seed: int = 0,
    repeat: Log | None = None,
) -> LogVerdicts:
    """Judges a target.

    repeat: a second log of the base, from which its own noise is measured.
    Raises DataError if the logs do not compare, with all that differs; SuiteError for budgets that cannot
    be judged.
    """
    has_models = bool(base.models or target.models or rules.models)
    base, target = choose_models(base, target, rules.models)
    named = f"base: {base.model} of {base.shown}; target: {target.model} of {target.shown}"
    base, target = choose_runs(base, target, rules.runs)
    _refuse_kept_base(target)
    check_target_runs(base, target)
    if repeat is not None:
        repeat = _choose_repeat(repeat, base, target, rules)
    verdicts = _judge_runs(base, target, budgets, rules, seed, repeat)
    return replace(verdicts, notes=(named, *verdicts.notes)) if has_models else verdicts


def _refuse_kept_base(target: Log) -> None:
    """Raises DataError for a report as the target: it has the log of its base, which would be judged."""
    for log in (target, *target.further):
        if log.is_kept_base:
            raise DataError(
                f"{log.shown}: a report keeps the log of its base and not of its target; give the "
                "target's own log, or compare two reports by `slimgate compare`"
            )


def _choose_repeat(repeat: Log, base: Log, target: Log, rules: Rules) -> Log:
    """The second log of the base, with one run of one model. Raises DataError if it shows no noise."""
    if base.further or target.further or rules.same_id == "runs":
        raise DataError(
            f"--repeat {repeat.shown}: several runs of a side were given, so the verdict already includes "
            "their noise; give this log as one more run of --base"
        )
    repeat = choose_repeat(choose_repeat_model(repeat, base, rules.models), base, rules.runs)
    if repeat.model is not None and repeat.model == target.model != base.model:
        raise DataError(
            f"--repeat {repeat.shown}: this is a log of {repeat.model}, the target's model; expected "
            f"a second log of the base {base.model or base.shown}"
        )
    check_repeat_rows(repeat, base, target)
    return repeat


def _judge_runs(
    base: Log, target: Log, budgets: LogBudgets, rules: Rules, seed: int, repeat: Log | None
) -> LogVerdicts:
    if rules.same_id == "runs":
        base, target = convert_epochs_to_runs(base), convert_epochs_to_runs(target)
    if rules.same_id == "epochs":
        base, target = number_epochs(base), number_epochs(target)
        repeat = None if repeat is None else number_epochs(repeat)
    rules = _complete_rules(base, target, budgets, rules)
    collected = _compare_logs(base, target, budgets, rules, seed)
    pooled = None
    if budgets.pooled:
        parts = _choose_first_metrics(collected.comparisons)
        collected.notes.append(
            f"{POOLED}: {name_comparisons(parts)}, of each task its first metric in the log"
        )
        pooled = pool_comparisons(parts, budgets, seed)
    family = [*collected.comparisons, *([pooled] if pooled else [])]
    analyses = [_find_log_analysis(comparison, rules.analyses) for comparison in family]
    corrected, tests = correct_failures(family, analyses, collected.notes)
    slices = correct_slices(collected.slices)
    collected.notes += _describe_analyses(family, analyses)
    if repeat is not None:
        noise = _measure_noise(base, repeat, rules, seed, budgets)
        corrected = [replace(comparison, noise=noise.get(comparison.name)) for comparison in corrected]
        collected.notes += [f"base again: {repeat.shown}", *repeat.notes]
    comparisons = corrected[: len(collected.comparisons)]
    notes = [*collected.notes, *_describe_comparisons(base, target, comparisons, slices)]
    return LogVerdicts(
        base=base,
        target=target,
        comparisons=_order_by_harm(comparisons),
        pooled=corrected[-1] if pooled else None,
        notes=tuple(dict.fromkeys(notes)),
        tests=tests,
        slices=_order_by_harm(slices),
        rules=rules,
        accepted=collected.accepted,
    )


def _complete_rules(base: Log, target: Log, budgets: LogBudgets, rules: Rules) -> Rules:
    """The rules with the slices and the checks of answers that budgets need. Raises SuiteError."""
    checks = read_answer_checks() if rules.checks is None and budgets.has_answer_metric else rules.checks
    if checks is not None and (base.further or target.further):
        raise SuiteError(
            "budgets on the length and faults of answers need one run of each side, but several were "
            "given; leave these budgets out, or give one run of each"
        )
    named = [limits.field for limits in budgets.slices if limits.field is not None]
    return replace(rules, slices=read_slices((*rules.slices, *named), rules.analyses), checks=checks)


def _compare_logs(base: Log, target: Log, budgets: LogBudgets, rules: Rules, seed: int) -> Collected:
    """Every task, filter, metric and slice, judged alone.

    Raises DataError if the logs do not compare or have nothing to judge, SuiteError for an option or a budget
    that nothing uses.
    """
    differences = Differences(
        (base.shown, target.shown), rules.allow, [*base.notes, *target.notes], describe_tools(base, target)
    )
    collected = Collected(notes=differences.notes)
    for task in list_shared_tasks(base, target, differences):
        ranges = find_declared_ranges(task, base, target)
        for paired in pair_task(task, base, target, rules, differences):
            paired = replace(paired, ranges={**paired.ranges, **ranges})
            fields = list_sliced_fields(paired, rules.slices, differences.notes)
            for comparison, scores in compare_task(paired, budgets, rules, seed, collected, differences):
                comparison = comparison if budgets.pooled else replace(comparison, documents=None)
                collected.comparisons.append(comparison)
                collected.slices += slice_comparison(comparison, scores, fields, budgets, seed)
    differences.check()
    collected.accepted = frozenset(differences.accepted)
    budgets.check_used(collected.keys)
    judged_keys = [comparison.key for comparison in collected.comparisons]
    check_slices(rules.slices, collected.slices, budgets, judged_keys, [*base.tasks.values()])
    check_directions_used(rules.directions, collected.keys)
    if collected.undirected:
        unknown = describe_unknown(collected.undirected)
        if not collected.comparisons:
            raise SuiteError(unknown)
        collected.notes.append(f"not compared: {unknown}")
    if not collected.comparisons:
        raise DataError(f"{base.shown} and {target.shown}: nothing to judge")
    return collected


def _describe_comparisons(
    base: Log, target: Log, comparisons: Sequence[Comparison], slices: Sequence[Comparison]
) -> list[str]:
    """Notes about what the verdicts do and do not show."""
    return [
        describe_runs(base, target, has_epochs=any(part.has_epochs for part in comparisons)),
        *describe_judges(comparisons, (base, target)),
        *describe_equal_answers(comparisons),
        *describe_same_model(base, target),
        *describe_unstated_settings(base, target),
        *describe_versions(base, target),
        *describe_large_gains((part.name, part.judged) for part in (*comparisons, *slices)),
        *describe_percent(comparisons),
    ]


def _order_by_harm(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The largest drop first; with a budget on both sides, the largest change."""
    return tuple(sorted(comparisons, key=lambda part: -measure_harm(part.judged.drop_points, part.budgets)))


def _choose_first_metrics(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The first comparison of each task in the order of its log: each document has only one pooled score."""
    first: dict[str, Comparison] = {}
    for comparison in comparisons:
        first.setdefault(comparison.task, comparison)
    return list(first.values())


def _find_log_analysis(comparison: Comparison, analyses: int) -> InterimAnalysis | None:
    """The analysis that is due; None if the log is judged once. Raises DataError before the first one."""
    if analyses == 1:
        return None
    rows, planned = comparison.counts.judged, comparison.counts.judged + comparison.counts.not_run
    analysis = find_due_analysis(rows, planned, analyses)
    if analysis is None:
        raise DataError(
            f"{comparison.name}: the target has {rows:,} of {planned:,} samples; the first of "
            f"{analyses} analyses is at {compute_analysis_rows(planned, analyses)[0]:,}"
        )
    return analysis


def _describe_analyses(
    comparisons: Sequence[Comparison], analyses: Sequence[InterimAnalysis | None]
) -> list[str]:
    """A line for each number of samples with an analysis."""
    named: dict[InterimAnalysis, list[str]] = {}
    for comparison, analysis in zip(comparisons, analyses, strict=True):
        if analysis is not None:
            named.setdefault(analysis, []).append(comparison.name)
    lines = []
    for analysis, names in named.items():
        planned = analysis.planned_rows
        due = (
            ""
            if analysis.number == analysis.total
            else f"; the next is at {compute_analysis_rows(planned, analysis.total)[analysis.number]:,}"
        )
        lines.append(
            f"analysis {analysis.number} of {analysis.total} at {analysis.rows:,} of {planned:,} samples of "
            f"{list_names(names, 3)}: PASS and FAIL at a level of "
            f"{100 * analysis.compute_level():.2g} %, not 5 %{due}"
        )
    return lines


def _measure_noise(
    base: Log, repeat: Log, rules: Rules, seed: int, budgets: LogBudgets
) -> Mapping[str, Noise]:
    """The changes between two logs of the base, by the name of the comparison."""
    measured = LogBudgets(measured=budgets.measured, ranges=budgets.ranges)
    again_rules = replace(rules, analyses=1, same_id="fail", slices=())
    again = _judge_runs(base, repeat, measured, again_rules, seed, None)
    return {
        comparison.name: Noise(
            comparison.worse + comparison.better, comparison.flips_share, comparison.judged
        )
        for comparison in again.comparisons
    }
