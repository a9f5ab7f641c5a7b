"""The string under a field of a class, which says what the field is.

    bits: int = 4
    "Bits of a weight."

pydantic's use_attribute_docstrings reads the source whenever a class is made, which took 0.5 s of collecting
the suites. Here it is read when somebody asks.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from types import ModuleType


def field_texts(model: type, base: type) -> dict[str, str]:
    """The texts by the fields' names, each on one line, of a class and of what it inherits, down from `base`.

    A field that is declared anew without a text keeps the one that it had.
    """
    texts: dict[str, str] = {}
    for ancestor in reversed([ancestor for ancestor in model.__mro__ if issubclass(ancestor, base)]):
        for field, below in pairwise(_body(ancestor)):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[name] = " ".join(text.split())
    return texts


def _body(model: type) -> list[ast.stmt]:
    """The statements of a class; none where its source is not at hand, as at a prompt."""
    module = sys.modules.get(model.__module__)
    class_node: ast.AST | None = None if module is None else _tree(module)
    for name in model.__qualname__.replace("<locals>.", "").split("."):
        inner = ast.walk(class_node) if class_node is not None else ()
        class_node = next((node for node in inner if getattr(node, "name", None) == name), None)
    return class_node.body if isinstance(class_node, ast.ClassDef) else []


@cache
def _tree(module: ModuleType) -> ast.Module | None:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError):  # no file, or none in Python
        return None
