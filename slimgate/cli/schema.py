"""`slimgate schema`: the JSON Schemas of suite files and of run.json, for editors and other programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

SUITE, LOGS, RUN = "suite", "logs", "run"
KINDS = (SUITE, LOGS, RUN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.add_argument(
        "kind",
        nargs="?",
        choices=KINDS,
        default=SUITE,
        help="Kind of file. suite: a suite of models; logs: a suite of logs ([logs]); run: a run.json",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the schema."""
    json.dump(make_schema(options.kind), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


def make_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one of KINDS."""
    from slimgate.logs.suite import make_logs_schema
    from slimgate.suite.schema import make_suite_schema

    return {SUITE: make_suite_schema, LOGS: make_logs_schema, RUN: _make_run_schema}[kind]()


def _make_run_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a run's record, as it is written: values that were not measured are null."""
    from slimgate.record.run import SCHEMA, RunRecord
    from slimgate.suite.schema import DIALECT, SITE

    # run-2.schema.json is for the record "slimgate.run/2": a record with another number has another schema.
    name = f"{SCHEMA.removeprefix('slimgate.').replace('/', '-')}.schema.json"
    schema = RunRecord.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": DIALECT, "$id": SITE + name} | schema | {"title": "A run.json of slimgate"}
