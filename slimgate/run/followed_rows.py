"""Chooses the few gate rows that a report follows through every model, by fixed rules.

Also writes the texts of gate rows next to a shard's record: the machine that merges may not have the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slimgate._system.files import replacing
from slimgate.data.quoting import quote_row_texts
from slimgate.errors import DataError
from slimgate.record.answers import Answers, read_answers_of_record
from slimgate.record.run import FollowedRow, RunRecord
from slimgate.run.run import SuiteRun

FILE = "gate_texts.parquet"
_ROWS_AT_ONCE = 10_000
_SCHEMA = pa.schema({"text": pa.string()})
# The positions of gate rows -> their texts, shortened.
QuoteRows = Callable[[Iterable[int]], Sequence[str]]
# The position of a row, and why it was chosen.
ChosenRow = tuple[int, str]


def write_gate_texts(quote_rows: QuoteRows, rows: int, folder: Path) -> None:
    """Writes the texts of all gate rows, in their order, in batches. rows: the number of rows."""
    with replacing(folder / FILE) as new, pq.ParquetWriter(new, _SCHEMA) as writer:
        for start in range(0, rows, _ROWS_AT_ONCE):
            batch = quote_rows(range(start, min(start + _ROWS_AT_ONCE, rows)))
            writer.write_table(pa.table({"text": pa.array(batch, pa.string())}))


def open_gate_texts(folder: Path) -> QuoteRows:
    """A function that quotes rows by their positions, from the file. Raises DataError if there is none."""
    try:
        column = pq.read_table(folder / FILE, memory_map=True)["text"]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{folder / FILE}: texts of gate rows cannot be read ({error})") from error

    def quote_rows(rows: Iterable[int]) -> Sequence[str]:
        return [column[int(row)].as_py() for row in rows]

    return quote_rows


def follow_rows(run: SuiteRun, record: RunRecord, folder: Path) -> list[FollowedRow]:
    """The rows of a run, from the outcomes in its record's folder."""
    answers = read_answers_of_record(record, folder)
    if not answers:
        return []
    return describe_followed_rows(answers[0], answers[1:], make_row_quoter(run))


def make_row_quoter(run: SuiteRun) -> QuoteRows:
    """A function that quotes gate rows by their positions, shortened; it reads the rows when called."""
    task = run.suite.setup.task
    return lambda rows: quote_row_texts(run.rows.gate, task.object.quoted_columns(task.params), rows)


def describe_followed_rows(
    teacher: Answers, variants: Sequence[Answers], quote_rows: QuoteRows
) -> list[FollowedRow]:
    """The chosen rows with the answers of all models."""
    variants = [variant for variant in variants if variant.ids == teacher.ids]
    if not variants or not len(teacher):
        return []
    reasons: dict[int, list[str]] = {}
    for row, why in _choose_rows(teacher, variants):
        reasons.setdefault(row, []).append(why)
    return [
        FollowedRow(
            id=teacher.ids[row],
            number=row,
            why="; ".join(whys),
            label=teacher.format_label(row),
            text=text,
            given=teacher.read_given_numbers(row),
            answers=[model.read_answer(row) for model in (teacher, *variants)],
        )
        for (row, whys), text in zip(reasons.items(), quote_rows(reasons), strict=True)
    ]


def find_least_sure(probabilities: npt.NDArray[np.float64] | None) -> ChosenRow:
    """The row whose two most probable classes are closest; the first row if there are no probabilities.

    probabilities: the teacher's, (rows, classes). It needs no variant, so every gate can use it.
    """
    if probabilities is None or probabilities.shape[1] < 2:
        return 0, "the first row of the gate"
    best = np.sort(probabilities, axis=1)[:, -2:]
    return int(np.argmin(best[:, 1] - best[:, 0])), "the teacher is least sure of it"


def _choose_rows(teacher: Answers, variants: Sequence[Answers]) -> list[ChosenRow]:
    """The rows to follow: lost by most variants, the least sure one, right in all models."""
    least_sure = find_least_sure(teacher.probabilities)
    if teacher.right is None:
        return [*_find_most_and_least_moved(teacher, variants), least_sure]
    variants_right = np.array([_read_right(variant) for variant in variants])  # (variants, rows)
    lost_counts = (teacher.right & ~variants_right).sum(axis=0)
    right_in_all = teacher.right & variants_right.all(axis=0)
    chosen: list[ChosenRow] = []
    if count := int(lost_counts.max()):
        why = f"{count} of {len(variants)} variants lost it, no row was lost by more"
        chosen.append((int(np.argmax(lost_counts)), why))
    chosen.append(least_sure)
    if right_in_all.any():
        chosen.append((int(np.argmax(right_in_all)), "the first that all have right"))
    return chosen


def _read_right(model: Answers) -> npt.NDArray[np.bool_]:
    return np.zeros(len(model), dtype=np.bool_) if model.right is None else model.right


def _find_most_and_least_moved(teacher: Answers, variants: Sequence[Answers]) -> list[ChosenRow]:
    """For tasks whose rows are neither right nor wrong: the rows whose values changed most, and least."""
    if not teacher.values:
        return []
    name = teacher.values[0]
    moved = np.mean(
        [np.abs(variant.read_numbers(name) - teacher.read_numbers(name)) for variant in variants], axis=0
    )
    return [
        (int(np.argmax(moved)), f"the variants' {name} moved furthest from the teacher's"),
        (int(np.argmin(moved)), f"the variants' {name} moved least"),
    ]
