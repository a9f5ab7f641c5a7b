"""Functions of installed packages with what their authors wrote of them, read with `ast`: nothing is run."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slimgate.data.docstrings import source_files, source_text

# A reference to a footnote, such as [1]_, with the blank before it.
FOOTNOTE = re.compile(r"\s*\[[\w#*]+\]_")


@dataclass(frozen=True)
class Documented:
    """A function. file: `pandas/core/frame.py`; docstring: cleaned as inspect.cleandoc does.

    parameters: its own names, without self and cls; code_lines: lines of its body behind the docstring.
    """

    package: str
    file: str
    docstring: str
    parameters: frozenset[str]
    code_lines: int


def documented_functions(packages: Sequence[str], *, asked_by: str) -> Iterator[Documented]:
    """Every function that has a docstring, by package, file and line. Raises SuiteError."""
    for package in packages:
        for file, path in source_files(package, asked_by=asked_by):
            for node in _functions(source_text(path)):
                if text := ast.get_docstring(node, clean=False):
                    yield _documented(package, file, node, text)


def _functions(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """In the order of the lines; none of a file that is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sorted(found, key=lambda node: node.lineno)


def _documented(
    package: str, file: str, node: ast.FunctionDef | ast.AsyncFunctionDef, text: str
) -> Documented:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    last = node.end_lineno or node.lineno
    return Documented(
        package=package,
        file=file,
        docstring=inspect.cleandoc(text),
        parameters=frozenset(one.arg for one in every if one is not None) - {"self", "cls"},
        code_lines=last - (node.body[0].end_lineno or last),
    )
