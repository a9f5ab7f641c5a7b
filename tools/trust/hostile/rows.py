"""Files of rows: encodings, control characters, endless lines, and paths."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tools.trust.hostile.cases import SUITE, Input, Write
from tools.trust.hostile.repository import PLAN, write_repository
from tools.trust.hostile.suites import ROWS

NASTY = (
    "<script>alert(1)</script>", "| a | b |", "[x](javascript:alert(1))", "![x](http://x.test/p.png)",
    "<!-- hidden", "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", "::error file=a::b", "a\x85b", "a\u2028b",
    "@octocat #1", "=cmd|' /C calc'!A0", "]]>&lt;", "```", "$\\{x\\}$", "a\x00b",
)  # fmt: skip


def _make_content(content: bytes, name: str = "rows.csv") -> Write:
    def write(folder: Path) -> list[str]:
        write_repository(folder, (ROWS, f'path = "{name}"'))
        (folder / "bench" / name).write_bytes(content)
        return PLAN

    return write


def _make_lines(*values: str) -> bytes:
    head = b"text,label,file\n"
    return head + b"".join(
        f"{value} {k},{'pos' if k % 2 else 'neg'},f{k}\n".encode() for k in range(200) for value in values
    )


def _write_long_line(folder: Path) -> list[str]:
    write_repository(folder)
    with (folder / "bench/rows.csv").open("wb") as stream:
        stream.write(b"text,label,file\n")
        for _ in range(100):
            stream.write(b"x" * 1_000_000)
        stream.write(b",pos,a\n")
    return PLAN


def _write_many_rows(folder: Path) -> list[str]:
    """Writes a parquet file of a few kilobytes with 300 million rows of one text."""
    write_repository(folder, (ROWS, 'path = "rows.parquet"'))
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 100]))
    table = pa.table({"text": column, "label": column})
    with pq.ParquetWriter(folder / "bench/rows.parquet", table.schema) as writer:
        for _ in range(300):
            writer.write_table(table)
    return PLAN


def _make_images(value: str) -> Write:
    def write(folder: Path) -> list[str]:
        write_repository(folder, (ROWS, f'{ROWS}, images = ["file"]'))
        (folder / "secret.png").write_bytes(b"secret")
        (folder / "bench/rows.csv").write_text(f"text,label,file\na,pos,{value}\nb,neg,{value}\n")
        return PLAN

    return write


def write_nasty_rows(folder: Path) -> list[str]:
    """Writes rows, labels, a title and a reason with markup and control characters, for a whole run."""
    from fixtures.models.tiny import write_tiny_bert

    hostile = json.dumps("<script>alert(1)</script> | \x1b[2J ::error::x \u202e [a](http://x.test)")
    gated = "keep_layers = [0] }] }"
    write_repository(
        folder,
        (ROWS, 'path = "rows.jsonl"'),
        ('title = "hostile"', f"title = {hostile}"),
        (gated, f"keep_layers = [0] }}], gated = false, reason = {hostile} }}"),
        ("max_tokens", 'slices = ["file"]\nmax_tokens'),
    )
    write_tiny_bert(folder / "model", num_hidden_layers=2)
    labels = ("<script>pos</script>|", "neg\x1b[31m\u202e")
    rows = [
        {"text": f"{NASTY[k % len(NASTY)]} good {k}", "label": labels[k % 2], "file": NASTY[k % 7]}
        for k in range(200)
    ]
    (folder / "bench/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["bench/x.toml", "-k", "quality or behaviour", "--junitxml", "junit.xml", "-q"]


INPUTS = [
    Input("rows: 100 MB of csv in one line", SUITE, _write_long_line, slow=True),
    Input("rows: 300 million rows in a small parquet", SUITE, _write_many_rows, slow=True),
    Input("rows: NUL bytes in a csv", SUITE, _make_content(_make_lines("a\0b")), codes=(0, 4), slow=True),
    Input(
        "rows: UTF-8 and Latin-1 in one csv",
        SUITE,
        _make_content(_make_lines("é") + "é,pos,x\n".encode("latin-1")),
        slow=True,
    ),
    Input(
        "rows: U+0085 and U+2028 in a csv",
        SUITE,
        _make_content(_make_lines("a\x85b", "a\u2028b")),
        codes=(0,),
        slow=True,
    ),
    Input(
        "rows: a quote that never ends",
        SUITE,
        _make_content(_make_lines("a") + b'"' + b"x," * 1000),
        slow=True,
    ),
    Input("rows: a column that occurs twice", SUITE, _make_content(b"text,text,label\na,b,c\n")),
    Input("rows: a zip archive named .csv", SUITE, _make_content(b"PK\x03\x04" + bytes(range(256)) * 8)),
    Input(
        "rows: a parquet of random bytes",
        SUITE,
        _make_content(b"PAR1" + b"\xff" * 99 + b"PAR1", "rows.parquet"),
    ),
    Input(
        "rows: half of a surrogate pair in jsonl",
        SUITE,
        _make_content(b'{"text": "\\ud800", "label": "a", "file": "b"}\n' * 200, "rows.jsonl"),
        slow=True,
    ),
    Input("rows: json nested 100,000 deep", SUITE, _make_content(b"[" * 100_000, "rows.json")),
    Input(
        "rows: a number of 5,000 digits in json",
        SUITE,
        _make_content(b'[{"text": ' + b"9" * 5000 + b"}]", "rows.json"),
    ),
    Input("rows: an image named ../secret.png", SUITE, _make_images("../secret.png"), slow=True),
    Input("rows: an image named /etc/passwd", SUITE, _make_images("/etc/passwd"), slow=True),
    Input(
        "rows: `<script>`, markdown, ANSI, bidi in text, label, slice, title, reason",
        SUITE,
        write_nasty_rows,
        codes=(0, 1),
        slow=True,
    ),
]
