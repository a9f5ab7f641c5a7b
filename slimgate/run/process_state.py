"""Keeps what one model's code does to the process away from the other models of the run.

A step or a runtime may replace a function of PyTorch or transformers, such as `torch.nn.Linear.forward`. Then
every model of the process computes with it, the teacher too: a ruined variant would equal a ruined teacher.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING

from slimgate.errors import BuildError

if TYPE_CHECKING:
    import torch

WATCHED = ("torch.nn.", "torch._tensor", "transformers.")
PACKAGES = ("torch", "transformers")
SHOWN = 3

Owner = ModuleType | type
Names = list[tuple[Owner, dict[str, object]]]


@contextmanager
def guard_process_state() -> Iterator[None]:
    """Resets what the code inside changed in the process: settings of torch, environment, working folder.

    Raises:
        BuildError: the code replaced functions of PyTorch or transformers. They are put back.
    """
    names, settings = _copy_names(), _read_torch_settings()
    environment, folder = dict(os.environ), os.getcwd()
    try:
        yield
    finally:
        _set_torch_settings(settings)
        # one by one, because other threads may start processes meanwhile
        for name in environment.keys() | os.environ.keys():
            if name not in environment:
                del os.environ[name]
            elif os.environ.get(name) != environment[name]:
                os.environ[name] = environment[name]
        os.chdir(folder)
        replaced = _put_back(names)
    if replaced:
        more = f" and {len(replaced) - SHOWN} more" if len(replaced) > SHOWN else ""
        raise BuildError(
            f"{', '.join(replaced[:SHOWN])}{more} was replaced, which changes every model of this process, "
            "the teacher too; change only the model that the step or the runtime gets"
        )


@dataclass(frozen=True)
class _TorchSettings:
    dtype: torch.dtype
    has_grad: bool
    is_deterministic: bool
    only_warns: bool


def _read_torch_settings() -> _TorchSettings | None:
    """The settings that every model of the process uses; None without torch, as if all models are servers."""
    if "torch" not in sys.modules:
        return None
    import torch

    return _TorchSettings(
        dtype=torch.get_default_dtype(),
        has_grad=torch.is_grad_enabled(),
        is_deterministic=torch.are_deterministic_algorithms_enabled(),
        only_warns=torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_torch_settings(settings: _TorchSettings | None) -> None:
    if settings is None:
        return
    import torch

    torch.set_default_dtype(settings.dtype)
    torch.set_grad_enabled(settings.has_grad)
    torch.use_deterministic_algorithms(settings.is_deterministic, warn_only=settings.only_warns)


def _copy_names() -> Names:
    """The names in each watched module and class, and what they name."""
    owners: dict[int, Owner] = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.startswith(WATCHED):
            owners[id(module)] = module
            owners |= {id(class_): class_ for class_ in _list_classes(module, len(vars(module)))}
    return [(owner, dict(vars(owner))) for owner in owners.values()] + _copy_cpp_functions()


@cache
def _list_classes(module: ModuleType, _count: int) -> list[type]:
    """The classes of PyTorch and transformers in a module. Searched again only if it has more names."""
    return [
        value
        for value in list(vars(module).values())
        if isinstance(value, type) and value.__module__.startswith(PACKAGES)
    ]


def _copy_cpp_functions() -> Names:
    """The functions of `torch` itself that are written in C++.

    Those in Python are settings such as `manual_seed`, which libraries wrap when they are imported.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    return [(torch, {k: v for k, v in list(vars(torch).items()) if isinstance(v, BuiltinFunctionType)})]


def _put_back(names: Names) -> list[str]:
    """Puts functions back that are no longer in their place. Returns their names."""
    replaced = [
        (owner, name, value)
        for owner, of_owner in names
        for name, value in of_owner.items()
        if vars(owner).get(name) is not value and callable(value)
    ]
    for owner, name, function in replaced:
        setattr(owner, name, function)
    return [f"{_name_owner(owner)}.{name}" for owner, name, _ in replaced]


def _name_owner(owner: Owner) -> str:
    if isinstance(owner, ModuleType):
        return owner.__name__
    return f"{owner.__module__}.{owner.__qualname__}"
