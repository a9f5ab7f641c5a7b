"""The summary at the end of a run: a line for each variant, what does not hold, the status of the suite.

Tables are as wide as the terminal; a table that does not fit has a block for each row.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from tabulate import tabulate

from slimgate._system.escape import escape_invisible
from slimgate._system.number_text import MEGABYTE, MISSING, format_apart, format_count
from slimgate.judge.budget_kinds import find_builds_budget, list_point_limits
from slimgate.judge.message import format_builds, format_cap
from slimgate.plugins.workloads import format_workload
from slimgate.record.earlier_results import describe_counts, describe_state, is_whole
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.verdicts import RunVerdict
from slimgate.report.alarms import list_alarms, list_unreadable_rows
from slimgate.report.cautions import list_file_notes
from slimgate.report.figures import format_duel_speedup
from slimgate.report.head import list_broken_lines
from slimgate.report.status import (
    choose_workloads,
    format_status_cell,
    list_budgeted_metrics,
    list_models,
    list_verdicts,
)
from slimgate.results.base import Verdict
from slimgate.results.checks import TEACHER
from slimgate.results.quality import QualityFacts

# Text and its style: green, red, yellow or bold as in pytest's markup, or "".
Line = list[tuple[str, str]]
_INDENT = "  "
# More variants, or messages, than this would flood the terminal: the report has them all.
MOST = 20
_STYLES = {
    "PASS": "green",
    "FAIL": "red",
    "INCONCLUSIVE": "yellow",
    "partial": "yellow",
    "measured": "yellow",
}


def make_terminal_table(
    rows: Sequence[Mapping[str, str]], styles: Sequence[str], *, width: int | None
) -> list[Line]:
    """The rows under their heads, the last cell of each in its style; blocks if they are wider than width.

    width: None if no terminal limits it. All rows have the same keys.
    """
    lines = tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True).splitlines()
    if width is not None and max(map(len, lines), default=0) > width:
        return [
            line for row, style in zip(rows, styles, strict=True) for line in _make_block(row, style, width)
        ]
    head, body = lines[:2], lines[2:]
    cells = [list(row.values())[-1] for row in rows]
    coloured = [_style_tail(*row) for row in zip(body, cells, styles, strict=True)]
    return [*([(line, "")] for line in head), *coloured]


def join_line(line: Line) -> str:
    """The text alone."""
    return "".join(text for text, _ in line)


def wrap_text(text: str, width: int | None, indent: str = "") -> list[Line]:
    """The text in lines of at most `width`; all lines after the first are indented."""
    if width is None or len(text) <= width:
        return [[(text, "")]]
    lines = textwrap.wrap(text, max(width, 20), subsequent_indent=indent, break_on_hyphens=False)
    return [[(line, "")] for line in lines]


def _style_tail(line: str, cell: str, style: str) -> Line:
    stripped = line.rstrip()
    start = len(stripped) - len(cell)
    return [(stripped[:start], ""), (stripped[start:], style)]


def _make_block(row: Mapping[str, str], style: str, width: int) -> list[Line]:
    """`name: last cell`, and the other cells under it, each by its head."""
    (_, name), *middle, (_, last) = row.items()
    if len(name) + len(last) + 2 > width:
        head: list[Line] = [*wrap_text(name, width, _INDENT)]
        head += [[(join_line(line), style)] for line in wrap_text(_INDENT + last, width, _INDENT)]
    else:
        head = [[(f"{name}: ", ""), (last, style)]]
    cells = [f"{key} {cell}" for key, cell in middle if cell not in ("", MISSING)]
    return head + [line for cell in cells for line in wrap_text(_INDENT + cell, width, _INDENT * 2)]


def list_summary_lines(record: RunRecord, where: str, *, width: int | None = None) -> list[Line]:
    """The whole summary of a suite. where: its report; width: of the terminal, if there is one."""
    messages = list(map(escape_invisible, (record.this_run or record.verdict).messages))
    notes = [
        *list_broken_lines(record, where)[:MOST],
        *(
            escape_invisible(line.replace("**", "").replace("\\", "")) for line in list_alarms(record)
        ),  # without markdown
        *map(escape_invisible, list_unreadable_rows(record)),
        *list_machine_warnings(record),
    ]
    return [
        *make_summary_table(record, where, width=width),
        [("", "")],
        *_list_message_lines(messages, where, width),
        *(line for note in notes for line in wrap_text(note, width, "  ")),
        *_list_status_lines(record, where),
    ]


def list_log_summary(record: RunRecord, where: str, *, width: int | None) -> list[Line]:
    """The summary of a suite of logs: what does not hold, and the status of the suite."""
    return [
        *_list_message_lines(list(map(escape_invisible, record.verdict.messages)), where, width),
        *(
            line
            for note in islice(list_file_notes(record), MOST)
            for line in wrap_text(f"note: {escape_invisible(note)}", width, "  ")
        ),
        *_list_status_lines(record, where),
    ]


def _list_message_lines(messages: Sequence[str], where: str, width: int | None) -> Iterator[Line]:
    """The first messages, and how many more the report has."""
    for message in messages[:MOST]:
        yield from _style_message(message, width)
    if (more := len(messages) - MOST) > 0:
        yield from wrap_text(f"… and {more} more: {where}", width)


def make_summary_table(record: RunRecord, where: str, *, width: int | None = None) -> list[Line]:
    """Variant, size, speed-ups, drop of each budgeted metric, verdict. Of many variants, the worst first."""
    names = list_budgeted_metrics(record)
    shown = list_models(record)
    if len(shown) > MOST + 1:  # what fails the run, then what is undecided, then the rest
        shown = sorted(shown, key=_rank_severity)
    heads = {name: f"{name} {'growth, %' if _is_growth(record, name) else 'drop'}" for name in names}
    timed = choose_workloads(record)
    speeds = f"speed-up ({' / '.join(map(format_workload, timed))})" if timed else "speed-up"
    rows = [
        {
            "variant": escape_invisible(model.name),
            "MB": _format_megabytes(model),
            speeds: _format_speedups(model, timed),
            **{heads[name]: _format_drop_cell(model.quality.get(name)) for name in names},
            "verdict": escape_invisible(format_status_cell(record, model, names).replace("*", "")),
        }
        for model in shown[: MOST + 1]
    ]
    lines = make_terminal_table(rows, [_style(row["verdict"]) for row in rows], width=width)
    left = shown[MOST + 1 :]
    return [
        *lines,
        *(wrap_text(_describe_more_models(record, left, names, where), width, "  ") if left else []),
    ]


def list_machine_warnings(record: RunRecord) -> list[str]:
    """One line if the machine was not fit for timing; none if it was."""
    warnings = record.machine.warnings
    return [f"times may be off: {escape_invisible('; '.join(warnings))}"] if warnings else []


def _rank_severity(model: VariantRecord) -> int:
    if model.name == TEACHER:
        return 0
    outcomes = list_verdicts(model).values()
    if not model.gated:
        return 4
    if model.error is not None or Verdict.FAIL in outcomes:
        return 1
    return 2 if Verdict.INCONCLUSIVE in outcomes else 3


def _describe_more_models(
    record: RunRecord, left: Sequence[VariantRecord], names: Sequence[str], where: str
) -> str:
    """How many lines are left out.

    Example: `… and 180 more (170 PASS, 10 not gated): reports/latest/x/report.md`.
    """
    counts: dict[str, int] = {}
    for model in left:
        word = format_status_cell(record, model, names).replace("*", "").partition(" (")[0].partition(",")[0]
        counts[word] = counts.get(word, 0) + 1
    words = ", ".join(f"{n} {escape_invisible(word)}" for word, n in counts.items())
    return f"… and {len(left)} more ({words}): {where}"


def _style(verdict_word: str) -> str:
    """The style of a verdict's cell; empty for a result that is not gated."""
    word = verdict_word.partition(" ")[0].rstrip(",")
    return "red" if word == "error" else _STYLES.get(word, "")


def _style_message(text: str, width: int | None) -> list[Line]:
    """A gate's line; the verdict that it ends with, or that its last clause begins with, in colour."""
    lines = wrap_text(text, width, "  ")
    for at, line in reversed(list(enumerate(lines))):
        shown = join_line(line)
        start, word = max((shown.rfind(word), word) for word in ("PASS", "FAIL", "INCONCLUSIVE"))
        if start >= 0:
            lines[at] = [(shown[:start], ""), (word, _STYLES[word]), (shown[start + len(word) :], "")]
            break
    return lines


def _list_status_lines(record: RunRecord, where: str) -> list[Line]:
    """The verdict of this run, as its exit code shows; for an incomplete record, its state too."""
    run = record.this_run
    if run is None or is_whole(record):
        return [_make_verdict_line(record, escape_invisible(record.suite.path), record.verdict, f" {where}")]
    unmade = f", {format_count(run.missing, 'check', 'checks')} not run" if run.missing else ""
    state = f", {(describe_state(record) or '').removeprefix('partial: ')}: {where}"
    return [
        _make_verdict_line(record, escape_invisible(record.suite.path), run, unmade),
        _make_verdict_line(record, "  whole record", record.verdict, state),
    ]


def _make_verdict_line(record: RunRecord, title: str, counts: RunVerdict, rest: str) -> Line:
    return [
        (f"{title}: ", ""),
        (counts.status, _STYLES.get(counts.status, "")),
        (f" ({describe_counts(record, counts)}){rest}", ""),
    ]


def _format_megabytes(model: VariantRecord) -> str:
    size = model.artifact.bytes if model.artifact else None
    return MISSING if size is None else f"{size / MEGABYTE:.1f}"


def _format_speedups(model: VariantRecord, shown: Sequence[str]) -> str:
    """The speed-ups on the shown workloads, in their order, and how many more there are."""
    speedups = {name: facts for name, facts in model.latency.items() if facts.speedup}
    if not speedups:
        return MISSING
    cells = [format_duel_speedup(speedups[name]) if name in speedups else MISSING for name in shown]
    left = len(speedups.keys() - set(shown))
    return " / ".join([*cells, f"{left} more"] if left else cells)


def _is_growth(record: RunRecord, metric: str) -> bool:
    """Whether a metric's drop is shown as growth in percent, as for a perplexity."""
    return any(
        model.quality[metric].unit == "percent" for model in record.variants if metric in model.quality
    )


def _format_drop_cell(facts: QualityFacts | None) -> str:
    if facts is None or facts.drop_points is None or facts.interval is None:
        return MISSING
    judged = find_builds_budget(facts.budgets)  # its verdict is about the mean, not about the first build
    if judged is not None and judged.value is not None and judged.interval is not None:
        numbers, over = (judged.value, *judged.interval), format_builds(judged.builds)
    else:
        numbers, over = (facts.drop_points, *facts.interval), ""
    value, low, high = format_apart(numbers, list_point_limits(facts.budgets))
    return f"{value} [{low}, {high}]{over}{format_cap(facts.budgets)}"
