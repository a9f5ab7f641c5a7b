"""slimgate.data.docstrings: which blocks of a docstring are prose, and what is left of their markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.data.docstrings import (
    is_prose,
    list_docstrings,
    list_prose_blocks,
    read_file_paragraphs,
    strip_markup,
)

SOURCE = '''
"""The module."""

class A:
    """The class."""

    def f(self):
        """The method.

        More of it.
        """

        def inner():
            """Inside a function."""

if True:
    def g():
        """Under if."""
try:
    pass
except ImportError:
    def h():
        """Under except."""

X = """No docstring."""

async def i():
    "\\\\w one escape"
'''


def test_docstrings_are_read_in_order() -> None:
    assert list(list_docstrings(SOURCE)) == [
        "The module.",
        "The class.",
        "The method.\n\nMore of it.",
        "Under if.",
        "Under except.",
        "\\w one escape",
    ]


@pytest.mark.parametrize(
    ("source", "docstrings"),
    [
        ("def f(:\n", []),
        ("\x00", []),
        ('def f():\n    "\\d invalid escape"\n', ["\\d invalid escape"]),
    ],
    ids=["no Python", "a zero byte", "an invalid escape"],
)
def test_other_peoples_source_neither_fails_nor_warns(source: str, docstrings: list[str]) -> None:
    assert list(list_docstrings(source)) == docstrings


DOCSTRING = """A first sentence
on two lines.

Parameters
----------
x : int
    Not prose.

Notes
-----

>>> doctest
1

- an item

    indented

A last one.

```
fenced
```
"""


def test_only_prose_at_the_margin_is_a_block() -> None:
    assert list(list_prose_blocks(DOCSTRING)) == ["A first sentence on two lines.", "A last one."]


def test_the_text_below_a_title_is_a_block() -> None:
    assert list(list_prose_blocks("Notes\n-----\nThe text of the notes.")) == ["The text of the notes."]


@pytest.mark.parametrize(
    "block",
    [
        "1. An item.",
        "* An item.",
        ":param x: A field.",
        "| a | b |",
        ".. note:: A directive.",
        "Args:",
        "x : int",
        "f(x)",
    ],
)
def test_lists_fields_tables_and_directives_are_no_prose(block: str) -> None:
    assert list(list_prose_blocks(block)) == []


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ("See `the guide <https://x.y>`_ for more.", "See the guide for more."),
        ("See [the guide](https://x.y) for more.", "See the guide for more."),
        ("Uses :class:`~a.b.C` and :func:`f`.", "Uses a.b.C and f."),
        ("As in [1]_ and [`Model`].", "As in and Model."),
        ("A **bold** and *emphasised* word.", "A bold and emphasised word."),
        ("Calls ``f(x)`` twice.", "Calls f(x) twice."),
        ("Calls ``f(x)`` , twice.", "Calls f(x), twice."),
        ("Two   spaces\nand lines.", "Two spaces and lines."),
    ],
)
def test_markup_is_reduced_to_its_text(block: str, text: str) -> None:
    assert strip_markup(block, mask_names=False) == text


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ("A pandas frame.", "A library frame."),
        ("PyTorch and torch.nn.Module.", "library and library."),
        ("Hugging Face and hugging_face hubs.", "library and library hubs."),
        ("The np.array and pd.Series.", "The library and library."),
        ("The scikit-learn API.", "The library API."),
        ("A torchlight and a snp.", "A torchlight and a snp."),
    ],
)
def test_names_of_libraries_are_masked(block: str, text: str) -> None:
    assert strip_markup(block, mask_names=True) == text


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("This is a plain sentence.", True),
        ("This is plain.", False),
        ("This is a sentence that is much too long for it.", False),
        ("this is a plain sentence.", False),
        ("This is a plain sentence", False),
        ("This is a plain séntence.", False),
        ("This sets x = y here.", False),
        ("See https: and more here.", False),
        ("A 1 2 3 4 5 6.", False),
    ],
    ids=["plain", "short", "long", "small letter", "no stop", "not ascii", "operator", "address", "digits"],
)
def test_prose_is_a_whole_sentence_of_words(text: str, prose: bool) -> None:
    assert is_prose(text, 5, 9) is prose


def test_the_paragraphs_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        '"""The pandas module reads tables of many kinds.\n\nArgs:\n    x: no.\n"""\n', "utf-8"
    )
    assert read_file_paragraphs(tmp_path / "a.py", min_words=5, max_words=40) == [
        "The library module reads tables of many kinds."
    ]
    assert read_file_paragraphs(tmp_path / "a.py", min_words=9, max_words=40) == []
    (tmp_path / "b.py").write_bytes(b'"""Bytes \xff that are no text."""\n')
    assert read_file_paragraphs(tmp_path / "b.py", min_words=1, max_words=40) == []


@pytest.mark.parametrize("code", ["def f(:", "y = " + "+".join(["1"] * 3000)], ids=["wrong", "nested"])
def test_code_that_cannot_be_parsed_has_no_docstrings(code: str) -> None:
    assert list(list_docstrings(f'"""What it does."""\n{code}\n')) == []
