"""Digests of JSON values, of files, and of the code that makes something: the parts of store keys."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
import sysconfig
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import accumulate
from pathlib import Path
from typing import Any

from slimgate import HOMES
from slimgate._system.called_imports import UNKNOWN
from slimgate._system.distributions import forget_distributions, is_distributed, package_states
from slimgate._system.source_code import SourceCode, list_path_texts, parse_source

LENGTH = 32
OWN_PACKAGE = "slimgate"
# This long after a file's last change, its times show whether it was changed again.
_SETTLED_NS = 2_000_000_000
_READ: dict[tuple[int, ...], str] = {}
_SUFFIX = re.compile(r"\.\w+")


def json_digest(value: object) -> str:
    """Digest of a JSON value, independent of the order of keys. Raises TypeError for other values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes. A file that has not changed is read only once in a process.

    Args:
        path: the file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        seen = _signature(os.fstat(stream.fileno()))
        if seen in _READ:
            return _READ[seen]
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        # a file that was just written may be written again with the same time
        if seen == _signature(os.fstat(stream.fileno())) and time.time_ns() - max(seen[-2:]) > _SETTLED_NS:
            _READ[seen] = digest
    return digest


def _signature(status: os.stat_result) -> tuple[int, ...]:
    """A tuple that changes if a file was written or replaced; the last two are its times."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def folder_digest(folder: Path, names: Iterable[str]) -> str:
    """Digest over the names and bytes of the given files of a folder."""
    return json_digest({name: file_sha256(folder / name) for name in sorted(names)})


def files_below(folder: Path, leave_out: Collection[str] = ()) -> list[str]:
    """Relative names of the files below a folder, sorted. Links are followed, except back to a folder above.

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
    """Digest of a module's code and of all its imports, direct or indirect, also inside of functions.

    - By its code: each module of slimgate, of its own package, and of a user's folders, with the __init__.py
      of the user's packages around it.
    - By its version: each installed distribution, with what that requires (not its extras), and Python's.
      A distribution that was installed from a folder, an archive or a repository also counts by its files.
    - By its bytes: each file that a string of a user's module names with its suffix or folder, from the
      module's folder or the current one, such as a list of words; also the file that differs from the module
      only in a suffix that a string names.

    Comments, formatting, docstrings, strings under fields and imports for types alone do not count. A
    user's module may declare `slimgate_version = "…"`, which then counts instead of its code.
    """
    return json_digest(code_parts(module))


def code_parts(module: str) -> dict[str, Any]:
    """The parts of `code_digest`: the code by module, and the state of each distribution."""
    modules = sorted(_closure(module))
    # also the package of each module, in case it is installed
    packages = {name.split(".")[0] for counted in modules for name in (counted, *_names(counted))} - {
        OWN_PACKAGE
    }
    return {
        "code": {name: _own_digest(name) for name in modules},
        "packages": package_states(packages),
        "python": platform.python_version(),
    }


def list_sources(module: str) -> dict[str, Path]:
    """The files of a user's module and of the user's modules that it imports; empty for an installed one."""
    if not _is_users(module):
        return {}
    sources = {name: _source(name) for name in sorted(_closure(module)) if _is_users(name)}
    return {name: file for name, file in sources.items() if file is not None}


def imports_of_file(file: Path) -> frozenset[str]:
    """The dotted names that a Python file imports, also inside of functions; empty if it cannot be parsed.

    `from a import b` gives a and a.b; `from . import b` gives b.
    """
    try:
        code = parse_source(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # Python cannot import such a file either
        return frozenset()
    names = set(code.modules - {UNKNOWN})
    for _, module, name in code.names:
        origin = [module] if module else []
        names.update([*origin, ".".join([*origin, name])] if name else origin)
    return frozenset(names)


@cache
def own_code_digest() -> str:
    """Digest of slimgate's own files, because its version does not change between releases."""
    root = Path(__file__).parents[1]
    return folder_digest(root, (path.relative_to(root).as_posix() for path in root.rglob("*.py")))


def forget() -> None:
    """Forgets the modules and distributions that this process has read: a test has changed them."""
    for cached in (_parse, _names, _imports, _own_digest, _source, own_code_digest, _version):
        cached.cache_clear()
    forget_distributions()


def versions(packages: Iterable[str]) -> Mapping[str, str | None]:
    """Installed versions; None if a package is not installed."""
    return {name: _version(name) for name in sorted(packages)}


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _closure(module: str) -> set[str]:
    """The module, and all modules that it imports directly or indirectly and that count by their code."""
    reached, todo = {module}, [module]
    while todo:
        for name in _imports(todo.pop()):
            if name not in reached:
                reached.add(name)
                todo.append(name)
    return reached


@cache
def _parse(module: str) -> SourceCode:
    file = _source(module)
    if file is None or file.suffix != ".py":  # a compiled module counts by its bytes
        return SourceCode()
    return parse_source(file.read_bytes())


@cache
def _source(module: str) -> Path | None:
    """The file of a module, found without importing it or its packages, which would load torch."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that was created in code
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
    """The modules that count by their code: of slimgate, of the same package, of a user's folders."""
    names = _names(module)
    packages = {OWN_PACKAGE, module.split(".")[0]}
    users = module.split(".")[0] != OWN_PACKAGE
    named_modules = {name for name in names if name.split(".")[0] in packages or (users and _is_users(name))}
    return frozenset(name for name in named_modules if _source(name) is not None)


@cache
def _names(module: str) -> frozenset[str]:
    """The dotted names that a module imports."""
    code, file = _parse(module), _source(module)
    names = set(code.modules)
    for level, origin, name in code.names:
        origin = _absolute(level, origin, module)
        if origin == OWN_PACKAGE:
            names.add(HOMES.get(name, f"{OWN_PACKAGE}.{name}"))
        else:
            names.update((origin, f"{origin}.{name}") if name else (origin,))
    if module.split(".")[0] != OWN_PACKAGE and UNKNOWN in names:
        names |= _list_siblings(module) | _list_named_modules(module)
    if file is not None and file.suffix == ".py" and _is_users(module):
        scripts = (path for path in _find_named_files(file).values() if path.suffix == ".py")
        names.update(name for path in scripts for name in imports_of_file(path))
    if OWN_PACKAGE in names:  # `import slimgate` may use everything that it exports
        names.update(HOMES.values())
    plain = {name.partition(":")[0] for name in names - {OWN_PACKAGE, UNKNOWN, ""}}
    if module.split(".")[0] != OWN_PACKAGE:
        users = [name for name in (module, *plain) if name.split(".")[0] != OWN_PACKAGE]
        plain.update(package for name in users for package in _list_packages(name))
    return frozenset(plain)


def _list_packages(name: str) -> Iterator[str]:
    """The packages around a module, whose __init__.py Python executes too: a and a.b for a.b.c."""
    return accumulate(name.split(".")[:-1], lambda package, part: f"{package}.{part}")


def _list_siblings(module: str) -> set[str]:
    """The modules in a module's folder and below, because an import under a computed name may mean them."""
    file = _source(module)
    if file is None:
        return set()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return _list_modules(package, file.parent)


def _list_named_modules(module: str) -> set[str]:
    """The user's modules that the strings of a module name; of a package, all modules.

    An import under a computed name may mean them: `NAMES = ["tools.a"]`, f"tools.{name}".
    """
    file = _source(module)
    texts = set[str]() if file is None else list_path_texts(file.read_bytes())
    modules = set[str]()
    for name in {text.strip(".") for text in texts}:
        is_name = all(map(str.isidentifier, name.split("."))) and _is_users(name)
        if is_name and (source := _source(name)) is not None:
            is_package = source.name == "__init__.py"
            modules |= _list_modules(name, source.parent) if is_package else {name}
    return modules


def _list_modules(package: str, folder: Path) -> set[str]:
    """The modules in a package's folder and below."""
    paths = (
        Path(name).with_suffix("")
        for name in files_below(folder, (".*", "__pycache__"))
        if name.endswith(".py")
    )
    dotted = (".".join(part for part in path.parts if part != "__init__") for path in paths)
    return {".".join(filter(None, (package, name))) for name in dotted}


def _is_users(name: str) -> bool:
    """Whether a module belongs to a user: neither Python's nor of an installed distribution."""
    file, top = _source(name), name.split(".")[0]
    if file is None or top in sys.stdlib_module_names:
        return False
    folders = {Path(sysconfig.get_path(place)).resolve() for place in ("purelib", "platlib")}
    return folders.isdisjoint(file.resolve().parents) or not is_distributed(top)


def _absolute(level: int, origin: str, module: str) -> str:
    """The module that names are imported from: `from .helpers import x` in a.b gives a.helpers."""
    file = _source(module)
    parts = module.split(".")
    if file is None or file.name != "__init__.py":
        parts = parts[:-1]
    package = parts[: len(parts) - level + 1] if level else []
    return ".".join([*package, *([origin] if origin else [])])


@cache
def _own_digest(module: str) -> str:
    code, file = _parse(module), _source(module)
    if module.split(".")[0] == OWN_PACKAGE:
        return json_digest(code.digest)
    if code.version is not None:
        return json_digest(code.version)
    if file is not None and file.suffix != ".py":
        return file_sha256(file)
    named_files = {} if file is None or not _is_users(module) else _digest_named_files(file)
    return json_digest([code.digest, named_files] if named_files else code.digest)


def _list_paths(file: Path, name: str) -> tuple[Path, ...]:
    """The paths that a string of a module may mean; none if it is no file name. file: of the module."""
    if _SUFFIX.fullmatch(name):
        return () if name == file.suffix else (file.with_suffix(name),)
    is_name = "/" in name or "." in name.strip(".")
    return (file.parent / name, Path.cwd() / name) if is_name else ()


def _digest_named_files(file: Path) -> dict[str, str]:
    """sha256 of the files that strings of a module name, and digests of the folders."""
    digests: dict[str, str] = {}
    for name, path in _find_named_files(file).items():
        with suppress(OSError):
            if path.is_dir():
                digests[name] = folder_digest(path, files_below(path, (".*", "__pycache__")))
            else:
                # a file of the kernel, such as /proc/self/statm, has 0 bytes and changes all the time
                digests[name] = file_sha256(path) if path.stat().st_size else "empty"
    return digests


def _find_named_files(file: Path) -> dict[str, Path]:
    """The files that strings of a module name, in its folder or the current one, and scripts of evaluate.

    A word without a suffix or a folder is no file name: a module that writes a file "done" would change its
    own key. A suffix alone names the file next to the module, as in Path(__file__).with_suffix(".json"). A
    script of evaluate is a folder with a Python file of its name.
    """
    files: dict[str, Path] = {}
    for name in sorted(list_path_texts(file.read_bytes())):
        with suppress(OSError, ValueError):  # too long, or not a path
            for path in _list_paths(file, name):
                if path.is_file() or (path / f"{path.name}.py").is_file():
                    files[name] = path
                    break
    return files
