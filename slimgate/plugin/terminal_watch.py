"""Whether somebody watches a pytest run at a terminal, and what shows them how far it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest

from slimgate.report.terminal.live import LiveLines, can_draw
from slimgate.report.terminal.progress import PlainLines
from slimgate.run.progress import UNWATCHED, Watch


def watch_of(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Watch:
    """Live lines where they can be seen and spoil nothing; else a line a stage, unless -q asks for less."""
    if not _is_live(config, environment):
        return _plain_watch(config)
    # A descriptor of our own, as pytest's faulthandler has it: while a test runs, 1 is the capture's file.
    descriptor = os.dup(sys.stdout.fileno())
    config.add_cleanup(lambda: os.close(descriptor))
    writer = config.get_terminal_writer()
    lines = LiveLines(descriptor, lambda: writer.width_of_current_line, colour=writer.hasmarkup)
    config.pluginmanager.register(_Debugger(lines), "slimgate-live")
    return lines


def _plain_watch(config: pytest.Config) -> Watch:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < 0:
        return UNWATCHED

    def write(line: str) -> None:
        capture: Any = config.pluginmanager.get_plugin("capturemanager")
        # while a test runs, what is written to standard output is the test's
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter.write_line(line)
            reporter.flush()

    return PlainLines(write)


def _is_live(config: pytest.Config, environment: Mapping[str, str]) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return (
        reporter is not None
        and reporter.isatty()
        and not hasattr(config, "workerinput")
        and config.get_verbosity() > -2
        and can_draw(environment)
        and _quiet_beside(config)
        and "utf" in (sys.stdout.encoding or "").lower()
    )


def _quiet_beside(config: pytest.Config) -> bool:
    """Whether tests' own output is captured (not -s): else it would be written through the lines."""
    live_logs = config.getini("log_cli") or config.getoption("log_cli_level", None) is not None
    return config.getoption("capture", "no") == "fd" and not live_logs


class _Debugger:
    """Gives the terminal to a debugger while it is open."""

    def __init__(self, lines: LiveLines) -> None:
        self._lines = lines

    def pytest_enter_pdb(self) -> None:
        self._lines.pause()

    def pytest_leave_pdb(self) -> None:
        self._lines.resume()
