"""A run that is stopped, by Ctrl-C or SIGTERM: record and report are written, and it says what is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from slimgate._system.signals import handle_on_own_stack

if TYPE_CHECKING:
    from slimgate.plugin.session import Session

TERMINATED, INTERRUPTED = "SIGTERM", "Ctrl-C"


class Stopping:
    """Takes SIGTERM, which would end the process at once, as Ctrl-C is taken; has the last word of a run.

    A KeyboardInterrupt that Python raises in a destructor or a callback is printed and lost. So the signal is
    remembered, and no test begins after it.
    """

    def __init__(self, state: Session, config: pytest.Config) -> None:
        self._state, self._config = state, config
        self._by: str | None = None
        self._take(signal.SIGTERM, signal.SIG_DFL, self._on_terminate)
        self._take(signal.SIGINT, signal.default_int_handler, self._on_interrupt)
        handle_on_own_stack(signal.SIGINT, signal.SIGTERM)

    def _take(self, number: signal.Signals, usual: Any, handler: Callable[[int, object], None]) -> None:
        """Until the run ends, unless somebody else has a say in the signal, or this thread has none."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(number) is usual:
            signal.signal(number, handler)
            self._config.add_cleanup(partial(_give_back, number, usual))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> None:
        """Raises the KeyboardInterrupt of a signal again that did not reach pytest."""
        if self._by is not None and not self._state.stopped:
            raise KeyboardInterrupt(self._by)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remembers who stopped the run; nothing is begun any more."""
        if excinfo.errisinstance(KeyboardInterrupt):
            self._by = self._by or INTERRUPTED
            self._state.stopped = True

    def _on_terminate(self, _number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the writing off
        self._by = TERMINATED  # what is raised may come out as another one: Ray, in C, makes it anew
        raise KeyboardInterrupt(TERMINATED)

    def _on_interrupt(self, _number: int, _frame: object) -> None:
        self._by = INTERRUPTED
        raise KeyboardInterrupt

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Says it below everything else."""
        result = yield
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._by is not None and reporter is not None:
            for line in kept_lines(self._state, self._by):
                reporter.write_line(line)
        return result


def _give_back(number: signal.Signals, usual: Any) -> None:
    signal.signal(number, usual)


def kept_lines(state: Session, by: str) -> Iterator[str]:
    """What a stopped run has left, and how to go on."""
    store = os.path.relpath(state.store_root)
    yield f"slimgate: stopped by {by}. Kept: finished steps and answers, in {store}"
    for path, record in state.records.items():
        where, missing = os.path.relpath(state.folder(path) / "run.json"), record.verdict.missing
        done = state.checks(path) - missing
        yield f"slimgate: {done} of {state.checks(path)} checks of {record.suite.path} are in {where}"
    yield "slimgate: run the same command again, it goes on from there; only what is timed is timed anew"
