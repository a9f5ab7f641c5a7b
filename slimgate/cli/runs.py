"""`slimgate lines`, `slimgate machines`, `slimgate mlflow`: finished runs for a dashboard, a page, MLflow."""

from __future__ import annotations

import argparse
import os
import sys

from slimgate.cli.options import add_runs

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
