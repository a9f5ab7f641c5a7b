"""The base class of sources: where rows come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from slimgate.plugins.base import P, WithParams


class Source(WithParams[P]):
    """Where rows come from."""

    @abstractmethod
    def columns(self, params: P) -> tuple[str, ...] | None:
        """Names of the columns, read without loading the rows; None where only `read` can tell."""

    def parts(self, params: P) -> tuple[str, ...]:
        """The source's own named splits: ("all",), or some of train, calibration, selection, gate,
        confirm.
        """
        return ("all",)

    @abstractmethod
    def is_real(self, params: P) -> bool:
        """True where people wrote the rows for a purpose of their own, False where they were made up."""

    @abstractmethod
    def digest(self, params: P) -> str:
        """Changes whenever the rows would: a digest of the files' bytes, of a commit, of versions."""

    @abstractmethod
    def read(self, params: P, *, scratch: Path) -> Mapping[str, pa.Table]:
        """The rows of every part. `scratch` is an empty folder for caches. Raises DataError."""
