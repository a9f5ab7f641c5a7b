"""`slimgate report RUN`: writes the reports of a finished run again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slimgate.cli.options import add_run

DESCRIPTION = """\
Writes report.md, report.html, pr-comment.md and the plots from a run.json, without measuring anything. Use
this command after an update of slimgate, or for a run.json that was copied without its reports. Answers are
read from the files next to run.json. Exit codes: 0 written; 4 wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_run(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="Folder for the reports (default: the folder of the run)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes the reports. Raises SlimgateError for wrong input."""
    from slimgate.errors import DataError
    from slimgate.record.files import read_record_file
    from slimgate.report.files import write_reports
    from slimgate.run.followed_rows import FILE, open_gate_texts

    finished = read_record_file(options.record)
    folder = finished.file.parent
    out = options.out or folder
    texts = open_gate_texts(folder) if (folder / FILE).is_file() else None
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_reports(finished.record, out, texts, answers=folder)
    except OSError as error:
        raise DataError(f"{out}: the reports cannot be written there: {error.strerror}") from error
    sys.stdout.write(f"{(out / 'report.md').as_posix()}\n{(out / 'report.html').as_posix()}\n")
    return 0
