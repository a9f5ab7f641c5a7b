"""The verdicts of the confirm rows on variants that passed the gate, and how often rows were used."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count, format_int
from slimgate.record.run import RunRecord
from slimgate.report.status import describe_workload
from slimgate.report.tables import blocks, format_bullets

# Of the speed-ups that were judged again, more than this are counted and not named.
_MOST_AGAIN = 2
_EXPLANATION = (
    "The confirm rows judge only what passed on the gate rows, and no step reads them. Nothing is chosen by "
    "them before their first use, so the variants that were tried before need no correction here."
)


def format_confirm_section(record: RunRecord) -> str:
    """The section; empty if no run has used the confirm rows."""
    if record.confirm is None:
        return ""
    return blocks(
        "## Confirmed on rows of their own",
        _EXPLANATION,
        format_bullets(map(escape, format_confirm_lines(record))),
    )


def format_confirm_lines(record: RunRecord) -> Iterator[str]:
    """A line for each metric that was judged, then the lines on a second use. Plain text."""
    confirmed = record.confirm
    if confirmed is None:
        return
    for model in record.variants:
        for name, facts in model.confirm.items():
            yield facts.message or f"confirm: {model.name}: {name} {facts.verdict}"
    if confirmed.uses > 1:
        yield (
            f"the {format_int(confirmed.n)} confirm rows were used "
            f"{_describe_repeated_use(confirmed.uses, confirmed.models)}"
        )


def list_row_use_cautions(record: RunRecord) -> Iterator[str]:
    """Cautions as markdown: rows that judged other models before, and budgets that were judged again."""
    row_use = record.row_use
    if row_use is not None and row_use.runs > 1:
        runs, models = (
            format_count(row_use.runs, "run", "runs"),
            format_count(row_use.models, "model", "models"),
        )
        first = f"**These gate rows were used by {runs} with other models** ({models} in all)"
        yield f"{first}: each model is one more chance to PASS by luck."
    if row_use is not None and row_use.cuts > 1:
        yield (
            f"**{format_int(row_use.cuts)} different gates were cut from the same data, and judged** (by "
            "other seeds or sizes of the splits): each cut is one more chance to PASS by luck."
        )
    if record.confirm is not None and record.confirm.uses > 1:
        repeats = _describe_repeated_use(record.confirm.uses, record.confirm.models)
        yield f"The confirm rows were used {repeats}."
    again = [
        f"{escape(timing.variant)}, {_describe_timed_workload(timing.workload)} "
        f"({format_int(timing.times)} times, "
        f"{format_int(timing.passed)} passed)"
        for timing in (row_use.timings if row_use is not None else ())
        if timing.passed < timing.times
    ]
    if again:
        left = len(again) - _MOST_AGAIN
        more = [format_count(left, "more speed-up", "more speed-ups")] if left > 0 else []
        shown = "; ".join([*again[:_MOST_AGAIN], *more])
        yield f"Speed was judged again, and the last time counts: {shown}."


def _describe_timed_workload(timed: str) -> str:
    """`batch 1` for a duel, `batch 1 in ms` for the model's own times."""
    workload = timed.removesuffix(" ms")
    return describe_workload(workload) + (" in ms" if workload != timed else "")


def _describe_repeated_use(uses: int, models: int) -> str:
    return f"{format_int(uses)} times, by {format_int(models)} models; the first use counts"
