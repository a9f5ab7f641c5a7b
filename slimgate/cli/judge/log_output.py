"""The output of `slimgate judge` for logs: a table sorted by loss, totals, flipped samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tabulate import tabulate

from slimgate._system.escape import escape_invisible
from slimgate._system.number_text import MISSING, format_count, format_fixed, format_int
from slimgate.judge.budget_kinds import is_two_sided, list_point_limits
from slimgate.judge.message import format_cap
from slimgate.logs.answers import JudgedAnswers
from slimgate.logs.comparison_lines import format_comparison
from slimgate.logs.comparisons import Comparison
from slimgate.logs.quotes import QuotedSample, list_quoted_samples
from slimgate.logs.verdicts import LogVerdicts
from slimgate.report.figures import format_drop, format_limits
from slimgate.results.base import Verdict
from slimgate.results.counts import BudgetCounts, format_verdict

_MOST_ROWS = 40
_MOST_QUOTED = 5
_LONGEST = 160


def list_details(judged: JudgedAnswers) -> dict[str, dict[str, Any]]:
    """By target `samples`: for each comparison how many were judged, got worse or better, or are missing."""
    return {
        name: {
            "samples": {
                comparison.name: _make_sample_facts(comparison) for comparison in verdicts.with_slices
            }
        }
        for name, verdicts in judged.verdicts.items()
    }


def _make_sample_facts(comparison: Comparison) -> dict[str, Any]:
    samples: dict[str, Any] = {
        **vars(comparison.counts),
        "worse": comparison.worse,
        "better": comparison.better,
        "changed": comparison.changed,
    }
    if comparison.length_in is not None:
        samples["length_in"] = comparison.length_in
    if comparison.slice_of is not None:
        samples["slice"] = {
            "of": comparison.slice_of.name,
            comparison.slice_of.field: comparison.slice_of.value,
        }
    if comparison.noise is not None:
        samples |= {
            "base_changes_share": comparison.noise.psi,
            "within_noise": comparison.noise.covers(comparison.judged.drop_points),
        }
    return samples


def format_log_verdicts(judged: JudgedAnswers) -> str:
    """For each target its table, totals, flipped samples, notes and verdict."""
    return "\n\n".join(
        block
        for name, verdicts in judged.verdicts.items()
        for block in _format_blocks(name, verdicts, judged.count_verdicts(name))
        if block
    )


def _format_blocks(name: str, verdicts: LogVerdicts, counts: BudgetCounts) -> Iterator[str]:
    target, base = (log.model or log.shown.removeprefix("./") for log in (verdicts.target, verdicts.base))
    target_name = target if target == name else f"{name}: {target}"
    yield escape_invisible(f"{target_name} against {base}, read as logs of {verdicts.base.tool}")
    yield _format_table(verdicts.without_slices)
    if verdicts.slices:
        yield "slices:\n" + _format_table(verdicts.slices)
    yield "\n".join(_format_verdict_lines(name, verdicts))
    yield escape_invisible(_format_totals(verdicts))
    yield format_quotes(list_quoted_samples(verdicts, _MOST_QUOTED))
    yield format_quotes(list_quoted_samples(verdicts, _MOST_QUOTED, better=True), "samples that got better:")
    yield "\n".join(f"note: {escape_invisible(note)}" for note in verdicts.notes)
    yield escape_invisible(_format_summary(counts, verdicts))


def _format_table(comparisons: Sequence[Comparison]) -> str:
    shown = comparisons[:_MOST_ROWS]
    noisy = any(row.noise is not None for row in shown)
    rows = [
        {
            "task/metric": escape_invisible(row.name),
            "n": format_int(row.counts.judged),
            "base": format_fixed(row.judged.teacher, 3),
            "target": format_fixed(row.judged.value, 3),
            "drop, points [90 %]": format_drop(
                row.judged.drop_points,
                row.judged.interval,
                list_point_limits(row.judged.budgets),
                unit=row.judged.unit,
            )
            + format_cap(row.judged.budgets),
            "worse / better": f"{format_int(row.worse)} / {format_int(row.better)}",
            **(_format_changes(row) if noisy else {}),
            "budget": format_limits(row.judged.budgets),
            "verdict": row.judged.verdict.value if row.judged.verdict else "not gated",
        }
        for row in shown
    ]
    text = tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)
    more = len(comparisons) - len(shown)
    verb = "differ" if any(is_two_sided(comparison.budgets) for comparison in comparisons) else "lost"
    return text + (f"\n{format_int(more)} more that {verb} less" if more else "")


def _format_changes(comparison: Comparison) -> dict[str, str]:
    """The share of samples whose score changed: in the target, and in a repeated base run."""
    shares = (
        (MISSING, MISSING)
        if comparison.noise is None
        else (f"{100 * s:.1f} %" for s in (comparison.flips_share, comparison.noise.psi))
    )
    return dict(zip(("changed", "in base again"), shares, strict=True))


def _format_verdict_lines(name: str, verdicts: LogVerdicts) -> list[str]:
    """A line for each comparison that does not hold; for a log with one comparison, its line."""
    distinct = [row for row in verdicts.with_slices if row.same_as is None]
    wrong = [row for row in distinct if row.judged.verdict not in (None, Verdict.PASS)]
    shown = wrong or (distinct if len(distinct) == 1 else ())
    lines = [escape_invisible(format_comparison(name, row)) for row in shown[:_MOST_ROWS]]
    return lines + ([f"{format_int(len(shown) - _MOST_ROWS)} more"] if len(shown) > _MOST_ROWS else [])


def _format_totals(verdicts: LogVerdicts) -> str:
    """The counts over all tasks; metrics with the same scores count once.

    Example: `3 tasks, 4 comparisons, 1,200 scores: 80 worse, 12 better; 2 samples without a score`.
    """
    every = [row for row in verdicts.comparisons if row.same_as is None]
    comparisons = [row for row in every if row.length_in is None]
    scores = sum(row.counts.judged for row in every)
    line = (
        f"{format_count(len({row.task for row in every}), 'task', 'tasks')}, "
        f"{format_count(len(every), 'comparison', 'comparisons')}, {format_int(scores)} scores: "
        f"{format_int(sum(row.worse for row in comparisons))} worse, "
        f"{format_int(sum(row.better for row in comparisons))} better"
    )
    if len(comparisons) < len(every):
        line += " without the lengths of answers"
    missing = sum(row.counts.missing for row in comparisons)
    by_filter = {(row.task, row.filter): row.counts for row in comparisons}
    rows = by_filter.values()
    cut = [sum(row.truncated_base for row in rows), sum(row.truncated_target for row in rows)]
    if missing:
        line += f"; {format_count(missing, 'score', 'scores')} missing in one log or both"
    if other := sum(row.counts.not_of_metric for row in comparisons):
        line += f"; a metric does not apply to {format_int(other)} samples"
    if waiting := sum(row.counts.not_run for row in comparisons):
        line += f"; {format_int(waiting)} not run yet by the target"
    if any(cut):
        line += f"; answers cut off: {format_int(cut[0])} of the base, {format_int(cut[1])} of the target"
    return line


def format_quotes(samples: Sequence[QuotedSample], heading: str = "samples that got worse:") -> str:
    """Samples that changed, with prompt and both answers."""
    if not any(
        text for sample in samples for text in (sample.base.prompt, sample.base.answer, sample.target.answer)
    ):
        return f"{heading} {', '.join(escape_invisible(sample.id) for sample in samples)}" if samples else ""
    blocks = [heading]
    for sample in samples:
        blocks.append(
            f"  {escape_invisible(sample.comparison)} {escape_invisible(sample.id)}\n"
            f"    prompt {_cut(sample.base.prompt, from_end=True)}\n    base   {_cut(sample.base.answer)}\n"
            f"    target {_cut(sample.target.answer)}"
            + (f"\n    right  {_cut(sample.base.target)}" if sample.base.target is not None else "")
        )
    return "\n".join(blocks)


def _cut(text: str | None, *, from_end: bool = False) -> str:
    """A text in one line, quoted, at most 160 characters; from_end keeps the end, for prompts."""
    if text is None:
        return "(not in the log)"
    line = " ".join(text.split())
    if len(line) > _LONGEST:
        line = f"…{line[-_LONGEST:]}" if from_end else f"{line[:_LONGEST]}…"
    return escape_invisible(f'"{line}"')


def _format_summary(counts: BudgetCounts, verdicts: LogVerdicts) -> str:
    line = format_verdict(counts)
    if verdicts.tests > 1 and counts.failed:  # only a FAIL is corrected
        slices = ", in slices for those of slices" if any(part.budgets for part in verdicts.slices) else ""
        line += f"; each FAIL is corrected for {verdicts.tests} budgets{slices} (Holm)"
    return line
