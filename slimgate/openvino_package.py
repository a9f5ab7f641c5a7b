"""OpenVINO and nncf, imported where they are needed."""

from __future__ import annotations

from functools import cache
from typing import Any

from slimgate.errors import MissingExtra
from slimgate.silence import silent

EXTRA = 'pip install "slimgate[openvino]"'


def load_openvino(user: str) -> Any:
    """The package. user: what needs it. Raises MissingExtra."""
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra(f"{user} needs an extra: {EXTRA}") from error
    return openvino


@cache
def compiling_core() -> Any:
    """The openvino.Core that compiles all graphs of this process, and lives as long as it.

    A Core that compiles for the CPU gives signal handlers a stack of its own, and where it goes it puts back
    the one before, which an earlier Core may have taken along: the next signal, Ctrl-C among them, would end
    the process by SIGSEGV.
    """
    return load_openvino("runtime openvino").Core()


def load_nncf(user: str) -> Any:
    """nncf, which logs nothing below an error. Raises MissingExtra."""
    load_openvino(user)
    with silent():
        try:
            import nncf
        except ImportError as error:
            raise MissingExtra(f"{user} needs an extra: {EXTRA}") from error
    return nncf
