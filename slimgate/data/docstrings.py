"""Plain prose in the docstrings of installed packages and of the standard library.

The source files are read with `ast`; nothing is imported or run. A docstring is cut into blocks at blank
lines. A block stays only if it is prose: every line at the docstring's own margin (so the indented bodies of
Parameters, Args:, directives and literal blocks go), no doctest, table, list item or field list, a capital
first letter and a closing full stop. Markup is then reduced to its text, and names that would give the
library away are masked.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import multiprocessing
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slimgate._system.distributions import list_owners
from slimgate._system.threads import choose_thread_count
from slimgate.errors import SuiteError

# A process takes half a second to start, and reads some 150 files in that time.
FILES_A_PROCESS, FILES_A_CHUNK = 500, 32
# The standard library's name in place of a package name.
STDLIB = "stdlib"
# Tests, vendored copies and shims are not the library's own prose.
SKIPPED = frozenset(
    {"tests", "test", "testing", "_vendor", "vendor", "vendored", "externals", "extern", "_vendored_packages"}
    | {"array_api_compat", "array_api_extra", "__pycache__"}
)
# Below the standard library's folder, but not part of it.
INSTALLED = frozenset({"site-packages", "dist-packages"})
# Names that would reveal the library of a paragraph, all masked whatever the labels are.
LIBRARY_NAMES = (
    "pytorch", "torchvision", "torchscript", "torchaudio", "torchrec", "torchdynamo", "torchinductor",
    "torch", "libtorch", "hugging face", "huggingface_hub", "huggingface", "sentence_transformers",
    "sentence-transformers", "transformers", "datasets library", "scikit-learn", "sklearn", "scikit",
    "scipy", "numpy", "np", "pandas", "pd", "sympy", "networkx", "nx", "pyarrow", "apache arrow",
    "pydantic", "pytest", "django", "nltk", "natural language toolkit", "sqlalchemy", "sql alchemy",
)  # fmt: skip

# The replacement of a masked name.
MASK = "library"

_FENCE = re.compile(r"^\s*(```|~~~).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
_UNDERLINE = re.compile(r"^\s*([-=~^\"'#*+])\1{2,}\s*$")
_NOT_PROSE = re.compile(
    r"^(\s|>>>|\.\.\.|\.\. |[-*+•] |\(?\d+[.)] |[-=+~]{3,}|[:@#|$%<!{\[]"
    r"|[\w*`, ]+ ?: *$|[\w.*`, ]+ : |[\w.]+\(.*\)$)"
)
_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),  # [text](target)
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),  # `text <target>`_
    (re.compile(r"\s*\[[\w#*]+\]_|\s*\[\d+\]"), ""),  # [1]_ and [1]
    (re.compile(r":[\w:+-]+:`[!~]?(?:[^`]*<)?([^`>]*)>?`"), r"`\1`"),  # :role:`target`
    (re.compile(r"\[`[~!]?([^`]*)`\]"), r"`\1`"),  # [`target`]
    (re.compile(r"`([^`]*)`_+"), r"\1"),  # `text`_
    (re.compile(r"\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])"), r"\1\2"),  # **bold**, *emphasis*
)
_CODE_SPAN = re.compile(r"``?([^`]+)``?")
_NAMES = re.compile(
    r"(?<![\w-])(?:" + "|".join(re.escape(name).replace(r"\ ", r"[\s_-]?") for name in LIBRARY_NAMES)
    + r")(?:\.\w+)*(?![\w-])",
    re.IGNORECASE,
)  # fmt: skip
_REJECTED = re.compile(
    r"https?:|www\.|[\\{}|<>=~^]|\[\[|__|::|\.\.\.|>>>|copyright|licen[sc]e|doctest", re.IGNORECASE
)
# Not after "e.g.", "i.e.", "et al.", "vs.", "cf.", nor after an initial.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<!\bvs\.)(?<!\bcf\.)(?<!\b[A-Z]\.)\s+(?=[A-Z\"'(])"
)


def list_source_files(package: str, *, asked_by: str) -> Iterator[tuple[str, Path]]:
    """`("pandas/core/frame.py", path)` for each of the package's own modules, by name.

    asked_by: the source that names the package in its errors. Raises SuiteError if it is not installed.
    """
    folder = locate_package(package, asked_by=asked_by)
    for name, path in sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*.py")):
        parts = name.split("/")
        skipped = SKIPPED | INSTALLED if package == STDLIB else SKIPPED
        if skipped.isdisjoint(parts) and not parts[-1].startswith("test_"):
            yield f"{package}/{name}", path


def locate_package(package: str, *, asked_by: str) -> Path:
    """The folder of a package. Raises SuiteError if no package of that name is installed."""
    if package == STDLIB:
        return Path(sysconfig.get_path("stdlib"))
    spec: Any = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise SuiteError(
            f'{asked_by}: no installed package is named "{package}"; pip install it, '
            "or remove it from the list"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def read_installed_versions(packages: Sequence[str]) -> dict[str, list[str]]:
    """The versions of packages' distributions, which identify their state.

    For a package without a distribution, or one that is installed in place (pip install -e), a digest of its
    files: these change without a new version.
    """
    versions = {
        package: _identify_versions(package, sorted(set(list_owners(package))))
        for package in packages
        if package != STDLIB
    }
    return {**versions, STDLIB: [platform.python_version()]} if STDLIB in packages else versions


def _identify_versions(package: str, distributions: Sequence[str]) -> list[str]:
    versions = sorted({importlib.metadata.version(name) for name in distributions})
    if versions and not any(map(_is_editable, distributions)):
        return versions
    total = hashlib.sha256()
    for name, path in list_source_files(package, asked_by="its digest"):
        total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return [*versions, total.hexdigest()]


def _is_editable(name: str) -> bool:
    origin = json.loads(importlib.metadata.distribution(name).read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


def list_docstrings(source: str) -> Iterator[str]:
    """Yield the dedented docstrings of a module, its classes and its functions, in the order written."""
    for _, text in list_named_docstrings(source):
        yield text


def list_named_docstrings(source: str) -> Iterator[tuple[str, str]]:
    """Yield `("Class.method", docstring)` in the order written; the module's own has the name "".

    Code that Python cannot parse has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return
    for name, node in list_documented_nodes(tree):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield name, inspect.cleandoc(text)


def list_documented_nodes(
    node: ast.AST, within: str = ""
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield a module, its classes and functions, also under ``if`` and ``try``, not those in functions.

    Each comes with its dotted name, which is empty for the module. within: the name of the class around the
    node.
    """
    name = within
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = f"{within}.{node.name}" if within else node.name
        yield name, node
        if not isinstance(node, ast.ClassDef):
            return
    elif isinstance(node, ast.Module):
        yield name, node
    for field in ("body", "handlers", "orelse", "finalbody"):
        for child in getattr(node, field, ()):
            if isinstance(child, ast.stmt | ast.excepthandler):
                yield from list_documented_nodes(child, name)


def list_prose_blocks(docstring: str) -> Iterator[str]:
    """Yield the blocks of a docstring that are plain prose, each on one line, markup still in place."""
    for block in re.split(r"\n\s*\n", _FENCE.sub("\n\n", docstring)):
        lines = block.strip("\n").rstrip().split("\n")
        if len(lines) > 1 and _UNDERLINE.match(lines[1]):  # a section's title
            lines = lines[2:]
        if any(lines) and not any(_NOT_PROSE.match(line) or _UNDERLINE.match(line) for line in lines):
            yield " ".join(lines)


def strip_markup(block: str, *, mask_names: bool) -> str:
    """Reduce markup to its text, and mask the libraries' names."""
    for pattern, replacement in _MARKUP:
        block = pattern.sub(replacement, block)
    block = _CODE_SPAN.sub(r"\1", block)
    if mask_names:
        block = _NAMES.sub(MASK, block)
    return re.sub(r"\s+([,.;)])", r"\1", " ".join(block.split()))


def is_prose(text: str, min_words: int, max_words: int) -> bool:
    """Say whether a text reads as prose of an accepted length: whole sentences, nearly all letters."""
    if not min_words <= len(text.split()) <= max_words:
        return False
    if not (text[0].isupper() and text[-1] == "." and text.isascii()) or _REJECTED.search(text):
        return False
    return sum(char.isalpha() or char == " " for char in text) >= 0.9 * len(text)


def read_paragraphs(paths: Sequence[Path], min_words: int, max_words: int) -> Iterator[list[str]]:
    """The accepted paragraphs of each file, in the order of the files.

    Thousands of files are read by a process on each core: parsing takes most of the time.
    """
    read = partial(read_file_paragraphs, min_words=min_words, max_words=max_words)
    workers = min(choose_thread_count(), len(paths) // FILES_A_PROCESS)
    if workers < 2:
        yield from map(read, paths)
        return
    from concurrent.futures import ProcessPoolExecutor

    # a fork would copy locks that threads of this process may hold; a syntax tree has no cycles to collect
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=fresh, initializer=gc.disable) as pool:
        yield from pool.map(read, paths, chunksize=FILES_A_CHUNK)


def read_file_paragraphs(path: Path, *, min_words: int, max_words: int) -> list[str]:
    """The accepted paragraphs of one source file, in the order they are written."""
    texts = (
        strip_markup(block, mask_names=True)
        for docstring in list_docstrings(read_source_text(path))
        for block in list_prose_blocks(docstring)
    )
    return [text for text in texts if is_prose(text, min_words, max_words)]


def read_source_text(path: Path) -> str:
    """The text of a source file; bytes that are not UTF-8 are replaced."""
    return path.read_bytes().decode("utf-8", errors="replace")


def split_sentences(text: str) -> list[str]:
    """The sentences of a paragraph: cut after a full stop, question or exclamation mark before a capital."""
    return _SENTENCE_END.split(text)
