"""Prediction files for `slimgate judge`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tools.trust.hostile.cases import JUDGE, Input, Write

HEAD = b"id,label,prediction\n"
ROWS = [b"%d,%d,%d\n" % (k, k % 2, k % 2) for k in range(100)]
LIMIT = ["--drop-points", "10"]
SOUND = HEAD + b"".join(ROWS)


def write_predictions(content: bytes, suffix: str = ".csv", teacher: bytes | None = None) -> Write:
    """Writes the content into both files, or another content into the teacher's."""

    def write(folder: Path) -> list[str]:
        (folder / f"teacher{suffix}").write_bytes(content if teacher is None else teacher)
        (folder / f"variant{suffix}").write_bytes(content)
        return ["judge", f"teacher{suffix}", f"variant{suffix}", *LIMIT]

    return write


def make_labelled_rows(first: str, second: str = "1") -> bytes:
    """Valid rows whose labels are these texts."""
    return HEAD + b"".join(
        f'{k},"{text}","{text}"\n'.encode() for k in range(100) for text in [(first, second)[k % 2]]
    )


def _write_nested(folder: Path) -> list[str]:
    lists = pa.array([[0.5, 0.5]] * 99 + [[0.5]])
    table = pa.table({"id": list(range(100)), "label": [0] * 100, "probabilities": lists})
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(table, folder / name)
    return ["judge", "a.parquet", "b.parquet", *LIMIT]


def _make_metadata(value: bytes) -> Write:
    def write(folder: Path) -> list[str]:
        table = pa.table({"id": list(range(9)), "label": [0] * 9, "prediction": [0] * 9})
        for name in ("a.parquet", "b.parquet"):
            pq.write_table(table.replace_schema_metadata({b"slimgate.classes": value}), folder / name)
        return ["judge", "a.parquet", "b.parquet", *LIMIT]

    return write


def _write_long_line(folder: Path) -> list[str]:
    for name in ("a.csv", "b.csv"):
        with (folder / name).open("wb") as stream:
            stream.write(HEAD)
            for _ in range(100):
                stream.write(b"x" * 1_000_000)
    return ["judge", "a.csv", "b.csv", *LIMIT]


INPUTS = [
    Input("predictions: 100 MB of csv in one line", JUDGE, _write_long_line, slow=True),
    Input("predictions: NUL bytes", JUDGE, write_predictions(make_labelled_rows("a\0b")), codes=(0, 4)),
    Input("predictions: UTF-8 and Latin-1 in one file", JUDGE, write_predictions(SOUND + b"\xe9,0,0\n")),
    Input("predictions: UTF-16", JUDGE, write_predictions(SOUND.decode().encode("utf-16"))),
    Input(
        "predictions: U+0085 in a label", JUDGE, write_predictions(make_labelled_rows("a\x85b")), codes=(0,)
    ),
    Input(
        "predictions: U+2028 in a label", JUDGE, write_predictions(make_labelled_rows("a\u2028b")), codes=(0,)
    ),
    Input(
        "predictions: `<script>` as a label",
        JUDGE,
        write_predictions(make_labelled_rows("<script>alert(1)</script>")),
        codes=(0,),
    ),
    Input(
        "predictions: ANSI escapes as a label",
        JUDGE,
        write_predictions(make_labelled_rows("\x1b[2J\x1b]0;owned\x07")),
        codes=(0,),
    ),
    Input("predictions: an id that occurs twice", JUDGE, write_predictions(SOUND + ROWS[0])),
    Input(
        "predictions: an id with ESC that occurs twice", JUDGE, write_predictions(HEAD + b"\x1b[2J,0,0\n" * 2)
    ),
    Input(
        "predictions: a column that occurs twice",
        JUDGE,
        write_predictions(b"id,id,label,prediction\n1,1,0,0\n"),
    ),
    Input(
        "predictions: different ids in the two files",
        JUDGE,
        write_predictions(SOUND.replace(b"\n9,", b"\n900,"), teacher=SOUND),
    ),
    Input(
        "predictions: probabilities of nan",
        JUDGE,
        write_predictions(b"id,label,p_0,p_1\n1,0,nan,nan\n2,1,0,1\n"),
    ),
    Input(
        "predictions: probabilities of 1e999",
        JUDGE,
        write_predictions(b"id,label,p_0,p_1\n1,0,1e999,0\n2,1,0,1\n"),
    ),
    Input(
        "predictions: a quote that never ends", JUDGE, write_predictions(HEAD + b'1,0,"0\n' + b"2,0,0\n" * 99)
    ),
    Input(
        "predictions: 20,000 columns",
        JUDGE,
        write_predictions(b",".join(b"c%d" % k for k in range(20_000)) + b"\n"),
    ),
    Input("predictions: jsonl nested 100,000 deep", JUDGE, write_predictions(b"[" * 100_000, ".jsonl")),
    Input(
        "predictions: a jsonl number of 5,000 digits",
        JUDGE,
        write_predictions(b'{"id": ' + b"9" * 5000 + b"}\n", ".jsonl"),
    ),
    Input(
        "predictions: half of a surrogate pair in jsonl",
        JUDGE,
        write_predictions(b'{"id": "\\ud800", "label": 0, "prediction": 0}\n', ".jsonl"),
    ),
    Input(
        "predictions: huge integers in jsonl",
        JUDGE,
        write_predictions(
            b'{"id": 1, "label": 0, "prediction": 0, "probabilities": [1' + b"0" * 400 + b", 0]}\n", ".jsonl"
        ),
    ),
    Input(
        "predictions: parquet of random bytes",
        JUDGE,
        write_predictions(b"PAR1" + b"\xff" * 99 + b"PAR1", ".parquet"),
    ),
    Input("predictions: lists of unequal length", JUDGE, _write_nested),
    Input("predictions: class names that are not JSON", JUDGE, _make_metadata(b"[" * 5000)),
    Input("predictions: class names that are a number", JUDGE, _make_metadata(b"3")),
]
