"""Digests of JSON values, of files, and of the code that makes something: the parts of store keys."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from slimgate import HOMES

LENGTH = 32
OWN = "slimgate"
# A module of a user's own that assigns this name counts by its value, and not by its code.
VERSION = "slimgate_version"


def json_digest(value: Any) -> str:
    """Digest of a JSON value, independent of the order of keys. Raises TypeError for what is not JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path, names: Iterable[str]) -> str:
    """Digest over the names and bytes of the given files of a folder."""
    return json_digest({name: file_sha256(folder / name) for name in sorted(names)})


def code_digest(module: str) -> str:
    """Digest of a module's code and of what it imports of slimgate and of its own package, at any remove.

    For a user's module that lies beside its helpers, those count too; installed packages count by the
    versions that a method declares.

    Comments, formatting, docstrings and strings under fields do not count. A module of a user's own may
    declare `slimgate_version = "…"`, which then counts instead of its code.
    """
    return json_digest({name: _own_digest(name) for name in sorted(_closure(module))})


@cache
def own_code_digest() -> str:
    """Digest of slimgate's own files: between releases its version says too little."""
    root = Path(__file__).parents[1]
    return folder_digest(root, (path.relative_to(root).as_posix() for path in root.rglob("*.py")))


def versions(packages: Iterable[str]) -> Mapping[str, str | None]:
    """Installed versions; None where a package is not installed."""
    return {name: _version(name) for name in sorted(packages)}


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _closure(module: str) -> set[str]:
    found, todo = {module}, [module]
    while todo:
        for name in _imports(todo.pop()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


@cache
def _tree(module: str) -> ast.Module:
    file = _source(module)
    return ast.parse(file.read_bytes()) if file is not None else ast.Module(body=[], type_ignores=[])


def _source(module: str) -> Path | None:
    """The file of a module, found without importing it or its packages: that would load torch."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that was made by hand
        spec = None
    if spec is None:
        return None
    folders = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    files = [file for folder in folders for file in (folder / "__init__.py", folder.with_suffix(".py"))]
    if not inner and spec.origin is not None:
        files = [Path(spec.origin)]
    return next((file for file in files if file.is_file()), None)


@cache
def _imports(module: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and _origin(node, module) == OWN:
            names.update(HOMES.get(alias.name, f"{OWN}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module)
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    if OWN in names:  # `import slimgate` may use all that it exports
        names.update(HOMES.values())
    names = {name.partition(":")[0] for name in names - {OWN}}
    packages = {OWN, module.split(".")[0]}
    users = module.split(".")[0] != OWN
    own = {name for name in names if name.split(".")[0] in packages or (users and _is_users(name))}
    return frozenset(name for name in own if _source(name) is not None)


def _is_users(name: str) -> bool:
    """Whether a module lies in somebody's own folder: neither installed nor Python's own."""
    file = _source(name)
    if file is None:
        return False
    places = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {Path(sysconfig.get_path(place)).resolve() for place in places}
    return folders.isdisjoint(file.resolve().parents)


def _origin(node: ast.ImportFrom, module: str) -> str:
    """The module that names are imported from: of `from .helpers import x` in a.b it is a.helpers."""
    file = _source(module)
    parts = module.split(".")
    if file is None or file.name != "__init__.py":
        parts = parts[:-1]
    package = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*package, *([node.module] if node.module else [])])


@cache
def _own_digest(module: str) -> str:
    tree = _tree(module)
    stated = None if module.split(".")[0] == OWN else _stated_version(tree)
    return json_digest(ast.dump(_without_docstrings(tree)) if stated is None else stated)


def _stated_version(tree: ast.Module) -> str | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(t, ast.Name) and t.id == VERSION for t in targets):
            return ast.unparse(value)
    return None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree without strings that are statements: docstrings, and the texts under fields."""
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(node, name, [one for one in value if not _is_text(one)])
    return tree


def _is_text(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
