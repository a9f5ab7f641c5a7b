"""Budgets of a suite that allow more than those of an earlier release's record, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimgate.errors import SuiteError
from slimgate.record import (
    ONLY_WARNS,
    BudgetFacts,
    LoosenedBudget,
    RunRecord,
    UndecidedChange,
    VariantRecord,
    WaitingBudget,
)
from slimgate.record.budgets import judged_budgets, looser, stated
from slimgate.suite.suite import TEACHER, Suite
from slimgate.suite.variant_budgets import BASELINE, Limit

Limits = Mapping[tuple[str, str], Limit]


def loosened_budgets(suite: Suite, baseline: RunRecord) -> list[LoosenedBudget]:
    """The budgets of variants in both that allow more than they did, or are gone.

    Raises SuiteError for one that is looser and does not say why.
    """
    names = (TEACHER, *suite.variants)
    found = [one for name in names for one in _of_variant(suite, name, baseline)]
    for one in found:
        if one.limit is not None and one.reason is None:
            where = f"{suite.shown} [{_table(one)}] {one.budget.removeprefix(f'{BASELINE} ')}"
            since = f"in the baseline of {baseline.created}"
            raise SuiteError(
                f"{where}: {_came(one)} {since}; "
                'give the budget a reason = "…" for this change, that the report shows'
            )
    return found


def _table(one: LoosenedBudget) -> str:
    """Where the suite has the budget of that variant, or may have it."""
    own = "budgets.teacher" if one.variant == TEACHER else f"budgets.variants.{one.variant}"
    return f"{own}.{BASELINE}" if one.budget.startswith(f"{BASELINE} ") else own


def _came(one: LoosenedBudget) -> str:
    if one.limit is not None and looser(one.kind, one.limit, one.before):
        return f"{one.kind} = {one.limit:g} is looser than {one.before:g}"
    return f'{one.kind}: on_inconclusive = "warn" is looser than "fail"'


def _of_variant(suite: Suite, name: str, baseline: RunRecord) -> Iterator[LoosenedBudget]:
    earlier = next((model for model in baseline.variants if model.name == name), None)
    if earlier is None or not earlier.gated:
        return
    variant, own = suite.model(name), suite.budgets_of(name)
    limits = own.limits(suite.measure.on_inconclusive)
    off = {(one.budget, one.kind): one.reason for one in own.switched_off}
    for (budget, kind), before in _recorded(earlier).items():
        now = limits.get((budget, kind))
        # the words that stood there before are not about this change
        reason = stated(now.reason) if now and now.reason != before.reason else off.get((budget, kind))
        if not variant.gated:
            now, reason = None, stated(variant.reason)
        undecided = _undecided(before, now)
        if now is None or looser(kind, now.limit, before.limit) or undecided == ONLY_WARNS:
            yield LoosenedBudget(
                variant=name,
                budget=budget,
                kind=kind,
                before=before.limit,
                limit=now.limit if now else None,
                reason=reason,
                undecided=undecided,
            )


def _undecided(before: Limit, now: Limit | None) -> UndecidedChange | None:
    was, is_ = before.on_inconclusive, now and now.on_inconclusive
    return None if was is None or is_ is None or was == is_ else (was, is_)


def _recorded(model: VariantRecord) -> Limits:
    """By budget and kind, as a record has them; of latency once for all workloads."""
    judged = {
        ("latency" if one.of == "latency" else one.name, one.facts.kind): _limit(one.facts)
        for one in judged_budgets(model)
    }
    waiting = {
        (f"{BASELINE} {metric}", one.kind): _limit(one)
        for metric, since in model.since_baseline.items()
        for one in since.waiting
    }
    return judged | waiting


def _limit(facts: BudgetFacts | WaitingBudget) -> Limit:
    return Limit(facts.limit, facts.reason, facts.on_inconclusive)
