"""Since the baseline: each variant beside itself in the release that the suite is held against."""

from __future__ import annotations

from slimgate._system.escape import escape
from slimgate.judge.budget_kinds import list_point_limits
from slimgate.record import RunRecord, SinceFacts, VariantRecord
from slimgate.report.figures import MISSING, count, drop_words, to_fixed
from slimgate.report.status import models
from slimgate.report.tables import Column, blocks, bullets, table, without_empty

# Beside report.md: teacher drift and variant drift, by every metric, slice, size and time.
COMPARISON = "compare.md"


def since_baseline(record: RunRecord) -> str:
    """The section of report.md; empty without a baseline."""
    if record.baseline is None:
        return ""
    # shards that were merged are compared by who has both records
    where = "`slimgate compare` tells it" if len(record.shards) > 1 else f"[{COMPARISON}]({COMPARISON})"
    found = since_table(record)
    moved = "What else moved" if found else "No budget holds variants against it. What moved"
    more = f"{moved} since then, the teacher apart from its variants: {where}."
    return blocks(f"## Since the baseline {baseline_name(record)}", found, more)


def since_table(record: RunRecord) -> str:
    """A line a variant and metric, then why one was not tested; empty where nothing is held against it."""
    found = [(model, name, one) for model in models(record) for name, one in model.since_baseline.items()]
    notes = [
        f"{escape(model.name)}, {escape(name)}: {escape(one.note)}." for model, name, one in found if one.note
    ]
    columns = [
        Column("model", [escape(model.name) for model, _, _ in found]),
        Column("metric", [escape(name) for _, name, _ in found]),
        Column(
            "then → now", [f"{_value(one.baseline)} → {_value(one.value)}" for _, _, one in found], right=True
        ),
        Column("drop since then", [_drop(one) for _, _, one in found], right=True),
        Column("rows lost / won", [_rows(one) for _, _, one in found], right=True),
        Column("budget", [_budgets(one) for _, _, one in found]),
        Column("verdict", [_verdict(model, one) for model, _, one in found]),
    ]
    return blocks(table(without_empty(columns)), bullets(notes))


def baseline_name(record: RunRecord) -> str:
    """Of the release where it has one, else its file."""
    found = record.baseline
    return escape(found.name or found.path) if found else ""


def new_since_baseline(record: RunRecord) -> list[str]:
    """The models that have budgets against the baseline, and that it has no answers of."""
    return [model.name for model in models(record) if any(one.new for one in model.since_baseline.values())]


def _value(value: float | None) -> str:
    return to_fixed(value, 3 if value is None or abs(value) < 10 else 2)


def _drop(one: SinceFacts) -> str:
    limits = list_point_limits(one.budgets)
    words = drop_words(one.drop_points, one.interval, limits, unit=one.unit) or MISSING
    return words.removeprefix("drop ")


def _rows(one: SinceFacts) -> str:
    if one.right_to_wrong is None:
        return MISSING
    return f"{count(one.right_to_wrong)} / {count(one.wrong_to_right)}"


def _budgets(one: SinceFacts) -> str:
    return ", ".join(f"{escape(budget.kind)} {budget.limit:g}" for budget in one.budgets) or MISSING


def _verdict(model: VariantRecord, one: SinceFacts) -> str:
    if one.verdict is None:
        return "new, not gated" if one.new else MISSING
    if not model.gated:
        return f"not gated (would {one.verdict})"
    return str(one.verdict) if one.verdict == "PASS" else f"**{one.verdict}**"
