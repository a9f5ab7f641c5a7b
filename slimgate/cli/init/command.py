"""`slimgate init [DIR]`: writes bench/NAME.toml for your own model and rows."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from slimgate.errors import DataError

if TYPE_CHECKING:
    from slimgate.cli.init.draft import DataFiles, Draft

DESCRIPTION = """\
Guesses the task from your rows and your model. The tasks are text_classification (also of sentence pairs),
text_regression, multi_label, token_classification and sentence_embedding; causal_lm, text_generation and
multiple_choice for language models; text_to_text for encoder-decoders. Then writes DIR/bench/NAME.toml, a
commented suite that runs without changes. Its budgets are the smallest round numbers that the gate rows can
decide. If init cannot plan a budget, the budget only warns when it is undecided. The JSON Schema for editors
is next to the suite. On a terminal, init asks for what you did not pass. Exit codes: 0 written; 4 wrong usage
or input, and nothing is written.
"""
GENERIC_NAMES = ("train", "test", "data", "rows", "all", "gate", "dev", "valid", "validation", "eval")
Ask = Callable[[str, str | None], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add = parser.add_argument
    add(
        "dir",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="Your repository (default: the current folder)",
    )
    add("--model", metavar="MODEL", help="Model: a folder, a hub id (name@revision), or package:NAME/PATH")
    add(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="File of rows: csv, tsv, jsonl, json, parquet or txt",
    )
    add(
        "--gate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="File of gate rows, which are never used for training (default: slimgate takes a part of "
        "--data)",
    )
    add(
        "--by-label",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="Text file with the rows of one label, one row per line (repeatable)",
    )
    add("--task", help="Task (default: guessed from the columns)")
    add(
        "--text",
        action="append",
        default=[],
        metavar="COLUMN",
        help="Column of the text; give the option twice for text pairs",
    )
    add("--label", metavar="COLUMN", help="Column of the label, score or tags")
    add(
        "--group",
        metavar="COLUMN",
        help="Column of the group, such as a document or user; rows of one group stay in one split",
    )
    add(
        "--names",
        metavar="A,B,…",
        help="Names for tags or labels that are numbers in the data: the name of 0 first, then of 1, …",
    )
    add(
        "--model-labels",
        metavar="A,B,…",
        help="The data's label for each output of the model, in the order of the outputs, if the model "
        "names its labels differently",
    )
    add("--name", help="Name of the suite file (default: from the name of the data file)")
    add("--encoding", default="utf-8", help="Encoding of the files (default utf-8)")
    add(
        "--no-quotes",
        action="store_true",
        help="Treat double quotes in csv and tsv files as normal characters",
    )
    add("--yes", action="store_true", help="Ask no questions")
    add("--force", action="store_true", help="Replace an existing suite of the same name")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes the suite and prints what it recognized. Raises SlimgateError for wrong input."""
    from slimgate.cli.init.suite_text import check_free, write_suite

    ask = make_asker(sys.stdin, sys.stdout) if sys.stdin.isatty() and not options.yes else None
    files = _make_data_files(options, ask)
    name = _choose_suite_name(options, files)
    path: Path = options.dir / "bench" / f"{name}.toml"
    check_free(path, force=options.force)
    draft = _make_draft(options, files, name, path.parent.resolve(), ask)
    planned = write_suite(draft, path)
    _print_summary(draft, path, [line.line for line in planned], in_current_folder=options.dir == Path())
    return 0


def _make_data_files(options: argparse.Namespace, ask: Ask | None) -> DataFiles:
    from slimgate.cli.init.draft import DataFiles

    if ask is not None and not options.data and not options.by_label:
        options.data = [Path(ask("Rows (a csv, tsv, jsonl, json, parquet or txt file)", None))]
        if not options.gate:
            gate = ask("Rows for the verdict only (a file, or - to cut them from these)", "-")
            options.gate = [] if gate == "-" else [Path(gate)]
    return DataFiles(
        data=tuple(options.data),
        gate=tuple(options.gate),
        by_label=_parse_by_label(options.by_label),
        encoding=options.encoding,
        quotes=not options.no_quotes,
    )


def _parse_by_label(arguments: list[str]) -> Mapping[str, tuple[Path, ...]] | None:
    files_by_label: dict[str, tuple[Path, ...]] = {}
    for argument in arguments:
        label, equals, file = argument.partition("=")
        if not (label and equals and file):
            raise DataError(f'--by-label "{argument}" was given, expected NAME=FILE, such as pos=good.txt')
        files_by_label[label] = (*files_by_label.get(label, ()), Path(file))
    return files_by_label or None


def _choose_suite_name(options: argparse.Namespace, files: DataFiles) -> str:
    """The stated name, else the file's; if data files often have that name, the name of its folder."""
    from slimgate.plugins.params import VARIANT_NAME
    from slimgate.suite.errors import PATTERNS

    if options.name is not None:
        if not re.fullmatch(VARIANT_NAME, options.name):
            raise DataError(f'--name "{options.name}" was given, expected {PATTERNS[VARIANT_NAME]}')
        return str(options.name)
    first = files.first.absolute()
    plain = first.stem.lower() not in GENERIC_NAMES and files.by_label is None
    named = re.sub(r"[^A-Za-z0-9]+", "_", first.stem if plain else first.parent.name).strip("_")
    return named or "mine"


def _make_draft(
    options: argparse.Namespace, files: DataFiles, name: str, folder: Path, ask: Ask | None
) -> Draft:
    from slimgate.cli.init.draft import Draft, concat_parts, use_split_column
    from slimgate.cli.init.guessing import guess
    from slimgate.cli.init.models import find_model
    from slimgate.data.guess_input import UserColumns

    if options.model is None and ask is not None:
        options.model = ask("Model (a folder, a hub id, or package:NAME/PATH)", None)
    if options.model is None:
        raise DataError("--model is missing; give a folder, a hub id, or package:NAME/PATH")
    model = find_model(options.model, folder)
    stated = UserColumns(
        options.task, tuple(options.text), options.label, options.group, _split_list(options.names)
    )
    named = (*stated.text, stated.label, stated.group)
    files, parts = use_split_column(files, files.read(), [name for name in named if name is not None])
    table = concat_parts(parts)
    guessed = guess(table, stated, causal=model.causal, encoder_decoder=model.encoder_decoder)
    if ask is not None:
        sys.stdout.write(
            f"Columns: {', '.join(table.column_names)}. It looks like {guessed.kind}: {guessed.why}.\n"
        )
        task = options.task or ask("Task", guessed.kind)
        column = guessed.options.get("label") or guessed.options.get("score") or guessed.options.get("tags")
        label = options.label or ask(
            "Column of the label (- for none)", (column if isinstance(column, str) else None) or "-"
        )
        stated = UserColumns(task, stated.text, None if label == "-" else label, stated.group, stated.names)
        guessed = guess(table, stated, causal=model.causal, encoder_decoder=model.encoder_decoder)
    if stated.names and "names" not in guessed.options:
        raise DataError(
            f"--names: {guessed.kind} reads its labels as they are in the data; leave the option out"
        )
    return Draft(name, files, parts, model, guessed, stated=_split_list(options.model_labels))


def _split_list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _describe_teacher(draft: Draft) -> str:
    """What becomes of the model that --model names."""
    from slimgate.cli.init.suite_text import format_text
    from slimgate.data.labels import format_label_map
    from slimgate.models.config import list_model_labels

    if draft.readiness == "other labels":
        outputs = format_text(format_label_map(list_model_labels(draft.model.config)))
        return (
            f"the model's labels ({outputs}) differ from the data's, so the teacher gets a new head and is "
            "fine-tuned; to keep the model unchanged, give the data's label of each output, in this order, "
            "with --model-labels"
        )
    return {
        "ready": "the teacher is the unchanged model",
        "headless": "the model has no head for this task: the teacher gets one and is fine-tuned",
        "fresh": "the model has random weights: the teacher is trained first",
    }[draft.readiness]


def _print_summary(draft: Draft, path: Path, planned: list[str], *, in_current_folder: bool) -> None:
    from slimgate._system.escape import write_lines
    from slimgate.cli.init.suite_text import SCHEMA_FILE, describe_rows

    lines = [f"{path}: {draft.guess.kind}", *(f"  {line}" for line in describe_rows(draft))]
    lines += [
        f"  {_describe_teacher(draft)}",
        *(f"  {line}" for line in planned),
        f"{path.with_name(SCHEMA_FILE)}: for editors",
    ]
    change_folder = "" if in_current_folder else f"cd {shlex.quote(str(path.parent.parent))} && "
    lines.append(f"next: {change_folder}pytest bench/{path.name} --slimgate-plan")
    write_lines(sys.stdout, lines)


def make_asker(answers: TextIO, out: TextIO) -> Ask:
    """ask(question, default) -> the answer. Raises DataError if the input ends."""

    def ask(question: str, default: str | None) -> str:
        while True:
            out.write(f"{question}{f' [{default}]' if default else ''}: ")
            out.flush()
            line = answers.readline()
            if not line:
                raise DataError(f"the input ended at the question: {question}")
            if (answer := line.strip()) or default is not None:
                return answer or str(default)

    return ask
