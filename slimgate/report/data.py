"""The rows: where they come from, how they were split, what was dropped.

Published figures that the suite's author put beside ours: their own markdown, made harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from slimgate._system.escape import escape, visible
from slimgate.record import RunRecord, SplitFacts
from slimgate.report.figures import count, to_fixed, with_note
from slimgate.report.stages import format_value
from slimgate.report.tables import Column, blocks, bullets, table, with_heading, without_empty

_HEADING = re.compile(r"^ {0,3}#{1,6}(?=\s|$)", re.MULTILINE)
_UNDERLINE = re.compile(r"^( {0,3})(=+|-+)[ \t]*$", re.MULTILINE)
_ORDER = ("unlabelled", "train", "calibration", "selection", "gate", "confirm")
# More labels than these are summed up in a line a split.
_MOST_LABELS = 12


def published_section(record: RunRecord) -> str:
    """The section; nothing where the suite names no reference."""
    text = (record.suite.reference or "").strip()
    note = "As others published them, on their machines and rows; nothing here is judged by them."
    return with_heading("## Published figures", f"{note}\n\n{make_harmless(text)}" if text else "")


def make_harmless(markdown: str) -> str:
    """Tables, lists and links stay; HTML, images and headings do not come alive in a report."""
    lines = [visible(line.expandtabs(4)) for line in markdown.splitlines()]
    text = "\n".join(lines).replace("<", "&lt;").replace("![", "!\\[")
    return _UNDERLINE.sub(r"\1\\\2", _HEADING.sub("####", text))


def data(record: RunRecord) -> str:
    """The section; nothing of load tests and KL logs, which have no rows."""
    if not record.task.has_rows:
        return ""
    return blocks("## Data", _source(record), _split_table(_splits(record)), _labels(record))


def _splits(record: RunRecord) -> dict[str, SplitFacts]:
    """In the order in which a build meets them."""
    splits = record.task.splits
    return {
        name: splits[name]
        for name in (*(n for n in _ORDER if n in splits), *(n for n in splits if n not in _ORDER))
    }


def _source(record: RunRecord) -> str:
    task = record.task
    kind = "real text" if task.real else "**made up, not real**"
    name = escape(task.source.get("name", "a source without a name"))
    options = {key: value for key, value in task.source.items() if key != "name"}
    source = with_note(name, escape(format_value(options)) if options else None)
    classes = f", {count(len(task.classes))} classes" if task.classes else ""
    return f"Task {escape(task.kind)}{classes}. Rows from {source}: {kind}."


def _split_table(splits: dict[str, SplitFacts]) -> str:
    def column(head: str, cell: Callable[[SplitFacts], str]) -> Column:
        return Column(head, [cell(facts) for facts in splits.values()], right=True)

    columns = [
        Column("split", [escape(name) for name in splits]),
        column("rows", lambda facts: count(facts.n)),
        column("groups", lambda facts: count(facts.groups)),
        column("dropped, stand in a later split", lambda facts: count(facts.dropped_overlap)),
        column("of these, near-repeats", lambda facts: count(facts.near_repeats or None)),
        column("repeats", lambda facts: count(facts.repeats)),
        column("label share off by, points", lambda facts: to_fixed(facts.label_deviation_points, 1)),
        column("digest", lambda facts: escape(facts.digest[:12])),
    ]
    return table(without_empty(columns))


def _labels(record: RunRecord) -> str:
    counted = {name: facts.label_counts for name, facts in _splits(record).items() if facts.label_counts}
    if not counted:
        return ""
    labels = list(dict.fromkeys(label for counts in counted.values() for label in counts))
    if len(labels) > _MOST_LABELS:
        return bullets(_summed_up(name, counts) for name, counts in counted.items())
    columns = [
        Column(escape(name), [count(counts.get(label, 0)) for label in labels], right=True)
        for name, counts in counted.items()
    ]
    return table([Column("rows of label", [escape(label) for label in labels]), *columns])


def _summed_up(split: str, counts: dict[str, int]) -> str:
    by_size = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    (rare, fewest), (common, largest) = by_size[0], by_size[-1]
    spread = f"{count(len(counts))} labels, fewest rows {count(fewest)} ({escape(rare)})"
    return f"{escape(split)}: {spread}, most {count(largest)} ({escape(common)})"
