"""A record made of files: a table for each target, a line for each task and metric, what lost most first."""

from __future__ import annotations

from slimgate._system.escape import escape
from slimgate._system.number_text import count, to_fixed
from slimgate.judge.budget_kinds import is_two_sided, measure_harm
from slimgate.record.run import VariantRecord
from slimgate.record.task import Sides
from slimgate.report.figures import format_drop, format_limits
from slimgate.report.tables import Column, blocks, table
from slimgate.results.quality import QualityFacts

_MOST_LINES = 300


def log_table(model: VariantRecord, names: Sides, limit: int = _MOST_LINES) -> str:
    """The table of one target, of at most `limit` lines, with the target's name above it."""
    metrics = sorted(
        model.quality.items(), key=lambda pair: -measure_harm(pair[1].drop_points or 0.0, pair[1].budgets)
    )
    shown = metrics[:limit]
    more = len(metrics) - len(shown)
    two_sided = any(is_two_sided(facts.budgets) for _, facts in metrics)
    return blocks(
        f"### {escape(model.name)}",
        table(
            [
                Column(
                    "metric" if names.original == "teacher" else "task/metric",
                    [escape(name) for name, _ in shown],
                ),
                Column("n", [count(facts.n) for _, facts in shown], right=True),
                Column(names.original, [_value(facts.teacher) for _, facts in shown], right=True),
                Column(names.other, [_value(facts.value) for _, facts in shown], right=True),
                Column(
                    "drop, points",
                    [
                        format_drop(facts.drop_points, facts.interval, facts.budgets, unit=facts.unit)
                        for _, facts in shown
                    ],
                    right=True,
                ),
                Column("budget", [format_limits(facts.budgets) for _, facts in shown], right=True),
                Column("verdict", [_verdict(facts) for _, facts in shown]),
            ]
        ),
        f"{count(more)} more that {'differ' if two_sided else 'lost'} less; run.json has them."
        if more
        else "",
    )


def _value(value: float) -> str:
    return to_fixed(value, 3 if abs(value) < 10 else 2)


def _verdict(facts: QualityFacts) -> str:
    if facts.verdict is None:
        return "not gated"
    return facts.verdict.value if facts.verdict == "PASS" else f"**{facts.verdict.value}**"
