"""The kinds of budgets by their names."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from slimgate.budgets import __path__
from slimgate.budgets.base import METRIC, BudgetKind, MetricBudgetKind


@cache
def list_budget_kinds() -> Mapping[tuple[str, str], BudgetKind]:
    """The kinds of the files in this folder, by table and name. A file without KINDS is a helper."""
    files = (import_module(f"slimgate.budgets.{file.name}") for file in pkgutil.iter_modules(__path__))
    return {(kind.table, kind.name): kind for file in files for kind in getattr(file, "KINDS", ())}


@cache
def list_metric_kinds() -> Mapping[str, MetricBudgetKind]:
    """The kinds of budgets on a metric, in the order of their files."""
    kinds = list_budget_kinds().values()
    return {kind.name: kind for kind in kinds if isinstance(kind, MetricBudgetKind)}


def find_kind(name: str, table: str | None = None) -> BudgetKind | None:
    """The kind of that name; None if there is none.

    table: the table of [budgets], if two tables have a kind of that name; None: a metric's first.
    """
    kinds = list_budget_kinds()
    if table is not None:
        return kinds.get((table, name))
    return kinds.get((METRIC, name)) or next((kind for kind in kinds.values() if kind.name == name), None)


def is_in_points(kind: str) -> bool:
    """Whether the limit of a kind is percentage points of a metric's drop."""
    known = list_metric_kinds().get(kind)
    return known is not None and known.in_points


def is_two_sided_kind(kind: str) -> bool:
    """Whether a kind limits a gain as it limits a drop."""
    known = list_metric_kinds().get(kind)
    return known is not None and known.two_sided
