"""`slimgate mlflow RUN…`: runs logged to MLflow."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from slimgate.cli.options import add_runs

DESCRIPTION = """\
Logs runs to MLflow: one run for each suite and, below it, one for each model, with the figures of `slimgate
lines` as metrics, verdicts and budgets as tags, run.json and report.md as artifacts. A run.json that the
experiment has already is not logged twice. docs/ci.md has the names.
Exit codes: 0 logged, or there already; 4 wrong usage or input, or MLflow refuses.
"""
_EXPERIMENT = "slimgate"


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("mlflow", help="log runs to MLflow", description=DESCRIPTION)
    add_runs(parser)
    parser.add_argument(
        "--experiment",
        metavar="NAME",
        help=f"made where it is new; default: MLFLOW_EXPERIMENT_NAME, else {_EXPERIMENT}",
    )
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="of a server or store; default: MLFLOW_TRACKING_URI, else what MLflow takes by itself",
    )
    parser.add_argument("--again", action="store_true", help="log also what the experiment has already")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reads all runs, then logs each. Raises SlimgateError for wrong input, or where MLflow refuses."""
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
