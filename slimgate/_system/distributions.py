"""Installed distributions: the packages that they install, their requirements, and their state.

    read_package_states({"sklearn"})    {"joblib": "1.5.2", "numpy": "2.4.0", "scikit-learn": "1.9.0", …}

It reads the headers and the file lists of all distributions once per process, in about 0.1 s. It imports
nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from email import message_from_string
from email.message import Message
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from slimgate._system.source_code import strip_code

# Distributions that move files, talk to servers, draw on terminals or install packages. All others count.
NEVER_COMPUTE = frozenset(
    {"aiohappyeyeballs", "aiohttp", "aiosignal", "annotated-doc", "anyio", "certifi", "charset-normalizer"}
    | {"click", "colorama", "filelock", "frozenlist", "fsspec", "h11", "hf-xet", "httpcore", "httpx", "idna"}
    | {"huggingface-hub", "iniconfig", "markdown-it-py", "mdurl", "multidict", "packaging", "pip"}
    | {"pluggy", "propcache", "py-cpuinfo", "pygments", "pytest", "requests", "rich", "setuptools"}
    | {"shellingham", "sniffio", "tqdm", "tqdm-multiprocess", "typer", "typer-slim", "typing-extensions"}
    | {"urllib3", "wheel", "yarl"}
)
OWN_DISTRIBUTION = "slimgate"
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r";.*\bextra\s*==")
# A line of RECORD up to its first slash: the folder of a package, or a module's file.
_RECORDED_NAME = re.compile(r"([A-Za-z_]\w*)(?:/|\.[\w.-]*(?:py|so|pyd),)")


def read_package_states(packages: Iterable[str]) -> dict[str, str]:
    """The state of each distribution that installs one of the packages, and of its requirements.

    packages: names as they are imported. A package that no distribution installs is left out.
    """
    installed = _list_installed(tuple(sys.path))
    todo = [name for package in packages for name in installed.owners.get(package, ())]
    states: dict[str, str] = {}
    while todo:
        name = todo.pop()
        distribution = installed.by_name.get(name)
        if distribution is None or name in states or name in NEVER_COMPUTE or name == OWN_DISTRIBUTION:
            continue
        states[name] = _read_state(distribution)
        todo += _list_requirements(distribution)
    return dict(sorted(states.items()))


def is_distributed(package: str) -> bool:
    """Whether a distribution installs the package."""
    return bool(list_owners(package))


def list_owners(package: str) -> list[str]:
    """The normalized names of the distributions that install a package."""
    return _list_installed(tuple(sys.path)).owners.get(package, [])


def forget_distributions() -> None:
    """Forgets everything that was read about distributions."""
    for function in (_list_installed, _read_state, _list_requirements, _read_headers):
        function.cache_clear()


class _Installed:
    """The installed distributions.

    by_name: distributions by normalized names. owners: by import names, the names of the distributions that
    install that package.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, Distribution] = {}
        self.owners: defaultdict[str, list[str]] = defaultdict(list)


@cache
def _list_installed(_path: tuple[str, ...]) -> _Installed:
    """_path: sys.path, so that the cache is not used after sys.path changed."""
    installed = _Installed()
    for distribution in importlib.metadata.distributions():
        name = _normalize_name(_read_headers(distribution)["Name"] or "")
        if not name or name in installed.by_name:  # the first one on the path is imported
            continue
        installed.by_name[name] = distribution
        for package in _list_import_names(distribution):
            installed.owners[package].append(name)
    return installed


def _list_import_names(distribution: Distribution) -> set[str]:
    """Top-level names that a distribution installs; if it is installed in place, those of its folder too."""
    top_level = set((distribution.read_text("top_level.txt") or "").split())
    if (folder := _find_folder_in_place(distribution)) is not None:
        code_folders = [path for path in (folder, folder / "src") if path.is_dir()]
        files = [path for code_folder in code_folders for path in code_folder.iterdir()]
        packages = {path.stem for path in files if path.suffix == ".py" or (path / "__init__.py").is_file()}
        return packages | top_level
    record = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt") or ""
    starts = {line[: line.find("/") + 1] or line for line in record.splitlines()}
    names = {match[1] for start in starts if (match := _RECORDED_NAME.match(start))} | top_level
    return names or {_normalize_name(_read_headers(distribution)["Name"]).replace("-", "_")}


@cache
def _read_headers(distribution: Distribution) -> Message:
    """The headers of METADATA. `Distribution.metadata` would parse the long description too."""
    texts = map(distribution.read_text, ("METADATA", "PKG-INFO", ""))
    return message_from_string(next(filter(None, texts), "").partition("\n\n")[0])


def _normalize_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _list_requirements(distribution: Distribution) -> tuple[str, ...]:
    """The normalized names of a distribution's requirements, without those of its extras."""
    requirements = _read_headers(distribution).get_all("Requires-Dist") or distribution.requires or ()
    without_extras = [requirement for requirement in requirements if not _EXTRA.search(requirement)]
    names = (match[1] for requirement in without_extras if (match := _REQUIREMENT.match(requirement)))
    return tuple(map(_normalize_name, names))


@cache
def _read_state(distribution: Distribution) -> str:
    """The version; if the distribution is not from an index, also a digest.

    The digest is of RECORD, and of the files if the distribution is installed in place.
    """
    origin = _read_origin(distribution)
    if not origin:
        return str(_read_headers(distribution)["Version"])
    digest = hashlib.sha256((distribution.read_text("RECORD") or "").encode())
    if (folder := _find_folder_in_place(distribution)) is not None:
        for name in sorted(_list_import_names(distribution)):
            for package in (folder / name, folder / "src" / name):
                for path in sorted([package.with_suffix(".py"), *package.rglob("*")]):
                    if path.is_file() and "__pycache__" not in path.parts:
                        digest.update(f"{path.relative_to(folder)}\0{_digest_file(path)}\0".encode())
    return f"{_read_headers(distribution)['Version']} {digest.hexdigest()[:32]}"


def _digest_file(path: Path) -> str:
    """The digest of a file; for Python code that can be parsed, without comments and layout."""
    content = path.read_bytes()
    if path.suffix == ".py":
        content = strip_code(content)
    return hashlib.sha256(content).hexdigest()


def _read_origin(distribution: Distribution) -> Mapping[str, Any]:
    """The content of direct_url.json, which a distribution that is not from an index has; else empty."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return origin if isinstance(origin, dict) else {}


def _find_folder_in_place(distribution: Distribution) -> Path | None:
    """The folder of a distribution that is installed in place (pip install -e); else None."""
    origin = _read_origin(distribution)
    if not origin.get("dir_info", {}).get("editable"):
        return None
    folder = Path(unquote(urlsplit(str(origin.get("url", ""))).path))
    return folder if folder.is_dir() else None
