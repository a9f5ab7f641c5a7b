"""Budgets on slices of judged logs: on every slice, and on slices that a file names.

[budgets.slices]
accuracy = { drop_points = 5.0 }            # every slice; by pattern of a comparison's name, task or metric
[budgets.slices.category.medical]
accuracy = { drop_points = 1.0 }            # replaces the limit of every slice
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget

SLICES = "slices"
_EXAMPLE = "[budgets.slices.category.medical] accuracy = { drop_points = 1.0 }"
ReadLimits = Callable[[object, str], tuple[QualityBudget, ...]]


@dataclass(frozen=True)
class SliceBudgets:
    """Limits of slices. pattern: of a comparison's name, task or metric.

    field, value: of the named slices, value as a shell pattern; both None: every slice.
    """

    pattern: str
    budgets: tuple[QualityBudget, ...]
    field: str | None = None
    value: str | None = None

    @property
    def key(self) -> str:
        """The path of its table in [budgets]."""
        return ".".join((SLICES, *self.place))

    @property
    def place(self) -> tuple[str, ...]:
        """The path of its table in [budgets.slices]."""
        return (*(() if self.field is None else (self.field, self.value or "")), self.pattern)

    @property
    def shown(self) -> str:
        """The name of the table as a file has it."""
        return SLICES if self.field is None else f'{SLICES}.{self.field}."{self.value}"'

    def is_on(self, field: str, value: str) -> bool:
        """Whether the budgets are on this slice."""
        return self.field is None or (
            self.field == field and (self.value == value or fnmatchcase(value, self.value or ""))
        )


def read_slice_budgets(
    table: object, shown: str, read_limits: ReadLimits, parent: str = "[budgets"
) -> tuple[SliceBudgets, ...]:
    """Reads the table [budgets.slices]. Raises SuiteError.

    read_limits: reads a table of limits. parent: the table that contains it, without its last bracket.
    """
    head = f"{shown} {parent}.{SLICES}"
    where = f"{head}]"
    if not isinstance(table, Mapping) or not table:
        raise SuiteError(
            f"{where}: {table!r} was given, expected a table such as accuracy = {{ drop_points = 5.0 }}"
        )
    budgets: list[SliceBudgets] = []
    for name, entry in table.items():
        if isinstance(entry, Mapping) and any(isinstance(value, Mapping) for value in entry.values()):
            budgets += _read_named(name, entry, head, read_limits)
        else:
            budgets.append(SliceBudgets(name, read_limits(entry, f'{where} "{name}"')))
    return tuple(budgets)


def _read_named(
    field: str, values: Mapping[str, object], head: str, read_limits: ReadLimits
) -> Iterable[SliceBudgets]:
    for value, limits in values.items():
        where = f'{head}.{field}."{value}"]'
        if not isinstance(limits, Mapping) or not limits:
            raise SuiteError(f"{where}: {limits!r} was given, expected limits by metric, as in {_EXAMPLE}")
        for pattern, entry in limits.items():
            if not isinstance(entry, Mapping):
                raise SuiteError(
                    f'{where} "{pattern}": {entry!r} was given; name a metric, as in '
                    f'[budgets.slices.{field}."{value}"] accuracy = {{ {pattern} = {entry!r} }}'
                )
            yield SliceBudgets(pattern, read_limits(entry, f'{where} "{pattern}"'), field, value)


def read_slices(names: Sequence[str], analyses: int = 1) -> tuple[str, ...]:
    """The fields to slice by, each once. Raises SuiteError if a log that grows is to be sliced."""
    if names and analyses > 1:
        raise SuiteError(
            "--slice cannot be used with --analyses, which only judges all samples together; leave one out"
        )
    return tuple(dict.fromkeys(names))
