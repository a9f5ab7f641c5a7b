"""Digests of JSON values, of files, and of the code that makes something: the parts of store keys."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import sysconfig
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from slimgate import HOMES
from slimgate._system.distributions import forget_distributions, is_distributed, package_states

LENGTH = 32
OWN = "slimgate"
# A module of a user's own that assigns this name counts by its value, and not by its code.
VERSION = "slimgate_version"
# An import whose name is computed.
_UNKNOWN = "?"
_LONGEST_PATH = 256
# So long after its last change a file's times tell whether it was changed again.
_SETTLED_NS = 2_000_000_000
_READ: dict[tuple[int, ...], str] = {}


def json_digest(value: Any) -> str:
    """Digest of a JSON value, independent of the order of keys. Raises TypeError for what is not JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes. A process reads a file once, and again if it may have changed."""
    with path.open("rb") as stream:
        seen = _signature(os.fstat(stream.fileno()))
        if seen in _READ:
            return _READ[seen]
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        # a file that was just written may be written again without another time
        if seen == _signature(os.fstat(stream.fileno())) and time.time_ns() - max(seen[-2:]) > _SETTLED_NS:
            _READ[seen] = digest
    return digest


def _signature(status: os.stat_result) -> tuple[int, ...]:
    """Other if a file was written or replaced; the last two are its times."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def folder_digest(folder: Path, names: Iterable[str]) -> str:
    """Digest over the names and bytes of the given files of a folder."""
    return json_digest({name: file_sha256(folder / name) for name in sorted(names)})


def files_below(folder: Path, leave_out: Collection[str] = ()) -> list[str]:
    """Relative names of the files below a folder, sorted, also behind links; a circle of links is left.

    leave_out: patterns of names of files and folders that do not count.
    """
    names: list[str] = []
    todo: list[tuple[Path, tuple[Path, ...]]] = [(folder, (folder.resolve(),))]
    while todo:
        place, above = todo.pop()
        for path in place.iterdir():
            if any(fnmatchcase(path.name, pattern) for pattern in leave_out):
                continue
            if path.is_file():
                names.append(path.relative_to(folder).as_posix())
            elif path.is_dir() and (real := path.resolve()) not in above:
                todo.append((path, (*above, real)))
    return sorted(names)


def code_digest(module: str) -> str:
    """Digest of a module's code and of all that it imports, at any remove, also inside of functions.

    - By its code: each module of slimgate, of its own package, and of a user's own folders.
    - By its version: each installed distribution, with what that requires (not its extras), and Python's.
      One that was installed from a folder, an archive or a repository counts by its files too.
    - By its bytes: each file that a string of a user's module names with its suffix or folder, from the
      module's folder or the current one, such as a list of words.

    Comments, formatting, docstrings and strings under fields do not count. A module of a user's own may
    declare `slimgate_version = "…"`, which then counts instead of its code.
    """
    return json_digest(code_parts(module))


def code_parts(module: str) -> dict[str, Any]:
    """What `code_digest` is a digest of: the code by module, and the state of each distribution."""
    modules = sorted(_closure(module))
    packages = frozenset[str]().union(*(_packages(name) for name in modules))
    return {
        "code": {name: _own_digest(name) for name in modules},
        "packages": package_states(packages),
        "python": platform.python_version(),
    }


def imports_of_file(file: Path) -> frozenset[str]:
    """The dotted names that a Python file imports, also inside of functions; none of one with a mistake.

    Of `from a import b` a and a.b; of `from . import b` b.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return frozenset()
    names = _dynamic_names(tree) - {_UNKNOWN}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = [node.module] if node.module else []
            names.update([*origin, *(".".join([*origin, alias.name]) for alias in node.names)])
    return frozenset(names)


@cache
def own_code_digest() -> str:
    """Digest of slimgate's own files: between releases its version says too little."""
    root = Path(__file__).parents[1]
    return folder_digest(root, (path.relative_to(root).as_posix() for path in root.rglob("*.py")))


def forget() -> None:
    """Forgets the modules and distributions that this process has read: a test has changed them."""
    for cached in (_tree, _imports, _packages, _own_digest, own_code_digest, _version):
        cached.cache_clear()
    forget_distributions()


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
    reached, todo = {module}, [module]
    while todo:
        for name in _imports(todo.pop()):
            if name not in reached:
                reached.add(name)
                todo.append(name)
    return reached


@cache
def _tree(module: str) -> ast.Module:
    file = _source(module)
    if file is None or file.suffix != ".py":  # a compiled module counts by its bytes
        return ast.Module(body=[], type_ignores=[])
    return ast.parse(file.read_bytes())


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
    files = [
        file
        for folder in folders
        for file in (
            folder / "__init__.py",
            folder.with_suffix(".py"),
            *(folder.with_suffix(suffix) for suffix in EXTENSION_SUFFIXES),
        )
    ]
    if not inner and spec.origin is not None:
        files = [Path(spec.origin)]
    return next((file for file in files if file.is_file()), None)


@cache
def _imports(module: str) -> frozenset[str]:
    """The modules that count by their code: of slimgate, of the same package, of a user's own folders."""
    names = _names(module)
    packages = {OWN, module.split(".")[0]}
    users = module.split(".")[0] != OWN
    named_modules = {name for name in names if name.split(".")[0] in packages or (users and _is_users(name))}
    return frozenset(name for name in named_modules if _source(name) is not None)


@cache
def _packages(module: str) -> frozenset[str]:
    """The packages that count by their versions, by the names that they are imported by.

    The package of the module itself is one of them, in case it is installed.
    """
    return frozenset({name.split(".")[0] for name in _names(module)} | {module.split(".")[0]}) - {OWN}


def _names(module: str) -> set[str]:
    """The dotted names that a module imports."""
    tree, names = _tree(module), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and _origin(node, module) == OWN:
            names.update(HOMES.get(alias.name, f"{OWN}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module)
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    names |= _dynamic_names(tree)
    if module.split(".")[0] != OWN and _UNKNOWN in names:
        names |= _modules_beside(module)
    if OWN in names:  # `import slimgate` may use all that it exports
        names.update(HOMES.values())
    return {name.partition(":")[0] for name in names - {OWN, _UNKNOWN, ""}}


def _dynamic_names(tree: ast.Module) -> set[str]:
    """Those that a call imports, such as import_module("x"); `_UNKNOWN` for one that is computed."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    names = set[str]()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = str(getattr(node.func, "attr", None) or getattr(node.func, "id", ""))
        if "import" not in called:
            continue
        first = node.args[0]
        value = first.value if isinstance(first, ast.Constant) else constants.get(getattr(first, "id", ""))
        names.add(value if isinstance(value, str) and value.replace(".", "").isidentifier() else _UNKNOWN)
    return names


def _modules_beside(module: str) -> set[str]:
    """The modules of a folder from which a module imports one by a name that is computed."""
    file = _source(module)
    if file is None:
        return set()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    inner = (
        Path(name).with_suffix("")
        for name in files_below(file.parent, (".*", "__pycache__"))
        if name.endswith(".py")
    )
    dotted = (".".join(part for part in path.parts if part != "__init__") for path in inner)
    return {".".join(filter(None, (package, name))) for name in dotted}


def _is_users(name: str) -> bool:
    """Whether a module is of somebody's own: neither Python's nor of an installed distribution."""
    file, top = _source(name), name.split(".")[0]
    if file is None or top in sys.stdlib_module_names:
        return False
    folders = {Path(sysconfig.get_path(place)).resolve() for place in ("purelib", "platlib")}
    return folders.isdisjoint(file.resolve().parents) or not is_distributed(top)


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
    tree, file = _tree(module), _source(module)
    if module.split(".")[0] == OWN:
        return json_digest(ast.dump(_without_docstrings(tree)))
    if (stated := _stated_version(tree)) is not None:
        return json_digest(stated)
    if file is not None and file.suffix != ".py":
        return file_sha256(file)
    named = {} if file is None or not _is_users(module) else _files_named_in(tree, file.parent)
    code = ast.dump(_without_docstrings(tree))
    return json_digest([code, named] if named else code)


def _files_named_in(tree: ast.Module, folder: Path) -> dict[str, str]:
    """sha256 of the files that strings of a module name, from its folder or the current one.

    `folder / "data" / "words.txt"` and `join(folder, "data", "words.txt")` name data/words.txt. A word
    without a suffix or a folder is no file name: a module that writes a file "done" would change its own key.
    """
    digests: dict[str, str] = {}
    names = (name for name in _strings(tree) if "/" in name or "." in name.strip("."))
    for name in sorted(names):
        with suppress(OSError, ValueError):  # too long, or no path at all
            for path in (folder / name, Path.cwd() / name):
                if path.is_file():
                    # a file of the kernel, such as /proc/self/statm, has 0 bytes and changes all the time
                    digests[name] = file_sha256(path) if path.stat().st_size else "empty"
                    break
                if (path / f"{path.name}.py").is_file():  # a script of evaluate
                    digests[name] = folder_digest(path, files_below(path, (".*", "__pycache__")))
                    break
    return digests


def _strings(tree: ast.Module) -> set[str]:
    """Strings that may be paths, and those that stand together in a path."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            names.add("/".join(_tail(node)))
        elif isinstance(node, ast.Call):
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            names.add("/".join(text for text in texts if isinstance(text, str)))
    return {name for name in names if name and len(name) < _LONGEST_PATH and "\n" not in name}


def _tail(node: ast.expr) -> list[str]:
    """The strings at the end of a / b / "c" / "d"."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_tail(node.left), *_tail(node.right)]
    return []


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
                setattr(node, name, [statement for statement in value if not _is_text(statement)])
    return tree


def _is_text(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
