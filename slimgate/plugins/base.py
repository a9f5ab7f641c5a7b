"""Helpers of all kinds of plug-ins: options, progress, batches."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, get_args, get_origin

import numpy.typing as npt
from pydantic import BaseModel

from slimgate.plugins.params import Table

Arrays = Mapping[str, npt.NDArray[Any]]
Json = dict[str, Any]
P = TypeVar("P", bound=BaseModel)
T = TypeVar("T")


class WithParams(ABC, Generic[P]):
    """A plug-in with options. `Params` is the type in brackets, or a class inside the plug-in.

    A plug-in without either has no options.
    """

    Params: type[P]

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if not issubclass(get_origin(base) or object, WithParams):
                continue
            for parameter in get_args(base):
                table = parameter.__bound__ if isinstance(parameter, TypeVar) else parameter
                if not isinstance(table, type) or table is Any:
                    continue
                if not issubclass(table, BaseModel):
                    raise TypeError(
                        f"{cls.__name__}: its options are {table.__name__}, which is not a subclass of "
                        "slimgate.Table"
                    )
                cls.Params = Table if table is BaseModel else table  # type: ignore[assignment]


Progress = Callable[[str, int, int], None]


def no_progress(task: str, done: int, total: int) -> None:
    """Ignores progress. Callers that show no progress pass it as their callback.

    Args:
        task: the activity, such as "train rows", as a user reads it.
        done: the number of units that are done, such as rows.
        total: the number of all units.
    """


def iter_batches(order: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Batches of `size` consecutive positions or rows. The last one may be smaller."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
