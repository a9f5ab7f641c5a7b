"""The data files that `slimgate init` got: how the new suite names them, and their rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from slimgate.data.sources import files
from slimgate.errors import DataError

Files = tuple[Path, ...]


@dataclass(frozen=True)
class DataFiles:
    """The files of --data, --gate or --by-label.

    data: files with all rows, or the train rows if `gate` has files. by_label: for each label a file with a
    text on each line.
    """

    data: Files = ()
    gate: Files = ()
    by_label: Mapping[str, Files] | None = None
    encoding: str = "utf-8"
    quotes: bool = True

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.by_label):
            raise DataError(
                "expected --data FILE, with or without --gate FILE, or --by-label NAME=FILE for each label"
            )
        if self.by_label and self.gate:
            raise DataError("--by-label files contain the rows of all splits; leave --gate out")

    @property
    def first(self) -> Path:
        """The file that gives a suite its name."""
        return (self.data or next(iter((self.by_label or {}).values())))[0]

    def make_source(self, folder: Path) -> dict[str, Any]:
        """The value of `[task] source` for a suite in this folder."""
        if self.by_label:
            paths: dict[str, Any] = {
                "by_label": {label: _make_relative(files, folder) for label, files in self.by_label.items()}
            }
        elif self.gate:
            paths = {"train": _make_relative(self.data, folder), "gate": _make_relative(self.gate, folder)}
        else:
            paths = {"path": _make_relative(self.data, folder)}
        options: dict[str, Any] = {} if self.encoding == "utf-8" else {"encoding": self.encoding}
        if not self.quotes:
            options["quotes"] = False
        return {"name": "files", **paths, **options}

    def read(self) -> Mapping[str, pa.Table]:
        """The rows of each part. Raises SlimgateError for files that are missing or cannot be read."""
        source = self.make_source(Path("/"))
        del source["name"]
        try:
            params = files.Params.model_validate(_make_absolute(source))
        except ValidationError as error:
            raise DataError("; ".join(problem["msg"] for problem in error.errors())) from None
        files.source.columns(params)  # for a wrong header, its error is clearer than that of `read`
        with TemporaryDirectory(prefix="slimgate-") as scratch:
            return files.source.read(params, scratch=Path(scratch))


def _make_relative(paths: Files, folder: Path) -> str | list[str]:
    """The paths as a suite in `folder` names them: a string for one, a list for several."""
    names = [Path(os.path.relpath(path.absolute(), folder)).as_posix() for path in paths]
    return names[0] if len(names) == 1 else names


def _make_absolute(value: object, key: str = "") -> Any:
    """The options of a source in the folder `/`, with absolute paths. key: the option that holds `value`."""
    if isinstance(value, dict):
        return {name: _make_absolute(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_make_absolute(item, key) for item in value]
    return f"/{value}" if isinstance(value, str) and key != "encoding" else value


def concat_parts(parts: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of all parts in one table. A column that a part lacks is null for its rows."""
    return pa.concat_tables(parts.values(), promote_options="permissive")
