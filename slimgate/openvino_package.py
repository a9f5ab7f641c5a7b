"""OpenVINO and nncf, imported where they are needed."""

from __future__ import annotations

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


def load_nncf(user: str) -> Any:
    """nncf, which logs nothing below an error. Raises MissingExtra."""
    load_openvino(user)
    with silent():
        try:
            import nncf
        except ImportError as error:
            raise MissingExtra(f"{user} needs an extra: {EXTRA}") from error
    return nncf
