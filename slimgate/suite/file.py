"""Reads a suite file: TOML with `extends` merged; each string remembers the folder of its file."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from slimgate.errors import SuiteError, format_suggestion
from slimgate.plugins.params import Located, suite_path

MAX_BYTES = 1_000_000
# tomllib's messages about a key or a table that occurs twice.
_REPEATED = re.compile(r"Cannot (overwrite a value|declare \(.*\) twice)|.*is already defined")
# tomllib's messages about a text such as "C:\\Users".
_BACKSLASH = re.compile(r"Unescaped '\\'|Invalid hex value")


@dataclass(frozen=True)
class SuiteText:
    """A suite file as data: arrays are tuples, strings are Located, `extends` is merged.

    shown: the file as messages name it, with the files that it extends
    digest: sha256 over the bytes of the file and of all files that it extends
    """

    path: Path
    shown: str
    data: Mapping[str, Any]
    digest: str


def read_suite_text(path: Path, shown: str) -> SuiteText:
    """The file merged with the files it extends. Raises SuiteError for bad TOML and bad `extends`."""
    digest = hashlib.sha256()
    files: list[str] = []
    try:
        data = _read_merged(path.resolve(), shown, digest, (), files)
    except RecursionError as error:
        raise SuiteError(f"{shown}: tables are nested too deeply") from error
    shown_files = f"{shown} (extends {', '.join(files[1:])})" if files[1:] else shown
    return SuiteText(path, shown_files, data, digest.hexdigest())


def parse_toml(path: Path, shown: str) -> dict[str, Any]:
    """The TOML of one file. Raises SuiteError that says where it is malformed."""
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise SuiteError(f"{shown}: cannot be read: {error.strerror}") from error
    if size > MAX_BYTES:
        raise SuiteError(f"{shown}: {size} bytes, a suite may have at most {MAX_BYTES}")
    try:
        text = raw.decode("utf-8-sig")  # Windows' editors begin a file with a byte order mark
        return dict(_load_tables(text))
    except RecursionError as error:
        raise SuiteError(f"{shown}: not TOML: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"{shown}: not UTF-8 at byte {error.start}; a TOML file is UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(_describe_bad_toml(shown, text, str(error))) from error
    except ValueError as error:  # of int()
        raise SuiteError(f"{shown}: not TOML: a number with too many digits") from error


@lru_cache(maxsize=256)
def _load_tables(text: str) -> dict[str, Any]:
    """The tables of a TOML text, which callers must not change.

    The search for suites reads a file several times: whether it is a suite, whether it opts in, and what it
    and the files that it extends say.
    """
    return tomllib.loads(text)


def _describe_bad_toml(shown: str, text: str, problem: str) -> str:
    """tomllib's message with the text of the line; a duplicate key gets a clearer message."""
    position = re.search(r" \(at line (\d+), column (\d+)\)$", problem)
    if position is None:
        return f"{shown}: not TOML: {problem}"
    number, message = int(position[1]), problem[: position.start()]
    line = text.replace("\r\n", "\n").split("\n")[number - 1].strip()
    message = (
        "this key or table occurs twice" if _REPEATED.match(message) else f"{message} in column {position[2]}"
    )
    if _BACKSLASH.match(message):
        message += " (write / between the folders of a path, or put a text with \\ in single quotes)"
    return f"{shown} line {number}: not TOML: {message}: {line if len(line) <= 80 else line[:79] + '…'}"


def _read_merged(
    path: Path, shown: str, digest: hashlib._Hash, seen: tuple[Path, ...], files: list[str]
) -> dict[str, Any]:
    """The tables of a file over those of the files that it extends.

    seen: the files that extend this one, to find cycles. digest: gets the bytes of every file that is read.
    files: gets its name.
    """
    if path in seen:
        chain = " -> ".join(p.name for p in (*seen, path))
        raise SuiteError(f"{shown} [suite] extends: a cycle: {chain}")
    tables: dict[str, Any] = _locate_strings(parse_toml(path, shown), path.parent)
    digest.update(path.read_bytes())
    files.append(shown if not seen else path.name)
    merged: dict[str, Any] = {}
    for parent in _read_extends(tables, shown):
        try:
            base = suite_path(path.parent, parent)
        except ValueError as error:
            raise SuiteError(f"{shown} [suite] extends: {error}") from error
        if not base.is_file():
            suggestion = format_suggestion(
                base.name, [file.name for file in base.parent.glob("*.toml") if file != path]
            )
            raise SuiteError(
                f'{shown} [suite] extends: "{parent}": no such file in {base.parent.name}/{suggestion}'
            )
        base_shown = os.path.normpath(os.path.join(os.path.dirname(shown), parent))
        inner = _read_merged(base, base_shown, digest, (*seen, path), files)
        _check_common_budgets(merged, inner, base_shown)
        merged = _merge_tables(merged, inner)
    _check_common_budgets(merged, tables, shown)
    return _merge_tables(merged, tables)


def _check_common_budgets(base: dict[str, Any], tables: dict[str, Any], shown: str) -> None:
    """Raises SuiteError if a common budget would not apply to a variant, because of an extended file.

    The budget of a variant replaces the common one, and may be wider. The file with the common one does not
    show that.
    """
    common = _get_table(tables, "budgets")
    for name, limits in _get_table(_get_table(base, "budgets"), "variants").items():
        restated = _get_table(_get_table(common, "variants"), name)
        for path, limit, other in _find_differences(limits, common, restated):
            raise SuiteError(
                f"{shown} [budgets] {'.'.join(path)}: {limit} was given, but a file that is extended has "
                f"{other} for {name}; write what {name} may lose in [budgets.variants.{name}] of this file"
            )


def _find_differences(
    limits: object, common: object, restated: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object, object]]:
    """(path, common value, own value) of each value of `limits` that differs and is not restated."""
    if isinstance(limits, dict) and isinstance(common, dict):
        for key in limits.keys() & common.keys() - {"reason"}:
            inner = _get_table({"": restated}, "").get(key)
            yield from _find_differences(limits[key], common[key], inner, (*path, key))
    elif limits != common and restated is None:
        yield path, common, limits


def _get_table(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table of that name; an empty table if there is none, or another value."""
    table = tables.get(key)
    return table if isinstance(table, dict) else {}


def _read_extends(tables: dict[str, Any], shown: str) -> tuple[str, ...]:
    """The files that a suite extends, one or several; later ones win."""
    suite: Any = tables.get("suite")
    parents = suite.get("extends", ()) if isinstance(suite, dict) else ()
    parents = (parents,) if isinstance(parents, str) else parents
    if not isinstance(parents, tuple) or not all(isinstance(parent, str) for parent in parents):
        raise SuiteError(
            f"{shown} [suite] extends: {parents!r} was given, expected the name of a "
            "file, or several in a list"
        )
    return parents


def _merge_tables(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = (
            _merge_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _locate_strings(value: object, base: Path) -> Any:
    if isinstance(value, dict):
        return {key: _locate_strings(item, base) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_locate_strings(item, base) for item in value)
    return Located.at(value, base) if isinstance(value, str) else value
