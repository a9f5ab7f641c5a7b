"""Slices before and after: the value of every model on each slice of a column, and the gap between slices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from slimgate._system.escape import escape
from slimgate.record import BehaviourFacts, SliceFacts, SliceGapFacts, VariantRecord
from slimgate.report.figures import MISSING, count, to_fixed, with_note
from slimgate.report.tables import Column, blocks, table

Found = tuple[VariantRecord, BehaviourFacts]
# More slices than these make no table that can be read; run.json has them.
_MOST_SLICES = 12
_LONGEST = 40
_EXPLAINED = """\
A gap is the largest minus the smallest value over the slices of a column, in points, without slices of few
rows. It is above 0 by chance too, in the teacher as in a variant; look at how far it moved."""


def gap_line(model: VariantRecord, gaps: Sequence[SliceGapFacts]) -> str:
    """`Gap between slices of length_bucket: teacher 12.3 points, int8 15.1.`"""
    return " ".join(
        f"Gap between slices of {escape(gap.column)}: teacher {to_fixed(gap.teacher_points, 1)} points, "
        f"{escape(model.name)} {to_fixed(gap.variant_points, 1)}{_format_left_out(gap)}."
        for gap in gaps
    )


def _format_left_out(gap: SliceGapFacts) -> str:
    return f" ({count(gap.few_rows)} of few rows left out)" if gap.few_rows else ""


def slice_tables(behaviours: Sequence[Found]) -> str:
    """A table for each metric and column of up to 12 slices: a line a model, the teacher's first."""
    tables = [_table(behaviours, metric, column) for metric, column in _columns(behaviours)]
    shown = [text for text in tables if text]
    return blocks(_EXPLAINED, *shown) if shown else ""


def _columns(behaviours: Sequence[Found]) -> list[tuple[str, str]]:
    """Metrics and columns that have a gap, in the order met."""
    pairs = [(gap.metric, gap.column) for _, facts in behaviours for gap in facts.slice_gaps or []]
    return list(dict.fromkeys(pairs))


def _table(behaviours: Sequence[Found], metric: str, column: str) -> str:
    known = [(model, parts) for model, facts in behaviours if (parts := _slices(facts, metric, column))]
    first = known[0][1]
    if len(first) > _MOST_SLICES:
        return ""
    names = sorted(first, key=_natural)
    gaps = dict(_gaps(behaviours, metric, column))
    before = next(iter(gaps.values()), None)
    rows = [
        (
            "teacher",
            [to_fixed(first[name].teacher, 3) for name in names],
            _points(before, "teacher_points"),
        ),
        *(
            (escape(model.name), [_value(parts, name) for name in names], _format_gap(gaps.get(model.name)))
            for model, parts in known
        ),
    ]
    heads = [_head(first[name]) for name in names]
    values = [Column(head, [row[1][k] for row in rows], right=True) for k, head in enumerate(heads)]
    columns = [
        Column("model", [row[0] for row in rows]),
        *values,
        Column("gap, points", [row[2] for row in rows], right=True),
    ]
    return blocks(f"**{escape(column)}**, {escape(metric)}:", table(columns))


def _slices(facts: BehaviourFacts, metric: str, column: str) -> dict[str, SliceFacts]:
    return {part.value: part for part in facts.slices or [] if (part.metric, part.column) == (metric, column)}


def _gaps(behaviours: Sequence[Found], metric: str, column: str) -> Iterator[tuple[str, SliceGapFacts]]:
    for model, facts in behaviours:
        for gap in facts.slice_gaps or []:
            if (gap.metric, gap.column) == (metric, column):
                yield model.name, gap


def _head(part: SliceFacts) -> str:
    rows = f"{count(part.n)} rows" + (", few" if part.few_rows else "")
    return with_note(escape(part.value, longest=_LONGEST), rows)


def _value(slices: dict[str, SliceFacts], name: str) -> str:
    return to_fixed(slices[name].variant, 3) if name in slices else MISSING


def _points(gap: SliceGapFacts | None, name: str) -> str:
    return MISSING if gap is None else to_fixed(getattr(gap, name), 1)


def _format_gap(gap: SliceGapFacts | None) -> str:
    """`15.1 (+2.8)`."""
    if gap is None:
        return MISSING
    return with_note(_points(gap, "variant_points"), f"{gap.variant_points - gap.teacher_points:+.1f}")


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """`5 to 9 words` before `10 to 17 words`."""
    return [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)
    ]
