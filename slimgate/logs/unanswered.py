"""Budgets of a file that the judged files cannot answer, such as a budget on size and two load tests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from slimgate.suite.variant_budgets import LATENCY, VariantBudgets

# The table of [budgets] that fills a field of VariantBudgets, where their names differ.
_TABLES = {"speed": LATENCY, "times": LATENCY, "part_speeds": LATENCY}
# Budgets on what changed, which need only the answers of both models.
CHANGES = ("flips", "slices")
_SPLIT = ("quality", "behaviour", "switched_off")


def describe_unanswered(
    budgets: VariantBudgets, answered: Collection[str], noun: str, shown: str
) -> list[str]:
    """A warning that names the budgets that nothing judges; empty where there are none.

    answered: tables of [budgets] that the files answer. noun: what the files are; shown: the file of budgets.
    """
    tables = [name for name in list_budget_tables(budgets) if name not in answered]
    return [f"{shown}: budgets on {' and '.join(tables)} are not judged from {noun}"] if tables else []


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
