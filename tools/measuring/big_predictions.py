"""Writes two large prediction files, lets `slimgate judge` read them, and prints its time and peak memory.

    python -m tools.measuring.big_predictions --rows 10000000 --folder /somewhere/with/space

The files have the same rows. Their answers differ, and so does their order: the variant's file begins in the
middle, so that rows have to be matched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tools.measuring.child_memory import ChildCost, run_child

LABELS = ("negative", "neutral", "positive")
FORMATS = ("parquet", "csv")
CHUNK = 500_000
MEBIBYTE = 2**20
# The share of rows that each model has right.
RIGHT = {"teacher": 0.92, "variant": 0.915}
JUDGE = ("--metric", "accuracy", "--metric", "f1_macro", "--drop-points", "1", "--json")


def make_chunks(model: str, rows: int) -> Iterator[pa.Table]:
    """The rows of one model in chunks. The rows of the variant begin in the middle."""
    starts = list(range(0, rows, CHUNK))
    half = len(starts) // 2 if model == "variant" else 0
    for start in [*starts[half:], *starts[:half]]:
        yield _make_rows(model, start, min(CHUNK, rows - start))


def _make_rows(model: str, start: int, count: int) -> pa.Table:
    """Rows whose labels are the same for both models. The right rows and the probabilities differ."""
    labels = np.random.default_rng([0, start]).integers(0, len(LABELS), count)
    random = np.random.default_rng([1, start, list(RIGHT).index(model)])
    wrong = random.random(count) >= RIGHT[model]
    predictions = np.where(wrong, (labels + 1) % len(LABELS), labels)
    sure = 0.4 + 0.6 * random.random(count)
    probabilities = np.repeat(((1 - sure) / 2)[:, None], len(LABELS), axis=1)
    probabilities[np.arange(count), predictions] = sure
    names = pa.array(LABELS)
    columns = {
        "id": pa.array([f"review-{row:08d}" for row in range(start, start + count)]),
        "label": names.take(pa.array(labels)),
        "prediction": names.take(pa.array(predictions)),
    }
    return pa.table(columns | {f"p_{name}": probabilities[:, k] for k, name in enumerate(LABELS)})


def write_predictions(path: Path, model: str, rows: int) -> Path:
    """Writes a csv or parquet file, chunk by chunk."""
    with ExitStack() as stack:
        writer: Any = None
        for table in make_chunks(model, rows):
            if writer is None:
                make_writer = pq.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
                writer = stack.enter_context(make_writer(path, table.schema))
            writer.write_table(table)
    return path


def judge(teacher: Path, variant: Path, *arguments: str) -> ChildCost:
    """Runs `slimgate judge` in a separate process."""
    command = [sys.executable, "-m", "slimgate.cli.main", "judge", str(teacher), str(variant), *arguments]
    return run_child(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each format. Returns 1 if `slimgate judge` ended with another code than 0 or 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--folder", type=Path, help="folder for the files (default: a temporary folder)")
    options = parser.parse_args(arguments)
    codes = []
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.folder) as scratch:
        for suffix in options.formats:
            teacher, variant = paths = [
                write_predictions(Path(scratch, f"{model}.{suffix}"), model, options.rows) for model in RIGHT
            ]
            judged = judge(teacher, variant, *JUDGE)
            sizes = sum(path.stat().st_size for path in paths) / MEBIBYTE
            sys.stdout.write(
                f"{suffix}: {options.rows:,} rows, two files of {sizes:,.0f} MB together: "
                f"{judged.seconds:.1f} s ({judged.cpu_seconds:.1f} s of a processor), "
                f"peak {judged.peak_bytes / MEBIBYTE:,.0f} MB, exit code {judged.code}\n"
            )
            sys.stdout.flush()
            codes.append(judged.code)
            for path in paths:
                path.unlink()
    return int(any(code not in (0, 1) for code in codes))


if __name__ == "__main__":
    sys.exit(main())
