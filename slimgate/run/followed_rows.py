"""The few gate rows that a report follows through every model, chosen by rules and not by hand.

The gate rows as reports quote them, kept beside a shard's record: who merges may not have the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slimgate._system.files import replacing
from slimgate.data.quoting import quoted_texts
from slimgate.errors import DataError
from slimgate.record import FollowedRow, RunRecord
from slimgate.record.answers import Answers, answers_beside
from slimgate.run.run import SuiteRun

FILE = "gate_texts.parquet"
_AT_ONCE = 10_000
_SCHEMA = pa.schema({"text": pa.string()})
Texts = Callable[[Iterable[int]], Sequence[str]]
Chosen = tuple[int, str]


def keep_texts(texts: Texts, rows: int, folder: Path) -> None:
    """Writes the texts of all gate rows, in their order, some at a time."""
    with replacing(folder / FILE) as new, pq.ParquetWriter(new, _SCHEMA) as writer:
        for start in range(0, rows, _AT_ONCE):
            some = texts(range(start, min(start + _AT_ONCE, rows)))
            writer.write_table(pa.table({"text": pa.array(some, pa.string())}))


def kept_texts(folder: Path) -> Texts:
    """Quotes rows by their places, as `gate_texts` does. Raises DataError where none were kept."""
    try:
        column = pq.read_table(folder / FILE, memory_map=True)["text"]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{folder / FILE}: texts of gate rows cannot be read ({error})") from error

    def quote_rows(rows: Iterable[int]) -> Sequence[str]:
        return [column[int(row)].as_py() for row in rows]

    return quote_rows


def follow_rows(run: SuiteRun, record: RunRecord, folder: Path) -> list[FollowedRow]:
    """The rows of a run, from the outcomes in its record's folder."""
    found = answers_beside(record, folder)
    if not found:
        return []
    return follow(found[0], found[1:], gate_texts(run))


def gate_texts(run: SuiteRun) -> Texts:
    """What quotes gate rows of a run by their places, short; the rows are read when it is called."""
    task = run.suite.setup.task
    return lambda rows: quoted_texts(run.rows.gate, task.object.quoted_columns(task.params), rows)


def follow(teacher: Answers, variants: Sequence[Answers], texts: Texts) -> list[FollowedRow]:
    """The chosen rows with the answers of all models. texts(places) gives the rows' texts, short."""
    variants = [one for one in variants if one.ids == teacher.ids]
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
            label=teacher.label(row),
            text=text,
            given=teacher.given_numbers(row),
            answers=[model.of(row) for model in (teacher, *variants)],
        )
        for (row, whys), text in zip(reasons.items(), texts(reasons), strict=True)
    ]


def least_sure(probabilities: npt.NDArray[np.float64] | None) -> Chosen:
    """The row whose two most probable classes are closest; the first row where there are no probabilities.

    probabilities: the teacher's, (rows, classes). It needs no variant, so every gate can ask for it.
    """
    if probabilities is None or probabilities.shape[1] < 2:
        return 0, "the first row of the gate"
    best = np.sort(probabilities, axis=1)[:, -2:]
    return int(np.argmin(best[:, 1] - best[:, 0])), "the teacher is least sure of it"


def _choose_rows(teacher: Answers, variants: Sequence[Answers]) -> list[Chosen]:
    first = least_sure(teacher.probabilities)
    if teacher.right is None:
        return [*_most_and_least_moved(teacher, variants), first]
    return [*_most_lost_row(teacher.right, variants), first, *_all_right(teacher.right, variants)]


def _most_lost_row(teacher: npt.NDArray[np.bool_], variants: Sequence[Answers]) -> list[Chosen]:
    """The row that most variants turned from right to wrong; none where no row was."""
    lost = sum((teacher & ~_right(one)).astype(np.int64) for one in variants)
    row = int(np.argmax(lost))
    count = int(np.asarray(lost)[row])
    return [(row, f"{count} of {len(variants)} variants lost it, no row was lost by more")] if count else []


def _all_right(teacher: npt.NDArray[np.bool_], variants: Sequence[Answers]) -> list[Chosen]:
    everywhere = teacher & np.all([_right(one) for one in variants], axis=0)
    return [(int(np.argmax(everywhere)), "the first that all have right")] if everywhere.any() else []


def _right(model: Answers) -> npt.NDArray[np.bool_]:
    return np.zeros(len(model), dtype=np.bool_) if model.right is None else model.right


def _most_and_least_moved(teacher: Answers, variants: Sequence[Answers]) -> list[Chosen]:
    """Of a task whose rows are neither right nor wrong: where the variants moved most, and least."""
    if not teacher.values:
        return []
    name = teacher.values[0]
    moved = np.mean([np.abs(one.numbers(name) - teacher.numbers(name)) for one in variants], axis=0)
    return [
        (int(np.argmax(moved)), f"the variants' {name} moved furthest from the teacher's"),
        (int(np.argmin(moved)), f"the variants' {name} moved least"),
    ]
