"""Finds the suite files on the paths of a pytest run, and validates them before anything is collected."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.errors import MissingExtra, SuiteError, list_names

if TYPE_CHECKING:
    from slimgate.logs.suite import LogSuite
    from slimgate.suite.suite import Suite

MOST_NAMED = 5


@dataclass(frozen=True)
class Search:
    """Where to look for suites: files and folders of the command line, and patterns for suite files.

    patterns: globs matched on the end of a path, such as bench/*.toml; skip: names of folders that pytest
    does not recurse into; ignore, ignore_globs: paths that pytest has to ignore; shallow: look at the
    files of a folder, not below it.
    """

    root: Path
    paths: Sequence[Path]
    patterns: Sequence[str]
    skip: Sequence[str] = ()
    ignore: Sequence[Path] = ()
    ignore_globs: Sequence[str] = ()
    shallow: bool = False


def has_candidates(search: Search) -> bool:
    """Whether any file of the run could be a suite, by its name and place. No file is read."""
    return next(_candidates(search), None) is not None


def find_suites(
    search: Search,
    *,
    note: Callable[[str], None] = lambda _: None,
    block: Callable[[Path, str], None] | None = None,
) -> dict[Path, Suite]:
    """Every suite of the run by its path, validated.

    note: called with a line on each file that lies where suites do and is no suite. block: called with a
    suite for which a package is missing, and the line that says so, if nothing else is wrong; with None, a
    missing package is an error. An opt-in suite counts only if the command line names its file; otherwise
    only its syntax and schema are checked. Raises SuiteError: one line for each file that is wrong.
    """
    from slimgate.suite.load import load_suite
    from slimgate.suite.recognize import has_logs, is_opt_in, is_suite

    suites: dict[Path, Suite] = {}
    problems: list[str] = []
    blocked: dict[Path, str] = {}
    for path, place, named in _candidates(search):
        if path in suites:
            continue
        shown, is_named = _show(place, search), True
        try:
            matches = _matches(place, search)
            if not is_suite(path, shown, expected=named and matches):
                if matches and not place.name.startswith("_") and not has_logs(path):
                    note(f"{shown}: neither [suite] nor [logs], not a suite")
                continue
            is_named = named or not is_opt_in(path, shown)
            suite = load_suite(path, shown, check_data=is_named)
        except SuiteError as error:
            # Users who run an opt-in suite have to install what it needs.
            lacks_package = isinstance(error.__cause__, MissingExtra)
            if is_named or not lacks_package:
                problems.append(str(error))
            if is_named and lacks_package:
                blocked[path] = str(error)
            continue
        if named or not suite.opt_in:
            suites[path] = suite
    if problems and (block is None or len(problems) > len(blocked)):
        raise SuiteError("\n".join(dict.fromkeys(problems)))
    if block is not None:
        for path, line in blocked.items():
            block(path, line)
    _no_shared_stem(suites)
    return suites


def find_log_suites(search: Search, suites: Mapping[Path, Suite]) -> dict[Path, LogSuite]:
    """Every suite of logs of the run by its path; no log is read. suites: the suites of models.

    Raises SuiteError for the first file that is wrong.
    """
    from slimgate.suite.recognize import has_logs

    log_suites: dict[Path, LogSuite] = {}
    for path, place, _ in _candidates(search):
        if path not in log_suites and has_logs(path):
            from slimgate.logs.suite import load_log_suite

            log_suites[path] = load_log_suite(path, _show(place, search))
    _no_shared_stem({**suites, **log_suites})
    return log_suites


def suites_that_do_not_run(search: Search, *, below: bool = False) -> Iterator[str]:
    """A line on the suites in the run's folders that no pattern matches; nothing if all match.

    below: also look below a folder that the run looks at without its subfolders, and name the suites there.
    """
    deep = replace(search, shallow=search.shallow and not below)
    if below and (names := _suites_in(deep, matched=True)):
        folder = names[0].rpartition("/")[0] or names[0]
        listed = list_names(names, MOST_NAMED)
        yield f"not run: {listed}: pytest runs suites where it is given their folder: pytest {folder}"
    if names := _suites_in(deep, matched=False):
        patterns = ", ".join(search.patterns)
        yield (
            f"not run: {list_names(names, MOST_NAMED)}: no pattern of slimgate_files ({patterns}) matches; "
            "name the files on the command line, or add a pattern to slimgate_files in pytest's configuration"
        )


def _suites_in(search: Search, *, matched: bool) -> list[str]:
    """The files with the tables of a suite in the folders of the run, each once."""
    run = set() if matched else {path for path, _, _ in _candidates(search)}
    files: dict[Path, Path] = {}
    for folder in search.paths:
        for place in _walk(folder, search, matched=matched) if folder.is_dir() else ():
            path = _real_path(place)
            if place not in search.paths and path not in run and _mentions_suite(path):
                files.setdefault(path, place)
    if not files:
        return []
    from slimgate.suite.recognize import has_tables_of_a_suite, looks_like_suite

    suites = (path for path in files if looks_like_suite(path) and has_tables_of_a_suite(path))
    return [Path(_show(files[path], search)).as_posix() for path in suites]


def _mentions_suite(path: Path) -> bool:
    """Whether "suite" or "logs" is in the file. If no file has them, nothing more of slimgate is imported."""
    try:
        text = path.read_bytes().lower()
        return b"suite" in text or b"logs" in text
    except OSError:
        return False


def _candidates(search: Search) -> Iterator[tuple[Path, Path, bool]]:
    """The file, the path at which it was found, which may be a link, and whether the user named it."""
    for path in search.paths:
        if path.is_dir():
            for file in _walk(path, search):
                yield _real_path(file), file, False
        elif path.suffix == ".toml" and path.is_file():
            yield path.resolve(), path, True


def _show(path: Path, search: Search) -> str:
    """The path as messages name it, from the root, which may be spelled with other links."""
    shown = os.path.relpath(path, search.root)
    return shown if not shown.startswith("..") else os.path.relpath(_real_path(path), search.root)


def _real_path(path: Path) -> Path:
    return Path(os.path.realpath(path))  # resolve() raises for links in a circle


def _walk(folder: Path, search: Search, *, matched: bool = True) -> Iterator[Path]:
    """TOML files below a folder that a pattern matches, or those that no pattern matches.

    Each folder is read once, however many links lead to it, so links in a circle end.
    """
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        base = Path(place)
        if (real := _real_path(base)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [] if search.shallow else sorted(f for f in folders if not _is_skipped(base / f, search))
        for name in sorted(files):
            path = base / name
            is_suite_file = name.endswith(".toml") and not name.startswith("_")
            if is_suite_file and _matches(path, search) is matched and not _is_ignored(path, search):
                yield path


def _is_skipped(folder: Path, search: Search) -> bool:
    by_name = any(folder.match(pattern) for pattern in search.skip)  # build, or bench/old
    return by_name or (folder / "pyvenv.cfg").exists() or _is_ignored(folder, search)


def _is_ignored(path: Path, search: Search) -> bool:
    """Whether pytest has to ignore a file or folder, at its path or at that of which it is a link."""
    paths = path, _real_path(path)
    return any(
        each in search.ignore or any(fnmatch.fnmatch(str(each), glob) for glob in search.ignore_globs)
        for each in paths
    )


def _matches(path: Path, search: Search) -> bool:
    """Whether a pattern matches the path, or that of which it is a link."""
    return any(each.match(pattern) for pattern in search.patterns for each in (path, _real_path(path)))


def _no_shared_stem(suites: Mapping[Path, Suite | LogSuite]) -> None:
    """Raises SuiteError for two suites with one stem: reports go to a folder of that name."""
    seen: dict[str, Suite | LogSuite] = {}
    for path, suite in suites.items():
        other = seen.setdefault(path.stem, suite)
        if other is not suite:
            raise SuiteError(
                f"{suite.shown} and {other.shown} have the same name; "
                "reports would overwrite each other: rename one"
            )
