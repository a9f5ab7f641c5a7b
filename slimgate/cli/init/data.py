"""The files of rows that a suite is written for: how the suite names them, and what is in them."""

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
    """data: of all rows, or of train where there is a gate; by_label: a file of lines a label."""

    data: Files = ()
    gate: Files = ()
    by_label: Mapping[str, Files] | None = None
    encoding: str = "utf-8"
    quotes: bool = True

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.by_label):
            raise DataError(
                "expected --data FILE, with --gate FILE or without, or --by-label NAME=FILE for each"
            )
        if self.by_label and self.gate:
            raise DataError("--by-label has a file a label, from which all splits are cut; leave --gate out")

    @property
    def first(self) -> Path:
        """The file that a suite may be called after."""
        return (self.data or next(iter((self.by_label or {}).values())))[0]

    def source(self, folder: Path) -> dict[str, Any]:
        """[task] source of a suite that stands in this folder."""
        if self.by_label:
            named: dict[str, Any] = {"by_label": {k: _from(folder, v) for k, v in self.by_label.items()}}
        elif self.gate:
            named = {"train": _from(folder, self.data), "gate": _from(folder, self.gate)}
        else:
            named = {"path": _from(folder, self.data)}
        options = {"encoding": self.encoding} if self.encoding != "utf-8" else {}
        return {"name": "files", **named, **options, **({} if self.quotes else {"quotes": False})}

    def read(self) -> Mapping[str, pa.Table]:
        """The rows of each part. Raises SlimgateError for files that are missing or cannot be read."""
        source = self.source(Path("/"))
        del source["name"]
        try:
            params = files.Params.model_validate(_absolute(source))
        except ValidationError as error:
            raise DataError("; ".join(problem["msg"] for problem in error.errors())) from None
        files.source.columns(params)  # which says more of what is wrong with a header
        with TemporaryDirectory(prefix="slimgate-") as scratch:
            return files.source.read(params, scratch=Path(scratch))


def _from(folder: Path, paths: Files) -> str | list[str]:
    names = [Path(os.path.relpath(path.absolute(), folder)).as_posix() for path in paths]
    return names[0] if len(names) == 1 else names


def _absolute(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _absolute(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, key) for item in value]
    return f"/{value}" if isinstance(value, str) and key != "encoding" else value


def concat_parts(parts: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of all parts in one table; what a part has not is null."""
    return pa.concat_tables(parts.values(), promote_options="permissive")
