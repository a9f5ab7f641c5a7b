"""What the sources of installed packages' docstrings share: which packages, their digest, distinct rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from slimgate._system.digests import json_digest
from slimgate.data.docstrings import STDLIB, installed_versions, package_folder
from slimgate.params import Table

Row = Mapping[str, Any]


class InstalledParams(Table):
    """Which packages, by the name that imports them; "stdlib" for the standard library."""

    packages: tuple[str, ...] = Field(
        default=("networkx", "pandas", "sympy", "transformers", STDLIB), min_length=1
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.packages)) < len(self.packages):
            raise ValueError(f"packages = {list(self.packages)} came, expected each once")
        return self


def check_range(name: str, bounds: tuple[int, int]) -> None:
    """Raises ValueError where the bounds are no range of counts from 1 on."""
    if not 1 <= bounds[0] <= bounds[1]:
        raise ValueError(f"{name} = {list(bounds)} came, expected [least, most], from 1 on")


def check_installed(params: InstalledParams, *, asked_by: str) -> None:
    """Raises SuiteError, naming the source, for a package that is not installed."""
    for package in params.packages:
        package_folder(package, asked_by=asked_by)


def installed_digest(params: InstalledParams, *, used: Sequence[str] = ()) -> str:
    """Changes with the packages' versions and the options; a source's code counts apart.

    used: further packages that the rows depend on.
    """
    return json_digest(
        {
            "installed": installed_versions(params.packages),
            "used": installed_versions(used),
            "params": params.model_dump(mode="json"),
        }
    )


def distinct(rows: Iterable[Row], column: str, *, most_per_file: int) -> Iterator[Row]:
    """The rows whose column says something new, the first ones of each file (column `file`)."""
    seen, counts = set(), Counter[str]()
    for row in rows:
        said = str(row[column])
        if said not in seen and counts[row["file"]] < most_per_file:
            seen.add(said)
            counts[row["file"]] += 1
            yield row
