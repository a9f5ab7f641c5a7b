"""Reads the budgets that a variant switches off, as in `accuracy = { drop_points = "off", reason = "…" }`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from slimgate.judge.budget_tables import make_slices_kind
from slimgate.results.checks import BASELINE, MEASUREMENT, MEASUREMENTS
from slimgate.suite.errors import Loc, make_suite_error
from slimgate.suite.variant_budgets import BudgetKey

MakeKey = Callable[[Sequence[str], str, str], BudgetKey]
# The path of a table of limits, its budget's name, and the table itself.
_Limits = tuple[tuple[str, ...], str, Mapping[str, Any]]

OFF = "off"
# Name of a table that holds tables of limits -> the first word of the names of its budgets.
_PREFIXES = {BASELINE: BASELINE, MEASUREMENTS: MEASUREMENT}
# Keys of a budget's table that are not limits.
NOT_LIMITS = frozenset({"reason", "on_inconclusive", "over"})


def read_switched_off(
    table: Mapping[str, Any],
    common_budgets: Collection[BudgetKey],
    prefix: Loc,
    data: object,
    file: str,
    make_key: MakeKey | None = None,
) -> tuple[dict[str, Any], dict[BudgetKey, str]]:
    """The table without the budgets that it switches off, and the reason for each of those.

    table: [budgets.variants.NAME], found at `prefix`. common_budgets: the keys of the budgets in
    [budgets]. make_key: makes the key of a budget from the path of its table, its name and its kind; the
    default makes the keys of VariantBudgets.
    Raises SuiteError if a reason is missing, or if [budgets] has no such budget.
    """
    limits_left, off = dict(table), dict[BudgetKey, str]()
    for path, budget, sub in _list_budget_tables(table):
        for kind in [key for key, value in sub.items() if value == OFF and key not in NOT_LIMITS]:
            key = (make_key or _make_key)(path, budget, kind)
            loc = (*prefix, *path, kind)
            if key not in common_budgets:
                known = ", ".join(f"{name} {kind}" for name, kind in common_budgets) or "none"
                problem = f"there is no such budget in [budgets] to switch off; its budgets are: {known}"
                raise make_suite_error(file, loc, data, problem)
            off[key] = _read_reason(sub, loc, data, file)
        _remove_off(limits_left, path, sub)
    return limits_left, off


def _list_budget_tables(table: Mapping[str, Any]) -> Iterator[_Limits]:
    for key, sub in _list_tables(table):
        if key == "slices":
            yield from _list_slice_tables(sub)
        elif key in _PREFIXES:
            for name, limits in _list_tables(sub):
                yield (key, name), f"{_PREFIXES[key]} {name}", limits
        else:
            yield (key,), key, sub


def _list_slice_tables(slices: Mapping[str, Any]) -> Iterator[_Limits]:
    """The tables slices.METRIC and slices.COLUMN.VALUE.METRIC."""
    for name, sub in _list_tables(slices):
        if not all(isinstance(value, Mapping) for value in sub.values()):
            yield ("slices", name), "slices", sub
            continue
        for value, by_metric in sub.items():
            for metric, limits in _list_tables(by_metric):
                yield ("slices", name, value, metric), "slices", limits


def _list_tables(table: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries that are tables. The code that reads the budgets reports all other entries."""
    return [(key, sub) for key, sub in table.items() if isinstance(sub, Mapping)]


def _make_key(path: Sequence[str], budget: str, kind: str) -> BudgetKey:
    """The key of a budget. The tables of slices are slices.METRIC and slices.COLUMN.VALUE.METRIC."""
    return budget, make_slices_kind(path[-1], *path[1:-1]) if budget == "slices" else kind


def _remove_off(table: dict[str, Any], path: tuple[str, ...], sub: Mapping[str, Any]) -> None:
    """Removes the limits that are "off" from the table at `path`; also the table if no limit is left."""
    rest = {key: value for key, value in sub.items() if value != OFF or key in NOT_LIMITS}
    if rest == dict(sub):
        return
    if len(path) == 1:
        table[path[0]] = rest
    else:
        table[path[0]] = dict(table[path[0]])
        _remove_off(table[path[0]], path[1:], sub)
    if table[path[0]].keys() <= NOT_LIMITS:
        del table[path[0]]


def _read_reason(sub: Mapping[str, Any], loc: Loc, data: object, file: str) -> str:
    reason = sub.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        problem = '"off" needs a reason = "…" next to it, which the report shows'
        raise make_suite_error(file, loc, data, problem)
    return str(reason)
