"""report.md of one suite, and the report over all suites of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escaped
from slimgate.record import RunRecord, Status
from slimgate.record.carried import describe_carried, messages
from slimgate.record.words import format_count
from slimgate.report.behaviour import CONFUSION, TRADEOFF, behaviour
from slimgate.report.comparison import comparison
from slimgate.report.confirm import confirmed
from slimgate.report.data import data, published
from slimgate.report.epoch_plots import EPOCHS
from slimgate.report.figures import count
from slimgate.report.followed import followed
from slimgate.report.head import best, head
from slimgate.report.since import since_baseline
from slimgate.report.stages import built
from slimgate.report.tables import Column, blocks, bullets, folded, folding, table
from slimgate.report.task_figures import teacher_labels
from slimgate.report.trust import how_to_read, machine, self_test
from slimgate.report.verdicts import verdict_lines

# Pictures with a place of their own; the others follow the comparison.
_PLACED = (EPOCHS, CONFUSION, TRADEOFF)
_WORST_FIRST: tuple[Status, ...] = ("FAIL", "INCONCLUSIVE", "partial", "measured", "PASS")


def suite_report(record: RunRecord, plots: Sequence[str] = ()) -> str:
    """report.md of one suite: the verdict first, then what it rests on.

    plots: pictures beside the report, as paths from it.
    """
    named = {stem: _picture(path) for path in plots if (stem := PurePath(path).stem) in _PLACED}
    others = [_picture(path) for path in plots if PurePath(path).stem not in _PLACED]
    sections = (
        head(record),
        folding(comparison(record)),
        since_baseline(record),
        confirmed(record),
        _gallery(others),
        folding(teacher_labels(record)),
        published(record),
        folding(verdict_lines(record)),
        folding(behaviour(record, named)),
        folding(followed(record)),
        folding(built(record, named.get(EPOCHS, ""))),
        folding(data(record)),
        self_test(record),
        machine(record),
        folding(how_to_read(record)),
    )
    return blocks(*sections) + "\n"


def index_report(records: Sequence[RunRecord], paths: Sequence[str | PurePath] | None = None) -> str:
    """reports/latest/report.md: one line a suite, linked to its own report.

    paths: the suites' reports as seen from this one, in the records' order; default
    `<suite file's stem>/report.md`.
    """
    links = (
        [_default_path(record) for record in records] if paths is None else [_posix(path) for path in paths]
    )
    pairs = list(zip(records, links, strict=True))
    if not pairs:
        return "# slimgate\n\nNo suite has run.\n"
    return (
        blocks(f"# slimgate: {_overall(records)}", _suites(pairs), *(_reasons(*pair) for pair in pairs))
        + "\n"
    )


def _gallery(pictures: Sequence[str]) -> str:
    """The first picture, and behind a line the others: each fills half a screen."""
    first, rest = pictures[:1], pictures[1:]
    more = "1 more picture" if len(rest) == 1 else f"{count(len(rest))} more pictures"
    return blocks(*first, folded("", f"Show {more}", blocks(*rest)) if rest else "")


def _picture(path: str) -> str:
    return f"![{escaped(PurePath(path).stem)}]({quote(path)})"


def _overall(records: Sequence[RunRecord]) -> str:
    found = [record.verdict.status for record in records]
    worst = next(status for status in _WORST_FIRST if status in found)
    line = f"{worst}, {count(found.count('PASS'))} of {count(len(found))} suites hold"
    bare = found.count("measured")
    return line + (f", {format_count(bare, 'suite has', 'suites have')} no budget" if bare else "")


def _suites(pairs: Sequence[tuple[RunRecord, str]]) -> str:
    records = [record for record, _ in pairs]
    carried = [describe_carried(record) for record in records]
    return table(
        [
            Column("suite", [_link(record.suite.path, path) for record, path in pairs]),
            Column("status", [_status(record.verdict.status) for record in records]),
            Column("hold", [count(record.verdict.passed) for record in records], right=True),
            Column("fail", [count(record.verdict.failed) for record in records], right=True),
            Column("undecided", [count(record.verdict.inconclusive) for record in records], right=True),
            Column("not shown", [count(record.verdict.not_shown) for record in records], right=True),
            Column("not gated", [count(record.verdict.not_gated) for record in records], right=True),
            *([Column("partial", [one or "" for one in carried])] if any(carried) else []),
            Column("not run", [count(record.verdict.missing) for record in records], right=True),
            Column("question", [escaped(record.suite.title, longest=120) for record in records]),
        ]
    )


def _reasons(record: RunRecord, path: str) -> str:
    said = [escaped(message) for message in messages(record)]
    return blocks(f"## {_link(record.suite.path, path)}", bullets([*said, *best(record)]))


def _status(status: Status) -> str:
    return status if status == "PASS" else f"**{status}**"


def _link(text: str, path: str) -> str:
    return f"[{escaped(text)}]({quote(path)})"


def _default_path(record: RunRecord) -> str:
    return f"{PurePath(record.suite.path).stem}/report.md"


def _posix(path: str | PurePath) -> str:
    return path.as_posix() if isinstance(path, PurePath) else path
