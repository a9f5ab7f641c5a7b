"""OpenVINO and nncf, imported where they are needed."""

from __future__ import annotations

import logging
import signal
from functools import cache
from typing import Any

from slimgate._system.import_extra import import_extra
from slimgate._system.quiet import silent
from slimgate._system.signals import handle_on_own_stack


def load_openvino(user: str) -> Any:
    """The package. user: what needs it. Raises MissingExtra."""
    openvino = import_extra("openvino", "openvino", user)
    handle_on_own_stack(signal.SIGINT, signal.SIGTERM)
    return openvino


@cache
def compiling_core() -> Any:
    """The openvino.Core that compiles slimgate's graphs of this process, and lives as long as it.

    Where several come and go, the process may end at the next signal (slimgate/_system/signals.py).
    """
    return load_openvino("runtime openvino").Core()


def load_nncf(user: str) -> Any:
    """nncf, which logs nothing below an error. Raises MissingExtra.

    It makes its own class that of every later logger of the process, and transformers cannot log once by it.
    So the class from before is set again.
    """
    load_openvino(user)
    before = logging.getLoggerClass()
    with silent():
        try:
            return import_extra("nncf", "openvino", user)
        finally:
            logging.setLoggerClass(before)
