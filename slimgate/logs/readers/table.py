"""Tables of scores of any tool: csv, tsv, jsonl or parquet with columns id and score, a number per row.

These further columns are read if they exist: model, task, filter, metric, epoch, group, document, prompt,
answer, target, error, answer_tokens, truncated. Without document and prompt, the column question, input,
query or text is the document, or two columns such as premise and hypothesis. Any other column is a field to
slice by. Without a score, label and prediction give it: 1 if they are equal, as the metric accuracy. The
column higher_is_better (true or false) states the direction of a metric; without it, a known name does.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from slimgate._system.json_text import JsonObject
from slimgate._system.names import normalize_group
from slimgate._system.toml import format_value as quoted
from slimgate.data.row_files import RowFile, open_csv, open_parquet, read_column_names
from slimgate.errors import DataError, format_suggestion
from slimgate.logs.json_lines import convert_to_text, read_objects
from slimgate.logs.predictions.columns import NESTED, PREFIXES, QUESTIONS, note_unused_weights
from slimgate.logs.predictions.files import FORMATS
from slimgate.logs.readers._rows import CUT_OFF, ENDED, make_keys
from slimgate.logs.readers._table_columns import TableRows, is_other_spelling, name_metric
from slimgate.plugins.reader import DOCUMENT, PROMPT, TARGET, Log, Reader, Row, TaskLog, name_epoch

_ROWS_AT_ONCE = 20_000
_MOST_MODELS = 50
# Columns that name a sample in its task.
_SAMPLE = ("id", "filter", "epoch")
# Columns that do not describe the sample itself.
_NO_FIELDS = (
    *("id", "score", "metric", "epoch", "higher_is_better", "prediction", "answer", "error", "answer_tokens"),
    "truncated",
)
# pandas writes 1.0 and 0.0 for flags of a column with missing values.
_FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "yes"), True),
    **dict.fromkeys(("false", "0", "0.0", "no"), False),
}
_CUT_OFF = {**_FLAGS, **dict.fromkeys(CUT_OFF, True), **dict.fromkeys(ENDED, False)}
Values = JsonObject
# The columns that choose rows, and the value of each.
Part = Mapping[str, str]


class Table(Reader):
    """One file."""

    def recognizes(self, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() in FORMATS

    def read(self, path: Path) -> Log:
        columns = _list_columns(path)
        if "id" not in columns:
            raise DataError(
                f'{path}: no column "id", which names each sample; a table of scores has the columns id and '
                f"score, and metric if it has several scores; rename them{format_suggestion('id', columns)}"
            )
        if "score" not in columns and not {"label", "prediction"} <= set(columns):
            if "label" in columns and any(name == NESTED or name.startswith(PREFIXES) for name in columns):
                raise DataError(
                    f'{path}: it has probabilities and no column "prediction", which slices and several runs '
                    "need; add it, with the most probable label of each row"
                )
            raise DataError(
                f'{path}: no column "score", and no label and prediction: rename the column of scores '
                "to score"
                f"{format_suggestion('score', columns)}"
            )
        if "prediction" not in columns and FORMATS[path.suffix.lower()] == "parquet":
            _refuse_outcomes(path)
        models = _list_models(path, columns)
        if len(models) > 1:
            logs = [self._read_model(path, columns, model) for model in models]
            return Log("table", str(path), {}, models=tuple(logs))
        return self._read_model(path, columns, *models)

    def _read_model(self, path: Path, columns: list[str], model: str | None = None) -> Log:
        """The log of one model. Without a model, the log of all rows."""
        part = {} if model is None else {"model": model}
        names, better = _list_tasks(path, columns, part)
        rows = (
            _read_rows
            if "metric" not in columns
            else _join_scattered
            if _is_scattered(path, columns)
            else _join_neighbours
        )
        by_row: dict[str, Callable[[], Iterator[Row]]] = {
            name: partial(rows, path, columns, {**part, "task": name} if "task" in columns else part)
            for name in names
        }
        if FORMATS[path.suffix.lower()] != "jsonl":
            by_row = {name: TableRows(path, columns, read, _read_batches) for name, read in by_row.items()}
        tasks = {name: TaskLog(read, better) for name, read in by_row.items()}
        return Log("table", str(path), tasks, model, tuple(note_unused_weights(str(path), columns)))


def _list_columns(path: Path) -> list[str]:
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f'{path}: its extension is "{path.suffix}", expected one of {", ".join(FORMATS)}')
    return list(read_column_names(RowFile(path, kind)))


def _refuse_outcomes(path: Path) -> None:
    """Raises DataError for a file of outcomes/ of a record: a better score there may be a lower one."""
    from slimgate.record.outcome_files import VALUES

    with open_parquet(path) as parquet:
        if VALUES.encode() in (parquet.schema_arrow.metadata or {}):
            raise DataError(
                f"{path}: these are the scores of a record, which name no metric and no direction; give the "
                "logs from which it was made"
            )


def _read_values(path: Path, columns: Iterable[str]) -> Iterator[tuple[object, ...]]:
    """The values of some columns, row by row, from a file that is read in blocks. NaN is no value."""
    names = list(columns)
    if FORMATS[path.suffix.lower()] == "jsonl":
        yield from (tuple(_replace_nan(row.get(name) for name in names)) for _, row in read_objects(path))
        return
    try:
        for batch in _read_batches(path, names):
            for start in range(0, len(batch), _ROWS_AT_ONCE):
                part = batch.slice(start, _ROWS_AT_ONCE)
                yield from zip(*(_replace_nan(part.column(name).to_pylist()) for name in names), strict=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _replace_nan(values: Iterable[object]) -> list[object]:
    """The values, with None for NaN, which pandas writes for a missing value. NaN differs from itself."""
    return [value if value == value else None for value in values]


def _read_batches(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Some columns in blocks; columns of csv are texts."""
    kind = FORMATS[path.suffix.lower()]
    if kind == "parquet":
        with open_parquet(path) as parquet:
            yield from parquet.iter_batches(_ROWS_AT_ONCE, columns=names)
        return
    with open_csv(path, kind, names, {name: pa.string() for name in names}) as reader:
        yield from reader


def _list_models(path: Path, columns: list[str]) -> list[str]:
    """The models that the column model names, in the order of the file.

    Raises DataError if some rows name a model and others do not, and for a column that names no models.
    """
    if "model" not in columns:
        return []
    models: dict[str, None] = {}
    for (model,) in _read_values(path, ["model"]):
        models["" if model is None else str(model)] = None
        if len(models) > _MOST_MODELS:
            raise DataError(
                f'{path}: column "model" has more than {_MOST_MODELS} values, expected the names of '
                "models; give the column another name if it is something else"
            )
    if "" in models and len(models) > 1:
        raise DataError(f'{path}: column "model" is empty in some rows, expected the model of each row')
    return [model for model in models if model]


def _list_tasks(path: Path, columns: list[str], part: Part) -> tuple[list[str], dict[str, bool]]:
    """The tasks of the rows, and the direction of each metric for which the file states it."""
    named = [name for name in ("task", "metric", "higher_is_better") if name in columns]
    tasks, better = dict.fromkeys([] if "task" in named else [""]), dict[str, bool]()
    if named == [] or named == ["metric"]:
        return list(tasks), {}
    for row in _read_part(path, [*named, *part], part):
        if "task" in row:
            tasks[str(row["task"])] = None
        if row.get("higher_is_better") is not None:
            _add_direction(
                path, better, str(row.get("metric") or name_metric(columns)), str(row["higher_is_better"])
            )
    return list(tasks), better


def _add_direction(path: Path, better: dict[str, bool], metric: str, text: str) -> None:
    """Raises DataError for a text that is neither true nor false, and if two rows of a metric differ."""
    if not text.strip():
        return
    stated = _FLAGS.get(text.strip().lower())
    if stated is None:
        raise DataError(f'{path}: column "higher_is_better" of {metric} has "{text}", expected true or false')
    if better.setdefault(metric, stated) is not stated:
        raise DataError(
            f'{path}: column "higher_is_better" of {metric} has true and false, expected only one of them'
        )


def _read_part(path: Path, columns: list[str], part: Part) -> Iterator[Values]:
    """The rows of a task and model. columns: the columns to read, with those of the part."""
    for values in _read_values(path, columns):
        row = dict(zip(columns, values, strict=True))
        if all(str(row[name]) == value for name, value in part.items()):
            yield row


def _read_rows(path: Path, columns: list[str], part: Part) -> Iterator[Row]:
    """The rows of a table without a column metric: each row is a sample."""
    for row in _read_part(path, columns, part):
        yield _make_row(path, row, {_read_metric(row): _read_score(path, row)})


def _is_scattered(path: Path, columns: list[str]) -> bool:
    """Whether the metrics of a sample do not follow each other, as in a table that is sorted by metric.

    8 bytes a row: digests of the samples in the order of the file, one for rows that follow each other.
    """
    names = [name for name in ("model", "task", *_SAMPLE) if name in columns]
    samples = (hash(values) for values in _read_values(path, names))
    digests = np.frombuffer(array("q", (digest for digest, _ in itertools.groupby(samples))), np.int64)
    return len(np.unique(digests)) < len(digests)


def _name_sample(row: Values) -> tuple[object, ...]:
    """The values that name a sample in its task."""
    return tuple(row.get(name) for name in _SAMPLE)


def _join_neighbours(path: Path, columns: list[str], part: Part) -> Iterator[Row]:
    """The rows, with consecutive rows of one sample and different metrics joined."""
    for _, rows in itertools.groupby(_read_part(path, columns, part), key=_name_sample):
        yield from _merge_metrics(path, rows)


def _join_scattered(path: Path, columns: list[str], part: Part) -> Iterator[Row]:
    """The rows, with all rows of one sample joined, wherever they are in the table; it is held in memory."""
    samples: dict[tuple[object, ...], list[Values]] = {}
    for row in _read_part(path, columns, part):
        samples.setdefault(_name_sample(row), []).append(row)
    for rows in samples.values():
        yield from _merge_metrics(path, rows)


def _merge_metrics(path: Path, rows: Iterable[Values]) -> Iterator[Row]:
    """One row with all metrics of a sample; if a metric repeats, another row of the same id."""
    repeats: list[tuple[Values, dict[str, float | None]]] = []
    for row in rows:
        metric, score = _read_metric(row), _read_score(path, row)
        scores = next((scores for _, scores in repeats if metric not in scores), None)
        if scores is None:
            repeats.append((row, {metric: score}))
        else:
            scores[metric] = score
    return (_make_row(path, row, scores) for row, scores in repeats)


def _read_metric(row: Values) -> str:
    return str(row.get("metric") or name_metric(row.keys()))


def _read_score(path: Path, row: Values) -> float | None:
    if "score" not in row:
        return _score_prediction(path, row)
    value = row["score"]
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        score = _FLAGS.get(str(value).strip().lower())
        if score is None:
            raise DataError(
                f"{path}: id {row['id']}: score {value!r}, expected a number, true or false, or yes or no"
            ) from None
        return float(score)


def _score_prediction(path: Path, row: Values) -> float | None:
    """1 if label and prediction are equal; None if one of them is missing.

    Raises DataError if they differ only in their spelling.
    """
    label, prediction = _format_label(row["label"]), _format_label(row["prediction"])
    if prediction is None or label is None or not label.strip():
        return None
    if label != prediction and is_other_spelling(label, prediction):
        raise DataError(
            f"{path}: id {row['id']}: the prediction is {quoted(prediction)}, and the label is "
            f"{quoted(label)}: they differ only in case, spaces or the writing of a number, so slimgate "
            "cannot tell whether the answer is right; write predictions exactly like the labels"
        )
    return float(label == prediction)


def _format_label(value: object) -> str | None:
    """The text of an id or a label; pandas writes whole numbers as floats if some rows have no value."""
    return convert_to_text(int(value) if isinstance(value, float) and value.is_integer() else value)


def _make_row(path: Path, row: Values, scores: dict[str, float | None]) -> Row:
    name, epoch = _format_label(row["id"]), _read_epoch(path, row)
    if not name:
        raise DataError(f"{path}: a row has no id, expected one in each")
    group = normalize_group(_format_label(row.get("group")) or "") or None
    prompt = convert_to_text(row.get(PROMPT))
    target = convert_to_text(row.get(TARGET) if row.get(TARGET) is not None else row.get("label"))
    stated = ((DOCUMENT,),) if DOCUMENT in row or PROMPT in row else QUESTIONS
    document = next((text for names in stated if (text := _join_texts(row, names)) is not None), None)
    return Row(
        id=name if epoch is None else name_epoch(name, epoch),
        scores=scores,
        filter=str(row.get("filter") or ""),
        keys=make_keys(document=document, prompt=prompt, target=target),
        cluster=group if group is not None else None if epoch is None else name,
        error=convert_to_text(row.get("error")) or None,
        prompt=prompt,
        answer=convert_to_text(row.get("answer") if row.get("answer") is not None else row.get("prediction")),
        target=target,
        fields={name: value for name, value in row.items() if name not in _NO_FIELDS} or None,
        answer_tokens=None if (count := row.get("answer_tokens")) in (None, "") else float(count),
        truncated=_is_cut_off(path, row),
    )


def _join_texts(row: Values, names: Sequence[str]) -> str | None:
    """The text of one column, or of two columns; None if the row has no value in one of them."""
    texts = [convert_to_text(row.get(name)) for name in names]
    return None if None in texts else "\n".join(map(str, texts))


def _read_epoch(path: Path, row: Values) -> int | None:
    """The epoch of a row; None if it has none. pandas writes whole numbers as 1.0."""
    text = _format_label(row.get("epoch"))
    if not text:
        return None
    text = text.removesuffix(".0")
    if not text.isdecimal() or (text.startswith("0") and text != "0"):
        raise DataError(f'{path}: id {row["id"]}: epoch is "{text}", expected a whole number')
    return int(text)


def _is_cut_off(path: Path, row: Values) -> bool | None:
    """Whether the answer was cut off; None if the table does not say it.

    Raises DataError for a value that is neither true nor false, nor a known reason why an answer ended.
    """
    value = row.get("truncated")
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if text.lower() not in _CUT_OFF:
        raise DataError(
            f'{path}: id {row["id"]}: truncated is "{text}", expected true or false, or the reason why the '
            f"answer ended (cut off: {', '.join(CUT_OFF)}; else {', '.join(ENDED)}); name the column "
            "differently if it is something else"
        )
    return _CUT_OFF[text.lower()]


reader = Table()
