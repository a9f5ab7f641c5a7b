"""fixtures.sources.docstring_sentences: running text for language models, each sentence once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fixtures.sources import docstring_sentences as source
from slimgate.data.docstrings import list_source_files, split_sentences
from slimgate.errors import DataError, SuiteError

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]
SMALL = ("networkx", "filelock")


def read(**options: Any) -> Rows:
    params = source.Params(**{"packages": SMALL, **options})
    rows: Rows = source.source.read(params, scratch=Path())["all"].to_pylist()
    return rows


@pytest.fixture(scope="module")
def rows() -> Rows:
    return read()


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One is here. Two is there! Is it? Yes.", ["One is here.", "Two is there!", "Is it?", "Yes."]),
        ("Use a set, e.g. This one. Then stop.", ["Use a set, e.g. This one.", "Then stop."]),
        ("See Knuth et al. The rest by J. Doe.", ["See Knuth et al. The rest by J. Doe."]),
        ("Version 3.12 is used. so is lower case.", ["Version 3.12 is used. so is lower case."]),
    ],
    ids=["marks", "abbreviation", "names", "numbers"],
)
def test_sentences_end_before_capitals_not_abbreviations(text: str, cut: list[str]) -> None:
    assert split_sentences(text) == cut


def test_rows_have_the_stated_columns_and_packages(rows: Rows) -> None:
    assert tuple(rows[0]) == source.COLUMNS == source.source.columns(source.Params(packages=SMALL))
    assert {row["package"] for row in rows} == set(SMALL)
    assert all(row["file"].startswith(row["package"] + "/") for row in rows)
    assert len(rows) > 3000
    assert source.source.parts(source.Params()) == ("all",)
    assert source.source.is_real(source.Params())


def test_no_file_gives_more_sentences_than_were_asked_for(rows: Rows) -> None:
    sample = read(per_file=3)
    assert max(Counter(row["file"] for row in sample).values()) == 3
    assert {row["file"] for row in sample} >= {row["file"] for row in rows}
    assert {row["sentence"].casefold() for row in sample} <= {row["sentence"].casefold() for row in rows}


def test_no_sentence_occurs_twice(rows: Rows) -> None:
    texts = [row["sentence"].casefold() for row in rows]
    assert len(set(texts)) == len(texts)


def test_sentences_have_the_stated_number_of_words(rows: Rows) -> None:
    assert {6, 40} <= {len(row["sentence"].split()) for row in rows} <= set(range(6, 41))
    assert {len(row["sentence"].split()) for row in read(packages=("filelock",), words=(3, 5))} == {3, 4, 5}


def test_names_are_masked_only_where_it_is_asked_for(rows: Rows) -> None:
    def named(rows: Rows) -> int:
        return sum("networkx" in row["sentence"].lower().split() for row in rows)

    assert named(rows) > 20
    assert named(read(mask_names=True)) == 0


def test_rows_are_the_same_each_time(rows: Rows) -> None:
    assert read() == rows


def test_the_standard_library_is_one_of_the_packages() -> None:
    files = dict(list_source_files("stdlib", asked_by="a test"))
    assert {"stdlib/argparse.py", "stdlib/json/decoder.py"} <= set(files)
    assert not any("site-packages" in name or "/test/" in name for name in files)
    assert {"networkx", "stdlib"} < set(source.Params().packages)


def test_none_of_the_packages_is_imported() -> None:
    code = (
        "import sys; from pathlib import Path; from fixtures.sources import docstring_sentences as s\n"
        "p = s.Params(packages=('networkx',)); s.source.columns(p); s.source.digest(p)\n"
        "assert s.source.read(p, scratch=Path('.'))['all'].num_rows\n"
        "assert not {'networkx', 'sklearn', 'torch'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_digest_follows_options_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata
    import platform

    plain = source.source.digest(source.Params())
    assert source.source.digest(source.Params()) == plain
    changes = [{"packages": ("networkx", "pandas")}, {"words": (7, 40)}, {"mask_names": True}]
    digests = {source.source.digest(source.Params(**options)) for options in changes}
    real = importlib.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: "0" if name == "sympy" else real(name))
        digests.add(source.source.digest(source.Params()))
    with monkeypatch.context() as patch:
        patch.setattr(platform, "python_version", lambda: "3.0.0")
        digests.add(source.source.digest(source.Params()))
    assert len(digests | {plain}) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packages": ()}, "at least 1 item"),
        ({"packages": ("pandas", "pandas")}, "expected each once"),
        ({"words": (9, 8)}, "words = [9, 8] was given, expected [least, most]"),
        ({"words": (0, 8)}, "words = [0, 8] was given"),
        ({"package": ("a",)}, "unknown key package. Did you mean packages?"),
    ],
)
def test_wrong_options_say_what_came(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        source.Params(**options)
    assert message in str(caught.value)


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(SuiteError, match=r'^docstring_sentences: no installed package is named "six\.moves"'):
        source.source.columns(source.Params(packages=("six.moves",)))


def test_no_sentence_of_the_length_is_an_error() -> None:
    with pytest.raises(DataError, match="no sentence of 900 to 999 words was found"):
        read(packages=("filelock",), words=(900, 999))
