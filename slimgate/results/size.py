"""The size of a variant compared with its teacher's."""

from __future__ import annotations

from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.facts import Facts


class SizeFacts(Facts):
    """The judged size of a variant.

    compression: teacher bytes / variant bytes.
    """

    compression: float | None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str
