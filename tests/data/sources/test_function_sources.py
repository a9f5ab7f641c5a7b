"""The sources docstring_parameters and documented_functions, on a small package written for the test."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from fixtures.sources import docstring_names, docstring_parameters
from fixtures.sources import documented_functions as functions
from fixtures.sources.docstring_rows import list_documented_functions
from slimgate.errors import DataError, SuiteError

SOURCE = '''
def first(path, *, mode="r"):
    """Open what lies at `path` and read all of it [1]_.

    With ``mode`` the file is opened as :func:`open` would, unless `os.fspath(path)` fails.

    No mark stands in this paragraph of prose.

    Parameters
    ----------
    path : str
        Where it lies.

    Returns
    -------
    str
    """
    with open(path, mode) as file:
        text = file.read()
    return text


class Box:
    def second(self):
        """Give the second thing that is in the box."""
        return 2

    def third(self, *args):
        """Open what lies at `path` and read all of it [1]_."""
        return args

    def fourth(self):
        return None
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package that Python finds, with a module that cannot be parsed beside."""
    folder = tmp_path / "tinypackage"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "broken.py").write_text("def (")
    (folder / "code.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return "tinypackage"


def test_functions_come_with_parameters_and_their_body(package: str) -> None:
    documented = list(list_documented_functions([package], asked_by="a test"))
    assert [(f.file, f.code_lines) for f in documented] == [("tinypackage/code.py", n) for n in (3, 1, 1)]
    assert [sorted(f.parameters) for f in documented] == [["mode", "path"], [], ["args"]]


def test_marks_become_spans_of_parameters_and_other_code(package: str, tmp_path: Path) -> None:
    params = docstring_parameters.Params(packages=(package,))
    table = docstring_parameters.source.read(params, scratch=tmp_path)["all"]
    first, second = table.to_pylist()  # the same words in a third docstring are a repeat
    assert " ".join(first["words"]) == "Open what lies at path and read all of it ."
    assert [tag for tag in first["tags"] if tag != "O"] == ["B-PARAM"]
    tagged = [(word, tag) for word, tag in zip(second["words"], second["tags"], strict=True) if tag != "O"]
    assert tagged == [
        ("mode", "B-PARAM"),
        ("open", "B-CODE"),
        ("os", "B-CODE"),
        *[(word, "I-CODE") for word in (".", "fspath", "(", "path", ")")],
    ]


@pytest.mark.parametrize(
    ("text", "words", "tags"),
    [
        ("Use `x`.", ["Use", "x", "."], ["O", "B-PARAM", "O"]),
        ("An `odd quote.", ["An", "`", "odd", "quote", "."], ["O"] * 5),
        ("See :class:`~a.B` now", ["See", "a", ".", "B", "now"], ["O", "B-CODE", "I-CODE", "I-CODE", "O"]),
        ("``x``s and ` `", ["x", "s", "and"], ["B-PARAM", "O", "O"]),
    ],
    ids=["a parameter", "half a mark", "a role", "nothing marked"],
)
def test_marked_words(text: str, words: list[str], tags: list[str]) -> None:
    assert docstring_parameters.split_marked_words(text, frozenset({"x"})) == (words, tags)


def test_a_function_has_its_text_its_sections_and_its_length(package: str, tmp_path: Path) -> None:
    table = functions.source.read(functions.Params(packages=(package,)), scratch=tmp_path)["all"]
    [row] = table.to_pylist()  # of the others no section is known
    assert row["text"].startswith("Open what lies at `path` and read all of it. With ``mode``")
    assert row["text"].endswith("this paragraph of prose.")
    assert row["sections"] == ["Parameters", "Returns"]
    assert row["log2_lines"] == pytest.approx(1.584962500721156)  # of 3
    assert row["file"] == "tinypackage/code.py"


@pytest.mark.parametrize("source", [docstring_parameters.source, functions.source])
def test_the_digest_has_the_files_of_unversioned_packages(source: Any, package: str, tmp_path: Path) -> None:
    params = source.Params(packages=(package,))
    before = source.digest(params)
    (tmp_path / package / "code.py").write_text(SOURCE.replace("second thing", "other thing"))
    assert source.digest(params) != before


def test_the_digest_changes_with_the_options_alone(package: str) -> None:
    for source in (functions.source, docstring_parameters.source):
        params = source.Params(packages=(package,))
        assert source.digest(params) == source.digest(source.Params(packages=(package,)))
        assert source.digest(params) != source.digest(source.Params(packages=(package,), max_words=50))
        assert source.is_real(params)
        assert source.parts(params) == ("all",)


def test_missing_and_empty_packages_are_errors(package: str, tmp_path: Path) -> None:
    for source in (functions.source, docstring_parameters.source):
        with pytest.raises(SuiteError, match='no installed package is named "nosuchthing"'):
            source.columns(source.Params(packages=("nosuchthing",)))
        with pytest.raises(DataError, match="1000"):
            source.read(source.Params(packages=(package,), min_words=1000, max_words=2000), scratch=tmp_path)


def test_names_are_choices_among_those_of_the_same_package(package: str, tmp_path: Path) -> None:
    more = "".join(
        f'def name_{word}():\n    """Say what the word {word} means."""\n' for word in ("one", "two", "ten")
    )
    (Path(importlib.import_module(package).__file__ or "").parent / "more.py").write_text(more)
    tables = docstring_names.source.read(docstring_names.Params(packages=(package,)), scratch=tmp_path)
    rows = tables["all"].to_pylist()
    assert [row["names"][row["answer"]] for row in rows] == [
        "first",
        "second",
        "name one",
        "name two",
        "name ten",
    ]
    assert all(len(set(row["names"])) == 4 for row in rows)
    assert rows[0]["summary"] == "Open what lies at `path` and read all of it [1]_."
    params = docstring_names.Params(packages=(package,), max_words=4)
    with pytest.raises(DataError, match="no function with a summary of 4 to 4 words"):
        docstring_names.source.read(params, scratch=tmp_path)
