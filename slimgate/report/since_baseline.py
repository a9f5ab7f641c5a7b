"""Each variant compared with itself in the baseline release."""

from __future__ import annotations

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING
from slimgate.judge.budget_kinds import list_point_limits
from slimgate.judge.message import format_cap
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import format_drop, format_metric_value, format_turned_rows
from slimgate.report.status import list_models
from slimgate.report.tables import Column, blocks, format_bullets, make_pipe_table, remove_empty_columns
from slimgate.results.quality import SinceFacts

# The file next to report.md: teacher drift and variant drift, by every metric, slice, size and time.
COMPARISON = "compare.md"


def format_since_baseline(record: RunRecord) -> str:
    """The section of report.md; empty without a baseline."""
    if record.baseline is None:
        return ""
    # no run wrote a comparison of merged shards
    where = "run `slimgate compare`" if len(record.shards) > 1 else f"[{COMPARISON}]({COMPARISON})"
    table = make_since_table(record)
    changes = (
        "Other changes since then" if table else "No budget compares variants with it. Changes since then"
    )
    more = f"{changes}, of the teacher and of its variants separately: {where}."
    return blocks(f"## Since the baseline {name_baseline(record)}", table, more)


def make_since_table(record: RunRecord) -> str:
    """A line for each variant and metric, then why one was not tested; empty if nothing is compared."""
    results = [
        (model, name, facts) for model in list_models(record) for name, facts in model.since_baseline.items()
    ]
    notes = [
        f"{escape(model.name)}, {escape(name)}: {escape(facts.note)}."
        for model, name, facts in results
        if facts.note
    ]
    columns = [
        Column("model", [escape(model.name) for model, _, _ in results]),
        Column("metric", [escape(name) for _, name, _ in results]),
        Column(
            "then → now",
            [
                f"{format_metric_value(facts.baseline)} → {format_metric_value(facts.value)}"
                for _, _, facts in results
            ],
            right=True,
        ),
        Column("drop since then", [_format_since_drop(facts) for _, _, facts in results], right=True),
        Column(
            "right to wrong / back",
            [format_turned_rows(facts.right_to_wrong, facts.wrong_to_right) for _, _, facts in results],
            right=True,
        ),
        Column("budget", [_format_since_budgets(facts) for _, _, facts in results]),
        Column("verdict", [_format_since_verdict(model, facts) for model, _, facts in results]),
    ]
    return blocks(make_pipe_table(remove_empty_columns(columns)), format_bullets(notes))


def name_baseline(record: RunRecord) -> str:
    """The name of the release, or else of its file."""
    baseline = record.baseline
    return escape(baseline.name or baseline.path) if baseline else ""


def _format_since_drop(facts: SinceFacts) -> str:
    limits = list_point_limits(facts.budgets)
    drop = format_drop(facts.drop_points, facts.interval, limits, unit=facts.unit)
    return drop + format_cap(facts.budgets)


def _format_since_budgets(facts: SinceFacts) -> str:
    return ", ".join(f"{escape(budget.kind)} {budget.limit:g}" for budget in facts.budgets) or MISSING


def _format_since_verdict(model: VariantRecord, facts: SinceFacts) -> str:
    if facts.verdict is None:
        return "new, not gated" if facts.new else MISSING
    if not model.gated:
        return f"not gated (would {facts.verdict})"
    return str(facts.verdict) if facts.verdict == "PASS" else f"**{facts.verdict}**"
