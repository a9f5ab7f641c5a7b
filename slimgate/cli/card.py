"""`slimgate card RUN VARIANT`: the evaluation part of a Hugging Face model card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slimgate.cli.options import add_model

DESCRIPTION = """\
Writes a model card from the record of a run. It begins with YAML front matter that has model-index. Then come
verdicts, drops with their intervals, times with the machine, the size, how the model was built, limits, and
the command that built the model. Exit codes: 0 written; 4 wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_model(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="Write the card to this file instead of the terminal"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes the card. Raises SlimgateError for wrong input."""
    from slimgate._system.files import write_atomically
    from slimgate.errors import DataError
    from slimgate.record.files import read_record_file
    from slimgate.report.card import make_card

    record = read_record_file(options.record)
    text = make_card(record.record, record.find_model(options.variant)) + "\n"
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        write_atomically(options.output, text)
    except OSError as error:
        raise DataError(f"{options.output}: the card cannot be written there: {error.strerror}") from error
    return 0
