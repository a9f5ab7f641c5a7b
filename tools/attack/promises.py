"""The quality budgets that a run promised when it was accepted, and whether a later run keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tools.attack.claims import PASS


class _Budget(NamedTuple):
    limit: float
    verdict: str
    reason: str | None


def find_broken_promise(before: Mapping[str, Any], now: Mapping[str, Any] | None) -> str | None:
    """The first budget of an accepted variant that a later run no longer has or meets; None if there is none.

    before: a gated variant of the accepted record. now: the same variant, or None if it is gone.
    """
    name, accepted = before["name"], _read_budgets(before)
    if now is None or not now["gated"]:
        return f"{name} is {'missing' if now is None else 'informational'}" if accepted else None
    budgets = _read_budgets(now)
    for key, old in accepted.items():
        budget, shown = budgets.get(key), f"{name} {'.'.join(key)}"
        if budget is None:
            return f"{shown} is no budget any more"
        if not budget.reason and budget.limit > old.limit:
            return f"{shown} is {budget.limit}, was {old.limit}"
        if not budget.reason and old.verdict == PASS != budget.verdict:
            return f"{shown} is {budget.verdict}, was PASS"
    return None


def _read_budgets(facts: Mapping[str, Any]) -> dict[tuple[str, str], _Budget]:
    """Quality budgets of a variant's record, by metric and kind."""
    return {
        (metric, budget["kind"]): _Budget(budget["limit"], budget["verdict"], budget.get("reason"))
        for metric, judged in facts["quality"].items()
        for budget in judged.get("budgets", ())
    }
