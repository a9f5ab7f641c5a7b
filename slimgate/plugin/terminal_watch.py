"""Whether a person watches a pytest run at a terminal, and how progress is shown to them."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from slimgate.plugin.config import is_xdist_worker
from slimgate.report.terminal.live import LiveLines, can_draw
from slimgate.report.terminal.progress import PlainLines
from slimgate.run.progress import UNWATCHED, Watch


def make_watch(config: pytest.Config) -> Watch:
    """Live lines on a terminal that can show them; else a line per stage, and at least one per minute.

    -q leaves out the lines of short stages, -qq leaves out all lines.
    """
    if not _is_live(config):
        return _make_plain_watch(config)
    # A separate descriptor, as in pytest's faulthandler: while a test runs, 1 is the capture's file.
    descriptor = os.dup(sys.stdout.fileno())
    config.add_cleanup(lambda: os.close(descriptor))
    writer = config.get_terminal_writer()
    lines = LiveLines(descriptor, lambda: writer.width_of_current_line, colour=writer.hasmarkup)
    config.pluginmanager.register(_Debugger(lines), "slimgate-live")
    return lines


def _make_plain_watch(config: pytest.Config) -> Watch:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or is_xdist_worker(config) or config.get_verbosity() < -1:
        return UNWATCHED
    log = _Log(config, reporter, _copy_descriptor(config))
    write_from_thread = None if log.descriptor is None else log.write_from_thread
    return PlainLines(log.write, write_from_thread, quiet=config.get_verbosity() < 0)


def _copy_descriptor(config: pytest.Config) -> int | None:
    """A copy of descriptor 1, as in pytest's faulthandler, because pytest captures 1; None without one."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    config.add_cleanup(lambda: os.close(descriptor))
    return descriptor


@dataclass
class _Log:
    """Writes slimgate's lines between those of pytest.

    descriptor: a copy of the terminal's, for `write_from_thread`; None without one. broken_at: the column in
    which slimgate's last line interrupted a line of pytest; None if pytest has ended that line.
    """

    config: pytest.Config
    reporter: Any
    descriptor: int | None
    broken_at: int | None = None

    def write(self, line: str) -> None:
        if self.broken_at == self._find_column():  # pytest would begin another line, and leave an empty line
            self.write_from_thread(line)
            return
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        # While a test runs, everything on standard output belongs to the test.
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            self.reporter.write_line(line)
            self.reporter.flush()
        self.broken_at = None  # pytest's next line is whole again, and may have the same length

    def write_from_thread(self, line: str) -> None:
        """Writes without pytest's reporter, so that any thread may call it while a test is captured."""
        column = self._find_column()
        start = "\n" if column and self.broken_at != column else ""
        self.broken_at = column or None
        unwritten = f"{start}{line}\n".encode(errors="replace")
        assert self.descriptor is not None
        try:
            while unwritten:
                unwritten = unwritten[os.write(self.descriptor, unwritten) :]
        except OSError:  # a pipe without a reader: progress output must not make the run fail
            return

    def _find_column(self) -> int:
        column: int = self.config.get_terminal_writer().width_of_current_line
        return column


def _is_live(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return (
        reporter is not None
        and reporter.isatty()
        and not is_xdist_worker(config)
        and config.get_verbosity() > -2
        and can_draw(os.environ)
        and _has_size()
        and _is_output_captured(config)
        and "utf" in (sys.stdout.encoding or "").lower()
    )


def _has_size() -> bool:
    """Whether the terminal has columns; some terminals of containers are 0 columns wide."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns > 0
    except (OSError, ValueError, AttributeError):
        return False


def _is_output_captured(config: pytest.Config) -> bool:
    """Whether tests' output is captured (not -s): otherwise it would be mixed with the live lines."""
    live_logs = config.pluginmanager.hasplugin("logging") and (
        config.getini("log_cli") or config.getoption("log_cli_level") is not None
    )
    return config.getoption("capture", "no") == "fd" and not live_logs


class _Debugger:
    """Gives the terminal to a debugger while it is open."""

    def __init__(self, lines: LiveLines) -> None:
        self._lines = lines

    def pytest_enter_pdb(self) -> None:
        self._lines.pause()

    def pytest_leave_pdb(self) -> None:
        self._lines.resume()
