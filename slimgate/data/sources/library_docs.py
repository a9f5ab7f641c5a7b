"""The embedded default: paragraphs of documentation, labelled by the library that they document.

    [task]
    source = { name = "library_docs" }
    text = ["paragraph"]
    label = "library"
    group = "file"

Rows come from the docstrings of packages that the extra `demo` installs in exact versions, so that they are
the same everywhere. They are read with `ast` without importing them. People wrote them to explain a library,
so the rows are real. Names of libraries are masked by the word "library", because otherwise spelling would
give the label away. Texts that two libraries have, and repeats, are dropped. A suite's split unlabelled is
drawn from the part unlabelled.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import pyarrow as pa
from pydantic import Field, model_validator

from slimgate._system.digests import digest_json
from slimgate.data.docstrings import (
    list_source_files,
    locate_package,
    read_installed_versions,
    read_paragraphs,
)
from slimgate.errors import DataError
from slimgate.plugins.params import Table
from slimgate.plugins.source import Source

COLUMNS = ("paragraph", "library", "file")


class Params(Table):
    libraries: tuple[str, ...] = ("django", "networkx", "nltk", "sqlalchemy", "sympy")
    """Packages, by the names that import them; they are the labels."""
    min_words: int = Field(default=5, ge=1)
    """Least number of words of a paragraph."""
    max_words: int = Field(default=40, ge=1)
    """Largest number of words of a paragraph."""
    max_rows_per_file: int = Field(default=15, ge=1)
    """Largest number of paragraphs from one file."""
    unlabelled: bool = False
    """Make all paragraphs, without the limit per file, a part unlabelled."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Expected sha256 of the rows; other rows, for example from another version of a package, are an
    error."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if len(set(self.libraries)) < 2:
            raise ValueError(
                f"libraries = {list(self.libraries)} was given, expected at least two different packages"
            )
        if self.min_words > self.max_words:
            raise ValueError(f"min_words = {self.min_words} is above max_words = {self.max_words}")
        return self


class LibraryDocs(Source[Params]):
    def columns(self, params: Params) -> tuple[str, ...]:
        """paragraph, library, file. Raises SuiteError for a package that is not installed."""
        for library in params.libraries:
            locate_package(library, asked_by="library_docs")
        return COLUMNS

    def parts(self, params: Params) -> tuple[str, ...]:
        """The part from which the splits are cut; and, if the option asks for it, that of unlabelled rows."""
        return ("unlabelled", "all") if params.unlabelled else ("all",)

    def is_real(self, params: Params) -> bool:
        """True: people wrote the paragraphs."""
        return True

    def digest(self, params: Params) -> str:
        """A digest over the packages' versions and the options; the code has a separate digest."""
        installed = read_installed_versions(params.libraries)
        return digest_json({"installed": installed, "params": params.model_dump(mode="json")})

    def read(self, params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
        """All rows, in the order of the libraries, then of the files, then of the text.

        Raises DataError if there are none.
        """
        paragraphs = list(_read_paragraph_rows(params))
        rows = list(select_unique_rows(paragraphs, params.max_rows_per_file))
        if not rows:
            raise DataError(f"no paragraph of {params.min_words} to {params.max_words} words was found")
        lines = "".join("\t".join(row[name] for name in COLUMNS) + "\n" for row in rows)
        digest = hashlib.sha256(lines.encode()).hexdigest()
        if params.sha256 not in (None, digest):
            installed = ", ".join(
                f"{package} {' '.join(versions)}"
                for package, versions in read_installed_versions(params.libraries).items()
            )
            raise DataError(
                f"library_docs: the rows have sha256 {digest}, the suite expects {params.sha256}; "
                f'installed are {installed}: pip install "slimgate[demo]" installs the versions that give '
                "the expected rows"
            )
        if not params.unlabelled:
            return {"all": _make_text_table(rows, COLUMNS)}
        more = select_unique_rows(paragraphs, len(paragraphs))
        return {
            "unlabelled": _make_text_table(more, ("paragraph", "file")),
            "all": _make_text_table(rows, COLUMNS),
        }


source = LibraryDocs()


def _make_text_table(rows: Iterable[dict[str, str]], columns: tuple[str, ...]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in columns])
    return pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows], schema=schema)


def select_unique_rows(rows: Iterable[dict[str, str]], max_per_file: int) -> Iterator[dict[str, str]]:
    """Drops texts that two libraries have, then repeats, then the rows above the limit per file."""
    unique = list(rows)
    owners: dict[str, set[str]] = {}
    for row in unique:
        owners.setdefault(row["paragraph"], set()).add(row["library"])
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    for row in unique:
        text, file = row["paragraph"], row["file"]
        if len(owners[text]) > 1 or text in seen or counts[file] >= max_per_file:
            continue
        seen.add(text)
        counts[file] += 1
        yield row


def _read_paragraph_rows(params: Params) -> Iterator[dict[str, str]]:
    files = [
        (library, name, path)
        for library in params.libraries
        for name, path in list_source_files(library, asked_by="library_docs")
    ]
    texts = read_paragraphs([path for _, _, path in files], params.min_words, params.max_words)
    for (library, name, _), texts_of_file in zip(files, texts, strict=True):
        for text in texts_of_file:
            yield {"paragraph": text, "library": library, "file": name}
