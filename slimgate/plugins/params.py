"""The base class of the tables of a suite, which are strict and frozen; and the paths in a suite.

The string under a field describes the field:

    bits: int = 4
    "Bits of a weight."

pydantic has the option use_attribute_docstrings for this. It reads the source of every class when the class
is made, which took 0.5 s of collecting the suites. Here the source is read when a text is needed.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from itertools import pairwise, zip_longest
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, Strict, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from slimgate.errors import format_suggestion

# The names that a variant may have.
VARIANT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
# The types that an array and a table of TOML fit. Of a union, such as `list[int] | str`, the first counts.
_ARRAYS, _TABLES = (tuple, list, Sequence, set, frozenset), (dict, Mapping)


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


def suite_path(base: Path, text: str, *, home: bool = False) -> Path:
    """The absolute path that a text in a file means.

    base: the folder of the file; the path may lead out of it. home: whether ~ is the home folder. Raises
    ValueError for a NUL, a name that is too long, a loop of links, a folder without permission, or the home
    of an unknown user.
    """
    try:
        path = Path(base, Path(text).expanduser() if home else text).resolve()
        path.exists()  # raises the error that opening it would raise
    except OSError as error:
        raise ValueError(f"{text[:80]!r} cannot be opened: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # a loop of links, the home of an unknown user; a NUL
        raise ValueError(f"{text[:80]!r} is not a path: {str(error).partition(' from ')[0]}") from error
    return path


class Located(str):
    """A string of a suite file that remembers the folder of its file."""

    base: Path

    @classmethod
    def at(cls, text: str, base: Path) -> Located:
        located = cls(text)
        located.base = base
        return located


def resolve_path(value: object) -> Any:
    """Makes a path of a suite absolute, from the folder of its file."""
    if isinstance(value, str):
        return suite_path(getattr(value, "base", Path.cwd()), value)
    return value


SuitePath = Annotated[Path, BeforeValidator(resolve_path), Strict(False)]


def fit_arrays(value: Any, annotation: Any) -> Any:
    """The value with lists and sets where the annotation has them, at any depth.

    Arrays of TOML are read as tuples, because most tables have tuples, and the tables are strict.
    """
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Annotated:
        return fit_arrays(value, inner[0])
    if kind is Union or kind is UnionType:
        choices = {get_origin(choice) or choice: choice for choice in inner}
        fitting = _TABLES if isinstance(value, dict) else _ARRAYS
        return fit_arrays(value, next((choices[choice] for choice in fitting if choice in choices), None))
    if isinstance(value, dict) and kind in _TABLES and inner:
        return {key: fit_arrays(item, inner[1]) for key, item in value.items()}
    if not isinstance(value, tuple) or kind not in _ARRAYS:
        return value
    annotations = [*inner] if kind is tuple and ... not in inner else [*inner[:1]] * len(value)
    items = [fit_arrays(*pair) for pair in zip_longest(value, annotations[: len(value)])]
    if kind in (set, frozenset) and all(isinstance(item, Hashable) for item in items):
        return kind(items)
    return items if kind is list else tuple(items)


class Table(BaseModel):
    """A table of a suite, which suggests names for unknown keys.

    not_yet: planned keys, which raise an error. exactly_one: keys of which a table must have exactly one.

    The string under a field describes the option. `slimgate steps`, the JSON Schema and the reference pages
    of the docs show it:

        bits: int = Field(default=4, ge=2, le=8)
        \"""Bits of a weight in the linear layers.\"""
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
    not_yet: ClassVar[frozenset[str]] = frozenset()
    exactly_one: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: object) -> object:
        """Refuses unknown keys, and fits arrays to the annotations of their fields."""
        if not isinstance(data, dict):
            return data
        annotations = {field.alias or name: field.annotation for name, field in cls.model_fields.items()}
        for key in data:
            if key in cls.not_yet:
                raise PydanticCustomError("not_yet", "{key} is not supported yet", {"key": str(key)})
            if key not in annotations:
                hint = format_suggestion(str(key), annotations.keys() - cls.not_yet) or "; it has no options"
                raise PydanticCustomError(
                    "unknown_key", "unknown key {key}{hint}", {"key": str(key), "hint": hint}
                )
        return {key: fit_arrays(value, annotations[key]) for key, value in data.items()}

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        stated = [key for key in self.exactly_one if getattr(self, key) is not None]
        if self.exactly_one and len(stated) != 1:
            actual = " and ".join(stated) or "none of them"
            raise ValueError(f"{actual} given, expected exactly one of {', '.join(self.exactly_one)}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        texts = read_field_texts(cls, Table)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in cls.model_fields.items():
            if name in texts:
                properties[field.alias or name].setdefault("description", texts[name])
        return schema
