"""Reads the string under a field of a class, which describes the field.

    bits: int = 4
    "Bits of a weight."

pydantic has the option use_attribute_docstrings for this. It reads the source of every class when the class
is made, which took 0.5 s of collecting the suites. Here the source is read when a text is needed.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from types import ModuleType


def read_field_texts(model: type, base: type) -> dict[str, str]:
    """Name of a field -> its text on one line, for a class and its ancestors up to `base`.

    If a subclass declares a field again without a text, the inherited text stays.
    """
    texts: dict[str, str] = {}
    for ancestor in reversed([ancestor for ancestor in model.__mro__ if issubclass(ancestor, base)]):
        for field, below in pairwise(_read_body(ancestor)):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[name] = " ".join(text.split())
    return texts


def _read_body(model: type) -> list[ast.stmt]:
    """The statements of a class; none if its source is not known, as for a class typed at a prompt."""
    module = sys.modules.get(model.__module__)
    class_node: ast.AST | None = None if module is None else _parse_module(module)
    for name in model.__qualname__.replace("<locals>.", "").split("."):
        inner = ast.walk(class_node) if class_node is not None else ()
        class_node = next((node for node in inner if getattr(node, "name", None) == name), None)
    return class_node.body if isinstance(class_node, ast.ClassDef) else []


@cache
def _parse_module(module: ModuleType) -> ast.Module | None:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError):  # it has no file, or one that is not Python
        return None
