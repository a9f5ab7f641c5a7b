"""`slimgate report`, `card`, `lines`, `machines`, `mlflow`: finished runs for people and for other tools."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from slimgate.cli.parser import add_model, add_run, add_runs

REPORT = """\
Writes report.md, report.html, pr-comment.md and the plots from a run.json, without measuring anything. Use
this command after an update of slimgate, or for a run.json that was copied without its reports. Answers are
read from the files next to run.json. Exit codes: 0 written; 4 wrong usage or input.
"""
CARD = """\
Writes a model card from the record of a run. It begins with YAML front matter that has model-index. Then come
verdicts, drops with their intervals, times with the machine, the size, how the model was built, limits, and
the command that built the model. Exit codes: 0 written; 4 wrong usage or input.
"""
LINES = """\
Prints runs as JSON lines. Each line is a flat object for one metric, workload, size or memory figure of one
model. Every line names its run and has the same keys. Values that were not measured are null. docs/ci.md
lists the keys. Exit codes: 0 printed; 4 wrong usage or input.
"""
MACHINES = """\
Prints the speed-ups of one suite on several machines as markdown: one line for each machine, then a table for
each workload with the lowest bound of all machines. The ratio of two runtimes depends on the machine, so run
the suite on each machine that you ship to, and pass the records here. Exit codes: 0 printed; 4 wrong usage or
input.
"""
MLFLOW = """\
Logs runs to MLflow: one parent run for each suite, with one child run for each model. The figures of
`slimgate lines` become metrics; verdicts and budgets become tags; run.json and report.md become artifacts. A
run.json that the experiment already has is not logged twice. docs/ci.md lists the names of metrics and tags.
Exit codes: 0 logged, or already there; 4 wrong usage or input, or an error of MLflow.
"""
_EXPERIMENT = "slimgate"


def add_report(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = REPORT
    add_run(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="Folder for the reports (default: the folder of the run)"
    )
    parser.set_defaults(run=write_report)


def add_card(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = CARD
    add_model(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="Write the card to this file instead of the terminal"
    )
    parser.set_defaults(run=write_card)


def add_lines(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = LINES
    add_runs(parser)
    parser.set_defaults(run=print_lines)


def add_machines(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = MACHINES
    add_runs(parser)
    parser.set_defaults(run=print_machines)


def add_mlflow(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = MLFLOW
    add_runs(parser)
    parser.add_argument(
        "--experiment",
        metavar="NAME",
        help="Name of the experiment, created if it does not exist "
        f"(default: MLFLOW_EXPERIMENT_NAME, else {_EXPERIMENT})",
    )
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="Address of a server or store (default: MLFLOW_TRACKING_URI, else MLflow's own default)",
    )
    parser.add_argument(
        "--again", action="store_true", help="Log all given runs, even if the experiment already has them"
    )
    parser.set_defaults(run=log_to_mlflow)


def write_report(options: argparse.Namespace) -> int:
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


def write_card(options: argparse.Namespace) -> int:
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


def print_lines(options: argparse.Namespace) -> int:
    """Reads all runs, then prints their lines. Raises SlimgateError for wrong input."""
    from slimgate.record.files import read_record_file
    from slimgate.record.lines import make_lines

    records = [read_record_file(path).record for path in options.runs]
    for record in records:
        sys.stdout.writelines(line.model_dump_json() + "\n" for line in make_lines(record))
    return 0


def print_machines(options: argparse.Namespace) -> int:
    """Reads all runs, then prints the page. Raises SlimgateError for wrong input."""
    from slimgate.record.files import read_record_file
    from slimgate.report.machines import format_machines

    sys.stdout.write(format_machines([read_record_file(path) for path in options.runs]))
    return 0


def log_to_mlflow(options: argparse.Namespace) -> int:
    """Reads all runs, then logs each. Raises SlimgateError for wrong input, or if MLflow refuses."""
    from slimgate.record.files import read_record_file
    from slimgate.record.mlflow import Experiment

    every = [read_record_file(path) for path in options.runs]
    name = options.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    experiment = Experiment(name, options.tracking_uri)
    for logged_run in every:
        before = None if options.again else experiment.find_run(logged_run)
        if before is not None:
            message = f'is in "{name}" already, as run {before}; --again logs it once more'
        else:
            message = f'logged to "{name}" as run {experiment.log(logged_run)}'
        sys.stdout.write(f"{logged_run.name}: {message}\n")
    return 0
