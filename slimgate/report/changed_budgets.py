"""The verdicts and the budgets that changed between two releases, and whether the gate demands less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count
from slimgate._system.toml import format_value
from slimgate.record.comparing import BudgetChange, Comparison, Outcome, VerdictChange
from slimgate.record.verdicts import Weakening
from slimgate.report.figures import add_note
from slimgate.report.status import describe_budget, describe_workload
from slimgate.report.tables import Column, blocks, format_bullets, make_pipe_table
from slimgate.results.base import Verdict

# A reason, or a list of settings, must not fill a comment.
_LONGEST = 400


def format_weaker_gate(weaker: Sequence[Weakening], than: str) -> str:
    """A line, and a bullet for each change; empty if the gate is as strong.

    than: the gate to compare with, `the baseline v1`, as markdown.
    """
    if not weaker:
        return ""
    unexplained = sum(weakening.reason is None for weakening in weaker)
    without = f", {unexplained} without a reason" if unexplained else ", each with a reason"
    counts = format_count(len(weaker), "change", "changes")
    lines = [
        add_note(
            escape(weakening.change, longest=_LONGEST),
            escape(weakening.reason or "no reason", longest=_LONGEST),
        )
        for weakening in weaker
    ]
    return blocks(f"**The gate demands less than {than}**: {counts}{without}", format_bullets(lines))


# The change of on_inconclusive, in words.
_INCONCLUSIVE_CHANGES = {
    None: "",
    ("fail", "warn"): ", INCONCLUSIVE failed the run and now only warns",
    ("warn", "fail"): ", INCONCLUSIVE only warned and now fails the run",
}


def format_verdict_changes(comparison: Comparison) -> str:
    """A table of the verdicts that changed, then the messages of the budgets that do not hold now."""
    changes = comparison.verdicts
    if not changes:
        return ""
    lines = [
        _format_message(change.variant, change.message)
        for change in changes
        if change.message and change.after not in (None, Verdict.PASS)
    ]
    return blocks(
        make_pipe_table(
            [
                Column(comparison.other, [escape(change.variant) for change in changes]),
                Column("budget", [_format_limits(change) for change in changes]),
                Column("was", [_format_outcome(change.before) for change in changes]),
                Column("is", [_format_new_outcome(change) for change in changes]),
            ]
        ),
        format_bullets(dict.fromkeys(lines)),
    )


def _format_limits(change: VerdictChange) -> str:
    """`accuracy, drop_points 2 → 1`, if the limit changed."""
    limits = "" if change.limits is None else " {:g} → {:g}".format(*change.limits)
    return f"{_format_budget(change.budget, change.kind)}{limits}"


def _format_new_outcome(change: VerdictChange) -> str:
    outcome = _format_outcome(change.after)
    return f"**{outcome}**" if change.regressed else outcome


def _format_outcome(outcome: Outcome | None) -> str:
    return "no budget" if outcome is None else str(outcome)


def _format_message(variant: str, message: str) -> str:
    """Adds the name of the variant, if the message does not begin with it, as some errors do not."""
    names = f"{variant}:", f"confirm: {variant}:"
    return escape(message if message.startswith(names) else f"{variant}: {message}")


def _format_budget(budget: str, kind: str) -> str:
    """`accuracy, drop_points` or `latency batch 1, …`; `slices accuracy` for the kind `slices.accuracy`."""
    if "." in kind:
        return describe_budget(kind)
    name, _, workload = budget.partition(" ")
    return f"{escape(name)}{f' {describe_workload(workload)}' if workload else ''}, {escape(kind)}"


def format_budget_changes(comparison: Comparison) -> str:
    """A bullet for each budget that is new or gone, or has another limit or other options."""
    return format_bullets(map(_format_change, comparison.budgets))


def _format_change(change: BudgetChange) -> str:
    name = f"{escape(change.variant)}, {_format_budget(change.budget, change.kind)}"
    if change.before is None:
        return f"{name} {change.after:g} is new"
    if change.gates_no_more:
        words = f"{name} {change.before:g} does not gate any more"
    elif change.after is None:
        words = f"{name} {change.before:g} is gone"
    else:
        limits = [change.before, *([] if change.after == change.before else [change.after])]
        words = (
            f"{name} {' → '.join(f'{limit:g}' for limit in limits)}{_INCONCLUSIVE_CHANGES[change.undecided]}"
        )
        words += "" if change.options is None else f", {_format_options(change.options)}"
    if not change.looser:
        return f"{words} (tighter)"
    why = escape(change.reason) if change.reason else "no reason given"
    under = {
        # not FAIL: with several tasks or slices, that depends on Holm's correction
        Verdict.FAIL: f"; under {change.before:g} this release would not pass",
        Verdict.INCONCLUSIVE: f"; under {change.before:g} this release would be INCONCLUSIVE",
        Verdict.PASS: f"; this release holds {change.before:g} too",
        None: "",
    }[change.under_before]
    return f"**Loosened**: {words}: {why}{under}"


def _format_options(options: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """`over "builds" → not set`: the other keys of a budget's table that changed."""
    before, after = options
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(
        f"{escape(name)} {format_value(before.get(name))} → {format_value(after.get(name))}"
        for name in changed
    )
