"""`slimgate export RUN VARIANT DIR`: writes a judged model as a folder that loads without slimgate."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.cli.parser import add_model, add_store, choose_store_root

if TYPE_CHECKING:
    from slimgate.cli.export.folder import Export
    from slimgate.cli.export.forms import Written

DESCRIPTION = """\
Writes a model of a run as a folder that loads without slimgate: weights or graph, tokenizer, config.json with
id2label, and README.md. README.md is a model card with Python code that predicts without slimgate. The model
comes from the store; nothing is built. Without --format, a graph stays a graph. A PyTorch model is written
for transformers if transformers has a class for it, else as ONNX. If suite and rows are unchanged and on this
machine, slimgate loads the folder again and compares its answers to 500 gate rows with the judged model's.
--reason is required for a variant that is FAIL, INCONCLUSIVE, not gated or not judged. It is also required if
the record is partial, or if the suite or its rows changed after the run. The card shows the reason. Exit
codes: 0 written; 1 --reason is missing, or the folder's answers differ from the judged model's (the folder is
deleted); 4 wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_model(parser)
    parser.add_argument("folder", type=Path, metavar="DIR", help="Folder to write, new or empty")
    parser.add_argument(
        "--format",
        metavar="FORM",
        help="Format: transformers, onnx, openvino, or the format of an installed runtime (default: the "
        "format closest to the judged model)",
    )
    add_store(parser)
    parser.add_argument("--reason", help="Reason to export a model that did not pass; the card shows it")
    parser.add_argument(
        "--force", action="store_true", help="Replace an earlier export in DIR, with all its files"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes the folder and says what is in it. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import escape_invisible, write_lines
    from slimgate.cli.export.folder import write_export
    from slimgate.cli.export.row_check import OtherAnswers
    from slimgate.cli.export.snippets import describe_servers, find_layout
    from slimgate.record.budgets import clean_reason

    export = _read_export(options)
    model = export.model
    obstacle = _describe_obstacle(export)
    reason = clean_reason(options.reason)
    if obstacle is not None and reason is None:
        line = f'slimgate export: {model.name} {obstacle}; say why it is shipped: --reason "…"'
        sys.stderr.write(f"{escape_invisible(' '.join(line.split()))}\n")
        return 1
    shown_reason = reason and (f"{reason} ({model.name} {obstacle})" if obstacle else reason)
    try:
        written, comparison = write_export(replace(export, reason=shown_reason), options.folder)
    except OtherAnswers as error:
        write_lines(sys.stderr, [f"slimgate export: {error}"])
        return 1
    message = _describe_folder(options.folder, model.name, written)
    write_lines(sys.stdout, filter(None, (message, comparison, describe_servers(find_layout(written)))))
    return 0


def _read_export(options: argparse.Namespace) -> Export:
    """The model of the run and the store, without a reason. Raises SlimgateError for wrong input."""
    from slimgate.cli.export.folder import Export, check_free
    from slimgate.cli.export.forms import check_packages
    from slimgate.cli.export.stored import find_artifact, read_gate_rows, read_task_params
    from slimgate.record.files import read_record_file

    record_run = read_record_file(options.record)
    model = record_run.find_model(options.variant)
    check_free(options.folder, force=options.force)
    store = choose_store_root(options)
    artifact, params = find_artifact(record_run, model, store), read_task_params(record_run)
    check_packages(artifact, options.format, model.name)
    gate = read_gate_rows(record_run, store)
    return Export(
        run=record_run, model=model, artifact=artifact, params=params, form=options.format, gate=gate
    )


def _describe_obstacle(export: Export) -> str | None:
    """Why the model needs a reason to be exported; None if it needs none."""
    from slimgate.cli.export.stored import describe_changed_suite
    from slimgate.record.files import EDITED
    from slimgate.record.shipping import describe_shipping_obstacle

    if export.run.is_edited:
        return f"comes from a record that {EDITED}"
    return describe_shipping_obstacle(export.run.record, export.model) or describe_changed_suite(
        export.run, export.model, export.gate
    )


def _describe_folder(folder: Path, name: str, written: Written) -> str:
    from slimgate.cli.export.snippets import PLAIN, find_layout

    file_format = written.form if find_layout(written) in (None, PLAIN) else written.layout
    return (
        f"{folder.as_posix()}: wrote {name} in the format {file_format}; README.md there shows how to load it"
    )
