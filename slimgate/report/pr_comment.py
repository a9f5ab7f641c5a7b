"""pr-comment.md: what a reviewer of a pull request needs, in less than GitHub takes of a comment."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from slimgate._system.escape import escaped, fenced, visible, without_references
from slimgate.judge.verdict import Verdict, worst_verdict
from slimgate.record import RunRecord, VariantRecord
from slimgate.record.carried import messages
from slimgate.report.alarms import alarms
from slimgate.report.cautions import warnings
from slimgate.report.comparison import quality_cell, size_cell
from slimgate.report.confirm import confirm_lines
from slimgate.report.figures import MISSING, as_fast
from slimgate.report.head import best, reasons_title, this_run_line, verdict_line
from slimgate.report.since import baseline_name, since_table
from slimgate.report.standing import (
    budgeted,
    standing,
    teacher,
    variants,
    verdicts,
    workload_words,
    workloads,
)
from slimgate.report.tables import Column, Piece, blocks, bullets, fitted, table, titled, whole, without_empty
from slimgate.report.trust import machine, self_test
from slimgate.report.verdicts import verdict_lines

# By this line the comment of an earlier run is found again.
MARKER = "<!-- slimgate:comment -->"
# GitHub takes 65,536 characters.
LIMIT = 65_000
_MOST_METRICS = 4
_MOST_WORKLOADS = 2
# One commit's command, or one error, must not fill a comment.
_LONGEST = 2_000
_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, None, Verdict.NOT_SHOWN, Verdict.PASS)


def pr_comment(records: Sequence[RunRecord], *, limit: int = LIMIT) -> str:
    """The comment on one suite's run, or on those of several, in fewer than `limit` characters."""
    pieces = [whole("the marker", MARKER)]
    for record in records:
        pieces += _told(record)
    for record in records:
        pieces += _details(record)
    return fitted(pieces, limit - 1, end=_reproduce(records), elsewhere="the report")


def _told(record: RunRecord) -> list[Piece]:
    """What everybody reads."""
    heading = f"## slimgate: {escaped(record.suite.title, longest=200)}"
    said, confirm = messages(record), [escaped(line) for line in confirm_lines(record)]
    models, cautions = worst_first(record), list(warnings(record))
    return [
        whole(
            "a verdict",
            blocks(heading, verdict_line(record), this_run_line(record), bullets(alarms(record))),
        ),
        Piece(
            "budgets that do not hold",
            len(said),
            lambda rows: blocks(
                f"{reasons_title(record)}:",
                bullets(escaped(message, longest=_LONGEST) for message in said[:rows]),
            ),
        ),
        Piece(
            "verdicts on the confirm rows",
            len(confirm),
            lambda rows: blocks(
                "On the confirm rows, which only judge what had passed:", bullets(confirm[:rows])
            ),
        ),
        Piece("variants", len(models), lambda rows: _table(record, models[:rows])),
        whole("what was lost since the baseline", titled(_since(record), since_table(record))),
        whole("what could ship", titled("What could ship:", bullets(best(record)))),
        Piece(
            "warnings",
            len(cautions),
            lambda rows: blocks("Before you trust this:", bullets(cautions[:rows])),
        ),
    ]


def worst_first(record: RunRecord) -> list[VariantRecord]:
    """Gated variants that broke or fail, then undecided ones, those that hold, those that are not gated."""

    def place(model: VariantRecord) -> tuple[bool, bool, int]:
        found = worst_verdict(list(verdicts(model).values()))
        return not model.gated, model.error is None, _WORST_FIRST.index(found)

    return sorted(variants(record), key=place)


def _table(record: RunRecord, models: Sequence[VariantRecord]) -> str:
    """The teacher, which the others are held against, stands last."""
    original = teacher(record)
    shown = [*models, *([original] if original else [])]
    metrics, calls = budgeted(record)[:_MOST_METRICS], workloads(record)[:_MOST_WORKLOADS]
    return table(
        without_empty(
            [
                Column("variant", [escaped(model.name) for model in shown]),
                Column("verdict", [standing(record, model) for model in shown]),
                *(
                    Column(
                        escaped(name), [quality_cell(model.quality.get(name)) for model in shown], right=True
                    )
                    for name in metrics
                ),
                Column("size, MB", [size_cell(model) for model in shown], right=True),
                *(
                    Column(
                        f"speed, {workload_words(name)}", [_speed(model, name) for model in shown], right=True
                    )
                    for name in calls
                ),
            ]
        )
    )


def _since(record: RunRecord) -> str:
    return f"Since the baseline {baseline_name(record)}:"


def _speed(model: VariantRecord, workload: str) -> str:
    facts = model.latency.get(workload)
    return (facts and as_fast(facts.speedup, facts.speedup_interval)) or MISSING


def _details(record: RunRecord) -> list[Piece]:
    """Folded; the lines of a section may be cut, the section itself is closed all the same."""
    of = f" · {without_references(escape(visible(record.suite.path)))}"  # a summary is HTML, not markdown
    return [
        _folded(f"All verdicts{of}", "verdicts", verdict_lines(record)),
        _folded(f"Is the gate itself sound?{of}", "lines of the self-test", self_test(record)),
        _folded(f"The machine{of}", "lines on the machine", machine(record)),
    ]


def _folded(summary: str, name: str, section: str) -> Piece:
    """A section of the report without its heading, cut by whole blocks or, of a list, by whole lines."""
    body = section.split("\n\n", 1)[1] if section.startswith("#") and "\n\n" in section else section
    rows = body.split("\n") if body.startswith("- ") else body.split("\n\n")
    glue = "\n" if body.startswith("- ") else "\n\n"

    def render(number: int) -> str:
        return f"<details><summary>{summary}</summary>\n\n{glue.join(rows[:number])}\n\n</details>"

    return Piece(name, len(rows) if body else 0, render)


def _reproduce(records: Sequence[RunRecord]) -> str:
    """The commands, each once, and when and of what they were."""
    commands = list(dict.fromkeys(record.command for record in records if record.command))
    if not commands:
        return ""
    text = "\n".join(commands)
    suites = ", ".join(dict.fromkeys(escaped(record.suite.path) for record in records))
    ran = f"{suites[:_LONGEST]} · {escaped(records[-1].created)} · slimgate {escaped(records[-1].slimgate)}"
    return blocks("How to reproduce:", fenced(text[:_LONGEST]), ran)
