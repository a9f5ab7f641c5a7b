"""OpenVINO and nncf, imported where they are needed."""

from __future__ import annotations

import signal
from functools import cache
from typing import Any

from slimgate._system.quiet import silent
from slimgate._system.signals import handle_on_own_stack
from slimgate.errors import MissingExtra

EXTRA = 'pip install "slimgate[openvino]"'


def load_openvino(user: str) -> Any:
    """The package. user: what needs it. Raises MissingExtra."""
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra(f"{user} needs an extra: {EXTRA}") from error
    handle_on_own_stack(signal.SIGINT, signal.SIGTERM)
    return openvino


@cache
def compiling_core() -> Any:
    """The openvino.Core that compiles slimgate's graphs of this process, and lives as long as it.

    Where several come and go, the process may end at the next signal (slimgate/_system/signals.py).
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
