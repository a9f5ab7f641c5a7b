"""Names say what they hold, no word that holds anything is one, and those of tests are short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("slimgate", "fixtures", "tools", "tests")
BANNED = frozenset(
    {"found", "one", "ones", "own", "told", "said", "says", "most", "given", "made", "kept", "held", "both"}
    | {"others", "beside", "wish", "wishes", "otherwise", "whole", "what", "which", "much", "many", "few"}
    | {"met", "taken", "asked", "wanted", "stands", "here", "there", "thing", "things"}
)
LONGEST_TEST_NAME = 60
Name = tuple[int, str]


def bound_names(tree: ast.AST, *, in_class: bool = False) -> Iterator[Name]:
    """(line, name) of all functions, parameters and variables; not of the fields of a class."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.lineno, node.name
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not in_class:
            yield node.lineno, node.id
        is_field = in_class and isinstance(node, ast.Assign | ast.AnnAssign)
        yield from bound_names(node, in_class=isinstance(node, ast.ClassDef) or is_field)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_name_is_a_word_that_holds_anything(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, name in bound_names(ast.parse(path.read_bytes()))
        if name in BANNED
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["found"]),
        ("def f(one): return [both for both in one]", ["f", "one", "both"]),
        ("class A:\n    kept: int = 0\n    def asked(self): self.told = 1", ["asked", "self"]),
        ("f(lambda most: most)\nwhile (said := f()): pass", ["most", "said"]),
        ("try: pass\nexcept E as which: pass", ["which"]),
        ("match x:\n    case [*others]: pass\n    case A() as whole: pass", ["others", "whole"]),
    ],
)
def test_every_binding_is_seen(source: str, names: list[str]) -> None:
    assert sorted(name for _, name in bound_names(ast.parse(source))) == sorted(names)


def test_names_of_tests_are_short() -> None:
    tests = [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node.name)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert len(tests) > 1000
    assert [(place, name) for place, name in tests if len(name) > LONGEST_TEST_NAME] == []
