"""Functions of installed packages: what their documentation says first, its sections, the code's length.

    [task]
    kind = "multi_label"                           # which sections did the author write?
    source = { name = "documented_functions" }
    text = ["text"]
    label = "sections"
    group = "file"

    [task]
    kind = "text_regression"                       # how long is the code that this text describes?
    text = ["text"]
    score = "log2_lines"

People wrote text, sections and code for purposes of their own, so the rows are real. text: the prose before
the first section, without footnote marks. sections: those of NumPy's style guide that the docstring has;
functions without any are left out. log2_lines: the binary logarithm of the lines behind the docstring.
Repeated texts are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import log2
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from slimgate.data.sources._function_docstrings import FOOTNOTE, documented_functions
from slimgate.data.sources._installed_text import InstalledParams, check_installed, distinct, installed_digest
from slimgate.errors import DataError

NAME = "documented_functions"
SECTIONS = ("Examples", "Notes", "Parameters", "Raises", "References", "Returns", "See Also")
_TITLE = re.compile(r"^(?P<title>[A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("sections", pa.list_(pa.string())),
        ("log2_lines", pa.float64()),
        ("package", pa.string()),
        ("file", pa.string()),
    ]
)


class Params(InstalledParams):
    """Which packages (by the name that imports them), and how long texts may be."""

    packages: tuple[str, ...] = Field(
        default=("networkx", "numpy", "pandas", "scipy", "sklearn"), min_length=1
    )
    min_words: int = Field(default=6, ge=1)
    max_words: int = Field(default=120, ge=1)
    max_rows_per_file: int = Field(default=40, ge=1)


def columns(params: Params) -> tuple[str, ...]:
    """text, sections, log2_lines, package, file. Raises SuiteError for a package that is not installed."""
    check_installed(params, asked_by=NAME)
    return tuple(SCHEMA.names)


def parts(params: Params) -> tuple[str, ...]:
    """One part: the splits are cut from it."""
    return ("all",)


def is_real(params: Params) -> bool:
    """People wrote all of it."""
    return True


def digest(params: Params) -> str:
    """Changes with the packages' versions and the options; the code counts apart."""
    return installed_digest(params)


def read(params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
    """All rows, in the order of the packages, then of the files, then of the lines."""
    rows = list(distinct(_rows(params), "text", most_per_file=params.max_rows_per_file))
    if not rows:
        raise DataError(
            f"no function whose text has {params.min_words} to {params.max_words} words was found"
        )
    return {"all": pa.Table.from_pylist(rows, schema=SCHEMA)}


def _rows(params: Params) -> Iterator[dict[str, Any]]:
    for function in documented_functions(params.packages, asked_by=NAME):
        text, sections = split_sections(function.docstring)
        fits = params.min_words <= len(text.split()) <= params.max_words
        if fits and sections and function.code_lines:
            yield {
                "text": text,
                "sections": sections,
                "log2_lines": log2(function.code_lines),
                "package": function.package,
                "file": function.file,
            }


def split_sections(docstring: str) -> tuple[str, list[str]]:
    """The text before the first section, on one line, and the names of the known sections, sorted."""
    titles = list(_TITLE.finditer(docstring))
    text = docstring[: titles[0].start()] if titles else docstring
    return " ".join(FOOTNOTE.sub("", text).split()), sorted({one["title"] for one in titles} & set(SECTIONS))
