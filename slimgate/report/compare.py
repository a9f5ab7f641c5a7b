"""What moved between two releases, as markdown: verdicts first, then budgets, the teacher, the variants.

The tables of a comparison of two releases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from slimgate._system.escape import escape
from slimgate._system.toml import format_value
from slimgate.judge.slices import FEW_ROWS
from slimgate.judge.verdict import Verdict
from slimgate.record.comparing import (
    BudgetChange,
    Comparison,
    LatencyChange,
    MetricChange,
    ModelChange,
    Moved,
    Outcome,
    SliceChange,
    VerdictChange,
)
from slimgate.record.words import format_count
from slimgate.report.figures import (
    MISSING,
    as_fast,
    count,
    megabytes,
    percent,
    significant,
    smaller,
    to_fixed,
)
from slimgate.report.separation import separation
from slimgate.report.status import budget_words, workload_words
from slimgate.report.tables import Column, blocks, bullets, table, with_heading, without_empty
from slimgate.report.weaker import weaker_gate

# Of each model so many slices are shown, the surest losses first.
_MOST_SLICES = 8
# Smaller changes of a size are of the files' headers, not of the model.
_SIZE_SHARE = 0.001
# A slice that moved by less is not worth a line unless its test says so.
_SLICE_POINTS = 1.0
_ALPHA = 0.05
_HOW = (
    "Drops are in percentage points, positive is worse. Between releases they are of the same gate rows, by "
    "the judge's own paired tests, with 90 % intervals that are not corrected for their number; slices are "
    "(Holm). Without an interval the values alone are compared."
)


_NEW_ALONE = "## Which variants of the new release can be told apart"
_WORDS = {"worse": "**worse**", "better": "better", "no change shown": "no change shown", None: MISSING}
_UNDECIDED = {
    None: "",
    ("fail", "warn"): ", undecided it failed and only warns now",
    ("warn", "fail"): ", undecided it only warned and fails now",
}


def metric_table(models: Sequence[ModelChange]) -> str:
    """A line a model and metric: between the releases, and behind the teacher in each."""
    found = [(model, one) for model in models for one in model.metrics]
    columns = [
        Column("model", [escape(model.name) for model, _ in found]),
        Column("metric", [escape(one.metric) for _, one in found]),
        Column("old → new", [_values(one) for _, one in found], right=True),
        Column("drop between releases", [_drop(one) for _, one in found], right=True),
        Column("the new one is", [_new_one_is(one) for _, one in found]),
        Column("rows lost / won", [_rows(one) for _, one in found], right=True),
        Column("behind its teacher, old → new", [_behind(one) for _, one in found], right=True),
    ]
    readings = [
        f"{escape(model.name)}, {escape(one.metric)}: {one.reading}." for model, one in found if one.reading
    ]
    return blocks(table(without_empty(columns)), bullets(readings))


def slice_table(found: Comparison) -> str:
    """The slices that moved, of the teacher and every variant."""
    models = [*([found.teacher] if found.teacher else []), *found.variants]
    moved = [(model, one) for model in models for one in model.slices if _worth_telling(one)]
    shown = [
        (model, one)
        for model in models
        for one in [one for other, one in moved if other is model][:_MOST_SLICES]
    ]
    if not shown:
        return ""
    columns = [
        Column("model", [escape(model.name) for model, _ in shown]),
        Column("slice", [f"{escape(one.column)} {escape(one.value, longest=60)}" for _, one in shown]),
        Column("rows", [count(one.rows) for _, one in shown], right=True),
        Column("metric", [escape(one.metric) for _, one in shown]),
        Column("old → new", [_values(one) for _, one in shown], right=True),
        Column("drop between releases", [_drop(one) for _, one in shown], right=True),
        Column("p (Holm)", [significant(one.p_holm, 2) for _, one in shown], right=True),
        Column("behind its teacher, old → new", [_drops(one) for _, one in shown], right=True),
    ]
    hidden = len(moved) - len(shown)
    return blocks(
        table(without_empty(columns)),
        f"{count(hidden)} more slices moved by a point or more." if hidden else "",
    )


def size_table(found: Comparison) -> str:
    """Bytes of every model whose size changed, by a thousandth or more."""
    models = [*([found.teacher] if found.teacher else []), *found.variants]
    sized = [
        (model, size)
        for model in models
        if (size := model.size)
        and abs(size.new_bytes - size.old_bytes) > _SIZE_SHARE * max(size.old_bytes, 1)
    ]
    return table(
        without_empty(
            [
                Column("model", [escape(model.name) for model, _ in sized]),
                Column("old, MB", [megabytes(size.old_bytes) for _, size in sized], right=True),
                Column("new, MB", [megabytes(size.new_bytes) for _, size in sized], right=True),
                Column("change", [_growth(size.old_bytes, size.new_bytes) for _, size in sized], right=True),
                Column("old", [smaller(size.old_compression) or MISSING for _, size in sized], right=True),
                Column("new", [smaller(size.new_compression) or MISSING for _, size in sized], right=True),
            ]
        )
    )


def latency_table(found: Comparison) -> str:
    """Medians and speed-ups of both releases; a change only where the machine is the same."""
    models = [*([found.teacher] if found.teacher else []), *found.variants]
    timed = [(model, one) for model in models for one in model.latency]
    columns = [
        Column("model", [escape(model.name) for model, _ in timed]),
        Column("workload", [workload_words(one.workload) for _, one in timed]),
        Column("median ms, old → new", [_medians(one) for _, one in timed], right=True),
        Column("old, against its teacher", [_duel(one, new=False) for _, one in timed], right=True),
        Column("new, against its teacher", [_duel(one, new=True) for _, one in timed], right=True),
        Column("change", [_change(found, one) for _, one in timed]),
    ]
    return table(without_empty(columns))


def _values(one: Moved) -> str:
    digits = 3 if max(abs(one.old), abs(one.new)) < 10 else 2
    return f"{to_fixed(one.old, digits)} → {to_fixed(one.new, digits)}"


def _drop(one: Moved) -> str:
    unit = " %" if one.unit == "percent" else ""
    shown = f"{to_fixed(one.drop_points, 1)}{unit}{_bounds(one.interval)}"
    return f"**{shown}**" if one.shown == "worse" else shown


def _new_one_is(one: Moved) -> str:
    """By the 90 % interval, which is not corrected for the number of models."""
    return "the same" if one.interval == (0.0, 0.0) else _WORDS[one.shown]


def _bounds(interval: tuple[float, float] | None) -> str:
    return f" [{to_fixed(interval[0], 1)}, {to_fixed(interval[1], 1)}]" if interval else ""


def _rows(one: Moved) -> str:
    if one.right_to_wrong is None:
        return MISSING
    return f"{count(one.right_to_wrong)} / {count(one.wrong_to_right)}"


def _behind(one: MetricChange) -> str:
    if one.old_drop is None or one.new_drop is None:
        return MISSING
    before = f"{to_fixed(one.old_drop, 1)}{_bounds(one.old_drop_interval)}"
    return f"{before} → {to_fixed(one.new_drop, 1)}{_bounds(one.new_drop_interval)}"


def _drops(one: SliceChange) -> str:
    if one.old_drop is None or one.new_drop is None:
        return MISSING
    return f"{to_fixed(one.old_drop, 1)} → {to_fixed(one.new_drop, 1)}"


def _worth_telling(one: SliceChange) -> bool:
    if one.p_holm is not None and one.p_holm <= _ALPHA:
        return True
    return one.rows >= FEW_ROWS and abs(one.drop_points or 0.0) >= _SLICE_POINTS


def _growth(before: int, after: int) -> str:
    return percent(after / before - 1, 1) if before else MISSING


def _medians(one: LatencyChange) -> str:
    if one.old_p50_ms is None and one.new_p50_ms is None:
        return MISSING
    return f"{significant(one.old_p50_ms)} → {significant(one.new_p50_ms)}"


def _duel(one: LatencyChange, *, new: bool) -> str:
    speedup, interval = (one.new_speedup, one.new_interval) if new else (one.old_speedup, one.old_interval)
    return as_fast(speedup, interval) or MISSING


def _change(found: Comparison, one: LatencyChange) -> str:
    if not found.same_machine:
        return "another machine"
    return {"slower": "**slower**", None: MISSING}.get(one.change, str(one.change))


def compare_report(found: Comparison) -> str:
    """The whole text."""
    return (
        blocks(
            f"# {escape(found.old.name)} → {escape(found.new.name)}",
            weaker_gate(found.weaker, escape(found.old.name)),
            _head(found),
            with_heading("Before you trust this:", bullets(map(escape, found.notes))),
            with_heading("## Verdicts that changed", _verdicts(found)),
            with_heading("## Budgets that changed", bullets(map(_budget, found.budgets))),
            with_heading("## Variants that came, went, or are the same", _list_variants(found)),
            with_heading("## The teacher", _model(found.teacher)),
            with_heading("## The variants", metric_table(found.variants)),
            with_heading("### Slices", slice_table(found)),
            with_heading("### Size", size_table(found)),
            with_heading("### Latency", latency_table(found)),
            separation(found.separation, _NEW_ALONE),
            _HOW,
        )
        + "\n"
    )


def _head(found: Comparison) -> str:
    """`**FAIL**, was PASS · 2 budgets held and do not now · …`, and when both ran."""
    old, new = found.old, found.new
    status = f"**{new.status}**" + ("" if old.status == new.status else f", was {old.status}")
    parts = [status, *_counts(found)]
    reasons = [f"Accepted with the reason: {escape(new.reason)}"] if new.reason else []
    origin = f"Suite {escape(new.suite)} · {escape(old.created)} → {escape(new.created)}"
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
        yield f"{format_count(len(found.fell), 'metric', 'metrics')} fell"
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
        _format_message(one.variant, one.message)
        for one in found.verdicts
        if one.message and one.after not in (None, Verdict.PASS)
    ]
    return blocks(
        table(
            [
                Column("variant", [escape(one.variant) for one in changes]),
                Column("budget", [_format_limits(one) for one in changes]),
                Column("was", [_outcome(one.before) for one in changes]),
                Column("is", [_emphasise(one) for one in changes]),
            ]
        ),
        bullets(dict.fromkeys(lines)),
    )


def _format_limits(change: VerdictChange) -> str:
    """`accuracy, drop_points 2 → 1`, where the limit changed."""
    limits = "" if change.limits is None else " {:g} → {:g}".format(*change.limits)
    return f"{_format_budget(change.budget, change.kind)}{limits}"


def _emphasise(change: VerdictChange) -> str:
    said = _outcome(change.after)
    return f"**{said}**" if change.regressed else said


def _outcome(outcome: Outcome | None) -> str:
    return "no budget" if outcome is None else str(outcome)


def _format_message(variant: str, message: str) -> str:
    """A gate's line names its variant; an error may not."""
    return escape(message if message.startswith(f"{variant}:") else f"{variant}: {message}")


def _format_budget(budget: str, kind: str) -> str:
    """`accuracy, drop_points`; `slices accuracy`, whose kind says it all."""
    return budget_words(kind) if "." in kind else f"{_format_name(budget)}, {escape(kind)}"


def _format_name(budget: str) -> str:
    """`latency batch 1` for `latency b1`."""
    of, _, workload = budget.partition(" ")
    return f"{escape(of)} {workload_words(workload)}" if workload else escape(of)


def _budget(change: BudgetChange) -> str:
    what = f"{escape(change.variant)}, {_format_budget(change.budget, change.kind)}"
    if change.before is None:
        return f"{what} {change.after:g} is new"
    if change.gates_no_more:
        said = f"{what} {change.before:g} does not gate any more"
    elif change.after is None:
        said = f"{what} {change.before:g} is gone"
    else:
        limits = [change.before, *([] if change.after == change.before else [change.after])]
        said = f"{what} {' → '.join(f'{limit:g}' for limit in limits)}{_UNDECIDED[change.undecided]}"
        said += "" if change.options is None else f", {_options(change.options)}"
    if not change.looser:
        return f"{said} (tighter)"
    why = escape(change.reason) if change.reason else "no reason given"
    under = {
        Verdict.FAIL: f"; under {change.before:g} this release would FAIL",
        Verdict.INCONCLUSIVE: f"; under {change.before:g} this release would be INCONCLUSIVE",
        Verdict.PASS: f"; this release holds {change.before:g} too",
        None: "",
    }[change.under_before]
    return f"**Loosened**: {said}: {why}{under}"


def _options(options: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """`over "builds" → not set`: what else of a budget's table is another."""
    before, after = options
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(
        f"{escape(name)} {format_value(before.get(name))} → {format_value(after.get(name))}"
        for name in changed
    )


def _list_variants(found: Comparison) -> str:
    lines = []
    if found.added:
        lines.append(f"New variants: {', '.join(map(escape, found.added))}.")
    if found.removed:
        lines.append(f"Variants that are gone: {', '.join(map(escape, found.removed))}.")
    same = [model.name for model in found.variants if model.same_artifact]
    if same:
        lines.append(f"The same files, byte by byte: {', '.join(map(escape, same))}.")
    return bullets(lines)


def _model(model: ModelChange | None) -> str:
    if model is None:
        return ""
    same = "Its files are the same, byte by byte." if model.same_artifact else ""
    return blocks(same, metric_table([model]))
