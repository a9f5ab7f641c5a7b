"""Embedded running text: sentences of the docstrings of installed packages and of the standard library.

    [task]
    source = { name = "docstring_sentences" }     # columns sentence, file, package
    text = ["sentence"]
    group = "file"

For language models. Read with `ast`, nothing is imported; people wrote the sentences to explain their code,
so the rows are real. `mask_names` puts the word "library" for the packages' names, as library_docs does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pyarrow as pa
from pydantic import Field, model_validator

from slimgate.data.docstrings import source_files
from slimgate.data.sources._installed_text import (
    InstalledParams,
    check_installed,
    check_range,
    installed_digest,
)
from slimgate.errors import DataError

NAME = "docstring_sentences"
COLUMNS = ("sentence", "file", "package")


class Params(InstalledParams):
    """Which packages (by the name that imports them, "stdlib" for the standard library), which sentences."""

    words: tuple[int, int] = Field(default=(6, 40), description="words a sentence has, from and up to")
    mask_names: bool = False

    @model_validator(mode="after")
    def _usable(self) -> Self:
        check_range("words", self.words)
        return self


def columns(params: Params) -> tuple[str, ...]:
    """sentence, file, package. Raises SuiteError for a package that is not installed."""
    check_installed(params, asked_by=NAME)
    return COLUMNS


def parts(params: Params) -> tuple[str, ...]:
    """One part: the splits are cut from it."""
    return ("all",)


def is_real(params: Params) -> bool:
    """People wrote the sentences."""
    return True


def digest(params: Params) -> str:
    """Changes with the versions of what is read and the options; the code counts apart."""
    return installed_digest(params)


def read(params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
    """Each sentence once, where it stands first: by the order of the packages, of the files, of the text."""
    first: dict[str, dict[str, str]] = {}
    for row in _rows(params):
        first.setdefault(row["sentence"].casefold(), row)
    if not first:
        raise DataError(f"no sentence of {params.words[0]} to {params.words[1]} words was found")
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    return {"all": pa.Table.from_pylist(list(first.values()), schema=schema)}


def _rows(params: Params) -> Iterator[dict[str, str]]:
    for package in params.packages:
        for name, path in source_files(package, asked_by=NAME):
            for sentence in _sentences(path, params):
                yield {"sentence": sentence, "file": name, "package": package}


def _sentences(path: Path, params: Params) -> Iterator[str]:
    from slimgate.data.docstrings import (
        docstrings,
        is_prose,
        plain_text,
        prose_blocks,
        sentences,
        source_text,
    )

    for docstring in docstrings(source_text(path)):
        for block in prose_blocks(docstring):
            for sentence in sentences(plain_text(block, keep_code=True, mask_names=params.mask_names)):
                if is_prose(sentence, *params.words):
                    yield sentence
