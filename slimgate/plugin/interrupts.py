"""A run that is stopped, by Ctrl-C or SIGTERM: record and report are written, and it says what is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from slimgate._system.signals import handle_on_own_stack

if TYPE_CHECKING:
    from slimgate.plugin.session import Session

TERMINATED = "SIGTERM"


class Stopping:
    """Takes SIGTERM, which would end the process at once, as Ctrl-C is taken; has the last word of a run.

    A KeyboardInterrupt that Python raises in a destructor or a callback is printed and lost. It is
    remembered, and raised again before the next test begins.
    """

    def __init__(self, state: Session, config: pytest.Config) -> None:
        self._state, self._config = state, config
        self._by: str | None = None
        self._lost = False
        if _is_ours():
            signal.signal(signal.SIGTERM, self._on_terminate)
            config.add_cleanup(_let_go)
        self._watch_lost()
        handle_on_own_stack(signal.SIGINT, signal.SIGTERM)

    def _watch_lost(self) -> None:
        """Until the run ends, sees the exceptions that Python could not raise."""
        usual = sys.unraisablehook

        def hook(unraisable: Any) -> None:
            self._lost = self._lost or issubclass(unraisable.exc_type, KeyboardInterrupt)
            usual(unraisable)

        def give_back() -> None:
            if sys.unraisablehook is hook:
                sys.unraisablehook = usual

        sys.unraisablehook = hook
        self._config.add_cleanup(give_back)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> None:
        """Raises a KeyboardInterrupt that was lost again."""
        if self._lost:
            self._lost = False
            raise KeyboardInterrupt

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remembers who stopped the run; nothing is begun any more."""
        if excinfo.errisinstance(KeyboardInterrupt):
            self._by = self._by or "Ctrl-C"
            self._state.stopped = True

    def _on_terminate(self, _number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the writing off
        self._by = TERMINATED  # what is raised may come out as another one: Ray, in C, makes it anew
        raise KeyboardInterrupt(TERMINATED)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Says it below everything else."""
        result = yield
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._by is not None and reporter is not None:
            for line in kept_lines(self._state, self._by):
                reporter.write_line(line)
        return result


def kept_lines(state: Session, by: str) -> Iterator[str]:
    """What a stopped run has left, and how to go on."""
    store = os.path.relpath(state.store_root)
    yield f"slimgate: stopped by {by}. Kept: finished steps and answers, in {store}"
    for path, record in state.records.items():
        where, missing = os.path.relpath(state.folder(path) / "run.json"), record.verdict.missing
        done = state.checks(path) - missing
        yield f"slimgate: {done} of {state.checks(path)} checks of {record.suite.path} are in {where}"
    yield "slimgate: run the same command again, it goes on from there; only what is timed is timed anew"


def _is_ours() -> bool:
    """Whether nobody else has a say in SIGTERM, and this thread may."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _let_go() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
