"""A judged behaviour as the one line that its gate prints."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.number_text import format_apart, format_points
from slimgate.budgets.registry import find_kind
from slimgate.judge.behaviour import BehaviourJudgement
from slimgate.judge.budget_tables import TOKEN_KINDS, FlipsBudget, is_named_slice_kind, is_slices_kind
from slimgate.judge.flips import FlipShare
from slimgate.judge.message import (
    describe_rows_needed,
    describe_undecided,
    format_rows,
    format_share_above,
)
from slimgate.judge.slices import format_slice_counts, select_budget_slices
from slimgate.judge.token_kl import TokenKl
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import FaultLocationFacts, SliceFacts

_MOST_NAMED = 3
_NO_ROWS_TELL = (
    "the limited value equals its limit, or the rows above the cap lose more than the budget: no number of "
    "rows would decide"
)


def format_behaviour_message(name: str, judged: BehaviourJudgement) -> str:
    """`int8: 1.6 % of rows right to wrong [1.2, 2.1], budget 1 % (n=3080): FAIL`, then the slices'.

    name: the variant. Slices have their clause only if they have a budget.
    """
    by_kind = {budget.kind: budget for budget in judged.budgets}
    clauses = []
    if judged.flips is not None:
        kind = FlipsBudget.kind
        clauses.append(_format_flips(judged.flips, by_kind.get(kind), judged.withheld.get(kind)))
    clauses += [
        _format_slice_clause(judged.slices, budget, judged.withheld.get(budget.kind))
        for budget in judged.budgets
        if is_slices_kind(budget.kind)
    ]
    clauses += [
        _format_tokens(judged.tokens, budget)
        for budget in judged.budgets
        if budget.kind in TOKEN_KINDS and judged.tokens
    ]
    return f"{name}: {'; '.join(clauses) or 'rows are neither right nor wrong, not gated'}"


def _format_tokens(tokens: TokenKl, budget: BudgetFacts) -> str:
    """A text such as `mean KL 0.0123 nats [0.0112, 0.0135], budget 0.02 (n=2000 in 310 groups): PASS`."""
    low, high = (_format_significant(bound) for bound in budget.interval or ())
    kind = find_kind(budget.kind, "top1_agreement") or find_kind(budget.kind)
    assert kind is not None
    rows = format_rows(tokens.documents, tokens.group_count)
    outcome = _format_behaviour_outcome(budget, tokens.documents)
    limit = "floor" if kind.is_minimum else "budget"
    measured = f"{kind.value_name} {_format_significant(budget.value or 0.0)}{kind.unit} [{low}, {high}]"
    above = "" if budget.capped is None else f", {format_share_above(budget.capped)}"
    return f"{measured}, {limit} {budget.limit:g}{above} (n={rows}): {outcome}"


def describe_fault_location(location: FaultLocationFacts) -> str:
    """The block that holds the fault of a variant, in one clause."""
    if location.worst is None:
        return location.note or "nothing is known of its blocks"
    times = "" if location.ratio is None else f", {location.ratio:.2g} times the median of the blocks"
    if location.stands_out:
        return f"the fault is in {location.worst}, which has the largest error of its own{times}"
    return f"no block stands out: {location.worst} has the largest error of its own{times}"


def _format_significant(value: float) -> str:
    return f"{value:.4g}"


def _format_flips(flips: FlipShare, budget: BudgetFacts | None, withheld: str | None) -> str:
    """withheld: why the budget gives no PASS; None if it may."""
    percent = [100 * value for value in (flips.share, *flips.interval)]
    share, low, high = format_apart(percent, [] if budget is None else [budget.limit])
    limit = "" if budget is None else f", budget {budget.limit:g} %"
    rows = format_rows(flips.n, flips.groups)
    outcome = "not gated" if budget is None else _format_behaviour_outcome(budget, flips.n)
    if withheld is not None:
        outcome = f"INCONCLUSIVE, {withheld}"
    return f"{share} % of rows right to wrong [{low}, {high}]{limit} (n={rows}): {outcome}"


def _format_behaviour_outcome(budget: BudgetFacts, n: int) -> str:
    if budget.verdict is not Verdict.INCONCLUSIVE:
        return str(budget.verdict)
    if budget.n_needed is None and budget.capped is not None:
        return f"INCONCLUSIVE, {_NO_ROWS_TELL}"
    if budget.n_needed is None:
        return "INCONCLUSIVE, the share equals its budget: no number of rows would decide"
    return f"INCONCLUSIVE, {describe_undecided([budget])}{describe_rows_needed(budget.n_needed, n)}"


def _format_slice_clause(slices: Sequence[SliceFacts], budget: BudgetFacts, withheld: str | None) -> str:
    """withheld: why the budget gives no PASS; None if it may."""
    covered = select_budget_slices(slices, budget.kind)
    if not covered:
        where = f"{budget.kind.replace('.', ' ', 1)}, budget {format_points(budget.limit)}"
        return f"{where}: {budget.verdict}, no gate row is in such a slice"
    if is_named_slice_kind(budget.kind):
        return _format_named_slice(covered[0], budget, withheld)
    clause = _format_slices(covered, budget)
    return clause if withheld is None else f"{clause}; {withheld}"


def _format_slices(judged: Sequence[SliceFacts], budget: BudgetFacts) -> str:
    shown = f"{judged[0].metric} on {len(judged)} slices, budget {format_points(budget.limit)}"
    failed = [part for part in judged if part.verdict is Verdict.FAIL]
    if not failed:
        rows = sum(part.n for part in judged if part.column == judged[0].column)
        needed = "" if budget.n_needed is None else f", {describe_rows_needed(budget.n_needed, rows)}"
        return f"{shown}: {budget.verdict}, {format_slice_counts(judged, budget.limit)}{needed}"
    named = [_format_failed_slice(part, budget.limit) for part in failed[:_MOST_NAMED]]
    rest = [f"{len(failed) - _MOST_NAMED} more"] if len(failed) > _MOST_NAMED else []
    return f"{shown}: {budget.verdict} in {', '.join([*named, *rest])}"


def _format_named_slice(part: SliceFacts, budget: BudgetFacts, withheld: str | None) -> str:
    """The budget of a named slice.

    Example: `accuracy of cat carry: drop 2.1 points [-0.1, 4.5], budget 1 (n=300): INCONCLUSIVE, about …`.
    """
    drop, low, high = format_apart((part.drop_points, *part.interval), [budget.limit])
    drop = f"drop {drop} points [{low}, {high}], budget {budget.limit:g}"
    outcome = str(budget.verdict)
    if budget.verdict is Verdict.INCONCLUSIVE:
        needed = budget.n_needed
        words = "the drop equals its budget" if needed is None else describe_rows_needed(needed, part.n)
        outcome += f", {withheld or words.replace(' rows would', ' rows of it would')}"
    return f"{part.metric} of {part.column} {part.value}: {drop} (n={part.n}): {outcome}"


def _format_failed_slice(part: SliceFacts, limit: float) -> str:
    drop, low, high = format_apart((part.drop_points, *part.interval), [limit])
    return f"{part.column} {part.value} (drop {drop} points [{low}, {high}], n={part.n})"
