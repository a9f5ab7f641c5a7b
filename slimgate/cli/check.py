"""`slimgate check FILE…`: finds errors in suite files without a model, rows or torch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from slimgate.errors import MissingExtra, SlimgateError, SuiteError, list_names

if TYPE_CHECKING:
    from slimgate.suite.suite import Suite

DESCRIPTION = """\
Checks suite files as pytest does before a run: tables, keys, names, options and budgets. Suites of models and
suites of logs can be checked. No model is loaded. If a suite names your own plug-ins, they are imported, so
their code runs. For each wrong file, one line shows the file, the key, what was given and what was expected.
A suite without a budget is wrong too, because it gates nothing. Exit codes: 0 all files are right; 4 a file
is wrong or missing.
"""
_WRONG = 4
_MOST_NAMED = 5
# The source of rows in files.
_FILES = "files"
# Folders that pytest does not search either, unless its norecursedirs says otherwise.
_SKIPPED = frozenset({"build", "dist", "node_modules", "venv"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="A suite file, such as bench/reviews.toml, or a folder with suites, also in its subfolders",
    )
    parser.add_argument(
        "--data",
        action="store_true",
        help="Also check that this machine has the rows with their columns, enough of them for the splits, "
        "the model folders, the packages and the logs, and that the logs can be compared and fit the budgets",
    )
    parser.add_argument(
        "--without-budgets",
        action="store_true",
        help="Also accept suites that have no budget and only measure",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Checks every file, and prints all problems."""
    from slimgate._system.escape import write_lines
    from slimgate._system.number_text import format_count

    checked = check_paths(options.files, data=options.data, without_budgets=options.without_budgets)
    if checked.problems:
        write_lines(sys.stderr, checked.problems)
        return _WRONG
    write_lines(sys.stdout, checked.questions)
    unchecked = "" if options.data else "; data files, models and packages were not checked (use --data)"
    questions = (
        f", {format_count(len(checked.questions), 'question', 'questions')} (above)"
        if checked.questions
        else ""
    )
    suites = format_count(checked.suites, "suite", "suites")
    sys.stdout.write(f"{suites} checked, no mistake found{questions}{unchecked}\n")
    for words, paths in (
        ("these files are not suites and were not checked", checked.no_suites),
        ("the files and packages of these opt-in suites were not checked", checked.without_data),
        ("these opt-in suites need a missing package, so they were checked only in part", checked.partly),
    ):
        if paths:
            listed = list_names([path.as_posix() for path in paths], _MOST_NAMED)
            write_lines(sys.stdout, [f"{words}: {listed}"])
    if checked.without_data or checked.partly:
        sys.stdout.write("to check an opt-in suite, name its file\n")
    return 0


class Checked(NamedTuple):
    """The results of all checks.

    problems: the first problem of each file. questions: about budgets that may be in a wrong unit, which a
    run prints too. suites: how many suites, or parts of suites, are right. no_suites: files that are no
    suite. without_data: opt-in suites whose files and packages were not checked. partly: opt-in suites that
    lack a package, so they were checked only in part.
    """

    problems: list[str]
    questions: list[str]
    suites: int
    no_suites: list[Path]
    without_data: list[Path]
    partly: list[Path]


class _FileCheck(NamedTuple):
    """The result for one suite: questions about its budgets, and whether checks were left out."""

    questions: list[str]
    is_without_data: bool = False
    is_partial: bool = False


def check_paths(paths: Sequence[Path], *, data: bool, without_budgets: bool) -> Checked:
    """Checks files, and the TOML files of folders. without_budgets: accepts suites that gate nothing."""
    problems: dict[str, None] = {}
    checked: dict[Path, _FileCheck] = {}
    no_suites: list[Path] = []
    wrong = set()
    for file in dict.fromkeys(file for path in paths for file in _list_files(path)):
        try:
            result = _check_file(file, named=file in paths, data=data, without_budgets=without_budgets)
        except SlimgateError as error:
            problems[str(error)] = None
            wrong.add(file)
            continue
        if result is None:
            no_suites.append(file)
        else:
            checked[file] = result
    for folder in filter(Path.is_dir, paths):
        if not any(file in checked or file in wrong for file in _list_files(folder)):
            problems[
                f"{folder.as_posix()}: no suite in this folder, expected a .toml file with [suite] or [logs]"
            ] = None
    return Checked(
        problems=list(problems),
        questions=[question for result in checked.values() for question in result.questions],
        suites=len(checked),
        no_suites=no_suites,
        without_data=[file for file, result in checked.items() if result.is_without_data],
        partly=[file for file, result in checked.items() if result.is_partial],
    )


def _check_file(file: Path, *, named: bool, data: bool, without_budgets: bool) -> _FileCheck | None:
    """Checks a suite; None for a file that is no suite.

    named: whether the command line names the file itself, and not its folder. Then it must be a suite.
    without_budgets: whether it may gate nothing. Raises SlimgateError for the first error in it.
    """
    from slimgate.run.gate_results import NO_BUDGET, describe_ungated
    from slimgate.suite.budget_units import find_doubtful_budgets
    from slimgate.suite.file import read_suite_text
    from slimgate.suite.reader import load_suite
    from slimgate.suite.recognize import has_logs, is_opt_in, is_suite

    shown = file.as_posix()
    if file.name.startswith("_"):  # a part of the suites that extend it, which may lack tables
        read_suite_text(file, shown)
        return _FileCheck([])
    if not is_suite(file, shown, expected=named):
        if has_logs(file):
            return _FileCheck(_check_log_suite(file, shown, data=data, without_budgets=without_budgets))
        return None
    is_complete = named or not is_opt_in(file, shown)
    try:
        suite = load_suite(file, shown, check_data=data and is_complete)
    except SuiteError as error:
        # Only users who run an opt-in suite have to install the packages that it needs.
        if is_complete or not isinstance(error.__cause__, MissingExtra):
            raise
        return _FileCheck([], is_partial=True)
    # gated = false on every variant is stated on purpose, with its reason
    if not without_budgets and describe_ungated(suite) == NO_BUDGET:
        raise _describe_no_gate(shown)
    if data and is_complete:
        _check_rows(suite)
    questions = [f"{shown}: {line}" for line in find_doubtful_budgets(suite)]
    return _FileCheck(questions, is_without_data=data and not is_complete)


def _check_rows(suite: Suite) -> None:
    """Cuts the splits of rows in files, as a run does before it loads a model. Raises SlimgateError.

    Other sources may load gigabytes, so they are left to the run.
    """
    from slimgate.run.rows import prepare_rows
    from slimgate.store.store import Store

    if suite.setup.source.name == _FILES:
        with TemporaryDirectory() as folder:
            prepare_rows(suite, Store(Path(folder)))


def _describe_no_gate(shown: str) -> SuiteError:
    return SuiteError(
        f"{shown}: no budget, so the suite gates nothing; add a limit to [budgets], or pass --without-budgets"
    )


def _check_log_suite(file: Path, shown: str, *, data: bool, without_budgets: bool) -> list[str]:
    """The questions about the budgets of a log suite. Raises SlimgateError for the first error in it."""
    from slimgate.logs.suite import load_log_suite

    suite = load_log_suite(file, shown)
    if not without_budgets and not any(budgets.has_limit for budgets in suite.budgets.values()):
        raise _describe_no_gate(shown)
    if data:
        from slimgate.data.row_files import require_file_or_folder
        from slimgate.logs.suite_run import judge_log_suite

        targets = [(f"targets.{name}", path) for name, paths in suite.target_runs.items() for path in paths]
        repeat = [] if suite.repeat is None else [("repeat", suite.repeat)]
        for key, path in [*(("base", path) for path in suite.base_runs), *targets, *repeat]:
            try:
                require_file_or_folder(path)
            except SuiteError as error:
                raise SuiteError(f"{shown} [logs] {key}: {error}") from error
        try:
            # only for its errors: logs that cannot be compared, and patterns without a match
            judge_log_suite(suite)
        except SlimgateError as error:
            problem = str(error)
            raise SuiteError(problem if problem.startswith(shown) else f"{shown}: {problem}") from None
    return list(dict.fromkeys(note for budgets in suite.budgets.values() for note in budgets.notes))


def _list_files(path: Path) -> Iterator[Path]:
    """The file itself, or the TOML files in a folder and below it.

    Parts of suites are checked with the suites that extend them.
    """
    if not path.is_dir():
        yield path
        return
    for place, folders, names in os.walk(path):
        base = Path(place)
        folders[:] = sorted(name for name in folders if not _is_skipped(base / name))
        yield from (
            base / name for name in sorted(names) if name.endswith(".toml") and not name.startswith("_")
        )


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()
