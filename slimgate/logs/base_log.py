"""Keeps the log of a base as one file next to a record, so that users need not keep the log itself.

`base.parquet` has a row for each sample: its scores, and digests of all that two logs must share. Texts are
cut to the part that reports quote. A comparison with the file makes the same checks, and gives the same
verdict, as a comparison with the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from slimgate._system.files import replacing
from slimgate._system.json_text import JsonObject, convert_to_json
from slimgate.data.row_files import open_parquet
from slimgate.errors import DataError
from slimgate.logs.answer_columns import count_characters
from slimgate.logs.columns import digest, find_answer_digest
from slimgate.logs.json_lines import convert_to_text
from slimgate.logs.sample_fields import PROMPT_LENGTH
from slimgate.plugins.reader import PER_SAMPLE, Digest, Log, Row, TaskLog

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

_ABOUT = b"slimgate.base_log"
# Characters that are kept of a text to quote: the end of a prompt, the beginning of other texts.
_LONGEST = 400
# A field with more characters, as JSON, is not kept.
_LONGEST_FIELD = 200
_TEXTS = ("prompt", "answer", "target", "response")
_ROWS_AT_ONCE = 20_000
_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "filter": pa.string(),
        "cluster": pa.string(),
        "error": pa.string(),
        "truncated": pa.bool_(),
        "scores": pa.map_(pa.string(), pa.float64()),
        "sizes": pa.map_(pa.string(), pa.float64()),
        "not_numbers": pa.list_(pa.string()),
        **{f"{key}_digest": pa.int64() for key in (*PER_SAMPLE, "answer")},
        **{f"{text}_text": pa.string() for text in _TEXTS},
        "fields": pa.string(),
        "answer_tokens": pa.float64(),
        "answer_characters": pa.int64(),
    }
)


def write_base_log(log: Log, path: Path) -> None:
    """Reads the log once more and writes its samples. A row group holds rows of one task."""
    import pyarrow.parquet as pq

    tasks: dict[str, dict[str, object]] = {}
    groups = 0
    with replacing(path) as new, pq.ParquetWriter(new, _SCHEMA, compression="zstd") as writer:
        for name, task in log.tasks.items():
            first_group = groups
            row_iterator = task.rows()
            while rows := [*islice(row_iterator, _ROWS_AT_ONCE)]:
                writer.write_table(pa.Table.from_pylist([*map(_make_columns, rows)], _SCHEMA))
                groups += 1
            tasks[name] = {
                "row_groups": [first_group, groups],
                "higher_is_better": dict(task.higher_is_better),
                "known_directions": dict(task.known_directions),
                "settings": convert_to_json(task.settings),
                "optional_metrics": task.optional_metrics,
                "samples": task.samples,
                "ids": task.ids,
                "filters": task.filters,
                "corpus": dict(task.corpus),
                "ranges": {metric: [*map(str, ends)] for metric, ends in task.ranges.items()},
                "most_tokens": task.most_tokens,
                "written": task.written,
                "shared_options": task.shared_options,
                "partial_settings": task.partial_settings,
            }
        about = {
            "tool": log.tool,
            "log": log.shown,
            "model": log.model,
            "notes": log.notes,
            "time": log.time,
            "environment": convert_to_json(log.environment),
            "tasks": tasks,
        }
        writer.add_key_value_metadata({_ABOUT: json.dumps(about).encode()})


def _make_columns(row: Row) -> dict[str, object]:
    keys = {key: row.keys[key] for key in PER_SAMPLE if key in row.keys}
    return {
        "id": row.id,
        "filter": row.filter,
        "cluster": row.cluster,
        "error": row.error,
        "truncated": row.truncated,
        "scores": [(name, None if value is None else float(value)) for name, value in row.scores.items()],
        "sizes": [(name, float(size)) for name, size in row.sizes.items()],
        "not_numbers": list(row.not_numbers),
        **{f"{key}_digest": digest(value) for key, value in keys.items()},
        "answer_digest": find_answer_digest(row),
        **{f"{name}_text": cut_text(name, getattr(row, name)) for name in _TEXTS},
        "fields": _format_fields(row),
        "answer_tokens": row.answer_tokens,
        "answer_characters": count_characters(row),
    }


def _format_fields(row: Row) -> str | None:
    """The fields as JSON, without long texts, because no slice is made by a long text."""
    short = {
        name: value
        for name, value in convert_to_json(row.fields or {}).items()
        if len(convert_to_text(value) or "") <= _LONGEST_FIELD
    }
    if row.prompt is not None and len(row.prompt) > _LONGEST:
        short.setdefault(PROMPT_LENGTH, len(row.prompt))
    return json.dumps(short) if short else None


def cut_text(name: str, text: str | None) -> str | None:
    """The part of a text that is kept. Lone surrogates become "?", because UTF-8 cannot encode them."""
    if text is None:
        return None
    cut = text[-_LONGEST:] if name == "prompt" else text[:_LONGEST]
    return cut.encode("utf-8", "replace").decode("utf-8")


def read_base_log(file: Path, shown: str) -> Log:
    """The log that the file was made of. Raises DataError if the file is not such a log."""
    about = read_about(file)
    if about is None:
        raise DataError(f"{file}: this is not a base log that slimgate judge --report wrote")
    tasks = {
        name: TaskLog(
            rows=partial(_read_rows, file, range(*task["row_groups"])),
            higher_is_better=task["higher_is_better"],
            known_directions=task["known_directions"],
            settings=task["settings"],
            optional_metrics=task["optional_metrics"],
            samples=task["samples"],
            ids=tuple(task["ids"]),
            filters=tuple(task["filters"]),
            corpus=task["corpus"],
            ranges={key: (float(low), float(high)) for key, (low, high) in task["ranges"].items()},
            most_tokens=task["most_tokens"],
            written=task["written"],
            shared_options=tuple(task["shared_options"]),
            partial_settings=tuple(task["partial_settings"]),
        )
        for name, task in about["tasks"].items()
    }
    notes = (f"{shown}: the base is the kept log of {about['log']}", *about["notes"])
    return Log(
        about["tool"],
        shown,
        tasks,
        about["model"],
        notes,
        time=about["time"],
        environment=about["environment"],
        path=file,
        is_kept_base=True,
    )


def read_about(file: Path) -> JsonObject | None:
    """What the file's metadata says about the log; None if another program wrote the file."""
    with open_parquet(file) as parquet:
        metadata = (parquet.metadata.metadata or {}).get(_ABOUT)
    return None if metadata is None else json.loads(metadata)


def _read_rows(file: Path, groups: range) -> Iterator[Row]:
    with open_parquet(file) as parquet:
        for group in groups:
            for row in parquet.read_row_group(group).to_pylist():
                yield _make_row(row)


def _make_row(row: Json) -> Row:
    digests = {key: _make_digest(row[f"{key}_digest"]) for key in PER_SAMPLE}
    return Row(
        id=row["id"],
        scores=dict(row["scores"]),
        sizes=dict(row.get("sizes") or ()),
        filter=row["filter"],
        keys={key: value for key, value in digests.items() if value is not None},
        cluster=row["cluster"],
        error=row["error"],
        truncated=row["truncated"],
        not_numbers=tuple(row["not_numbers"]),
        prompt=row["prompt_text"],
        answer=row["answer_text"],
        answer_digest=_make_digest(row["answer_digest"]),
        target=row["target_text"],
        fields=None if (fields := row.get("fields")) is None else json.loads(fields),
        answer_tokens=row.get("answer_tokens"),
        answer_characters=row.get("answer_characters"),
        response=row.get("response_text"),
    )


def _make_digest(value: int | None) -> Digest | None:
    return None if value is None else Digest(value)
