"""Writes a draft as a suite: validated in its place before it stands there, with the schema beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from slimgate._system.files import replacing, write_atomically
from slimgate.cli.init.draft import Draft
from slimgate.cli.init.suite_text import SCHEMA_FILE, suite_text
from slimgate.errors import DataError
from slimgate.run.budget_plan import PlannedBudget, count_gate_groups, plan_budgets
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store
from slimgate.suite.load import load_suite
from slimgate.suite.schema import TITLE, make_suite_schema


def check_free(path: Path, *, force: bool) -> None:
    """Raises DataError where the suite or its schema would write over somebody's own file."""
    if (path.exists() or path.is_symlink()) and not force:
        raise DataError(f"{path}: is there already; call the new suite otherwise (--name), or give --force")
    schema = path.with_name(SCHEMA_FILE)
    for file in (path, schema):
        if file.is_dir():
            raise DataError(f"{file}: is a folder, expected a file, or none")
    if schema.exists() and not force and not _is_ours(schema):
        raise DataError(f"{schema}: is there and no schema of slimgate's; move it, or give --force")


def write_suite(draft: Draft, path: Path) -> list[PlannedBudget]:
    """Writes the suite and its schema; what its gate rows can decide.

    Raises SlimgateError where the suite would not run; then nothing new stands there.
    """
    try:
        return _write_and_plan(draft, path)
    except OSError as error:
        raise DataError(f"{path}: the suite cannot be written there: {error.strerror or error}") from error


def _write_and_plan(draft: Draft, path: Path) -> list[PlannedBudget]:
    with _folder_of(path), replacing(path) as new:
        # resolved: ".." of a link leads up from where it points
        new.write_text(suite_text(draft, path.parent.resolve()), "utf-8")
        suite = load_suite(new, str(path))
        with TemporaryDirectory(prefix="slimgate-") as store:
            gate = count_gate_groups(suite, prepare_rows(suite, Store(Path(store))))
        planned = plan_budgets(suite, gate, None)
        write_atomically(path.with_name(SCHEMA_FILE), json.dumps(make_suite_schema(), indent=1) + "\n")
    return planned


@contextmanager
def _folder_of(path: Path) -> Iterator[None]:
    """Takes the folders away again that were made for a suite which was not written."""
    new_folders = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in new_folders:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _is_ours(schema: Path) -> bool:
    try:
        content = json.loads(schema.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("title") == TITLE
