"""Reads the budgets that a variant switches off, as in `accuracy = { drop_points = "off", reason = "…" }`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from slimgate.judge.behaviour_budgets import make_slices_kind
from slimgate.results.checks import BASELINE, MEASUREMENT, MEASUREMENTS
from slimgate.suite.errors import Loc, make_suite_error
from slimgate.suite.variant_budgets import Key

MakeKey = Callable[[Sequence[str], str, str], Key]
OFF = "off"
# Tables of tables of limits -> what the names of their budgets begin with.
_PREFIXES = {BASELINE: BASELINE, MEASUREMENTS: MEASUREMENT}
# Keys of a budget's table that are not limits.
NOT_LIMITS = frozenset({"reason", "on_inconclusive", "over"})


def read_switched_off(
    table: Mapping[str, Any],
    limits: Collection[Key],
    prefix: Loc,
    data: object,
    file: str,
    make_key: MakeKey | None = None,
) -> tuple[dict[str, Any], dict[Key, str]]:
    """The table without the budgets that it switches off, and the reason for each of those.

    table: [budgets.variants.NAME], found at `prefix`. limits: the keys of the common budgets. make_key: the
    key of a budget, from the path of its table, its name and its kind; default: as VariantBudgets has it.
    Raises SuiteError if a reason is missing, or if [budgets] has no such budget.
    """
    limits_left, off = dict(table), dict[Key, str]()
    for path, budget, sub in _list_budget_tables(table):
        for kind in [key for key, value in sub.items() if value == OFF and key not in NOT_LIMITS]:
            key = (make_key or _make_key)(path, budget, kind)
            loc = (*prefix, *path, kind)
            if key not in limits:
                known = ", ".join(f"{name} {kind}" for name, kind in limits) or "none"
                problem = f"there is no such budget in [budgets] to switch off; its budgets are: {known}"
                raise make_suite_error(file, loc, data, problem)
            off[key] = _read_reason(sub, loc, data, file)
        _remove_off(limits_left, path, sub)
    return limits_left, off


def _list_budget_tables(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, Mapping[str, Any]]]:
    """Each table of limits: its path, the budget's name, the table itself."""
    for key, sub in table.items():
        if not isinstance(sub, Mapping):
            continue  # the code that reads this table reports it
        if key not in ("slices", *_PREFIXES):
            yield (key,), key, sub
            continue
        for name, inner in sub.items():
            if not isinstance(inner, Mapping):
                continue
            if key in _PREFIXES:
                yield (key, name), f"{_PREFIXES[key]} {name}", inner
            elif not all(isinstance(limit, Mapping) for limit in inner.values()):
                yield (key, name), key, inner
            else:  # a column: tables by value, then by metric
                for value, by_metric in inner.items():
                    for metric, limits in by_metric.items():
                        if isinstance(limits, Mapping):
                            yield (key, name, value, metric), key, limits


def _make_key(path: Sequence[str], budget: str, kind: str) -> Key:
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
