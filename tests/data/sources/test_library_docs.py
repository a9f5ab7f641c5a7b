"""slimgate.data.sources.library_docs: real paragraphs, read without importing what they document."""

from __future__ import annotations

import multiprocessing
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from slimgate.data import docstrings
from slimgate.data.docstrings import LIBRARY_NAMES
from slimgate.data.sources import library_docs
from slimgate.errors import DataError, SuiteError

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]
SMALL = ("filelock", "networkx", "tabulate")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    params = library_docs.Params(libraries=("networkx", "safetensors", "pydantic"))
    tables = library_docs.source.read(params, scratch=tmp_path_factory.mktemp("scratch"))
    assert list(tables) == ["all"]
    paragraphs: Rows = tables["all"].to_pylist()
    return paragraphs


def test_rows_have_the_stated_columns_and_labels(rows: Rows) -> None:
    assert tuple(rows[0]) == library_docs.COLUMNS == library_docs.source.columns(library_docs.Params())
    assert {row["library"] for row in rows} == {"networkx", "safetensors", "pydantic"}
    assert len(rows) > 500
    assert all(row["file"].startswith(row["library"] + "/") for row in rows)
    assert library_docs.source.parts(library_docs.Params()) == ("all",)
    assert library_docs.source.is_real(library_docs.Params())


def test_all_paragraphs_can_be_an_unlabelled_part(tmp_path: Path) -> None:
    params = library_docs.Params(libraries=("safetensors", "pydantic"), unlabelled=True)
    tables = library_docs.source.read(params, scratch=tmp_path)
    assert tuple(tables) == library_docs.source.parts(params) == ("unlabelled", "all")
    assert tables["unlabelled"].column_names == ["paragraph", "file"]
    texts = [tables[name]["paragraph"].to_pylist() for name in tables]
    assert len(set(texts[0])) == len(texts[0]) > len(texts[1])
    assert set(texts[1]) < set(texts[0])


def test_no_file_has_more_than_15_rows_and_some_have_as_many(rows: Rows) -> None:
    counts = Counter(row["file"] for row in rows)
    assert max(counts.values()) == 15


def test_no_text_occurs_twice(rows: Rows) -> None:
    texts = [row["paragraph"] for row in rows]
    assert len(set(texts)) == len(texts)


def test_paragraphs_have_the_stated_length_and_name_no_library(rows: Rows) -> None:
    for row in rows:
        assert 5 <= len(row["paragraph"].split()) <= 40
        words = {word.strip(".,;()").lower() for word in row["paragraph"].split()}
        assert not words & (set(LIBRARY_NAMES) - {"library"}), row


def test_tests_and_vendored_copies_are_left_out(rows: Rows) -> None:
    for row in rows:
        assert "/tests/" not in row["file"]
        assert "/_vendor/" not in row["file"]


def test_rows_are_the_same_each_time(rows: Rows, tmp_path: Path) -> None:
    params = library_docs.Params(libraries=("networkx", "safetensors", "pydantic"))
    assert library_docs.source.read(params, scratch=tmp_path)["all"].to_pylist() == rows


def test_several_processes_read_the_same_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [path for _, path in docstrings.list_source_files("networkx", asked_by="a test")]
    monkeypatch.setattr(docstrings, "choose_thread_count", lambda: 1)
    alone = list(docstrings.read_paragraphs(paths, 5, 40))
    monkeypatch.setattr(docstrings, "choose_thread_count", lambda: 2)
    monkeypatch.setattr(docstrings, "FILES_A_PROCESS", 100)
    started: list[int] = []
    real = multiprocessing.get_context("spawn").Process
    monkeypatch.setattr(real, "start", lambda self: (started.append(1), super(real, self).start())[1])
    assert list(docstrings.read_paragraphs(paths, 5, 40)) == alone
    assert len(started) == 2
    assert sum(map(len, alone)) > 1000


def test_none_of_the_packages_is_imported() -> None:
    code = (
        "import sys; from pathlib import Path; from slimgate.data.sources import library_docs as l\n"
        "p = l.Params(libraries=('networkx', 'safetensors'))\n"
        "l.source.columns(p); l.source.digest(p)\n"
        "assert l.source.read(p, scratch=Path('.'))['all'].num_rows\n"
        "assert not {'networkx', 'safetensors', 'torch'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_digest_changes_with_the_options_and_not_otherwise() -> None:
    plain = library_docs.source.digest(library_docs.Params())
    assert library_docs.source.digest(library_docs.Params()) == plain
    changes = [
        {"libraries": ("networkx", "pandas")},
        {"min_words": 6},
        {"max_words": 41},
        {"max_rows_per_file": 14},
    ]
    digests = {library_docs.source.digest(library_docs.Params(**options)) for options in changes}
    assert len(digests | {plain}) == 5


def test_the_digest_changes_with_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    params = library_docs.Params()
    plain = library_docs.source.digest(params)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "networkx" else real(name))
    assert library_docs.source.digest(params) != plain


def test_unexpected_rows_are_an_error_with_the_versions(tmp_path: Path) -> None:
    params = library_docs.Params(libraries=("safetensors", "pydantic"), sha256="0" * 64)
    problem = r"sha256 [0-9a-f]{64}, the suite expects 0{64}; installed are safetensors \S+, pydantic 2"
    with pytest.raises(DataError, match=problem) as caught:
        library_docs.source.read(params, scratch=tmp_path)
    [digest] = re.findall("sha256 ([0-9a-f]{64}), the suite", str(caught.value))
    rows = library_docs.source.read(params.model_copy(update={"sha256": digest}), scratch=tmp_path)["all"]
    assert rows.num_rows > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"libraries": ("pandas",)}, "expected at least two different packages"),
        ({"libraries": ("pandas", "pandas")}, "expected at least two different packages"),
        ({"min_words": 41}, "min_words = 41 is above max_words = 40"),
        ({"max_rows_per_file": 0}, "greater than or equal to 1"),
        ({"library": ("a", "b")}, "unknown key library. Did you mean libraries?"),
    ],
)
def test_wrong_options_say_what_came(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        library_docs.Params(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["no_such_package", "../etc", "six.moves"])
def test_a_package_that_is_not_installed_is_an_error(name: str) -> None:
    with pytest.raises(SuiteError, match="no installed package is named"):
        library_docs.source.columns(library_docs.Params(libraries=("pandas", name)))


def test_no_paragraph_of_the_length_is_an_error(tmp_path: Path) -> None:
    params = library_docs.Params(libraries=("filelock", "safetensors"), min_words=5000, max_words=5001)
    with pytest.raises(DataError, match="no paragraph of 5000 to 5001 words was found"):
        library_docs.source.read(params, scratch=tmp_path)


def row(text: str, library: str, file: str) -> dict[str, str]:
    return {"paragraph": text, "library": library, "file": file}


def test_shared_repeated_and_surplus_texts_are_dropped() -> None:
    rows = [
        row("both", "a", "a/1"),
        row("one", "a", "a/1"),
        row("one", "a", "a/2"),
        row("two", "a", "a/1"),
        row("three", "a", "a/1"),
        row("both", "b", "b/1"),
        row("four", "b", "b/1"),
    ]
    unique = [(r["paragraph"], r["file"]) for r in library_docs.select_unique_rows(rows, 2)]
    assert unique == [("one", "a/1"), ("two", "a/1"), ("four", "b/1")]
