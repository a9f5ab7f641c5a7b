"""Rows that changed under each variant, from the outcomes next to the record: each text occurs once.

{"rows": [[id, label, text, answer, confidence], …],        of the teacher; answers and labels as
 "words": [answer, …],                                      places in `words`
 "models": {name: {"lost": 361, "won": 187,                 of all rows
                   "about": "361 rows turned from …",       what the page has of them
                   "shown": [[row, kind, answer, confidence], …]}}}

A model whose answers are neither right nor wrong has "moved": 150, the rows whose score changed, in place of
"lost" and "won"; in logs also "worse": 111 and "better": 39 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate._system.number_text import format_count, format_int, format_number
from slimgate.data.quoting import LONGEST_QUOTE, shorten
from slimgate.judge.score_metric import COMPARISON, RECORD_KIND
from slimgate.record.answers import Answers, find_outcome_files, read_answers
from slimgate.record.run import RunRecord
from slimgate.report.page.embedding import round_number
from slimgate.report.status import list_variants
from slimgate.results.behaviour import QuotedRow

LOST, WON, MOVED, WORSE, BETTER = range(5)
# A page is opened, searched and sent, so it shows only the most informative of very many rows.
MOST_ROWS = 300
MOST_WON = 60
MOST_IN_ALL = 16_000

_ALL_ROWS = "all are in outcomes/*.parquet"

Places = npt.NDArray[np.int64]
Kinds = Sequence[tuple[int, int]]
Counts = dict[str, int | str]
Texts = Callable[[Iterable[int]], Sequence[str]]


@dataclass
class _Rows:
    """Rows and words so far, each once."""

    places: dict[str, int] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)
    words: dict[str, int] = field(default_factory=dict)

    def number_word(self, text: str | None) -> int | None:
        if text is None:
            return None
        return self.words.setdefault(shorten(text, LONGEST_QUOTE), len(self.words))

    def number_row(self, key: str, make: Callable[[], list[Any]]) -> int:
        if key not in self.places:
            self.places[key] = len(self.rows)
            self.rows.append(make())
        return self.places[key]


def make_changed_rows(
    record: RunRecord, folder: Path | None = None, texts: Texts | None = None
) -> dict[str, Any]:
    """The data in the page. folder: the record's, with outcomes/; texts(places) quotes gate rows.

    Without outcomes it has the rows that the record quotes; without `texts`, the record's texts.
    """
    paths = [] if folder is None else find_outcome_files(record, folder)
    teacher = read_answers(paths[0]) if paths else None
    rows, models = _Rows(), {}
    limit = min(MOST_ROWS, MOST_IN_ALL // max(1, len(record.variants)))
    by_id = {row.id: row.text for row in _iter_quoted(record)} | {row.id: row.text for row in record.followed}
    places: dict[int, int] = {}
    for path in paths[1:]:
        answers = read_answers(path)
        if teacher is not None and answers.table["id"].equals(teacher.table["id"]):
            kinds, counts = _choose_rows(record, teacher, answers, limit)
            if counts:
                shown = _list_shown_rows(rows, places, (teacher, answers), kinds)
                models[answers.model] = {**counts, "shown": shown}
    for row, text in zip(rows.rows, _quote_texts(rows, places, texts, by_id), strict=True):
        row[2] = text
    models |= dict(_list_quoted_rows(record, rows, set(models)))
    return {"rows": rows.rows, "words": list(rows.words), "models": models}


def _quote_texts(
    rows: _Rows, places: dict[int, int], texts: Texts | None, by_id: dict[str, str | None]
) -> list[str | None]:
    """The texts of the rows so far, in their order. places: of rows in the gate, in the order met."""
    if texts is None or not places:
        return [by_id.get(str(row[0])) for row in rows.rows]
    return list(texts(places))


def _choose_rows(record: RunRecord, teacher: Answers, model: Answers, limit: int) -> tuple[Kinds, Counts]:
    """The rows to show, each with its kind, and the counts of all; no counts if no number can change."""
    if teacher.right is None:
        return _choose_moved(record, teacher, model, limit)
    lost, won = _find_flipped_places(teacher, model)
    kinds = [(int(row), LOST) for row in _sort_by_confidence(model, lost)[:limit]]
    kinds += [(int(row), WON) for row in _sort_by_confidence(model, won)[: min(MOST_WON, limit)]]
    order = "" if model.probabilities is None else ", the most confident answers first"
    about = _describe_flips(len(lost), len(won), len(kinds), f"{order}; {_ALL_ROWS}")
    return kinds, {"lost": len(lost), "won": len(won), "about": about}


def _choose_moved(record: RunRecord, teacher: Answers, model: Answers, limit: int) -> tuple[Kinds, Counts]:
    """The same for rows that are neither right nor wrong, those furthest from the teacher first."""
    if not teacher.values or teacher.values[0] not in model.values:
        return [], {}
    name = teacher.values[0]
    gains = model.read_numbers(name) - teacher.read_numbers(name)
    moved = np.flatnonzero(gains)
    moved = moved[np.argsort(-np.abs(gains[moved]), kind="stable")]
    counts: Counts = {"moved": len(moved)}
    kinds, ways = np.full(len(moved), MOVED), ""
    if (signs := _find_better_signs(record, teacher)) is not None:
        kinds = np.where(signs[moved] * gains[moved] < 0, WORSE, BETTER)
        worse, better = int((kinds == WORSE).sum()), int((kinds == BETTER).sum())
        counts |= {"worse": worse, "better": better}
        ways = f": {format_int(worse)} got worse, {format_int(better)} better"
    shown = list(zip(moved[:limit].tolist(), kinds[:limit].tolist(), strict=True))
    about = _describe_moved(f"The {name} of", ways, len(moved), len(model), len(shown))
    return shown, {**counts, "about": about}


def _find_better_signs(record: RunRecord, teacher: Answers) -> npt.NDArray[np.float64] | None:
    """(rows,) 1 where a larger score is better and -1 where a smaller one is; None if it is not known."""
    comparisons = (record.task.params or {}).get("comparisons")
    if record.task.kind != RECORD_KIND or not comparisons or COMPARISON not in teacher.given_columns:
        return None
    signs = np.array([1.0 if comparison["higher_is_better"] else -1.0 for comparison in comparisons])
    return signs[teacher.read_numbers(COMPARISON).astype(np.int64)]


def _describe_flips(lost: int, won: int, shown: int, rest: str) -> str:
    """What changed and how much of it the page has. rest: which rows those are, and where all are."""
    lost_words = f"{format_count(lost, 'row', 'rows')} turned from right to wrong"
    turned = f"{lost_words}, {format_int(won)} from wrong to right."
    return turned if shown == lost + won else f"{turned} {format_int(shown)} of them are in this page{rest}."


def _describe_moved(subject: str, ways: str, moved: int, rows: int, shown: int) -> str:
    """The same for rows that moved. ways: how many got worse and better, if it is known."""
    in_all = format_count(rows, "row", "rows")
    if not moved:
        return f"{subject} all {in_all} is unchanged."
    about = f"{subject} {format_int(moved)} of {in_all} changed{ways}."
    if shown == moved:
        return f"{about} All of them are in this page, those that moved furthest first."
    return f"{about} {format_int(shown)} of them are in this page, those that moved furthest; {_ALL_ROWS}."


def _list_shown_rows(
    rows: _Rows, places: dict[int, int], pair: tuple[Answers, Answers], kinds: Kinds
) -> list[list[Any]]:
    """The chosen rows as the page has them. pair: the teacher's answers and the model's."""
    teacher, model = pair
    model_confidences, teacher_confidences = _find_confidences(model), _find_confidences(teacher)

    def make_teacher_row(row: int) -> list[Any]:
        places[row] = len(places)
        label = teacher.format_label(row) or _format_given(teacher, row)
        answer = rows.number_word(_format_answer(teacher, row))
        return [
            shorten(teacher.ids[row], LONGEST_QUOTE),
            rows.number_word(label),
            None,
            answer,
            _round_value_at(teacher_confidences, row),
        ]

    return [
        [
            rows.number_row(str(row), lambda row=row: make_teacher_row(row)),  # type: ignore[misc]
            kind,
            rows.number_word(_format_answer(model, row)),
            _round_value_at(model_confidences, row),
        ]
        for row, kind in kinds
    ]


def _find_flipped_places(teacher: Answers, model: Answers) -> tuple[Places, Places]:
    """Places of rows from right to wrong, and from wrong to right."""
    if teacher.right is None or model.right is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.flatnonzero(teacher.right & ~model.right), np.flatnonzero(~teacher.right & model.right)


def _sort_by_confidence(model: Answers, rows: Places) -> Places:
    confidences = _find_confidences(model)
    return rows if confidences is None else rows[np.argsort(-confidences[rows], kind="stable")]


def _find_confidences(model: Answers) -> npt.NDArray[np.float64] | None:
    return None if model.probabilities is None else np.asarray(model.probabilities.max(axis=1))


def _round_value_at(values: npt.NDArray[np.float64] | None, row: int) -> float | None:
    return None if values is None else round_number(float(values[row]), 3)


def _format_answer(model: Answers, row: int) -> str | None:
    words = model.format_answer(row)
    if words is None and model.values:
        return f"{model.values[0]} {format_number(float(model.read_numbers(model.values[0])[row]))}"
    return words


def _format_given(teacher: Answers, row: int) -> str | None:
    """The gold score in place of a label; there is none among several numbers, nor in logs."""
    given_columns = teacher.given_columns
    numbers = (
        teacher.read_given_numbers(row) if len(given_columns) == 1 and COMPARISON not in given_columns else {}
    )
    return next((format_number(value) for value in numbers.values()), None)


def _iter_quoted(record: RunRecord) -> Iterator[QuotedRow]:
    for model in list_variants(record):
        if model.behaviour is not None and model.behaviour.flips is not None:
            yield from (*model.behaviour.flips.quoted, *model.behaviour.flips.quoted_better)


def _list_quoted_rows(
    record: RunRecord, page_rows: _Rows, known: set[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows that the record itself quotes, for variants without outcomes."""
    for model in list_variants(record):
        flips = None if model.behaviour is None else model.behaviour.flips
        if flips is None or model.name in known:
            continue
        shown = [
            [
                page_rows.number_row(f"id {row.id}", lambda row=row: _make_quoted_row(page_rows, row)),  # type: ignore[misc]
                kind,
                page_rows.number_word(row.variant),
                round_number(row.variant_confidence, 3),
            ]
            for kind, rows in ((LOST, flips.quoted), (WON, flips.quoted_better))
            for row in rows
        ]
        lost, won = flips.right_to_wrong, flips.wrong_to_right
        about = _describe_flips(lost, won, len(shown), "")
        yield model.name, {"lost": lost, "won": won, "about": about, "shown": shown}


def _make_quoted_row(rows: _Rows, row: QuotedRow) -> list[Any]:
    answer, label = rows.number_word(row.teacher), rows.number_word(row.label)
    text = None if row.text is None else shorten(row.text, LONGEST_QUOTE)
    return [shorten(row.id, LONGEST_QUOTE), label, text, answer, round_number(row.teacher_confidence, 3)]
