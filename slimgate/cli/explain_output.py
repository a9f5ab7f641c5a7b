"""What `slimgate explain` prints: a row and every model's answer, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.record import AnswerFacts, RunRecord
from slimgate.report.answers import answer_columns
from slimgate.report.figures import count, measured


@dataclass(frozen=True)
class Explained:
    """A gate row. number: its place, from 0, of `rows`; text: None where the record does not quote it."""

    record: RunRecord
    id: str
    number: int
    rows: int
    label: str | None
    text: str | None
    given: Mapping[str, float]
    answers: Sequence[AnswerFacts]


def as_json(found: Explained) -> str:
    """The row, and the answers as run.json has those of followed rows."""
    content = {
        "suite": found.record.suite.path,
        "id": found.id,
        "number": found.number,
        "label": found.label,
        "text": found.text,
        "given": dict(found.given),
        "answers": [one.model_dump(mode="json") for one in found.answers],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def as_text(found: Explained) -> str:
    """What the row is, then a line a model."""
    known = {"label": found.label, "text": found.text or _not_quoted(found)}
    known |= {name: measured(value) for name, value in found.given.items()}
    head = [f"row {found.id}, number {count(found.number)} of {count(found.rows)}, {found.record.suite.path}"]
    head += [f"{name}: {value}" for name, value in known.items() if value is not None]
    columns = answer_columns(found.answers, visible)
    table = tabulate(
        {column.head: list(column.cells) for column in columns},
        headers="keys",
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if column.right else "left" for column in columns],
    )
    absent = _absent(found)
    return "\n".join([*map(visible, head), "", table, *(["", visible(absent)] if absent else [])])


def _not_quoted(found: Explained) -> str:
    source = found.record.task.source.get("name", "?")
    return f"not in the record, which quotes few rows; it is row {found.id} of source {source}"


def _absent(found: Explained) -> str:
    """The models of the run that have no outcomes of the row."""
    answered = {one.model for one in found.answers}
    missing = [model.name for model in found.record.variants if model.name not in answered]
    return f"no outcomes: {', '.join(missing)}" if missing else ""
