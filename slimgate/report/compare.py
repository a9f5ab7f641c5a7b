"""What moved between two releases, as markdown: verdicts first, then budgets, the teacher, the variants."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escaped
from slimgate.judge.verdict import Verdict
from slimgate.record.comparing import BudgetChange, Comparison, ModelChange, Outcome, VerdictChange
from slimgate.record.words import numbered
from slimgate.report.compare_tables import latency_table, metric_table, size_table, slice_table
from slimgate.report.figures import count
from slimgate.report.standing import budget_words, workload_words
from slimgate.report.tables import Column, blocks, bullets, table, titled

_HOW = (
    "Drops are in percentage points, positive is worse. Between releases they are of the same gate rows, by "
    "the judge's own paired tests, with 90 % intervals that are not corrected for their number; slices are "
    "(Holm). Without an interval the values alone are compared."
)


_UNDECIDED = {
    None: "",
    ("fail", "warn"): ", undecided it failed and only warns now",
    ("warn", "fail"): ", undecided it only warned and fails now",
}


def compare_report(found: Comparison) -> str:
    """The whole text."""
    return (
        blocks(
            f"# {escaped(found.old.name)} → {escaped(found.new.name)}",
            _head(found),
            titled("Before you trust this:", bullets(map(escaped, found.notes))),
            titled("## Verdicts that changed", _verdicts(found)),
            titled("## Budgets that changed", bullets(map(_budget, found.budgets))),
            titled("## Variants that came, went, or are the same", _variants_named(found)),
            titled("## The teacher", _model(found.teacher)),
            titled("## The variants", metric_table(found.variants)),
            titled("### Slices", slice_table(found)),
            titled("### Size", size_table(found)),
            titled("### Latency", latency_table(found)),
            _HOW,
        )
        + "\n"
    )


def _head(found: Comparison) -> str:
    """`**FAIL**, was PASS · 2 budgets held and do not now · …`, and when both ran."""
    old, new = found.old, found.new
    status = f"**{new.status}**" + ("" if old.status == new.status else f", was {old.status}")
    parts = [status, *_counts(found)]
    reasons = [f"Accepted with the reason: {escaped(new.reason)}"] if new.reason else []
    origin = f"Suite {escaped(new.suite)} · {escaped(old.created)} → {escaped(new.created)}"
    return blocks(" · ".join(parts), *reasons, origin)


def _counts(found: Comparison) -> Iterator[str]:
    loosened, unexplained = len(found.loosened), len(found.unexplained)
    held = sum(one.before is Verdict.PASS for one in found.regressed)
    if held:
        yield f"{count(held)} {'budget' if held == 1 else 'budgets'} held and {_no_more(held)}"
    else:
        yield "no budget that held has stopped holding"
    if undecided := len(found.regressed) - held:
        were = "budget was undecided and fails" if undecided == 1 else "budgets were undecided and fail"
        yield f"{count(undecided)} {were} now"
    if found.fell:
        yield f"{numbered(len(found.fell), 'metric', 'metrics')} fell"
    if gone := len(found.gates_gone):
        yield f"{count(gone)} gated {'variant is' if gone == 1 else 'variants are'} gone"
    if loosened:
        without = f", {count(unexplained)} of them without a reason" if unexplained else ""
        yield f"{count(loosened)} {'budget' if loosened == 1 else 'budgets'} got looser{without}"


def _no_more(number: int) -> str:
    return "does not any more" if number == 1 else "do not any more"


def _verdicts(found: Comparison) -> str:
    changes = found.verdicts
    if not changes:
        return ""
    lines = [
        _told(one.variant, one.message)
        for one in found.verdicts
        if one.message and one.after not in (None, Verdict.PASS)
    ]
    return blocks(
        table(
            [
                Column("variant", [escaped(one.variant) for one in changes]),
                Column("budget", [_budget_named(one.budget, one.kind) for one in changes]),
                Column("was", [_outcome(one.before) for one in changes]),
                Column("is", [_emphasised(one) for one in changes]),
            ]
        ),
        bullets(dict.fromkeys(lines)),
    )


def _emphasised(change: VerdictChange) -> str:
    said = _outcome(change.after)
    return f"**{said}**" if change.regressed else said


def _outcome(outcome: Outcome | None) -> str:
    return "no budget" if outcome is None else str(outcome)


def _told(variant: str, message: str) -> str:
    """A gate's line names its variant; an error may not."""
    return escaped(message if message.startswith(f"{variant}:") else f"{variant}: {message}")


def _budget_named(budget: str, kind: str) -> str:
    """`accuracy, drop_points`; `slices accuracy`, whose kind says it all."""
    return budget_words(kind) if "." in kind else f"{_named(budget)}, {escaped(kind)}"


def _named(budget: str) -> str:
    """`latency batch 1` for `latency b1`."""
    of, _, workload = budget.partition(" ")
    return f"{escaped(of)} {workload_words(workload)}" if workload else escaped(of)


def _budget(change: BudgetChange) -> str:
    what = f"{escaped(change.variant)}, {_budget_named(change.budget, change.kind)}"
    if change.before is None:
        return f"{what} {change.after:g} is new"
    if change.gates_no_more:
        said = f"{what} {change.before:g} does not gate any more"
    elif change.after is None:
        said = f"{what} {change.before:g} is gone"
    else:
        limits = [change.before, *([] if change.after == change.before else [change.after])]
        said = f"{what} {' → '.join(f'{limit:g}' for limit in limits)}{_UNDECIDED[change.undecided]}"
    if not change.looser:
        return f"{said} (tighter)"
    why = escaped(change.reason) if change.reason else "no reason given"
    under = {
        Verdict.FAIL: f"; under {change.before:g} this release would FAIL",
        Verdict.INCONCLUSIVE: f"; under {change.before:g} this release would be INCONCLUSIVE",
        Verdict.PASS: f"; this release holds {change.before:g} too",
        None: "",
    }[change.under_before]
    return f"**Loosened**: {said}: {why}{under}"


def _variants_named(found: Comparison) -> str:
    lines = []
    if found.added:
        lines.append(f"New variants: {', '.join(map(escaped, found.added))}.")
    if found.removed:
        lines.append(f"Variants that are gone: {', '.join(map(escaped, found.removed))}.")
    same = [model.name for model in found.variants if model.same_artifact]
    if same:
        lines.append(f"The same files, byte by byte: {', '.join(map(escaped, same))}.")
    return bullets(lines)


def _model(model: ModelChange | None) -> str:
    if model is None:
        return ""
    same = "Its files are the same, byte by byte." if model.same_artifact else ""
    return blocks(same, metric_table([model]))
