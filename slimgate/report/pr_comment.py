"""pr-comment.md: the facts that a reviewer of a pull request needs, within GitHub's limit on a comment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from slimgate._system.escape import escape, fence_code
from slimgate.record.earlier_results import format_status
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.verdicts import Weakening
from slimgate.report.alarms import list_alarms
from slimgate.report.changed_budgets import format_weaker_gate
from slimgate.report.confirm import format_confirm_lines
from slimgate.report.head import (
    describe_weaker,
    explain_variants_table,
    fold_warnings,
    format_overall,
    format_reasons_title,
    format_this_run,
    format_unjudged_heading,
    format_verdict_line,
    list_broken_models,
    list_reasons,
)
from slimgate.report.recommendation import recommend, recommend_over_suites
from slimgate.report.since_baseline import make_since_table, name_baseline
from slimgate.report.status import find_teacher, list_variants, list_verdicts
from slimgate.report.tables import (
    Piece,
    add_heading,
    blocks,
    fit_pieces,
    fold,
    format_bullets,
    make_uncut_piece,
)
from slimgate.report.tool_files import count_lines, format_log_table, list_figure_rows, make_tool_files_table
from slimgate.report.trust import describe_run, format_origin
from slimgate.report.variant_tables import make_variants_table
from slimgate.results.base import Verdict, find_worst_verdict

# The marker by which the comment of an earlier run is found again.
MARKER = "<!-- slimgate:comment -->"
# GitHub takes 65,536 characters.
LIMIT = 65_000
# A reviewer reads one screen; the report has the others.
_MOST_LINES, _MOST_ROWS = 8, 12
# One commit's command, or one error, must not fill a comment.
_LONGEST = 2_000
_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, None, Verdict.PASS)


def format_pr_comment(
    records: Sequence[RunRecord], *, unjudged: Sequence[str] = (), limit: int = LIMIT
) -> str:
    """The comment on the run of a suite, or of several suites, in fewer than `limit` characters.

    For one suite it has at most 60 lines, except for long tables since a baseline. unjudged: for each suite
    that could not be judged, the line that says why.
    """
    pieces = [make_uncut_piece("the marker", MARKER)]
    if unjudged:
        heading = format_unjudged_heading(unjudged, "##", of=len(records) + len(unjudged))
        lines = [escape(line, longest=_LONGEST) for line in unjudged]
        pieces += [
            make_uncut_piece("an error", heading),
            _make_lines_piece("", "suites that could not be judged", lines),
        ]
    weaker = map(describe_weaker, records)
    pieces += [make_uncut_piece("how the gate got weaker", text) for text in weaker if text]
    if len(records) > 1:
        verdicts = [f"{escape(record.suite.path)}: **{format_status(record)}**" for record in records]
        overall = recommend_over_suites(records, unjudged=len(unjudged)) or ""
        text = blocks(f"**{format_overall(records)}**", overall, format_bullets(verdicts))
        pieces.append(make_uncut_piece("the verdicts", text))
    for record in records:
        pieces += _list_pieces(record)
    return fit_pieces(pieces, limit - 1, end=_reproduce(records))


def format_weaker_comment(title: str, than: str, weaker: Sequence[Weakening]) -> str:
    """The comment on a suite that does not run, since its gate demands less without a reason."""
    heading = f"## slimgate: {escape(title, longest=200)}"
    why = (
        'Nothing was built or judged. Give a reason with [budgets.baseline] reason = "…", or restore the '
        "gate."
    )
    return blocks(MARKER, format_weaker_gate(weaker, than), heading, why) + "\n"


def _list_pieces(record: RunRecord) -> list[Piece]:
    """The first screen of the report, with the worst variants first."""
    heading = f"## slimgate: {escape(record.suite.title, longest=200)}"
    reason_words, confirm = list_reasons(record), [escape(line) for line in format_confirm_lines(record)]
    broken, models = list_broken_models(record), sort_worst_first(record)
    since = add_heading(f"Since the baseline {name_baseline(record)}:", make_since_table(record))
    return [
        make_uncut_piece(
            "a verdict",
            blocks(
                heading,
                format_verdict_line(record),
                format_this_run(record),
                format_bullets(list_alarms(record)),
            ),
        ),
        make_uncut_piece("what was compared", _describe_compared(record)),
        _make_lines_piece(
            f"**{format_reasons_title(record)}**",
            "budgets that do not hold",
            [escape(message, longest=_LONGEST) for message in reason_words],
        ),
        _make_lines_piece("**What was not built or measured**", "variants that were not built", broken),
        _make_lines_piece("**On the confirm rows, which judge only what passed**", "verdicts", confirm),
        make_uncut_piece("what to ship", add_heading("**What to ship**", format_bullets(recommend(record)))),
        make_uncut_piece("warnings", add_heading("**Before you trust this**", fold_warnings(record))),
        *_list_table_pieces(record, models),
        make_uncut_piece(
            "what was lost since the baseline", fold("", "Since the baseline", since) if since else ""
        ),
    ]


def _describe_compared(record: RunRecord) -> str:
    """Suite, rows, teacher and machine; for files, both sides. Many targets are left to their tables."""
    judged = describe_run(record)
    return "\n".join(filter(None, (format_origin(record), judged if len(judged) <= _LONGEST else "")))


def _make_lines_piece(title: str, name: str, lines: Sequence[str]) -> Piece:
    return Piece(name, len(lines), lambda rows: blocks(title, format_bullets(lines[:rows])), _MOST_LINES)


def sort_worst_first(record: RunRecord) -> list[VariantRecord]:
    """Gated variants that failed to build or FAIL, then undecided, then holding, then not gated variants."""

    def place(model: VariantRecord) -> tuple[bool, bool, int]:
        worst = find_worst_verdict(list(list_verdicts(model).values()))
        return not model.gated, model.error is None, _WORST_FIRST.index(worst)

    return sorted(list_variants(record), key=place)


def _list_table_pieces(record: RunRecord, models: Sequence[VariantRecord]) -> list[Piece]:
    """A line for each variant; for logs, which may have hundreds of tasks, a line for each task."""
    if not record.task.is_of_files:
        return [
            Piece(
                "variants", len(models), lambda rows: _make_comment_table(record, models[:rows]), _MOST_ROWS
            )
        ]
    if not record.task.has_rows:
        return [
            Piece("figures", len(list_figure_rows(model)), partial(make_tool_files_table, model), _MOST_ROWS)
            for model in models
        ]
    return [
        Piece(
            "tasks",
            count_lines(model),
            partial(format_log_table, model, record.task.sides, slices=record.task.log_slices),
            _MOST_ROWS,
        )
        for model in models
    ]


def _make_comment_table(record: RunRecord, models: Sequence[VariantRecord]) -> str:
    """The table, with the teacher, which the others are compared with, in the last line."""
    original = find_teacher(record)
    shown = [*models, *([original] if original else [])]
    return blocks(make_variants_table(record, shown), explain_variants_table(record, in_report=False))


def _reproduce(records: Sequence[RunRecord]) -> str:
    """The commands, each once, and the version of slimgate."""
    commands = list(dict.fromkeys(record.command for record in records if record.command))
    if not commands:
        return ""
    text = "\n".join(commands)
    version = f"slimgate {escape(records[-1].slimgate)}"
    return blocks(f"How to reproduce, with {version}:", fence_code(text[:_LONGEST]))
