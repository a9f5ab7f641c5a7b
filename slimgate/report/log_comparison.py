"""A record made of files: a table for each target, a line for each task and metric, what lost most first."""

from __future__ import annotations

from collections.abc import Collection

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_int, format_percent
from slimgate.judge.budget_kinds import list_point_limits, measure_harm
from slimgate.judge.budget_tables import is_named_slice_kind, is_slices_kind
from slimgate.judge.decision import LEVEL
from slimgate.judge.slices import select_budget_slices
from slimgate.record.run import VariantRecord
from slimgate.record.task import Sides
from slimgate.report.figures import format_drop, format_limits, format_metric_value
from slimgate.report.page.budgets import make_behaviour_budget
from slimgate.report.status import describe_budget, format_target_heading
from slimgate.report.tables import Column, blocks, make_pipe_table
from slimgate.results.base import BudgetFacts, Verdict, has_run_ending_budget
from slimgate.results.behaviour import BehaviourFacts, SliceFacts
from slimgate.results.quality import QualityFacts

_MOST_LINES = 300
# The slices that a line names, of those that do not hold.
_MOST_NAMED, _LONGEST = 3, 60

Line = tuple[str, str, str, str, str, str, str]


def count_lines(model: VariantRecord) -> int:
    """The lines of a target's table, if none is left out."""
    return len(model.quality) + len(model.behaviour.budgets if model.behaviour else ())


def format_log_table(
    model: VariantRecord, names: Sides, limit: int = _MOST_LINES, *, slices: Collection[str] = ()
) -> str:
    """The table of one target, of at most `limit` lines, with the target's name and its model above it.

    Metrics are left out before budgets on flips and slices, which are in the last lines. Of the metrics,
    those that end the run stay first, FAIL before INCONCLUSIVE, then those with a budget on all samples,
    then those with another budget. slices: the metrics of slices.
    """

    def harm(pair: tuple[str, QualityFacts]) -> float:
        return -measure_harm(pair[1].drop_points or 0.0, pair[1].budgets)

    def place(pair: tuple[str, QualityFacts]) -> tuple[int, float]:
        name, facts = pair
        if facts.verdict is Verdict.FAIL:
            return 0, harm(pair)
        if has_run_ending_budget(facts.budgets):
            return 1, harm(pair)
        return (2 if name not in slices else 3) if facts.budgets else 4, harm(pair)

    facts = model.behaviour
    changes = (
        [] if facts is None else [_make_behaviour_line(facts, budget) for budget in facts.budgets[:limit]]
    )
    first = sorted(model.quality.items(), key=place)[: limit - len(changes)]
    shown = sorted(first, key=harm)
    more = len(model.quality) - len(shown)
    lines = [*(_make_metric_line(name, facts) for name, facts in shown), *changes]
    heads = (
        "metric" if names.original == "teacher" else "task/metric",
        "n",
        names.original,
        names.other,
        f"drop, points [{format_percent(LEVEL, 0)}]",
        "budget",
        "verdict",
    )
    return blocks(
        format_target_heading(model),
        make_pipe_table(
            [
                Column(head, [line[place] for line in lines], right=0 < place < len(heads) - 1)
                for place, head in enumerate(heads)
            ]
        ),
        f"{format_int(more)} more; run.json has them." if more else "",
    )


def _make_metric_line(name: str, facts: QualityFacts) -> Line:
    return (
        escape(name),
        format_int(facts.n),
        format_metric_value(facts.teacher),
        format_metric_value(facts.value),
        format_drop(facts.drop_points, facts.interval, list_point_limits(facts.budgets), unit=facts.unit),
        format_limits(facts.budgets),
        "not gated" if facts.verdict is None else _format_bold_verdict(facts.verdict),
    )


def _make_behaviour_line(facts: BehaviourFacts, budget: BudgetFacts) -> Line:
    """The line of a budget on flips, slices and other changes of answers."""
    name, verdict = describe_budget(budget.kind), _format_bold_verdict(budget.verdict)
    if not is_slices_kind(budget.kind):
        known = make_behaviour_budget(facts, budget)
        return name, format_int(facts.n), MISSING, known.measured, MISSING, known.limit, verdict
    parts = select_budget_slices(facts.slices or [], budget.kind)
    limit = f"{budget.limit:g}"
    if is_named_slice_kind(budget.kind) and parts:
        part = parts[0]
        return (
            name,
            format_int(part.n),
            format_metric_value(part.teacher),
            format_metric_value(part.variant),
            format_drop(part.drop_points, part.interval, [budget.limit]),
            limit,
            verdict,
        )
    return name, format_int(facts.n), MISSING, MISSING, MISSING, limit, f"{verdict}{_describe_slices(parts)}"


def _describe_slices(parts: list[SliceFacts]) -> str:
    """`: 4 of 5 hold, not label: cancel`; empty if no slice was judged by the budget on all of them."""
    parts = [part for part in parts if part.verdict is not None]
    if not parts:
        return ""
    open_parts = [part for part in parts if part.verdict is not Verdict.PASS]
    open_parts.sort(key=lambda part: (part.verdict is not Verdict.FAIL, -part.drop_points))
    if not open_parts:
        return f": all {format_int(len(parts))} hold"
    names = [f"{escape(part.column)}: {escape(part.value, longest=_LONGEST)}" for part in open_parts]
    more = f" and {format_int(len(names) - _MOST_NAMED)} more" if len(names) > _MOST_NAMED else ""
    holding = f"{format_int(len(parts) - len(names))} of {format_int(len(parts))} hold"
    return f": {holding}, not {', '.join(names[:_MOST_NAMED])}{more}"


def _format_bold_verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return MISSING
    return verdict.value if verdict is Verdict.PASS else f"**{verdict.value}**"
