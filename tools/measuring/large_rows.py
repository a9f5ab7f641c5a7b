"""Cuts splits from large files of rows, and prints the time and memory next to the size of the file.

    python -m tools.measuring.large_rows --rows 1000000 --formats parquet csv jsonl hub --gates 20000 rest

Each cut runs in a separate process. Anonymous memory is the part of its memory that is no mapped file: the
kernel can take back pages of mapped files. Bytes a row: anonymous memory above that of a file of 30,000 rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from tools.measuring.child_memory import ChildCost

LABELS = ("negative", "neutral", "positive")
FORMATS = ("parquet", "csv", "jsonl", "hub")
CHUNK = 100_000
CORPUS = 200_000  # words of the text from which rows are cut
FLOOR = 30_000  # the smallest number of rows from which the splits can be cut
MEBIBYTE = 2**20
SUITE = """\
[suite]
title = "large"
threads = 1

[task]
kind = "text_classification"
source = {source}
text = ["text"]
label = "label"
max_tokens = 32
{group}
splits = {{ train = 5000, calibration = 512, selection = 1000, gate = {gate} }}

[teacher]
model = "model"

[variants]
shorter = {{ steps = [{{ keep_layers = [0] }}] }}
"""


def make_chunks(rows: int) -> Iterator[pa.Table]:
    """Texts of about 200 characters, with three labels and ten rows for each user.

    One row of a hundred has the first text of its chunk.
    """
    corpus = " ".join(f"w{word:04d}" for word in np.random.default_rng(1).integers(0, 5000, CORPUS))
    for start in range(0, rows, CHUNK):
        random = np.random.default_rng([0, start])
        count = min(CHUNK, rows - start)
        halves = 6 * random.integers(0, CORPUS - 17, (count, 2))
        halves[random.random(count) < 0.01] = halves[0]
        texts = [f"{corpus[a : a + 101]} {corpus[b : b + 101]}" for a, b in halves.tolist()]
        labels = pa.array(LABELS).take(pa.array(random.integers(0, len(LABELS), count)))
        users = [f"user {row // 10}" for row in range(start, start + count)]
        yield pa.table({"text": texts, "label": labels, "user": users})


def write_rows(folder: Path, kind: str, rows: int) -> Path:
    """Writes the file, chunk by chunk. kind: a format, or hub for a folder with a parquet file."""
    if kind == "hub":
        (folder / "hub").mkdir(exist_ok=True)
    path = folder / ("hub/train.parquet" if kind == "hub" else f"rows.{kind}")
    with ExitStack() as stack:
        writer: Any = None
        for table in make_chunks(rows):
            writer = writer or stack.enter_context(_open_writer(path, table.schema))
            _write_chunk(writer, table)
    return path


def _open_writer(path: Path, schema: pa.Schema) -> Any:
    if path.suffix == ".jsonl":
        return path.open("w", encoding="utf-8")
    return (pyarrow.csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter)(path, schema)


def _write_chunk(writer: Any, table: pa.Table) -> None:
    if isinstance(writer, pq.ParquetWriter | pyarrow.csv.CSVWriter):
        writer.write_table(table)
        return
    lines: TextIO = writer
    lines.writelines(json.dumps(row) + "\n" for row in table.to_pylist())


def write_suite(folder: Path, kind: str, gate: str, *, grouped: bool = False) -> Path:
    """Writes a suite on the rows, and a tiny model next to it if there is none."""
    from fixtures.models.tiny import write_tiny_bert

    if not (folder / "model").exists():
        write_tiny_bert(folder / "model", labels=LABELS)
    source = '{ name = "hub", id = "./hub", real = false }'
    if kind != "hub":
        source = f'{{ name = "files", path = "rows.{kind}", real = false }}'
    path = folder / f"{kind}-{gate}.toml"
    size = gate if gate.isdigit() else f'"{gate}"'
    path.write_text(SUITE.format(source=source, gate=size, group='group = "user"' * grouped), "utf-8")
    return path


def cut(suite: Path) -> ChildCost:
    """Cuts the splits of the suite in a separate process, in a temporary store."""
    from tools.measuring.child_memory import run_child  # the child runs this file, and cannot import tools

    with TemporaryDirectory(dir=suite.parent) as store:
        child = run_child([sys.executable, __file__, "--cut", str(suite), store])
    if child.code:
        raise RuntimeError(f"{suite}: no splits, exit code {child.code}")
    return child


def _cut_here(suite: Path, store: Path) -> None:
    from slimgate.run.rows import prepare_rows
    from slimgate.store.store import Store
    from slimgate.suite.reader import load_suite

    prepared = prepare_rows(load_suite(suite, suite.name), Store(store))
    digests = {name: report.digest for name, report in prepared.reports.items()}
    sys.stdout.write(json.dumps(digests))


def _format_row(kind: str, gate: str, path: Path, rows: int, floor: ChildCost, took: ChildCost) -> str:
    size = path.stat().st_size
    each = (took.anonymous_bytes - floor.anonymous_bytes) / max(1, rows - FLOOR)
    mebibytes = [f"{value / MEBIBYTE:,.0f}" for value in (size, took.peak_bytes, took.anonymous_bytes)]
    cells = [kind, gate, f"{rows:,}", mebibytes[0], f"{took.seconds:.1f}", f"{took.cpu_seconds:.1f}"]
    digest = json.loads(took.output)["gate"][:8]
    return "| " + " | ".join([*cells, *mebibytes[1:], f"{each:,.0f}", digest]) + " |\n"


def measure(kind: str, gates: Sequence[str], rows: int, folder: Path, *, grouped: bool) -> Iterator[str]:
    """Yields a line of the table for each gate."""
    floors: dict[str, ChildCost] = {}
    for count in (FLOOR, rows):
        path = write_rows(folder, kind, count)
        for gate in gates:
            took = cut(write_suite(folder, kind, gate, grouped=grouped))
            floors.setdefault(gate, took)
            if count == rows:
                yield _format_row(kind, gate, path, rows, floors[gate], took)
    path.unlink()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table as markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--gates", nargs="+", default=["20000", "rest"], help="rows of gate, or rest")
    parser.add_argument("--grouped", action="store_true", help="rows of one user stay in one split")
    parser.add_argument("--folder", type=Path, help="folder for the files (default: a temporary folder)")
    parser.add_argument("--cut", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cut:
        _cut_here(*options.cut)
        return
    names = [
        *("file", "gate", "rows", "MB", "s", "CPU s"),
        *("peak MB", "anonymous MB", "bytes a row", "digest"),
    ]
    sys.stdout.write("| " + " | ".join(names) + " |\n|:--|:--|" + "--:|" * (len(names) - 2) + "\n")
    with TemporaryDirectory(dir=options.folder) as scratch:
        for kind in options.formats:
            for line in measure(kind, options.gates, options.rows, Path(scratch), grouped=options.grouped):
                sys.stdout.write(line)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
