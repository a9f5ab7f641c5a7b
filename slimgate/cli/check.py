"""`slimgate check FILE…`: what is wrong with suite files, found without a model, rows or torch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from slimgate.errors import MissingExtra, SlimgateError, SuiteError

DESCRIPTION = """\
Checks suite files, of models and of logs, as pytest does before a run: tables, keys, names, options, budgets.
No model is loaded. Plug-ins of your own that a suite names are imported, so their code runs.
Prints one line for each file that is wrong: file, key, what came, what is expected.
Exit codes: 0 all files are right, 4 a file is wrong or missing.
"""
_WRONG = 4
# Folders that pytest does not look into either, unless its norecursedirs says otherwise.
_SKIPPED = frozenset({"build", "dist", "node_modules", "venv"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a suite file, such as bench/reviews.toml, or a folder: all suites in it and below it",
    )
    parser.add_argument(
        "--data",
        action="store_true",
        help="Also check that rows, their columns, model folders, logs and packages are on this machine",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Checks every file, and prints all problems."""
    from slimgate._system.escape import visible

    problems, count = check_paths(options.files, data=options.data)
    if problems:
        sys.stderr.writelines(f"{visible(line)}\n" for line in problems)
        return _WRONG
    sys.stdout.write(f"{count} {'suite' if count == 1 else 'suites'} checked, no mistake found\n")
    return 0


def check_paths(paths: Sequence[Path], *, data: bool) -> tuple[list[str], int]:
    """The first problem of each file, each line once, and how many files are suites or parts of suites."""
    problems: dict[str, None] = {}
    count = 0
    for path in paths:
        before = count + len(problems)
        for file in _toml_files(path) if path.is_dir() else [path]:
            try:
                count += check_file(file, named=file is path, data=data)
            except SlimgateError as error:
                problems[str(error)] = None
        if path.is_dir() and before == count + len(problems):
            problems[
                f"{path.as_posix()}: no suite in this folder, expected a .toml file with [suite] or [logs]"
            ] = None
    return list(problems), count


def check_file(file: Path, *, named: bool, data: bool) -> bool:
    """Whether the file is a suite; if it is named, it must be one.

    named: on the command line, not by its folder. Raises SlimgateError for what is wrong with it.
    """
    from slimgate.suite.file import read_suite_text
    from slimgate.suite.load import load_suite
    from slimgate.suite.recognize import has_logs, is_suite, opts_in

    shown = file.as_posix()
    if file.name.startswith("_"):  # a part of the suites that extend it, which may lack tables
        read_suite_text(file, shown)
        return True
    if not is_suite(file, shown, expected=named):
        if has_logs(file):
            _check_log_suite(file, shown, data=data)
            return True
        return False
    # where pytest looks for plug-ins that lie beside the suite; last, so that it hides nothing
    if (folder := str(file.parent.resolve())) not in sys.path:
        sys.path.append(folder)
    is_named = named or not opts_in(file, shown)
    try:
        load_suite(file, shown, check_data=data and is_named)
    except SuiteError as error:
        # what an opt-in suite needs is installed by those who run it
        if is_named or not isinstance(error.__cause__, MissingExtra):
            raise
    return True


def _check_log_suite(file: Path, shown: str, *, data: bool) -> None:
    from slimgate.logs.suite import load_log_suite

    suite = load_log_suite(file, shown)
    targets = {f"targets.{name}": path for name, path in suite.targets.items()}
    paths = {"base": suite.base, **targets, "repeat": suite.repeat} if data else {}
    for key, path in paths.items():
        if path is not None and not path.exists():
            raise SuiteError(f"{shown} [logs] {key}: {path.as_posix()}: no such file or folder")


def _toml_files(folder: Path) -> Iterator[Path]:
    """The TOML files in a folder and below it; parts of suites are checked with those that extend them."""
    for place, folders, names in os.walk(folder):
        base = Path(place)
        folders[:] = sorted(name for name in folders if not _is_skipped(base / name))
        yield from (
            base / name for name in sorted(names) if name.endswith(".toml") and not name.startswith("_")
        )


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()
