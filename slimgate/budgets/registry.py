"""The kinds of budgets by their names: the files of this folder, and those that installed packages add."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Mapping
from functools import cache
from importlib import import_module

import slimgate.budgets
from slimgate.budgets.base import METRIC, BudgetKind, MetricBudgetKind
from slimgate.errors import SuiteError
from slimgate.plugins.loading import find_added_path, installed_plugins, load_user_object

_HELPERS = ("base", "registry")


@cache
def budget_kinds() -> Mapping[tuple[str, str], BudgetKind]:
    """The kinds of budgets by table and name.

    Raises SuiteError for a kind of an installed package that is no kind on a metric, or has a name twice.
    """
    names = (module.name for module in pkgutil.iter_modules(slimgate.budgets.__path__))
    kinds = (import_module(f"slimgate.budgets.{name}").kind for name in names if name not in _HELPERS)
    own = {(kind.table, kind.name): kind for kind in kinds}
    added = [_load_added(name, [kind.name for kind in own.values()]) for name in installed_plugins("budget")]
    return {**own, **{(kind.table, kind.name): kind for kind in added}}


def _load_added(name: str, own_names: Collection[str]) -> MetricBudgetKind:
    path = find_added_path("budget", name, own_names)
    assert path is not None
    kind = load_user_object("budget", path)
    if not isinstance(kind, MetricBudgetKind) or kind.name != name:
        is_called = f"has the name {kind.name}" if isinstance(kind, MetricBudgetKind) else "is none"
        raise SuiteError(
            f'budget "{name}": {path} {is_called}, expected a MetricBudgetKind with the name of its entry '
            "point (see slimgate/budgets/base.py)"
        )
    return kind


@cache
def metric_kinds() -> Mapping[str, MetricBudgetKind]:
    """The kinds of budgets on a metric, in the order in which they are listed."""
    kinds = [kind for kind in budget_kinds().values() if isinstance(kind, MetricBudgetKind)]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.order)}


def find_kind(name: str, table: str | None = None) -> BudgetKind | None:
    """The kind of that name; None if there is none.

    table: the table of [budgets], if two tables have a kind of that name; None: a metric's first.
    """
    kinds = budget_kinds()
    if table is not None:
        return kinds.get((table, name))
    return kinds.get((METRIC, name)) or next((kind for kind in kinds.values() if kind.name == name), None)
