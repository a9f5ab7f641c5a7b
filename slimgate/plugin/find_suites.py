"""Finds the suite files on the paths of a pytest run, and validates them before anything is collected."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slimgate.errors import MissingExtra, SuiteError, list_names

if TYPE_CHECKING:
    from slimgate.logs.suite import LogSuite
    from slimgate.suite.suite import Suite

MAX_NAMED = 5


@dataclass(frozen=True)
class Search:
    """Where to look for suites.

    paths: files and folders of the command line. patterns: globs for the end of a suite file's path, such as
    bench/*.toml. skip: globs of folders that pytest does not recurse into. ignore, ignore_globs: paths that
    pytest ignores. shallow: look only at the files in a folder, and not below.
    """

    root: Path
    paths: Sequence[Path]
    patterns: Sequence[str]
    skip: Sequence[str] = ()
    ignore: Sequence[Path] = ()
    ignore_globs: Sequence[str] = ()
    shallow: bool = False


def has_candidates(search: Search) -> bool:
    """Whether any file of the run could be a suite, judged by its name and folder. No file is read."""
    return next(_iterate_candidates(search), None) is not None


def find_suites(
    search: Search,
    *,
    note: Callable[[str], None] = lambda _: None,
    block: Callable[[Path, str], None] | None = None,
) -> dict[Path, Suite]:
    """Finds and validates the suites of the run. Returns them by their paths.

    An opt-in suite runs only if the command line names its file. Otherwise only its syntax and schema are
    checked.

    note: gets a line about each file that a pattern matches and that is no suite. block: gets each suite for
    which a package is missing, with the error, if nothing else is wrong; with None, a missing package is an
    error. Raises SuiteError with one line for each wrong file.
    """
    from slimgate.suite.reader import load_suite
    from slimgate.suite.recognize import has_logs, is_opt_in, is_suite

    suites: dict[Path, Suite] = {}
    problems: list[str] = []
    blocked: dict[Path, str] = {}
    for path, link, is_named in _iterate_candidates(search):
        if path in suites:
            continue
        shown, is_run = _format_path(link, search), True
        try:
            matches = _is_pattern_match(link, search)
            if not is_suite(path, shown, expected=is_named and matches):
                if matches and not link.name.startswith("_") and not has_logs(path):
                    note(f"{shown}: has neither [suite] nor [logs], so it is not a suite")
                continue
            is_run = is_named or not is_opt_in(path, shown)
            suite = load_suite(path, shown, check_data=is_run)
        except SuiteError as error:
            # Users who run an opt-in suite have to install what it needs.
            lacks_package = isinstance(error.__cause__, MissingExtra)
            if is_run or not lacks_package:
                problems.append(str(error))
            if is_run and lacks_package:
                blocked[path] = str(error)
            continue
        if is_named or not suite.opt_in:
            suites[path] = suite
    if problems and (block is None or len(problems) > len(blocked)):
        raise SuiteError("\n".join(dict.fromkeys(problems)))
    if block is not None:
        for path, line in blocked.items():
            block(path, line)
    _check_stems(suites)
    return suites


def find_log_suites(search: Search, suites: Mapping[Path, Suite]) -> dict[Path, LogSuite]:
    """Finds the suites with [logs]. Returns them by their paths; no log is read.

    suites: the other suites of the run. Raises SuiteError for the first wrong file.
    """
    from slimgate.suite.recognize import has_logs

    log_suites: dict[Path, LogSuite] = {}
    for path, link, _ in _iterate_candidates(search):
        if path not in log_suites and has_logs(path):
            from slimgate.logs.suite import load_log_suite

            log_suites[path] = load_log_suite(path, _format_path(link, search))
    _check_stems({**suites, **log_suites})
    return log_suites


def find_left_out(search: Search, run: Set[Path]) -> set[Path]:
    """The files that may be suites, by their names and folders, and are not run. run: its suites."""
    return {candidate.path for candidate in _iterate_candidates(search)} - run


def describe_suites_not_run(search: Search, *, below: bool = False) -> Iterator[str]:
    """A line about suites in the run's folders that no pattern matches; no line if all match.

    below: also look into the subfolders that a shallow search leaves out, and name the suites there.
    """
    deep = replace(search, shallow=search.shallow and not below)
    if below and (names := _list_suites(deep, matched=True)):
        folder = names[0].rpartition("/")[0] or names[0]
        listed = list_names(names, MAX_NAMED)
        yield f"not run: {listed}: to run them, name their folder: pytest {folder}"
    if names := _list_suites(deep, matched=False):
        patterns = ", ".join(search.patterns)
        yield (
            f"not run: {list_names(names, MAX_NAMED)}: no pattern of slimgate_files ({patterns}) matches; "
            "name the files on the command line, or add a pattern to slimgate_files in pytest's configuration"
        )


def _list_suites(search: Search, *, matched: bool) -> list[str]:
    """The files in the run's folders that have the tables of a suite, each once."""
    run_files = set() if matched else {candidate.path for candidate in _iterate_candidates(search)}
    files: dict[Path, Path] = {}
    for folder in search.paths:
        for link in _iterate_files(folder, search, matched=matched) if folder.is_dir() else ():
            path = _resolve_links(link)
            if link not in search.paths and path not in run_files and _has_suite_word(path):
                files.setdefault(path, link)
    if not files:
        return []
    from slimgate.suite.recognize import has_suite_table, has_tables_of_a_suite

    suites = (path for path in files if has_suite_table(path) and has_tables_of_a_suite(path))
    return [Path(_format_path(files[path], search)).as_posix() for path in suites]


def _has_suite_word(path: Path) -> bool:
    """Whether the file has the word suite or logs. If no file has, nothing more of slimgate is imported."""
    try:
        text = path.read_bytes().lower()
        return b"suite" in text or b"logs" in text
    except OSError:
        return False


class Candidate(NamedTuple):
    """A file that may be a suite. link: the path at which it was found; is_named: on the command line."""

    path: Path
    link: Path
    is_named: bool


def _iterate_candidates(search: Search) -> Iterator[Candidate]:
    """The files of the run that may be suites, judged by their names and folders."""
    for path in search.paths:
        if path.is_dir():
            for file in _iterate_files(path, search):
                yield Candidate(_resolve_links(file), file, is_named=False)
        elif path.suffix == ".toml" and path.is_file():
            yield Candidate(path.resolve(), path, is_named=True)


def _format_path(path: Path, search: Search) -> str:
    """The path from the root, for messages. The root may be spelled with other links."""
    shown = os.path.relpath(path, search.root)
    return shown if not shown.startswith("..") else os.path.relpath(_resolve_links(path), search.root)


def _resolve_links(path: Path) -> Path:
    return Path(os.path.realpath(path))  # resolve() raises for circular links


def _iterate_files(folder: Path, search: Search, *, matched: bool = True) -> Iterator[Path]:
    """The TOML files below a folder that a pattern matches; if not matched, those that no pattern matches.

    Each folder is read only once, even if several links lead to it, so circular links are no problem.
    """
    seen: set[Path] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        base = Path(parent)
        if (real := _resolve_links(base)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [] if search.shallow else sorted(f for f in folders if not _is_skipped(base / f, search))
        for name in sorted(files):
            path = base / name
            is_suite_file = name.endswith(".toml") and not name.startswith("_")
            if is_suite_file and _is_pattern_match(path, search) is matched and not _is_ignored(path, search):
                yield path


def _is_skipped(folder: Path, search: Search) -> bool:
    by_name = any(folder.match(pattern) for pattern in search.skip)  # build, or bench/old
    return by_name or (folder / "pyvenv.cfg").exists() or _is_ignored(folder, search)


def _is_ignored(path: Path, search: Search) -> bool:
    """Whether pytest ignores a file or folder, by its path or by the path that it links to."""
    paths = path, _resolve_links(path)
    return any(
        each in search.ignore or any(fnmatch.fnmatch(str(each), glob) for glob in search.ignore_globs)
        for each in paths
    )


def _is_pattern_match(path: Path, search: Search) -> bool:
    """Whether a pattern matches the path, or the path that it links to."""
    return any(each.match(pattern) for pattern in search.patterns for each in (path, _resolve_links(path)))


def _check_stems(suites: Mapping[Path, Suite | LogSuite]) -> None:
    """Raises SuiteError if two suites have the same stem, because it names the folder of their reports."""
    seen: dict[str, Suite | LogSuite] = {}
    for path, suite in suites.items():
        other = seen.setdefault(path.stem, suite)
        if other is not suite:
            raise SuiteError(
                f"{suite.shown} and {other.shown} have the same name; "
                "reports would overwrite each other: rename one"
            )
