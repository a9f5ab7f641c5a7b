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
        """The names of the columns, without loading the rows.

        slimgate calls it when it reads a suite, and refuses a suite whose [task] names other columns.

        Args:
            params: the options of [task.source], checked.

        Returns:
            The names; None if only `read` knows them. Then a missing column is an error of the run.

        Raises:
            SuiteError: if something that the options name is missing.
            DataError: if a file cannot be read.
        """

    def parts(self, params: P) -> tuple[str, ...]:
        """The names of the parts that `read` may give with these options, without reading them.

        slimgate calls it when it reads a suite, and refuses a suite whose steps need rows of a split that has
        none. For the rows themselves, it takes the parts that `read` returns.

        Args:
            params: the options of [task.source], checked.

        Returns:
            ("all",), from which slimgate draws every split, or some of train, calibration, selection, confirm
            and gate. The part `unlabelled` may be added to either. The default is ("all",). A part
            that only `read` can find is among them.
        """
        return ("all",)

    @abstractmethod
    def is_real(self, params: P) -> bool:
        """Whether people wrote the rows for a real purpose. Records and reports say it.

        Args:
            params: the options of [task.source], checked.

        Returns:
            True for real rows, False for rows that are made up.
        """

    @abstractmethod
    def digest(self, params: P) -> str:
        """A text that changes if the rows change, such as a digest of files, a commit or versions.

        Each run calls it for the store's key of the rows. slimgate also calls it before and after `read`: if
        it changed, the run fails. The key has two other parts already: the source's code, and the contents of
        files that options name.

        Args:
            params: the options of [task.source], checked.

        Returns:
            Any text, such as a sha256.

        Raises:
            DataError: if the rows are missing or cannot be read.
        """

    @abstractmethod
    def read(self, params: P, *, scratch: Path) -> Mapping[str, pa.Table]:
        """Reads the rows of every part.

        Args:
            params: the options of [task.source], checked.
            scratch: an empty folder for temporary files.

        Returns:
            Name of a part -> its rows, as in `parts`. Ids in a column `id` must be unique over all parts;
            without that column slimgate numbers the rows.

        Raises:
            DataError: if they cannot be read.
        """
