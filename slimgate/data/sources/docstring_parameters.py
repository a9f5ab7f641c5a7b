"""Words of docstrings, with the code that their authors marked: a task of tags.

    [task]
    kind = "token_classification"
    source = { name = "docstring_parameters" }
    words = "words"
    tags = "tags"
    group = "file"

Authors put code in back quotes; here the quotes are taken off, and what stood in them is a span: PARAM where
it is a parameter of the function that the docstring is of, else CODE. People marked them to be read, so the
rows are real, and as uneven as people are. Only paragraphs of prose with a mark are taken, since many authors
mark nothing. Words are runs of letters, digits and underscores; every other sign is a word of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from slimgate.data.docstrings import prose_blocks
from slimgate.data.sources._function_docstrings import FOOTNOTE, documented_functions
from slimgate.data.sources._installed_text import InstalledParams, check_installed, distinct, installed_digest
from slimgate.errors import DataError

NAME = "docstring_parameters"
SCHEMA = pa.schema(
    [
        ("words", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("package", pa.string()),
        ("file", pa.string()),
    ]
)
_WORD = re.compile(r"\w+|[^\w\s]")
# ``code`` and `code`, also behind a role such as :class:
_MARK = re.compile(r"(?::[\w:+-]+:)?(?P<quotes>``?)(?P<code>[^`]+)(?P=quotes)")
# links, mathematics and tables
_REJECTED = re.compile(r"https?:|[\\{}|<>]|`_|\*\*|\.\. |:math:|copyright|licen[sc]e", re.IGNORECASE)


class Params(InstalledParams):
    """Which packages (by the name that imports them), and how long paragraphs may be."""

    packages: tuple[str, ...] = Field(
        default=("networkx", "numpy", "pandas", "scipy", "sklearn", "transformers"), min_length=1
    )
    min_words: int = Field(default=6, ge=1)
    max_words: int = Field(default=60, ge=1)
    max_rows_per_file: int = Field(default=30, ge=1)


def columns(params: Params) -> tuple[str, ...]:
    """words, tags, package, file. Raises SuiteError for a package that is not installed."""
    check_installed(params, asked_by=NAME)
    return tuple(SCHEMA.names)


def parts(params: Params) -> tuple[str, ...]:
    """One part: the splits are cut from it."""
    return ("all",)


def is_real(params: Params) -> bool:
    """People wrote and marked the words."""
    return True


def digest(params: Params) -> str:
    """Changes with the packages' versions and the options; the code counts apart."""
    return installed_digest(params)


def read(params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
    """All rows, each once, in the order of the packages, then of the files, then of the lines."""
    rows = list(distinct(_rows(params), "words", most_per_file=params.max_rows_per_file))
    if not rows:
        raise DataError(f"no paragraph of {params.min_words} to {params.max_words} words has a mark")
    return {"all": pa.Table.from_pylist(rows, schema=SCHEMA)}


def _rows(params: Params) -> Iterator[dict[str, Any]]:
    for function in documented_functions(params.packages, asked_by=NAME):
        for block in prose_blocks(function.docstring):
            words, tags = marked_words(FOOTNOTE.sub("", block), function.parameters)
            fits = params.min_words <= len(words) <= params.max_words
            if fits and set(tags) != {"O"} and not _REJECTED.search(block):
                yield {"words": words, "tags": tags, "package": function.package, "file": function.file}


def marked_words(text: str, parameters: frozenset[str]) -> tuple[list[str], list[str]]:
    """Words and BIO tags of a text with its marks taken off; a quote without its other half is a word."""
    words: list[str] = []
    tags: list[str] = []
    place = 0
    for mark in _MARK.finditer(text):
        _add(words, tags, text[place : mark.start()], "")
        code = mark["code"].strip("~!")
        _add(words, tags, code, "PARAM" if code in parameters else "CODE")
        place = mark.end()
    _add(words, tags, text[place:], "")
    return words, tags


def _add(words: list[str], tags: list[str], text: str, kind: str) -> None:
    found = _WORD.findall(text)
    words += found
    tags += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(len(found))]
