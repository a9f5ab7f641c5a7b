"""Embedded sentence pairs: the summary of a docstring and the body that explains it, or another's body.

    [task]
    source = { name = "docstring_pairs", negatives = 1 }   # columns summary, body, same, file, name, package
    text = ["summary", "body"]
    label = "same"                                         # "1": its own body, "0": that of another
    group = "file"                                         # no body stands in two splits

Without negatives (the default) every pair is a true one, for retrieval. Negatives are hard: bodies of other
docstrings of the same file, those most like the summary by TF-IDF. Each body is the wrong one as often as it
is the right one times `negatives`, so that neither side alone tells the label. Docstrings that say the same
about another class, as copied code has them, are taken once.
"""

from __future__ import annotations

import itertools
import re
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

NAME = "docstring_pairs"
COLUMNS = ("summary", "body", "same", "file", "name", "package")

# A word without digits, underscores, and capitals after its first letter: no name of code.
_PLAIN = re.compile(r"(?<!\w)[A-Za-z][a-z]*(?!\w)")

Row = dict[str, str]


class Params(InstalledParams):
    """Which packages (by the name that imports them, "stdlib" for the standard library), which pairs."""

    negatives: int = Field(default=0, ge=0, le=10, description="wrong bodies for each summary")
    summary_words: tuple[int, int] = (3, 30)
    body_words: tuple[int, int] = Field(default=(12, 60), description="a longer body is cut at a sentence")
    mask_names: bool = False

    @model_validator(mode="after")
    def _usable(self) -> Self:
        check_range("summary_words", self.summary_words)
        check_range("body_words", self.body_words)
        return self


def columns(params: Params) -> tuple[str, ...]:
    """summary, body, same, file, name, package. Raises SuiteError for a package that is not installed."""
    check_installed(params, asked_by=NAME)
    return COLUMNS


def parts(params: Params) -> tuple[str, ...]:
    """One part: the splits are cut from it."""
    return ("all",)


def is_real(params: Params) -> bool:
    """People wrote summaries and bodies."""
    return True


def digest(params: Params) -> str:
    """Changes with the versions of what is read and the options; the code counts apart."""
    return installed_digest(params, used=("sklearn", "scipy") if params.negatives else ())


def read(params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
    """Each summary with its body, and with the bodies of others after it."""
    pairs = list(unrepeated(_pairs(params)))
    rows = list(with_negatives(pairs, params.negatives)) if params.negatives else pairs
    if not rows:
        wrong = f" with {params.negatives} others beside it in its file" if params.negatives else ""
        raise DataError(f"no docstring has a body of {params.body_words[0]} words or more{wrong}")
    return {"all": pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))}


def unrepeated(pairs: Iterator[Row]) -> Iterator[Row]:
    """The pairs whose summary and whose body nobody had before, names of code left out."""
    summaries: set[str] = set()
    bodies: set[str] = set()
    for row in pairs:
        summary, body = _gist(row["summary"]), _gist(row["body"])
        if summary not in summaries and body not in bodies:
            yield row
            summaries.add(summary)
            bodies.add(body)


def with_negatives(pairs: list[Row], count: int) -> Iterator[Row]:
    """Each pair that gets its wrong bodies, and those after it; the pairs of a file stand together."""
    for _, group in itertools.groupby(pairs, lambda row: row["package"]):
        yield from _package_with_negatives(list(group), count)


def _package_with_negatives(rows: list[Row], count: int) -> Iterator[Row]:
    from slimgate.data.sources._hard_negatives import deal_negatives, text_vectors

    vectors = text_vectors([row["summary"] for row in rows] + [row["body"] for row in rows])
    for _, places in itertools.groupby(range(len(rows)), lambda place: rows[place]["file"]):
        here = list(places)
        bodies = vectors[[len(rows) + place for place in here]]
        likeness = (vectors[here] @ bodies.T).toarray()
        dealt = deal_negatives(likeness, (bodies @ bodies.T).toarray(), count)
        yield from _dealt([rows[place] for place in here], dealt)


def _dealt(rows: list[Row], dealt: list[tuple[int, int]]) -> Iterator[Row]:
    for query, wrong in itertools.groupby(sorted(dealt), lambda pair: pair[0]):
        yield rows[query]
        for _, text in wrong:
            yield {**rows[query], "body": rows[text]["body"], "same": "0"}


def _pairs(params: Params) -> Iterator[Row]:
    from slimgate.data.docstrings import named_docstrings, source_text

    for package in params.packages:
        for file, path in source_files(package, asked_by=NAME):
            for name, docstring in named_docstrings(source_text(path)):
                found = summary_and_body(docstring, params)
                if found is not None:
                    summary, body = found
                    told = {"file": file, "name": name or path.stem, "package": package}
                    yield {"summary": summary, "body": body, "same": "1", **told}


def summary_and_body(docstring: str, params: Params) -> tuple[str, str] | None:
    """The first sentence, and those after it that are prose; None where one is not as it should be."""
    from slimgate.data.docstrings import is_prose, plain_text, prose_blocks, sentences

    blocks = list(prose_blocks(docstring))
    if not blocks or docstring.split()[:1] != blocks[0].split()[:1]:  # it does not begin with prose
        return None
    texts = [plain_text(block, keep_code=True, mask_names=params.mask_names) for block in blocks]
    summary, *rest = [sentence for text in texts for sentence in sentences(text)]
    body = _cut([sentence for sentence in rest if is_prose(sentence, 3, params.body_words[1])], params)
    repeated = summary.rstrip(".").casefold() in body.casefold()
    if repeated or not is_prose(summary, *params.summary_words) or len(body.split()) < params.body_words[0]:
        return None
    return summary, body


def _cut(sentences: list[str], params: Params) -> str:
    """The first sentences, as many as the words allow."""
    ends = itertools.accumulate(len(sentence.split()) for sentence in sentences)
    return " ".join(text for text, end in zip(sentences, ends, strict=True) if end <= params.body_words[1])


def _gist(text: str) -> str:
    """Its plain words."""
    return " ".join(word.lower() for word in _PLAIN.findall(text))
