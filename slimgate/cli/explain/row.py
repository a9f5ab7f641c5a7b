"""The output of `slimgate explain`: a row and every model's answer, as a table or as JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from slimgate._system.escape import escape_invisible
from slimgate._system.number_text import format_int, format_number
from slimgate.errors import DataError
from slimgate.record.run import AnswerFacts, RunRecord
from slimgate.report.followed_rows import make_answer_columns

if TYPE_CHECKING:
    from slimgate.record.answers import Answers

_NEAREST = 3


@dataclass(frozen=True)
class Explained:
    """A gate row, and every model's answer to it.

    number: its position in the gate, from 0. rows: the number of gate rows. text: None if the record does not
    quote it. similar_id: of another row, which ends with the text that the user gave. given: numbers of the
    row that the task recorded, by name.
    """

    record: RunRecord
    id: str
    number: int
    rows: int
    label: str | None
    text: str | None
    similar_id: str | None
    given: Mapping[str, float]
    answers: Sequence[AnswerFacts]


def format_row_json(explained: Explained) -> str:
    """The row, and the answers in the form of run.json's followed rows."""
    content = {
        "suite": explained.record.suite.path,
        "id": explained.id,
        "number": explained.number,
        "label": explained.label,
        "text": explained.text,
        "given": dict(explained.given),
        "answers": [answer.model_dump(mode="json") for answer in explained.answers],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def format_row(explained: Explained) -> str:
    """A description of the row, then a line for each model."""
    text = explained.text or (
        "the record quotes only a few rows; the text is in "
        + describe_row_place(explained.record.task.source, explained.id)
    )
    known = {"label": explained.label, "text": text}
    known |= {name: format_number(value) for name, value in explained.given.items()}
    record = explained.record
    suite = f", {record.suite.path}" if record.has_suite_file else ""
    head = [
        f"row {explained.id}, number {format_int(explained.number)} of {format_int(explained.rows)}{suite}"
    ]
    if explained.similar_id is not None:
        head.append(
            f"Did you mean {explained.similar_id}? A number is a position in the gate, not a part of an id."
        )
    head += [f"{name}: {value}" for name, value in known.items() if value is not None]
    columns = make_answer_columns(explained.answers, escape_invisible, record.task.sides.original)
    table = tabulate(
        {column.head: list(column.cells) for column in columns},
        headers="keys",
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if column.right else "left" for column in columns],
    )
    lines = [*map(escape_invisible, head), "", table]
    if missing := _describe_missing(explained):
        lines += ["", escape_invisible(missing)]
    return "\n".join(lines)


def describe_row_place(source: Mapping[str, object], row: str) -> str:
    """`row 12, counted from 0, of reviews.csv` if the row's id and the source show this."""
    part, _, number = row.rpartition("/")
    splits = source.get("splits")
    values = splits.get(part) if isinstance(splits, Mapping) else None
    files = source.get("path" if part == "all" or values else part)
    if number.isdigit() and isinstance(files, Sequence) and len(files) == 1:
        rows = f"the rows with {source['split_column']} {' or '.join(values)} in " if values else ""
        return f"row {number}, counted from 0, of {rows}{files[0]}"
    if "base" in source:  # of judged files
        return f"row {row} of {source['base']}"
    return f"row {row} of source {source.get('name', '?')}"


def _describe_missing(explained: Explained) -> str:
    """The models of the run that have no outcomes for the row."""
    answered = {answer.model for answer in explained.answers}
    missing = [model.name for model in explained.record.variants if model.name not in answered]
    return f"no outcomes: {', '.join(missing)}" if missing else ""


def find_row(path: Path, row: str) -> Explained:
    """The row with that id or number. Raises DataError if there is no such run or row."""
    from slimgate.judge.score_metric import COMPARISON
    from slimgate.record.answers import read_answers_of_record
    from slimgate.record.files import find_record_file, read_run

    file = find_record_file(path)
    record = read_run(file)
    answers = read_answers_of_record(record, file.parent)
    if not answers:
        raise DataError(f"{file.parent / 'outcomes'}: the teacher's outcomes are not in this folder")
    number = _find_row_number(answers[0], row, file)
    identity = answers[0].ids[number]
    similar_ids = [other for other in answers[0].ids if other.endswith((f"/{row}", f": {row}"))]
    holders = [(table, table.ids.index(identity)) for table in answers if identity in table.ids]
    return Explained(
        record=record,
        id=identity,
        number=number,
        rows=len(answers[0]),
        label=answers[0].format_label(number),
        text=_find_quoted_text(record, identity),
        similar_id=next((other for other in similar_ids if other != identity), None),
        # the number of a row's comparison is in its id already, by name
        given={
            name: value for name, value in answers[0].read_given_numbers(number).items() if name != COMPARISON
        },
        answers=[table.read_answer(place) for table, place in holders],
    )


def _find_row_number(answers: Answers, row: str, file: Path) -> int:
    """The position of a row in the gate; an id has priority over a number."""
    if row in answers.ids:
        return answers.ids.index(row)
    if row.isdecimal() and int(row) < len(answers):
        return int(row)
    close = difflib.get_close_matches(row, answers.ids, n=_NEAREST, cutoff=0.5) or answers.ids[:_NEAREST]
    ways = f"nearest ids: {', '.join(close)}; or a number from 0 to {len(answers) - 1}"
    raise DataError(f'{file}: no gate row "{row}"; {ways}')


def _find_quoted_text(record: RunRecord, identity: str) -> str | None:
    """The text of a row, if the record quotes it: rows that it follows, and rows whose answer changed."""
    texts = {row.id: row.text for row in record.followed if row.text}
    for behaviour in (model.behaviour for model in record.variants if model.behaviour is not None):
        flips = behaviour.flips
        turned = [] if flips is None else [*flips.quoted, *flips.quoted_better]
        texts |= {row.id: row.text for row in (*turned, *behaviour.changed_answers) if row.text}
    return texts.get(identity)
