"""What a gate demands: its budgets, whom they are of, and how it judges.

A run.json holds it as the suite says it, so that a later gate is held against it whatever was judged.
"""

from __future__ import annotations

from typing import Any

from slimgate.record.verdicts import SwitchedOffBudget
from slimgate.results.base import OnInconclusive
from slimgate.results.facts import Facts


class DemandedBudget(Facts):
    """A budget of one model. budget: the metric or table in [budgets], of latency without its workloads.

    on_inconclusive: None if it is never undecided, or not recorded. options: what else its table says,
    where that is not the default.
    """

    variant: str
    budget: str
    kind: str
    limit: float
    on_inconclusive: OnInconclusive | None = None
    options: dict[str, Any] = {}
    reason: str | None = None


class DemandedRows(Facts):
    """A split that judges, or that the teacher is trained on."""

    n: int
    digest: str


class Demands(Facts):
    """budgets: of the teacher and the variants. gated: by variant; False where its verdicts fail no run.

    switched_off: by variant, the common budgets that it does not have. settings: by dotted key of the suite,
    such as measure.rounds; files and code of a user's own by their digests. rows: by split; none before they
    are known. teacher: digest of its artifact; None before it is known, and where the teacher or its head is
    trained, of which settings and rows count. self_tests: those that have run; None before that is known.
    unjudged: by variant, what has a budget whose limit is not known. reason: of [budgets.baseline], why less
    is demanded.
    """

    budgets: list[DemandedBudget] = []
    gated: dict[str, bool] = {}
    switched_off: dict[str, list[SwitchedOffBudget]] = {}
    settings: dict[str, Any] = {}
    rows: dict[str, DemandedRows] = {}
    teacher: str | None = None
    self_tests: list[str] | None = None
    unjudged: dict[str, list[str]] = {}
    reason: str | None = None
