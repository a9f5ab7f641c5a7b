"""Budgets on the comparisons of two logs: one for all, by pattern, and one pooled over all samples.

[budgets]
"*" = { drop_points = 2.0 }
"gsm8k*" = { drop_points = 1.0 }       # of each kind, the last pattern that matches counts
[pooled]
drop_points = 0.5
[budgets.slices.category.medical]      # see slice_budgets
accuracy = { drop_points = 1.0 }
[ranges]
grade = [1, 10]                        # the lowest and the highest score of a metric, by pattern
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.errors import SuiteError, did_you_mean, list_names
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.named_scores import Range, check_range, parse_range
from slimgate.judge.pass_k import PassMetric
from slimgate.logs.answer_columns import ANSWER_METRICS, WHY_ABSENT
from slimgate.logs.slice_budgets import SLICES, SliceBudgets, read_slice_budgets

if TYPE_CHECKING:
    from slimgate.suite.variant_budgets import BudgetKey

_MOST_NAMED = 5
POOLED = "pooled"
RANGES = "ranges"
PERPLEXITY = "perplexity"
_POINTS, _GROWTH = "drop_points", "increase_relative"
# The names and patterns of a table of budgets, from the outside in.
Place = tuple[str, ...]
Limit = tuple[Place, QualityBudget]


class ComparisonKey(NamedTuple):
    """What a pattern matches: a comparison's name (`gsm8k/strict-match/exact_match`), task or metric."""

    name: str
    task: str
    metric: str

    def is_matched_by(self, pattern: str) -> bool:
        """Whether a shell pattern matches the name, the task or the metric."""
        return any(fnmatchcase(text, pattern) for text in self)

    def is_limited_by(self, pattern: str) -> bool:
        """Whether a budget with this pattern is on the comparison.

        A pattern must name a metric that slimgate makes of the answers.
        """
        is_named = self.metric not in ANSWER_METRICS or pattern.endswith(self.metric)
        return is_named and self.is_matched_by(pattern)


@dataclass(frozen=True)
class LogBudgets:
    """The budgets on the comparisons of two logs.

    patterns: shell patterns of a ComparisonKey, each with its budgets.
    pooled: on all samples at once.
    measured: patterns of the comparisons that are judged; empty: all are.
    ranges: patterns with the lowest and the highest score that the user declares.
    slices: budgets on slices of comparisons.
    """

    patterns: tuple[tuple[str, tuple[QualityBudget, ...]], ...] = ()
    pooled: tuple[QualityBudget, ...] = ()
    measured: tuple[str, ...] = ()
    ranges: tuple[tuple[str, Range], ...] = ()
    slices: tuple[SliceBudgets, ...] = ()

    def select_budgets(self, comparison: ComparisonKey) -> tuple[QualityBudget, ...]:
        """The budgets of a comparison: of each kind, that of the last pattern that matches.

        A pattern with another kind of budget adds to the ones before it. If it replaced them, a floor for all
        metrics would remove every limit on a drop.
        """
        return keep_last_of_kind(budget for _, budget in self._list_limits(comparison))

    def _list_limits(self, comparison: ComparisonKey) -> Iterator[tuple[str, QualityBudget]]:
        """(pattern, budget) of each budget on a comparison, in the order of the file."""
        for pattern, budgets in self.patterns:
            if comparison.is_limited_by(pattern):
                yield from ((pattern, budget) for budget in budgets)

    def find_deciding_pattern(self, comparison: ComparisonKey, kind: str) -> str | None:
        """The last pattern that matches a comparison and has a budget of this kind; None if there is none."""
        patterns = [pattern for pattern, budget in self._list_limits(comparison) if budget.kind == kind]
        return patterns[-1] if patterns else None

    def select_slice_budgets(self, comparison: ComparisonKey, field: str, value: str) -> SliceBudgets | None:
        """The budgets of the slice of a comparison whose `field` has this value; None if there are none.

        Of each kind, budgets that name the field of the slice count before those of every slice. Of several,
        the last counts.
        """
        tables = self.list_slice_tables(comparison, field, value)
        if not tables:
            return None
        return replace(
            tables[-1], budgets=keep_last_of_kind(budget for table in tables for budget in table.budgets)
        )

    def list_slice_tables(self, comparison: ComparisonKey, field: str, value: str) -> list[SliceBudgets]:
        """The tables of a slice of a comparison, the deciding ones last."""
        matching = [
            budgets
            for budgets in self.slices
            if budgets.is_on(field, value) and comparison.is_limited_by(budgets.pattern)
        ]
        return sorted(matching, key=lambda budgets: budgets.field is not None)

    def find_range(self, comparison: ComparisonKey) -> Range | None:
        """The range that the user declares for a comparison: by the last pattern that matches, or None."""
        declared = [ends for pattern, ends in self.ranges if comparison.is_matched_by(pattern)]
        return declared[-1] if declared else None

    def is_measured(self, comparison: ComparisonKey) -> bool:
        """Whether a comparison is judged."""
        return not self.measured or any(map(comparison.is_matched_by, self.measured))

    def with_length(self, longest: float | None, shortest: float | None) -> LogBudgets:
        """A copy with limits of the length of answers, as multiples of the base's; None: no limit."""
        limits = {"length_ratio_max": longest, "length_ratio_min": shortest}
        budgets = tuple(QualityBudget(kind, limit) for kind, limit in limits.items() if limit is not None)
        if not budgets:
            return self
        measured = (*self.measured, ANSWER_LENGTH) if self.measured else ()
        return replace(self, patterns=(*self.patterns, (ANSWER_LENGTH, budgets)), measured=measured)

    @property
    def has_limit(self) -> bool:
        """Whether anything is limited."""
        return bool(self.patterns or self.pooled or self.slices)

    @property
    def limits(self) -> dict[BudgetKey, float]:
        """The limits by the path of their table in [budgets], and by kind; without those of [pooled]."""
        tables = {**dict(self.patterns), **{limits.key: limits.budgets for limits in self.slices}}
        return {(name, budget.kind): budget.limit for name, budgets in tables.items() for budget in budgets}

    def with_target(self, target: LogBudgets, off: Mapping[BudgetKey, str]) -> LogBudgets:
        """A copy with the budgets of one target, each in place of the common budget of its table and kind.

        off: the keys of the common budgets that the target switches off.
        """
        from slimgate.suite.variant_budgets import merge_budgets

        patterns = merge_budgets(dict(self.patterns), dict(target.patterns), off)
        slices = {limits.key: limits for limits in (*self.slices, *target.slices)}
        of_slices = merge_budgets(
            {limits.key: limits.budgets for limits in self.slices},
            {limits.key: limits.budgets for limits in target.slices},
            off,
        )
        return replace(
            self,
            patterns=tuple(patterns.items()),
            slices=tuple(replace(slices[key], budgets=budgets) for key, budgets in of_slices.items()),
        )

    @property
    def _all_patterns(self) -> list[str]:
        """The patterns of budgets, and of the comparisons that are judged."""
        of_budgets = [pattern for pattern, _ in self.patterns]
        return [*of_budgets, *(limits.pattern for limits in self.slices), *self.measured]

    @property
    def has_answer_metric(self) -> bool:
        """Whether a pattern names a metric that slimgate makes of the answers."""
        return any(pattern.endswith(ANSWER_METRICS) for pattern in self._all_patterns)

    @property
    def passes(self) -> list[PassMetric]:
        """The pass@k and pass^k that a budget or a pattern names, such as `pass^3` or `gsm8k*/pass^3`."""
        named = (PassMetric.parse(pattern.rpartition("/")[2]) for pattern in self._all_patterns)
        return list(dict.fromkeys(metric for metric in named if metric is not None))

    def check_used(self, comparisons: Sequence[ComparisonKey]) -> None:
        """Raises SuiteError for a pattern that matches no comparison, and for a budget that decides none."""
        for pattern in (*(pattern for pattern, _ in (*self.patterns, *self.ranges)), *self.measured):
            if not any(key.is_matched_by(pattern) for key in comparisons):
                known = [key.name for key in comparisons]
                why = next((why for metric, why in WHY_ABSENT.items() if pattern.endswith(metric)), None)
                if why is not None:
                    raise SuiteError(f'no comparison matches "{pattern}": {why}')
                hint = did_you_mean(pattern, {text for key in comparisons for text in key})
                if PassMetric.parse(pattern.rpartition("/")[2]) is not None:
                    hint = "; it is of metrics with scores of 0 and 1 that are better when higher"
                raise SuiteError(
                    f'no comparison matches "{pattern}"; available: {list_names(known, _MOST_NAMED)}{hint}'
                )
        self._check_decides(comparisons)

    def _check_decides(self, comparisons: Sequence[ComparisonKey]) -> None:
        """Raises SuiteError for a budget that later patterns replace in every comparison."""
        by_comparison = [
            [((pattern,), budget) for pattern, budget in self._list_limits(key)]
            for key in comparisons
            if self.is_measured(key)
        ]
        for (pattern,), budget, ((later,), other) in find_replaced(by_comparison):
            raise SuiteError(
                f'"{pattern}" {budget.kind} = {budget.limit:g} decides no comparison: "{later}" comes later '
                f"and has {other.kind} = {other.limit:g} for all of them; write the narrower pattern last, "
                "or leave one out"
            )


def keep_last_of_kind(budgets: Iterable[QualityBudget]) -> tuple[QualityBudget, ...]:
    """The last budget of each kind, in the order in which they come."""
    last: dict[str, QualityBudget] = {}
    for budget in budgets:
        last.pop(budget.kind, None)
        last[budget.kind] = budget
    return tuple(last.values())


def find_replaced(by_comparison: Sequence[Sequence[Limit]]) -> Iterator[tuple[Place, QualityBudget, Limit]]:
    """The budgets that decide nothing, each with one that replaces it.

    by_comparison: for each comparison or slice, its budgets; the last of a kind decides. A default is not
    replaced by exceptions from it, even if there is an exception for everything that is judged. A wider
    pattern is a default, because the same file may be for logs with more metrics.
    """
    replacing: dict[Limit, Limit | None] = {}
    for limits in by_comparison:
        last = {budget.kind: (place, budget) for place, budget in limits}
        for limit in limits:
            decides = last[limit[1].kind]
            if decides == limit or _is_exception(decides[0], limit[0]):
                replacing[limit] = None
            else:
                replacing.setdefault(limit, decides)
    for (place, budget), decides_instead in replacing.items():
        if decides_instead is not None:
            yield place, budget, decides_instead


def _is_exception(place: Place, default: Place) -> bool:
    """Whether a table is an exception from an earlier one, which is for everything (`*`) or for more."""
    if len(place) > len(default):  # of a named slice, from every slice
        return True
    pairs = [(name, other) for name, other in zip(place, default, strict=True) if name != other]
    return bool(pairs) and all(
        _is_wider_pattern(other, name) and not _is_wider_pattern(name, other) for name, other in pairs
    )


def _is_wider_pattern(pattern: str, other: str) -> bool:
    """Whether a pattern of names, tasks or metrics matches everything that another matches."""
    text = other.replace("*", "\0\0")  # a ? matches one character and no *
    return any(fnmatchcase(text, wider) for wider in (pattern, f"{pattern}/*", f"*/{pattern}"))


def make_drop_budgets(
    metrics: Sequence[str],
    points: Sequence[float],
    pooled: float | None,
    equivalent: Sequence[float] = (),
    of_slices: float | None = None,
) -> LogBudgets:
    """The budgets of a command line: a limit of each kind for each metric pattern in order, or for all.

    metrics: patterns; empty: all metrics. points, equivalent: the limits of --drop-points and
    --equivalent-points. pooled: points that all samples together may lose. of_slices: points that every slice
    may lose. Raises SuiteError if the numbers of limits and metrics differ.
    """
    tables = list_limits_by_metric(metrics or ["*"], points, equivalent)
    patterns = [
        (name, tuple(QualityBudget(kind, limit) for kind, limit in limits.items()))
        for name, limits in tables.items()
    ]
    of_pool = () if pooled is None else (QualityBudget(_POINTS, pooled),)
    slices = () if of_slices is None else (SliceBudgets("*", (QualityBudget(_POINTS, of_slices),)),)
    return LogBudgets(tuple(patterns), of_pool, tuple(metrics), slices=slices)


def list_limits_by_metric(
    metrics: Sequence[str], points: Sequence[float], equivalent: Sequence[float]
) -> dict[str, dict[str, float]]:
    """The --drop-points and --equivalent-points of each metric; metrics without a limit are left out.

    Each kind has a limit for each metric in order, or one for all. Raises SuiteError for other numbers of
    limits, and for a metric that is named twice.
    """
    if repeated := next((metric for metric in metrics if metrics.count(metric) > 1), None):
        raise SuiteError(f"--metric {repeated} was given twice, expected each metric once")
    stated: dict[str, Sequence[float]] = {_POINTS: points, "equivalent_points": equivalent}
    limits: dict[str, dict[str, float]] = {}
    for kind, values in stated.items():
        if values and len(values) not in (1, len(metrics)):
            flag = f"--{kind.replace('_', '-')}"
            raise SuiteError(
                f"{len(values)} {flag} for {len(metrics)} --metric, expected one value for each metric, in "
                "order, or one value for all"
            )
        each = [*values] * len(metrics) if len(values) == 1 else values
        for metric, limit in zip(metrics, each, strict=False):
            limits.setdefault(metric, {})[kind] = limit
    return limits


def parse_range_options(stated: Sequence[str]) -> tuple[tuple[str, Range], ...]:
    """Reads each `--range NAME=LOW:HIGH`: the pattern, and the two ends. Raises SuiteError."""
    ranges: dict[str, Range] = {}
    for text in stated:
        pattern, equals, ends = text.rpartition("=")
        try:
            if not equals or not pattern:
                raise ValueError(f"{text!r} was given, expected NAME=LOW:HIGH such as grade=1:10")
            if pattern in ranges:
                raise ValueError(f"{pattern} was given twice, expected each name once")
            ranges[pattern] = parse_range(ends)
        except ValueError as error:
            raise SuiteError(f"--range {text}: {error}") from None
    return tuple(ranges.items())


def read_ranges(data: Mapping[str, object], shown: str) -> tuple[tuple[str, Range], ...]:
    """Reads the table [ranges] of `data`: the pattern, and the two ends. Raises SuiteError."""
    stated = data.get(RANGES, {})
    if not isinstance(stated, Mapping):
        raise SuiteError(f"{shown} [{RANGES}]: expected a table such as grade = [1, 10]")
    ranges = []
    for pattern, ends in stated.items():
        where = f'{shown} [{RANGES}] "{pattern}"'
        if not isinstance(pattern, str):
            raise SuiteError(f"{where}: a name of type {type(pattern).__name__} was given, expected a text")
        is_pair = isinstance(ends, list | tuple) and len(ends) == 2
        if not is_pair or not all(type(end) in (int, float) for end in ends):
            raise SuiteError(f"{where}: {ends!r} was given, expected [LOW, HIGH] such as [1, 10]")
        try:
            ranges.append((pattern, check_range(float(ends[0]), float(ends[1]), str(ends))))
        except ValueError as error:
            raise SuiteError(f"{where}: {error}") from None
    return tuple(ranges)


def parse_budget_tables(data: Mapping[str, object], shown: str) -> LogBudgets:
    """Reads the tables [budgets], [pooled] and [ranges]. Raises SuiteError."""
    stated = data.get("budgets", {})
    if not isinstance(stated, Mapping):
        raise SuiteError(f"{shown} budgets: {stated!r} was given, expected a table [budgets]")
    slices = read_slice_budgets(stated[SLICES], shown, read_limits) if SLICES in stated else ()
    patterns = tuple(
        (name, read_limits(value, f'{shown} [budgets] "{name}"'))
        for name, value in stated.items()
        if name != SLICES
    )
    pooled = read_limits(data[POOLED], f"{shown} [{POOLED}]") if POOLED in data else ()
    return LogBudgets(patterns, pooled, ranges=read_ranges(data, shown), slices=slices)


def read_limits(value: object, shown: str) -> tuple[QualityBudget, ...]:
    """Reads a table of limits on a metric. Raises SuiteError."""
    from pydantic import ValidationError

    from slimgate.judge.budget_tables import QualityBudgetTable
    from slimgate.suite.errors import convert_validation_error

    if not isinstance(value, Mapping):
        raise SuiteError(f"{shown}: {value!r} was given, expected a table such as {{ drop_points = 2.0 }}")
    if value and all(isinstance(limit, Mapping) for limit in value.values()):
        raise SuiteError(
            f"{shown} holds tables ({list_names(list(value), _MOST_NAMED)}), expected the limits of a "
            f"metric; the tables of tables are [budgets.{SLICES}] and [budgets.variants.NAME]"
        )
    try:
        parsed = QualityBudgetTable.model_validate(value)
    except ValidationError as error:
        raise convert_validation_error(error, shown, value) from None
    if parsed.over == "builds":
        raise SuiteError(
            f'{shown} over = "builds" was given, but logs come from one build of each model; leave it out'
        )
    return parsed.make_budgets()


def convert_points_to_growth(
    name: str, budgets: Sequence[QualityBudget], notes: list[str]
) -> tuple[QualityBudget, ...]:
    """Budgets on a perplexity, with drop_points as percent of its growth. Adds a line to `notes` for each.

    A perplexity has no points, but a limit for all metrics may be in points. A later budget on its growth
    replaces such a limit, and a limit in points an earlier budget on its growth.
    """
    growths = [
        replace(budget, kind=_GROWTH, limit=budget.limit / 100) if budget.kind == _POINTS else budget
        for budget in budgets
    ]
    last_of_kind = keep_last_of_kind(growths)
    for budget, growth in zip(budgets, growths, strict=True):
        if budget.kind == _POINTS and growth in last_of_kind:
            notes.append(
                f"{name}: a perplexity has no points, so {_POINTS} {budget.limit:g} is a growth of "
                f"{budget.limit:g} %: {_GROWTH} = {budget.limit / 100:g}"
            )
    return last_of_kind
