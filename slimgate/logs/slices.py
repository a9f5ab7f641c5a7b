"""Slices of a comparison: the samples that share a value of a field, each judged as a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from slimgate.errors import DataError, SuiteError, did_you_mean, list_names
from slimgate.judge.over_runs import RunScores
from slimgate.logs.budgets import (
    PERPLEXITY,
    ComparisonKey,
    Limit,
    LogBudgets,
    convert_points_to_growth,
    find_replaced,
)
from slimgate.logs.changed_rows import find_worse_and_better, shorten_id
from slimgate.logs.comparisons import Comparison, SliceOf, judge_scores
from slimgate.logs.pair_notes import ALL_SAMPLES
from slimgate.logs.pairs import PairedTask
from slimgate.logs.sample_fields import Field, Value, list_fields
from slimgate.logs.score_pairs import Counts, PairedScores
from slimgate.logs.slice_budgets import SLICES, SliceBudgets
from slimgate.outcomes import Ints
from slimgate.plugins.reader import TaskLog

# A field of numbers with more values than this is cut into four ranges of as many samples each.
_MOST_NUMBERS = 12
_QUARTERS = ("q1", "q2", "q3", "q4")
# A field with more values identifies samples instead of classifying them.
_MOST_VALUES = 300
_MOST_NAMED = 12
_ABSENT = -1


@dataclass(frozen=True, eq=False)
class SlicedField:
    """A field of one task in both logs. codes: (samples,) of base and target, -1 if absent.

    labels: by code, the slices of a sample with this value.
    """

    name: str
    base_codes: Ints
    target_codes: Ints
    labels: Sequence[tuple[str, ...]]

    def group_positions(self, scores: PairedScores) -> dict[str, Ints]:
        """The positions in the scores by value. The base's value counts; without one, the target's."""
        codes = _take(self.base_codes, scores.base_rows)
        codes = np.where(codes == _ABSENT, _take(self.target_codes, scores.target_rows), codes)
        places: dict[str, list[Ints]] = {}
        for code in np.unique(codes[codes != _ABSENT]).tolist():
            for label in self.labels[code]:
                places.setdefault(label, []).append(np.flatnonzero(codes == code))
        return {label: np.sort(np.concatenate(parts)) for label, parts in sorted(places.items())}


def _take(codes: Ints, rows: Ints) -> Ints:
    """(rows,) codes; -1 if a log lacks the sample."""
    return np.where(rows >= 0, codes[rows], _ABSENT)


def list_sliced_fields(paired: PairedTask, names: Sequence[str], notes: list[str]) -> list[SlicedField]:
    """The requested fields that a task has. notes: gets ranges, samples without the field, and differences.

    Raises DataError for a field that has as many values as there are samples.
    """
    fields: list[SlicedField] = []
    for name in names:
        before, after = paired.base.fields[name], paired.target.fields[name]
        if before.values or after.values:
            fields.append(_join_field(name, paired, before, after, notes))
        else:
            notes.append(f"{paired.task or ALL_SAMPLES}: no sample has the field {name}, so it has no slices")
    return fields


def _join_field(name: str, paired: PairedTask, before: Field, after: Field, notes: list[str]) -> SlicedField:
    where = f"{paired.task or ALL_SAMPLES}, slices by {name}"
    values: list[Value] = [*before.values, *after.values]
    target_codes = np.where(after.codes == _ABSENT, _ABSENT, after.codes + len(before.values))
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) == len(values) and len(set(numbers)) > _MOST_NUMBERS:
        known = (
            before.codes[before.codes != _ABSENT] if len(before.values) else target_codes[target_codes >= 0]
        )
        labels, quarters = _cut_into_quarters(numbers, known)
        notes.append(f"{where}: {quarters}")
    else:
        labels = [
            tuple(map(_shorten, value)) if isinstance(value, tuple) else (_shorten(value),)
            for value in values
        ]
    names = {label for of_value in labels for label in of_value}
    if len(names) > _MOST_VALUES:
        raise DataError(
            f"{where}: it has {len(names):,} values, such as {', '.join(sorted(names)[:3])}; expected at "
            f"most {_MOST_VALUES}: choose a field that many samples share"
        )
    sliced = SlicedField(name, before.codes, target_codes, labels)
    notes += _describe_rows(where, sliced, paired)
    return sliced


def _cut_into_quarters(numbers: Sequence[float], codes: Ints) -> tuple[list[tuple[str, ...]], str]:
    """The quarter of each number, and a text with the ends. codes: (samples,) places in `numbers`."""
    edges = np.quantile(np.array(numbers)[codes], (0.25, 0.5, 0.75), method="inverted_cdf")
    labels: list[tuple[str, ...]] = [
        (_QUARTERS[quarter],) for quarter in np.searchsorted(edges, numbers, side="left")
    ]
    ends = zip(_QUARTERS, edges.tolist(), strict=False)
    first_quarters = ", ".join(f"{quarter} up to {edge:.15g}" for quarter, edge in ends)
    return labels, f"{first_quarters}, {_QUARTERS[-1]} above"


def _shorten(value: float | str) -> str:
    return shorten_id(f"{value:.15g}" if isinstance(value, float) else " ".join(value.split()))


def _describe_rows(where: str, sliced: SlicedField, paired: PairedTask) -> Iterator[str]:
    """A line on samples without the field, and one on samples with another value in the other log."""
    before = sliced.base_codes[paired.base_rows]
    after = sliced.target_codes[paired.target_rows]
    if absent := int(((before == _ABSENT) & (after == _ABSENT)).sum()):
        yield f"{where}: {absent:,} of {len(before):,} samples do not have it, so they are in no slice"
    in_both = (before != _ABSENT) & (after != _ABSENT)
    pairs = np.unique(np.stack([before[in_both], after[in_both]], axis=1), axis=0, return_counts=True)
    differing = sum(
        count
        for (code, other), count in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True)
        if sliced.labels[code] != sliced.labels[other]
    )
    if differing:
        yield f"{where}: {differing:,} samples have another value in the target's log; the base's counts"


def slice_comparison(
    comparison: Comparison,
    scores: PairedScores,
    fields: Sequence[SlicedField],
    budgets: LogBudgets,
    seed: int,
) -> Iterator[Comparison]:
    """Each slice of a comparison as a comparison."""
    for field in fields:
        for value, rows in field.group_positions(scores).items():
            limits = budgets.select_slice_budgets(comparison.key, field.name, value)
            yield _judge_slice(comparison, field.name, value, rows, limits, seed)


def _judge_slice(
    comparison: Comparison, field: str, value: str, rows: Ints, limits: SliceBudgets | None, seed: int
) -> Comparison:
    name = f"{comparison.name}[{field}={value}]"
    runs = comparison.runs and RunScores(comparison.runs.base[:, rows], comparison.runs.target[:, rows])
    part = replace(
        comparison,
        name=name,
        counts=Counts(judged=len(rows)),
        base=comparison.base[rows],
        target=comparison.target[rows],
        ids=comparison.ids[rows],
        groups=None if comparison.groups is None else comparison.groups[rows],
        sizes=None if comparison.sizes is None else comparison.sizes[rows],
        runs=runs,
        slice_of=SliceOf(comparison.name, field, value, limits is not None and limits.field is not None),
        # only for all samples: quotes, counts and further measurements
        changed=None,
        lost=(),
        won=(),
        documents=None,
        samples=None,
        noise=None,
        judge_noise=None,
        has_epochs=False,
    )
    budgets = () if limits is None else limits.budgets
    if part.corpus == PERPLEXITY:  # the note is at the comparison of all samples
        budgets = convert_points_to_growth(name, budgets, [])
    worse, better = find_worse_and_better(part.base, part.target, higher_is_better=part.higher_is_better)
    return replace(
        part,
        judged=judge_scores(part, budgets, seed),
        budgets=budgets,
        worse=int(worse.sum()),
        better=int(better.sum()),
    )


def check_slices(
    names: Sequence[str],
    slices: Sequence[Comparison],
    budgets: LogBudgets,
    comparisons: Sequence[ComparisonKey],
    tasks: Sequence[TaskLog],
) -> None:
    """Raises SuiteError for a field that no sample has, and for budgets without a slice.

    comparisons: all that are judged. tasks: of the base, to list its fields.
    """
    if budgets.slices and not names:
        raise SuiteError(
            "budgets on slices were given, but no field to slice by; name it with --slice ([logs] "
            f"slices); {_describe_fields(tasks)}"
        )
    values: dict[str, dict[str, None]] = {name: {} for name in names}
    for part in slices:
        assert part.slice_of is not None
        values[part.slice_of.field][part.slice_of.value] = None
    for name, of_field in values.items():
        if not of_field:
            known = list_fields(tasks)
            raise SuiteError(
                f"--slice {name}: no sample has this field; {_describe_fields(tasks)}"
                f"{did_you_mean(name, known)}"
            )
    for limits in budgets.slices:
        _check_pattern(limits, comparisons)
        if not any(
            part.slice_of and limits.is_on(part.slice_of.field, part.slice_of.value) for part in slices
        ):
            known = [*values[limits.field or names[0]]]
            raise SuiteError(
                f"[budgets.{limits.shown}]: no sample has this value; the values of {limits.field} are "
                f"{list_names(known, _MOST_NAMED)}{did_you_mean(limits.value or '', known)}"
            )
    _check_decide(slices, budgets)


def _check_pattern(limits: SliceBudgets, comparisons: Sequence[ComparisonKey]) -> None:
    """Raises SuiteError for a budget whose pattern matches no comparison."""
    if not any(key.is_matched_by(limits.pattern) for key in comparisons):
        known = [key.name for key in comparisons]
        raise SuiteError(
            f'[budgets.{limits.shown}] no comparison matches "{limits.pattern}"; there are '
            f"{list_names(known, _MOST_NAMED)}{did_you_mean(limits.pattern, known)}"
        )


def _check_decide(slices: Sequence[Comparison], budgets: LogBudgets) -> None:
    """Raises SuiteError for a budget that later tables replace in every slice."""
    by_slice: list[list[Limit]] = []
    for part in slices:
        assert part.slice_of is not None
        sliced = part.key._replace(name=part.slice_of.name)
        tables = budgets.list_slice_tables(sliced, part.slice_of.field, part.slice_of.value)
        by_slice.append([(table.place, budget) for table in tables for budget in table.budgets])
    for place, budget, (later, other) in find_replaced(by_slice):
        raise SuiteError(
            f"[budgets.{SLICES}] {'.'.join(place)} {budget.kind} = {budget.limit:g} decides no slice: "
            f"{'.'.join(later)} comes later and has {other.kind} = {other.limit:g} for all of them; write "
            "the narrower table last, or leave one out"
        )


def _describe_fields(tasks: Sequence[TaskLog]) -> str:
    """The fields that samples have, such as `the samples have category, language`."""
    known = list_fields(tasks)
    return (
        f"the samples have {list_names(known, _MOST_NAMED)}"
        if known
        else "the log has no fields of its samples"
    )
