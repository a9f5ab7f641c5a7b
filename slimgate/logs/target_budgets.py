"""The budgets of one target, and those that its files cannot decide, such as one on size of a load test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from slimgate.suite.budgets import resolve_budgets
from slimgate.suite.variant_budgets import LATENCY, VariantBudgets

# The table of [budgets] that fills a field of VariantBudgets, where their names differ.
_TABLES = {"speed": LATENCY, "times": LATENCY, "part_speeds": LATENCY}
# Budgets on what changed, which need only the answers of both models.
CHANGES = ("flips", "slices")
_SPLIT = ("quality", "behaviour", "switched_off")


def resolve_for_target(tables: Mapping[str, Any], target: str, shown: str) -> VariantBudgets:
    """The budgets of one target. tables: of the file, which may have [budgets.variants.X] of others."""
    budgets = tables.get("budgets")
    variants = budgets.get("variants") if isinstance(budgets, Mapping) else None
    names = [name for name in variants if name != "teacher"] if isinstance(variants, Mapping) else []
    return resolve_budgets(tables, (*names, target), shown, without_builds=True)[target]


def describe_not_judged(budgets: VariantBudgets, judged: Collection[str], noun: str, shown: str) -> list[str]:
    """A warning that names the budgets that nothing judges; empty where there are none.

    judged: tables of [budgets] that the files are judged by. noun: what the files are. shown: the file of
    budgets.
    """
    tables = [name for name in list_budget_tables(budgets) if name not in judged]
    return [f"{shown}: budgets on {' and '.join(tables)} are not judged from {noun}"] if tables else []


def describe_switched_off(budgets: VariantBudgets, target: str, shown: str) -> list[str]:
    """A line for each common budget that the target switches off, with its reason."""
    return [
        f"{shown} switches off {budget.budget} {budget.kind} {budget.limit:g} for {target}: {budget.reason}"
        for budget in budgets.switched_off
    ]


def list_budget_tables(budgets: VariantBudgets) -> list[str]:
    """The tables of [budgets] that have a limit: metrics, `size`, `latency`, `flips`, `slices`, `kl`, …"""
    behaviour, empty = budgets.behaviour, VariantBudgets()
    tables = [*budgets.quality]
    changes = behaviour.flips is not None, bool(behaviour.sliced_metrics)
    tables += [name for name, is_stated in zip(CHANGES, changes, strict=True) if is_stated]
    tables += behaviour.tokens
    for field in fields(budgets):
        value: Any = getattr(budgets, field.name)
        if field.name not in _SPLIT and value != getattr(empty, field.name):
            tables.append(_TABLES.get(field.name, field.name))
    return list(dict.fromkeys(tables))
