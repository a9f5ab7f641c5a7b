"""The imports of a Python file, the files that it names, and a digest of its code, without importing it."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from slimgate._system.called_imports import list_called_imports

# A user's module that assigns this name counts by its value, and not by its code.
VERSION = "slimgate_version"
# The condition of blocks that only type checkers read.
_TYPES_ALONE = "TYPE_CHECKING"
_LONGEST_PATH = 256
# Code that is nested more deeply counts by its bytes: ast.dump takes up to four of Python's 1,000 frames for
# each level. The number is fixed, because the frames that are left depend on the caller.
_MOST_LEVELS = 100
_READS_TEXTS = re.compile(rb"\b(__doc__|getdoc|get_json_schema|use_attribute_docstrings)\b")
_WRITERS = frozenset({"write_text", "write_bytes", "touch"})
_VARIABLES = frozenset({"environ", "getenv"})
_WRITING_MODES = frozenset({"w", "wb", "wt", "a", "ab", "at", "x", "xb", "xt"})


@dataclass(frozen=True)
class SourceCode:
    """One file, parsed once.

    modules: the names of `import NAME` and of calls such as import_module("NAME"); UNKNOWN for a computed or
        a relative name.
    names: (level, module, name) of `from MODULE import NAME`; the level counts the dots of a relative import.
        The name is empty for a call such as import_module(".MODULE", __package__).
    digest: of the code without comments, layout, docstrings and strings under fields; of the whole file if
        its code has more than 100 levels.
    version: the value of VERSION, as Python would write it; None if the file does not assign it.
    texts: a digest of the docstrings and strings under fields. reads_texts: whether the code may read
        docstrings, such as a prompt in `__doc__`.
    """

    modules: frozenset[str] = frozenset()
    names: frozenset[tuple[int, str, str]] = frozenset()
    digest: str = ""
    version: str | None = None
    texts: str = ""
    reads_texts: bool = False


@cache
def parse_source(content: bytes) -> SourceCode:
    """Parses a Python file, without the top-level code under `if TYPE_CHECKING`, which never runs.

    Raises SyntaxError and ValueError for a file that Python cannot read, RecursionError and MemoryError for
    code that is nested too deeply for Python, in thousands of levels.
    """
    tree = ast.parse(content)
    tree.body = [statement for node in tree.body for statement in _list_run_statements(node)]
    modules, relative = list_called_imports(tree, content)
    names = {(level, name, "") for level, name in relative}
    texts: list[str] = []
    levels = 0
    for level in _iterate_levels(tree):
        levels += 1
        for node in level:
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update((node.level, node.module or "", alias.name) for alias in node.names)
            texts += _remove_texts(node)
    code = ast.dump(tree).encode() if levels <= _MOST_LEVELS else content
    digest = hashlib.sha256(code).hexdigest()
    return SourceCode(
        modules=frozenset(modules),
        names=frozenset(names),
        digest=digest,
        version=_read_version(tree),
        texts=hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest(),
        reads_texts=_READS_TEXTS.search(content) is not None,
    )


def _iterate_levels(tree: ast.AST) -> Iterator[list[ast.AST]]:
    """The nodes of a tree by level. Children are listed before the caller changes the nodes of a level."""
    level = [tree]
    while level:
        below = [child for node in level for child in ast.iter_child_nodes(node)]
        yield level
        level = below


def strip_code(content: bytes) -> bytes:
    """A Python file without comments and layout.

    The content itself, if Python cannot parse it or if it has more than 100 levels.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: thousands of levels
        return content
    levels = sum(1 for _ in _iterate_levels(tree))
    return ast.dump(tree).encode() if levels <= _MOST_LEVELS else content


def list_path_texts(content: bytes) -> set[str]:
    """The strings of a Python file that may name a file, and strings that are joined in a path.

    `folder / "data" / "words.txt"`, `join(folder, "data", "words.txt")` and
    `Path("data").joinpath("words.txt")` name data/words.txt. A string that occurs only in calls that write a
    file is left out, because such a file is no input.
    """
    texts = set[str]()
    nodes: list[ast.AST] = [ast.parse(content)]
    while nodes:
        node = nodes.pop()
        nodes += _list_read_parts(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.Call) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
            parts = _list_path_end(node)
            # The first ones may belong to a call that returns another folder: files("mytools") / "words.txt"
            texts.update("/".join(parts[start:]) for start in range(len(parts)))
    return {text for text in texts if text and len(text) < _LONGEST_PATH and "\n" not in text}


@cache
def list_variables(content: bytes) -> dict[str, str | None]:
    """The variables that a Python file reads by name: os.environ["A"], os.environ.get("A"), os.getenv("A").

    Returns name -> default: "b" for os.environ.setdefault("A", "b"), and None for all other calls.

    If the file computes the name of a variable, as in os.environ[name], or uses os.environ in another way, as
    in dict(os.environ), each of its strings counts as a name, or as the beginning of names if it ends with _.
    What the file sets itself does not count: the value depends on whether that code has run.
    """
    read, defaults = set[str](), dict[str, str | None]()
    written, strings, is_computed = set[str](), set[str](), False
    mentions, understood = set[ast.AST](), set[ast.AST]()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
        if isinstance(node, ast.Name | ast.Attribute) and _get_last_name(node) in _VARIABLES:
            mentions.add(node)
        if isinstance(node, ast.alias) and node.name in _VARIABLES and node.asname not in (None, node.name):
            is_computed = True
        use = _find_variable_use(node)
        if use is None:
            continue
        understood.add(use.source)
        if use.key is None:
            continue
        if not isinstance(use.key, ast.Constant):
            is_computed = is_computed or use.is_read
        elif isinstance(use.default, ast.Constant):
            defaults[str(use.key.value)] = str(use.default.value)
        else:
            (read if use.is_read else written).add(str(use.key.value))
    names = read | strings if is_computed or mentions - understood else read
    return {name: defaults.get(name) for name in (names | set(defaults)) - written}


class _VariableUse(NamedTuple):
    """A place where code uses a variable of the environment.

    source: the expression that means os.environ or os.getenv. key: the expression that names the variable;
    None for update, which only sets variables. default: the value that setdefault gives it. is_read: whether
    the place reads the variable and does not set it.
    """

    source: ast.expr
    key: ast.expr | None
    default: ast.expr | None
    is_read: bool


def _find_variable_use(node: ast.AST) -> _VariableUse | None:
    if isinstance(node, ast.Subscript) and _get_last_name(node.value) == "environ":
        return _VariableUse(node.value, node.slice, None, isinstance(node.ctx, ast.Load))
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        source = node.comparators[0]
        is_of_environ = _get_last_name(source) == "environ"
        return _VariableUse(source, node.left, None, is_read=True) if is_of_environ else None
    if not isinstance(node, ast.Call):
        return None
    arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
    if arguments and _get_last_name(node.func) == "getenv":
        return _VariableUse(node.func, arguments[0], None, is_read=True)
    if arguments and isinstance(node.func, ast.Attribute) and _get_last_name(node.func.value) == "environ":
        source = node.func.value
        if node.func.attr in ("get", "pop"):
            return _VariableUse(source, arguments[0], None, is_read=True)
        if node.func.attr == "setdefault":
            return _VariableUse(source, arguments[0], arguments[-1], is_read=False)
        if node.func.attr == "update":
            return _VariableUse(source, None, None, is_read=False)
    return None


def _get_last_name(node: ast.expr) -> str | None:
    """`environ` of os.environ and of environ."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _list_read_parts(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node, without the path of open(PATH, "w"), PATH.open("a") and PATH.write_text(words)."""
    if not isinstance(node, ast.Call):
        return ast.iter_child_nodes(node)
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node.func, ast.Name) and node.func.id == "open" and _is_writing_mode(values[1:2]):
        return iter(values[1:])
    if isinstance(node.func, ast.Attribute) and (
        node.func.attr in _WRITERS or (node.func.attr == "open" and _is_writing_mode(values[:1]))
    ):
        return iter(values)
    return ast.iter_child_nodes(node)


def _is_writing_mode(values: list[ast.expr]) -> bool:
    return any(isinstance(value, ast.Constant) and value.value in _WRITING_MODES for value in values)


def _list_path_end(node: ast.expr) -> list[str]:
    """The strings that a path ends with: c and d of a / b / "c" / "d", and of Path("c").joinpath("d")."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_list_path_end(node.left), *_list_path_end(node.right)]
    if isinstance(node, ast.Call):
        parts: list[ast.expr] = [part for part in node.args if isinstance(part, ast.Constant)]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "joinpath":
            parts.insert(0, node.func.value)
        return [text for part in parts for text in _list_path_end(part)]
    return []


def _read_version(tree: ast.Module) -> str | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(t, ast.Name) and t.id == VERSION for t in targets):
            return ast.unparse(value)
    return None


def _list_run_statements(node: ast.stmt) -> list[ast.stmt]:
    """The statement, or for `if TYPE_CHECKING` the else branch: the body is only for type checkers."""
    return node.orelse if isinstance(node, ast.If) and _is_for_types(node.test) else [node]


def _is_for_types(test: ast.expr) -> bool:
    """Whether a condition is TYPE_CHECKING or typing.TYPE_CHECKING."""
    if isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name) and test.value.id == "typing":
        return test.attr == _TYPES_ALONE
    return isinstance(test, ast.Name) and test.id == _TYPES_ALONE


def _remove_texts(node: ast.AST) -> list[str]:
    """Removes strings that are statements, and returns them: docstrings, and the texts under fields."""
    texts: list[str] = []
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(node, name, None)
        if isinstance(statements, list):
            texts += [statement.value.value for statement in statements if _is_text(statement)]
            setattr(node, name, [statement for statement in statements if not _is_text(statement)])
    return texts


def _is_text(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
