"""Reads which common budgets a variant's table switches off, as in { drop_points = "off", reason = "…" }."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slimgate.judge.slices import slices_kind
from slimgate.suite.errors import Loc, suite_error
from slimgate.suite.variant_budgets import BASELINE, Key, VariantBudgets

OFF = "off"
# Keys of a budget's table that are no limit.
ABOUT = frozenset({"reason", "on_inconclusive", "over"})


def read_switched_off(
    table: Mapping[str, Any], common: VariantBudgets, prefix: Loc, data: Any, file: str
) -> tuple[dict[str, Any], dict[Key, str]]:
    """The table without what it switches off, and the reason of each budget that it switches off.

    table: [budgets.variants.NAME], which stands at `prefix`. Raises SuiteError where a reason is missing, and
    where [budgets] has no such budget.
    """
    kept, off = dict(table), dict[Key, str]()
    limits = common.limits()
    for path, budget, sub in _budget_tables(table):
        for kind in [key for key, value in sub.items() if value == OFF and key not in ABOUT]:
            key = (budget, _kind_of_slices(path) if budget == "slices" else kind)
            loc = (*prefix, *path, kind)
            if key not in limits:
                known = ", ".join(f"{name} {kind}" for name, kind in limits) or "none"
                problem = f"there is no such budget in [budgets] to switch off; its budgets are: {known}"
                raise suite_error(file, loc, data, problem)
            off[key] = _reason(sub, loc, data, file)
        _remove(kept, path, sub)
    return kept, off


def _budget_tables(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, Mapping[str, Any]]]:
    """Each table of limits: its path, the budget's name, the table itself."""
    for key, sub in table.items():
        if not isinstance(sub, Mapping):
            continue  # told by who reads it
        if key not in ("slices", BASELINE):
            yield (key,), key, sub
            continue
        for name, own in sub.items():
            if not isinstance(own, Mapping):
                continue
            if key == BASELINE:
                yield (key, name), f"{BASELINE} {name}", own
            elif not all(isinstance(one, Mapping) for one in own.values()):
                yield (key, name), key, own
            else:  # of a column, by value and metric
                for value, by_metric in own.items():
                    for metric, limits in by_metric.items():
                        if isinstance(limits, Mapping):
                            yield (key, name, value, metric), key, limits


def _kind_of_slices(path: Sequence[str]) -> str:
    """Of the table slices.METRIC, or slices.COLUMN.VALUE.METRIC."""
    return slices_kind(path[-1], *path[1:-1])


def _remove(kept: dict[str, Any], path: tuple[str, ...], sub: Mapping[str, Any]) -> None:
    """Takes the limits that are "off" out of the table at `path`, and the table where no limit is left."""
    rest = {key: value for key, value in sub.items() if value != OFF or key in ABOUT}
    if rest == dict(sub):
        return
    if len(path) == 1:
        kept[path[0]] = rest
    else:
        kept[path[0]] = dict(kept[path[0]])
        _remove(kept[path[0]], path[1:], sub)
    if kept[path[0]].keys() <= ABOUT:
        del kept[path[0]]


def _reason(sub: Mapping[str, Any], loc: Loc, data: Any, file: str) -> str:
    reason = sub.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        problem = '"off" needs a reason = "…" beside it, which the report shows'
        raise suite_error(file, loc, data, problem)
    return str(reason)
