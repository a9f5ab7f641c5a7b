"""The judged budgets of a record, and how other limits would have judged the same figures."""

from __future__ import annotations

from typing import NamedTuple

from slimgate.budgets.registry import find_kind, is_two_sided_kind
from slimgate.judge.budget_tables import TOKEN_TABLES, FlipsBudget
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.results.base import BudgetFacts, Verdict, is_run_ending
from slimgate.results.checks import BEHAVIOUR, KL_LOG, Result
from slimgate.results.facts import JudgedFacts

PERPLEXITY = "perplexity"


class Judged(NamedTuple):
    """A judged budget.

    subject: the metric, or flips, slices, kl, top1_agreement, size, memory, latency, baseline.
    detail: the workload of a latency, or the metric that is compared with the baseline.
    measured: the value that the limit is compared with, in the unit of the limit.
    interval: the interval of the value; None if the value is exact.
    message: the gate's line on the result that has the budget.
    """

    subject: str
    detail: str | None
    facts: BudgetFacts
    measured: float | None
    interval: tuple[float, float] | None
    message: str | None = None

    @property
    def name(self) -> str:
        """`accuracy`, `latency b1`, `baseline f1_macro`: unique together with the kind."""
        return self.subject if self.detail is None else f"{self.subject} {self.detail}"


def list_judged_budgets(model: VariantRecord) -> list[Judged]:
    """Every budget of a variant, in the record's order."""
    return [
        _make_judged(_name_limited(result, budget), result.detail, result.facts, budget)
        for result in model.results()
        for budget in result.facts.budgets
    ]


def list_confirmed_budgets(model: VariantRecord) -> list[Judged]:
    """The budgets that were judged again on the confirm rows, named as those on the gate rows."""
    return [
        _make_judged(metric, None, facts, budget)
        for metric, facts in model.confirm.items()
        for budget in facts.budgets
    ]


def _make_judged(subject: str, detail: str | None, facts: JudgedFacts, budget: BudgetFacts) -> Judged:
    return Judged(subject, detail, budget, *facts.find_limited_value(budget), facts.message)


def _name_limited(result: Result, budget: BudgetFacts) -> str:
    if result.kind == KL_LOG:
        return next((name for name, table in TOKEN_TABLES.items() if budget.kind in table.kinds), PERPLEXITY)
    return name_behaviour_budget(budget.kind) if result.kind == BEHAVIOUR else result.subject


def name_behaviour_budget(kind: str) -> str:
    """The name in [budgets] of a budget on behaviour of that kind."""
    if kind == FlipsBudget.kind:
        return "flips"
    return next((name for name, table in TOKEN_TABLES.items() if kind in table.kinds), "slices")


def is_ended_by_undecided(record: RunRecord) -> bool:
    """Whether an undecided budget ends the run, on the gate rows or on the confirm rows."""
    gated = [model for model in record.variants if model.gated]
    confirmed = [budget.facts for model in gated for budget in list_confirmed_budgets(model)]
    return any(map(list_undecided_failing, record.variants)) or any(map(_is_undecided_failing, confirmed))


def _is_undecided_failing(budget: BudgetFacts) -> bool:
    return budget.verdict is Verdict.INCONCLUSIVE and is_run_ending(budget.verdict, budget.on_inconclusive)


def list_undecided_failing(model: VariantRecord) -> list[Judged]:
    """The budgets of a gated variant that are undecided and therefore fail the run."""
    return [
        budget for budget in list_judged_budgets(model) if model.gated and _is_undecided_failing(budget.facts)
    ]


def has_only_warnings(record: RunRecord) -> bool:
    """Whether a run is INCONCLUSIVE and passes, because its undecided budgets only warn."""
    return record.verdict.status == "INCONCLUSIVE" and not is_ended_by_undecided(record)


def clean_reason(reason: str | None) -> str | None:
    """The reason that the user gave; None if it is blank."""
    return (reason or "").strip() or None


def is_looser(kind: str, limit: float, before: float) -> bool:
    """Whether a limit allows more than the one before."""
    return limit < before if _is_minimum(kind) else limit > before


def _is_minimum(kind: str) -> bool:
    """Whether the limit of a kind is the smallest allowed value, not the largest."""
    known = find_kind(kind)
    return known is not None and known.is_minimum


def judge_under_limit(kind: str, limit: float, judged: Judged) -> Verdict | None:
    """The verdict of another limit of that kind on the same figures; None if the record does not show it.

    An interval has the level of its test, so it decides as the test does. If the recorded verdict is
    undecided for a reason other than the interval (a planted delay that was not seen, too few documents),
    this verdict is undecided too. For the recorded limit it is the recorded verdict.

    A derived share above a cap comes with a third condition (`judge.capped`), of which the record has no
    figure. So PASS is known only if the recorded limit is not looser and has passed.
    """
    if kind == judged.facts.kind and limit == judged.facts.limit and judged.measured is not None:
        return judged.facts.verdict
    verdict = _decide_by_figures(kind, limit, judged)
    recorded = judged.facts.verdict, _decide_by_figures(kind, judged.facts.limit, judged)
    if recorded[0] is Verdict.INCONCLUSIVE and recorded[1] is not recorded[0]:
        return None if verdict is None else Verdict.INCONCLUSIVE
    is_withheld = recorded[0] is Verdict.INCONCLUSIVE and judged.facts.p_value == 1.0
    if verdict is Verdict.PASS and is_withheld:  # no rows could show that any limit holds
        return Verdict.INCONCLUSIVE
    capped = judged.facts.capped
    if verdict is Verdict.PASS and capped is not None and capped.derived:
        has_passed = recorded[0] is Verdict.PASS and not is_looser(kind, judged.facts.limit, limit)
        return Verdict.PASS if has_passed else None
    return verdict


def _decide_by_figures(kind: str, limit: float, judged: Judged) -> Verdict | None:
    if judged.measured is None:
        return None
    low, high = judged.interval or (judged.measured, judged.measured)
    if is_two_sided_kind(kind):
        return _decide_two_sided(limit, (low, high), judged.facts.fail_interval)
    if _is_minimum(kind):
        low, high, limit = -high, -low, -limit
    if low > limit:
        return Verdict.FAIL
    holds = high < limit or (judged.interval is None and high == limit)
    return _decide_by_share_above(judged.facts, limit, holds=holds)


def _decide_by_share_above(facts: BudgetFacts, limit: float, *, holds: bool) -> Verdict:
    """The verdict of a mean that does not fail and, if it has a cap, of the share of rows above the cap."""
    capped = facts.capped
    if capped is None:
        return Verdict.PASS if holds else Verdict.INCONCLUSIVE
    # a limit that is derived from the budget moves with it
    largest_share = capped.above_max * (limit / facts.limit if capped.derived else 1.0)
    if capped.above_interval[0] > largest_share:
        return Verdict.FAIL
    return Verdict.PASS if holds and capped.above_interval[1] < largest_share else Verdict.INCONCLUSIVE


def _decide_two_sided(
    limit: float, interval: tuple[float, float], fail_interval: tuple[float, float] | None
) -> Verdict | None:
    """PASS by the 90 % interval, FAIL by the 95 % interval; None if the latter decides and is not known."""
    if -limit < interval[0] and interval[1] < limit:
        return Verdict.PASS
    if interval[0] <= limit and interval[1] >= -limit:
        return Verdict.INCONCLUSIVE
    if fail_interval is None:
        return None
    low, high = fail_interval
    return Verdict.FAIL if low > limit or high < -limit else Verdict.INCONCLUSIVE
