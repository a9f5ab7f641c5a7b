"""A judged behaviour as the one line that its gate prints."""

from __future__ import annotations

from slimgate.judge.behaviour import BehaviourJudgement
from slimgate.judge.flips import KIND, FlipShare
from slimgate.judge.message import rows_shown, rows_would_tell
from slimgate.judge.slice_counts import slice_counts
from slimgate.judge.slices import SliceJudgement, slices_kind
from slimgate.judge.verdict import BudgetVerdict, Verdict

_MOST_DECIMALS = 4
_MOST_NAMED = 3


def behaviour_message(name: str, judged: BehaviourJudgement) -> str:
    """`int8: 1.6 % of rows right to wrong [1.2, 2.1], budget 1 % (n=3080, exact): FAIL`, then the slices'.

    name: the variant. Slices have their clause only where they have a budget.
    """
    by_kind = {budget.kind: budget for budget in judged.budgets}
    clauses = [] if judged.flips is None else [_flips(judged.flips, by_kind.get(KIND))]
    for metric in dict.fromkeys(one.metric for one in judged.slices):
        budget = by_kind.get(slices_kind(metric))
        if budget is not None:
            clauses.append(_slices([one for one in judged.slices if one.metric == metric], budget))
    return f"{name}: {'; '.join(clauses) or 'rows are neither right nor wrong, not gated'}"


def _flips(found: FlipShare, budget: BudgetVerdict | None) -> str:
    percent = [100 * value for value in (found.share, *found.interval)]
    share, low, high = (f"{value:.{_decimals(percent, budget)}f}" for value in percent)
    limit = "" if budget is None else f", budget {budget.limit:g} %"
    rows = rows_shown(found.n, found.groups)
    method = "exact" if found.groups is None else "exact, grouped"
    outcome = "not gated" if budget is None else _outcome(budget, found.n)
    return f"{share} % of rows right to wrong [{low}, {high}]{limit} (n={rows}, {method}): {outcome}"


def _decimals(shown: list[float], budget: BudgetVerdict | None) -> int:
    """One, and more where it would round a bound onto the budget."""
    for digits in range(1, _MOST_DECIMALS):
        if budget is None or all(
            round(value, digits) != round(budget.limit, digits) or value == budget.limit for value in shown
        ):
            return digits
    return _MOST_DECIMALS


def _outcome(budget: BudgetVerdict, n: int) -> str:
    if budget.verdict is not Verdict.INCONCLUSIVE:
        return str(budget.verdict)
    if budget.n_needed is None:
        return "INCONCLUSIVE, the share equals its budget: no number of gate rows would tell"
    return f"INCONCLUSIVE, {rows_would_tell(budget.n_needed, n)}"


def _slices(judged: list[SliceJudgement], budget: BudgetVerdict) -> str:
    methods = ", ".join([*dict.fromkeys(one.method for one in judged), "Holm"])
    shown = f"{judged[0].metric} on {len(judged)} slices, budget {budget.limit:g} points ({methods})"
    failed = [one for one in judged if one.verdict is Verdict.FAIL]
    if not failed:
        return f"{shown}: {budget.verdict}, {slice_counts(judged)}"
    named = [_slice(one) for one in failed[:_MOST_NAMED]]
    rest = [f"{len(failed) - _MOST_NAMED} more"] if len(failed) > _MOST_NAMED else []
    return f"{shown}: {budget.verdict} in {', '.join([*named, *rest])}"


def _slice(one: SliceJudgement) -> str:
    low, high = one.interval
    drop = f"{one.drop_points:z.1f} points [{low:z.1f}, {high:z.1f}]"
    return f"{one.column} {one.value} (drop {drop}, n={one.n})"
