"""The operations of one call."""

from __future__ import annotations

from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.facts import Facts


class FlopsFacts(Facts):
    """Operations of one call with one row, which has the teacher's median length.

    macs: multiply-adds of matrix products, convolutions and attention, whatever their number type; flops: two
    for each. macs_by_type: the multiply-adds by the type of their factors, such as float32 or int8; `mixed`
    if the weights have another type than the inputs. tokens: the row's number of tokens, if it has any. note:
    why the figures are missing. ratio: variant / teacher.
    """

    flops: int | None = None
    macs: int | None = None
    macs_by_type: dict[str, int] = {}
    tokens: int | None = None
    note: str | None = None
    ratio: float | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str
