"""The kinds of budgets by their names."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

import slimgate.budgets
from slimgate.budgets.base import METRIC, BudgetKind, MetricBudgetKind

_HELPERS = ("base", "registry")


@cache
def list_budget_kinds() -> Mapping[tuple[str, str], BudgetKind]:
    """The kinds of budgets by table and name."""
    names = (module.name for module in pkgutil.iter_modules(slimgate.budgets.__path__))
    kinds = (import_module(f"slimgate.budgets.{name}").kind for name in names if name not in _HELPERS)
    return {(kind.table, kind.name): kind for kind in kinds}


@cache
def list_metric_kinds() -> Mapping[str, MetricBudgetKind]:
    """The kinds of budgets on a metric, in the order in which they are listed."""
    kinds = [kind for kind in list_budget_kinds().values() if isinstance(kind, MetricBudgetKind)]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.order)}


def find_kind(name: str, table: str | None = None) -> BudgetKind | None:
    """The kind of that name; None if there is none.

    table: the table of [budgets], if two tables have a kind of that name; None: a metric's first.
    """
    kinds = list_budget_kinds()
    if table is not None:
        return kinds.get((table, name))
    return kinds.get((METRIC, name)) or next((kind for kind in kinds.values() if kind.name == name), None)
