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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import accumulate
from pathlib import Path
from typing import Any

from slimgate import HOMES
from slimgate._system.called_imports import UNKNOWN
from slimgate._system.distributions import forget_distributions, is_distributed, read_package_states
from slimgate._system.source_code import SourceCode, list_path_texts, list_variables, parse_source

LENGTH = 32
OWN_PACKAGE = "slimgate"
# A digest is only reused if the file was last changed at least this long before it was read. A change right
# after another one may leave the times as they were.
_SETTLED_NS = 2_000_000_000
_KNOWN_DIGESTS: dict[tuple[int, ...], str] = {}
_SUFFIX = re.compile(r"\.\w+")
# A string that begins the names of variables, such as "MY_" of os.environ[f"MY_{name}"].
_PREFIX = re.compile(r"[A-Za-z]\w*_")
# Variables of the environment with a secret. They do not change answers, and no key needs them.
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")


def digest_json(value: object) -> str:
    """The digest of a JSON value. The order of keys does not matter. Raises TypeError for other values."""
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
        seen = _make_signature(os.fstat(stream.fileno()))
        if seen in _KNOWN_DIGESTS:
            return _KNOWN_DIGESTS[seen]
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if (
            seen == _make_signature(os.fstat(stream.fileno()))
            and time.time_ns() - max(seen[-2:]) > _SETTLED_NS
        ):
            _KNOWN_DIGESTS[seen] = digest
    return digest


def _make_signature(status: os.stat_result) -> tuple[int, ...]:
    """A tuple that changes if the file is written or replaced. The last two numbers are its times."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digest_folder(folder: Path, names: Iterable[str]) -> str:
    """The digest of the names and bytes of files of a folder."""
    return digest_json({name: file_sha256(folder / name) for name in sorted(names)})


def list_files_below(folder: Path, leave_out: Collection[str] = ()) -> list[str]:
    """The relative names of the files below a folder, sorted. Links back to a folder above are not followed.

    leave_out: patterns for the names of files and folders that do not count.
    """
    names: list[str] = []
    todo: list[tuple[Path, tuple[Path, ...]]] = [(folder, (folder.resolve(),))]
    while todo:
        current, above = todo.pop()
        for path in current.iterdir():
            if any(fnmatchcase(path.name, pattern) for pattern in leave_out):
                continue
            if path.is_file():
                names.append(path.relative_to(folder).as_posix())
            elif path.is_dir() and (real := path.resolve()) not in above:
                todo.append((path, (*above, real)))
    return sorted(names)


def digest_code(module: str) -> str:
    """The digest of a module and of all its imports, direct or indirect, also inside functions.

    - The code counts for modules of slimgate, of the module's package and of a user's folders, with the
      __init__.py of the user's packages around them.
    - The version counts for Python, and for each installed distribution with its requirements (not those of
      its extras). If a distribution was installed from a folder, an archive or a repository, its files count.
    - The bytes count for each file that a string of a user's module names with its suffix or folder, from the
      module's folder or the current one, such as a list of words. A string with only a suffix names the file
      that differs from the module in its suffix. (`code_reads` sees what the code opens in other ways.)
    - The value counts for each environment variable that a user's module reads by name, without secrets.

    Comments, formatting, docstrings, strings under fields and imports for type checkers do not count. If
    one of the user's modules reads docstrings (`__doc__`, `getdoc`), those of all of them count. If a user's
    module declares `slimgate_version = "…"`, that version counts in place of its code.
    """
    return digest_json(digest_code_parts(module))


def digest_code_parts(module: str) -> dict[str, Any]:
    """The parts of `digest_code`: digests of modules, states of distributions, Python, and variables."""
    parts, users = _digest_files(module, tuple(sys.path))
    variables = {name: value for counted in users for name, value in _read_variables(counted).items()}
    return {**parts, **({"variables": variables} if variables else {})}


def digest_user_code(module: str) -> str:
    """The digest of the user's modules alone: a new version of slimgate or a package does not change it."""
    code = digest_code_parts(module)["code"]
    return digest_json({name: part for name, part in code.items() if name.partition(".")[0] != OWN_PACKAGE})


@cache
def _digest_files(module: str, _path: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """What files give to `digest_code_parts`, and the user's modules among those that count.

    _path: sys.path, so that the cache is not used after sys.path changed.
    """
    modules = sorted(_find_counted_modules(module))
    # also the package of each module, in case it is installed
    packages = {
        name.split(".")[0] for counted in modules for name in (counted, *_list_imported_names(counted))
    } - {OWN_PACKAGE}
    users = [name for name in modules if _is_users_module(name)]
    parsed = {name: _parse_module(name) for name in users}
    texts = {name: code.texts for name, code in parsed.items() if code.version is None}
    parts = {
        "code": {name: _digest_module(name) for name in modules},
        **({"texts": texts} if any(code.reads_texts for code in parsed.values()) else {}),
        "packages": read_package_states(packages),
        "python": platform.python_version(),
    }
    return parts, users


def list_sources(module: str) -> dict[str, Path]:
    """The files of a user's module and of the user's modules that it imports; empty for other modules."""
    if not _is_users_module(module):
        return {}
    # slimgate imports no module of a user, so its modules need not be parsed.
    modules = sorted(_find_counted_modules(module, follow=_is_users_module))
    sources = {name: _find_source(name) for name in modules}
    return {name: file for name, file in sources.items() if file is not None}


def list_imports(file: Path) -> frozenset[str]:
    """The dotted names that a Python file imports, also inside functions; empty if it cannot be parsed.

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
def digest_own_code() -> str:
    """Digest of slimgate's own files, because its version does not change between releases."""
    root = Path(__file__).parents[1]
    return digest_folder(root, (path.relative_to(root).as_posix() for path in root.rglob("*.py")))


def forget() -> None:
    """Forgets the modules and distributions that this process has read, for tests that change them."""
    for cached in (
        _digest_files,
        _parse_module,
        _list_imported_names,
        _list_counted_imports,
        _digest_module,
        _find_source,
        digest_own_code,
        _find_version,
    ):
        cached.cache_clear()
    forget_distributions()


def read_versions(packages: Iterable[str]) -> Mapping[str, str | None]:
    """The installed versions of packages; None if a package is not installed."""
    return {name: _find_version(name) for name in sorted(packages)}


@cache
def _find_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _find_counted_modules(module: str, *, follow: Callable[[str], bool] = lambda _: True) -> set[str]:
    """The module, and all modules that it imports, directly or indirectly, and whose code counts.

    follow: whether an imported module belongs to the result, with those that it imports.
    """
    reached, todo = {module}, [module]
    while todo:
        for name in _list_counted_imports(todo.pop()):
            if name not in reached and follow(name):
                reached.add(name)
                todo.append(name)
    return reached


@cache
def _parse_module(module: str) -> SourceCode:
    file = _find_source(module)
    if file is None or file.suffix != ".py":  # a compiled module counts by its bytes
        return SourceCode()
    return parse_source(file.read_bytes())


@cache
def _find_source(module: str) -> Path | None:
    """The file of a module. Neither the module nor its packages are imported, which would load torch."""
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
def _list_counted_imports(module: str) -> frozenset[str]:
    """The imported modules whose code counts: of slimgate, of the same package, of a user's folders."""
    names = _list_imported_names(module)
    packages = {OWN_PACKAGE, module.split(".")[0]}
    users = module.split(".")[0] != OWN_PACKAGE
    named_modules = {
        name for name in names if name.split(".")[0] in packages or (users and _is_users_module(name))
    }
    return frozenset(name for name in named_modules if _find_source(name) is not None)


@cache
def _list_imported_names(module: str) -> frozenset[str]:
    """The dotted names that a module imports."""
    code, file = _parse_module(module), _find_source(module)
    names = set(code.modules)
    for level, origin, name in code.names:
        origin = _resolve_import(level, origin, module)
        if origin == OWN_PACKAGE:
            names.add(HOMES.get(name, f"{OWN_PACKAGE}.{name}"))
        else:
            names.update((origin, f"{origin}.{name}") if name else (origin,))
    if module.split(".")[0] != OWN_PACKAGE and UNKNOWN in names:
        names |= _list_siblings(module) | _list_named_modules(module)
    if file is not None and file.suffix == ".py" and _is_users_module(module):
        scripts = (path for path in _find_named_files(file).values() if path.suffix == ".py")
        names.update(name for path in scripts for name in list_imports(path))
    if OWN_PACKAGE in names:  # `import slimgate` may use everything that it exports
        names.update(HOMES.values())
    plain = {name.partition(":")[0] for name in names - {OWN_PACKAGE, UNKNOWN, ""}}
    if module.split(".")[0] != OWN_PACKAGE:
        users = [name for name in (module, *plain) if name.split(".")[0] != OWN_PACKAGE]
        plain.update(package for name in users for package in _list_parent_packages(name))
    return frozenset(plain)


def _list_parent_packages(name: str) -> Iterator[str]:
    """The packages around a module: a and a.b for a.b.c. Python runs their __init__.py too."""
    return accumulate(name.split(".")[:-1], lambda package, part: f"{package}.{part}")


def _list_siblings(module: str) -> set[str]:
    """The modules in a module's folder and below, because an import under a computed name may mean them."""
    file = _find_source(module)
    if file is None:
        return set()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return _list_modules(package, file.parent)


def _list_named_modules(module: str) -> set[str]:
    """The modules of users and of slimgate that the strings of a module name; of a package, all modules.

    An import under a computed name may mean them: `NAMES = ["tools.a"]`, f"tools.{name}".
    """
    file = _find_source(module)
    texts = set[str]() if file is None else list_path_texts(file.read_bytes())
    modules = set[str]()
    for name in {text.strip(".") for text in texts}:
        is_name = all(map(str.isidentifier, name.split(".")))
        counts = is_name and (name.split(".")[0] == OWN_PACKAGE or _is_users_module(name))
        if counts and (source := _find_source(name)) is not None:
            is_package = source.name == "__init__.py"
            modules |= _list_modules(name, source.parent) if is_package else {name}
    return modules


def _list_modules(package: str, folder: Path) -> set[str]:
    """The modules in a package's folder and below."""
    paths = (
        Path(name).with_suffix("")
        for name in list_files_below(folder, (".*", "__pycache__"))
        if name.endswith(".py")
    )
    dotted = (".".join(part for part in path.parts if part != "__init__") for path in paths)
    return {".".join(filter(None, (package, name))) for name in dotted}


def _is_users_module(name: str) -> bool:
    """Whether a module belongs to a user, and not to Python, slimgate or an installed distribution."""
    file, top = _find_source(name), name.split(".")[0]
    if file is None or top in sys.stdlib_module_names or top == OWN_PACKAGE:
        return False
    return _list_site_folders().isdisjoint(file.resolve().parents) or not is_distributed(top)


@cache
def _list_site_folders() -> frozenset[Path]:
    """The folders into which this Python installs packages."""
    return frozenset(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))


def _resolve_import(level: int, origin: str, module: str) -> str:
    """The absolute name of an imported module: a.helpers for `from .helpers import x` in a.b."""
    file = _find_source(module)
    parts = module.split(".")
    if file is None or file.name != "__init__.py":
        parts = parts[:-1]
    package = parts[: len(parts) - level + 1] if level else []
    return ".".join([*package, *([origin] if origin else [])])


@cache
def _digest_module(module: str) -> str:
    code, file = _parse_module(module), _find_source(module)
    if module.split(".")[0] == OWN_PACKAGE:
        return digest_json(code.digest)
    if code.version is not None:
        return digest_json(code.version)
    if file is not None and file.suffix != ".py":
        return file_sha256(file)
    named_files = {} if file is None or not _is_users_module(module) else _digest_named_files(file)
    return digest_json([code.digest, named_files] if named_files else code.digest)


def _list_paths(file: Path, name: str) -> tuple[Path, ...]:
    """The paths that a string of the module in `file` may mean; none if it is no file name."""
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
                digests[name] = digest_folder(path, list_files_below(path, (".*", "__pycache__")))
            else:
                # a file of the kernel, such as /proc/self/statm, has 0 bytes and changes all the time
                digests[name] = file_sha256(path) if path.stat().st_size else "empty"
    return digests


def _read_variables(module: str) -> dict[str, str]:
    """The values of the environment variables that a user's module reads by name, if they are set.

    A variable that is not set has the value that os.environ.setdefault gives it, before and after that call.

    Secrets are left out, and what pytest sets again for each test.
    """
    file = _find_source(module)
    if file is None or file.suffix != ".py" or _parse_module(module).version:
        return {}
    variables = list_variables(file.read_bytes())
    prefixes = tuple(name for name in variables if _PREFIX.fullmatch(name))
    names = {**dict.fromkeys(name for name in os.environ if name.startswith(prefixes)), **variables}
    return {
        name: value
        for name, default in sorted(names.items())
        if (value := os.environ.get(name, default)) is not None
        and not name.startswith("PYTEST_")
        and not SECRET.search(name)
    }


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
