"""Imports OpenVINO and nncf when they are needed."""

from __future__ import annotations

import logging
import signal
from functools import cache
from typing import Any

from slimgate._system.import_extra import import_extra
from slimgate._system.quiet import silent
from slimgate._system.signals import handle_on_own_stack


def load_openvino(user: str) -> Any:
    """Imports the package. user: what needs it. Raises MissingExtra."""
    _decline_telemetry()
    openvino = import_extra("openvino", "openvino", user)
    handle_on_own_stack(signal.SIGINT, signal.SIGTERM)
    return openvino


@cache
def _decline_telemetry() -> None:
    """Otherwise OpenVINO and nncf send events to Google Analytics, and fork this process for each of them.

    A conversion sends 35 events. OpenVINO reads the consent when it is imported, and at the first conversion.
    """
    try:
        from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker
    except ModuleNotFoundError:  # OpenVINO works without it
        return
    OptInChecker.check = lambda *_, **__: ConsentCheckResult.DECLINED


@cache
def make_compiling_core() -> Any:
    """The openvino.Core that compiles slimgate's graphs in this process, and lives as long as the process.

    If cores are made and freed, the process may end at the next signal (slimgate/_system/signals.py).
    """
    return load_openvino("runtime openvino").Core()


def load_nncf(user: str) -> Any:
    """Imports nncf, which logs only errors. Raises MissingExtra.

    It sets its class as that of every later logger of the process, and transformers cannot log once with it.
    So the previous class is set again.
    """
    load_openvino(user)
    before = logging.getLoggerClass()
    with silent():
        try:
            return import_extra("nncf", "openvino", user)
        finally:
            logging.setLoggerClass(before)
