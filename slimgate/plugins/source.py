"""The base class of sources, which give the rows of a suite."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from slimgate.plugins.base import P, WithParams


class Source(WithParams[P]):
    """Gives the rows of a suite."""

    @abstractmethod
    def columns(self, params: P) -> tuple[str, ...] | None:
        """The names of the columns, without loading the rows; None if only `read` knows them."""

    def parts(self, params: P) -> tuple[str, ...]:
        """The parts that it gives: ("all",), or some of train, calibration, selection, gate, confirm."""
        return ("all",)

    @abstractmethod
    def is_real(self, params: P) -> bool:
        """True if people wrote the rows for a real purpose, False if the rows are made up."""

    @abstractmethod
    def digest(self, params: P) -> str:
        """A text that changes if the rows change: a digest of files, a commit, versions."""

    @abstractmethod
    def read(self, params: P, *, scratch: Path) -> Mapping[str, pa.Table]:
        """Reads the rows of every part.

        Args:
            params: the options of the source.
            scratch: an empty folder for temporary files.

        Raises:
            DataError: if they cannot be read.
        """
