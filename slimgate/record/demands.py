"""The demands of a gate: its budgets, which models have them, and how it judges.

A run.json holds them as the suite states them, so that a later gate is compared with them whatever was
judged.
"""

from __future__ import annotations

from typing import Any

from slimgate.record.verdicts import SwitchedOffBudget
from slimgate.results.base import OnInconclusive
from slimgate.results.facts import Facts


class DemandedBudget(Facts):
    """A budget of one model. budget: the metric or table in [budgets]; for latency, without its workloads.

    on_inconclusive: None if it is never undecided, or not recorded. options: the other keys of its table that
    differ from the default.
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
    """What a gate demands.

    budgets: of the teacher and the variants. gated: by variant; False if its verdicts fail no run.

    switched_off: by variant, the common budgets that it does not have. settings: by dotted key of the suite,
    such as measure.rounds; the user's files and code by their digests. rows: by split; none before they are
    known. teacher: digest of its artifact; None before it is known, and if the teacher or its head is trained
    (then the settings and the rows count). self_tests: those that have run; None before that is known.
    unjudged: by variant, the budgets whose limit is not known. reason: of [budgets.baseline], why less is
    demanded.
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
