"""Ctrl-C and SIGTERM: a stopped run still writes record and report, and says what is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from slimgate._system.signals import handle_on_own_stack
from slimgate.plugin.session import Session

TERMINATED = "SIGTERM"


class Stopping:
    """Handles SIGTERM, which would end the process at once, like Ctrl-C; prints a stopped run's last lines.

    A KeyboardInterrupt that Python raises in a destructor or a callback is printed and lost. This class
    remembers it, and raises it again before the next test begins.
    """

    def __init__(self, state: Session, config: pytest.Config) -> None:
        self._state, self._config = state, config
        self._stopped_by: str | None = None
        self._has_lost_interrupt = False
        if _can_handle_sigterm():
            signal.signal(signal.SIGTERM, self._on_terminate)
            config.add_cleanup(_restore_default_handler)
        self._watch_lost_interrupts()
        handle_on_own_stack(signal.SIGINT, signal.SIGTERM)

    def _watch_lost_interrupts(self) -> None:
        """Remembers, until the run ends, whether Python had a KeyboardInterrupt that it could not raise."""
        previous_hook = sys.unraisablehook

        def hook(unraisable: sys.UnraisableHookArgs) -> None:
            if issubclass(unraisable.exc_type, KeyboardInterrupt):
                self._has_lost_interrupt = True
            previous_hook(unraisable)

        def restore_hook() -> None:
            if sys.unraisablehook is hook:
                sys.unraisablehook = previous_hook

        sys.unraisablehook = hook
        self._config.add_cleanup(restore_hook)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> None:
        """Raises again a KeyboardInterrupt that was lost."""
        if self._has_lost_interrupt:
            self._has_lost_interrupt = False
            raise KeyboardInterrupt

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remembers which signal stopped the run; no further work begins."""
        # pytest's Interrupted, raised for files that cannot be collected, is a KeyboardInterrupt too
        if excinfo.errisinstance(KeyboardInterrupt) and not excinfo.errisinstance(pytest.Session.Interrupted):
            self._stopped_by = self._stopped_by or "Ctrl-C"
            self._state.stopped = True

    def _on_terminate(self, _number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not interrupt the writing
        # remembered here, because Ray's C code raises a new exception in place of this one
        self._stopped_by = TERMINATED
        raise KeyboardInterrupt(TERMINATED)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Prints the closing lines below everything else."""
        result = yield
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._stopped_by is not None and reporter is not None:
            for line in list_saved_work(self._state, self._stopped_by):
                reporter.write_line(line)
        return result


def list_saved_work(state: Session, stopped_by: str) -> Iterator[str]:
    """Lines that say what a stopped run has kept, and how to continue. stopped_by: SIGTERM or Ctrl-C."""
    store = os.path.relpath(state.settings.store_root)
    yield f"slimgate: stopped by {stopped_by}. Kept: finished steps and answers, in {store}"
    yield from (f"slimgate: {error}" for error in state.list_problems())
    for path, record in state.records.items():
        where, missing = os.path.relpath(state.find_folder(path) / "run.json"), record.verdict.missing
        done = state.count_checks(path) - missing
        yield f"slimgate: {done} of {state.count_checks(path)} checks of {record.suite.path} are in {where}"
    yield "slimgate: run the same command again, it continues from there; only timings are repeated"


def _can_handle_sigterm() -> bool:
    """Whether no other handler of SIGTERM is set, and this thread may set one."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    return is_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _restore_default_handler() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
