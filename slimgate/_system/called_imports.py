"""The modules that a Python file imports by calls, such as import_module("NAME"). The file is not run."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

# Stands for the module of an import under a computed name.
UNKNOWN = "?"
_IMPORTERS = frozenset({"import_module", "__import__", "resolve_name", "run_module"})
# Nodes that bind the name in their attribute `name`.
_NAMED_NODES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
)
# Calls of other functions with "import" in their name count too, such as pytest.importorskip("NAME").
_MAY_CALL = re.compile(
    rb"\w+import\w*\s*\(|import\w+\s*\(|importlib|" + "|".join(sorted(_IMPORTERS)).encode()
)


def list_called_imports(tree: ast.Module, content: bytes) -> tuple[set[str], set[tuple[int, str]]]:
    """(absolute names, or UNKNOWN; (level, name) of relative names). tree, content: of the file."""
    if not _MAY_CALL.search(content):
        return set(), set()
    nodes = list(ast.walk(tree))
    importers = _IMPORTERS | _list_importer_aliases(nodes)
    texts = _map_names_to_texts(tree, nodes)
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    modules, relative = set[str](), set[tuple[int, str]]()
    for node in nodes:
        if isinstance(node, ast.Call):
            for name in _list_imported_modules(node, importers, texts):
                level = len(name) - len(name.lstrip("."))
                if level:
                    relative.add((level, name[level:]))
                modules.add(UNKNOWN if level else name)
        elif _read_name(node) in importers and id(node) not in called:  # it is passed on or renamed
            modules.add(UNKNOWN)
    return modules, relative


def _read_name(node: ast.AST) -> str:
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def _list_importer_aliases(nodes: Sequence[ast.AST]) -> set[str]:
    """The aliases of importers: load for `from importlib import import_module as load`."""
    return {
        alias.asname
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None and alias.name in _IMPORTERS
    }


def _map_names_to_texts(tree: ast.Module, nodes: Sequence[ast.AST]) -> dict[str, str]:
    """Names that a file binds only once, at its top level -> the strings that it assigns to them."""
    bound = Counter(name for node in nodes for name in _list_bound_names(node))
    if bound["*"]:
        return {}
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name) and bound[target.id] == 1
    }


def _list_bound_names(node: ast.AST) -> Iterator[str]:
    """The names that a node binds; "*" if it may bind any."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, _NAMED_NODES):
        yield node.name or ""
    elif isinstance(node, ast.MatchMapping):
        yield node.rest or ""


def _list_imported_modules(
    node: ast.Call, importers: frozenset[str], texts: Mapping[str, str]
) -> Iterator[str]:
    """The modules that a call may import, by the name of its function. Relative names begin with dots."""
    function = _read_name(node.func)
    constants = {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    if function == "getattr" and constants & _IMPORTERS:
        yield UNKNOWN
    if not (node.args or node.keywords) or not (function in importers or "import" in function):
        return
    stated = [keyword.value for keyword in node.keywords if keyword.arg in ("name", "mod_name")]
    first = next(iter([*node.args, *stated]), None)
    value = first.value if isinstance(first, ast.Constant) else texts.get(getattr(first, "id", ""))
    name = value.partition(":")[0] if isinstance(value, str) else ""
    if not all(map(str.isidentifier, name.lstrip(".").split("."))):
        yield UNKNOWN
        return
    yield name
    if function == "resolve_name" and "." in name:  # the name of an object in a module
        yield name.rpartition(".")[0]
    has_more = len(node.args) > 1 or any(keyword.arg == "fromlist" for keyword in node.keywords)
    if function == "__import__" and has_more:
        yield UNKNOWN
