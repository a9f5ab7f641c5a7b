"""`slimgate merge RECORD… --out DIR`: the shards of one run as one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Joins the records of `pytest --slimgate-shard 1/N`, `2/N` … into one record with its outcomes, verdict and
reports. The result is the same as that of a run without shards. Pass every shard once. All shards must have
the same suite, rows and code. Exit codes: 0 all budgets hold; 1 a budget does not hold, is undecided (unless
the suite says warn) or was not judged, a model has an error, or the self-test did not run; 4 wrong usage or
input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "records",
        type=Path,
        nargs="+",
        metavar="RECORD",
        help="A shard's run.json, or its folder, such as shard-2/support",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder for run.json, outcomes/ and reports, such as reports/latest/support",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Merges and prints what pytest prints at the end of a run. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import escape_invisible
    from slimgate.cli.merge.shards import list_failures, merge
    from slimgate.errors import DataError
    from slimgate.record.files import EDITED, read_record_file
    from slimgate.report.terminal.summary import join_line, list_summary_lines

    shards = [read_record_file(path) for path in options.records]
    for shard in shards:
        if shard.is_edited:
            raise DataError(f"{shard.file}: the file {EDITED}; run the shard again")
    merged = merge(shards, options.out)
    lines = list_summary_lines(merged.record, (options.out / "report.md").as_posix())
    why = list_failures(merged.record)
    sys.stdout.writelines(f"{join_line(line)}\n" for line in lines)
    if why and merged.record.verdict.status != "FAIL":
        sys.stdout.write(f"does not pass: {escape_invisible('; '.join(why))}\n")
    return int(bool(why))
