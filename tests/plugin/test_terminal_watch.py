"""Lines of a log between the dots of pytest."""

from __future__ import annotations

import os

import pytest

from slimgate.plugin.terminal_watch import _Log

pytest_plugins = ["pytester"]


def test_every_line_begins_at_the_left(pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    """Also if pytest's line is as long as the one that a line from another thread has broken before."""
    config = pytester.parseconfigure()
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    descriptor = os.dup(1)
    log = _Log(config, reporter, descriptor)
    reporter.write_fspath_result("suite.toml", "..")
    reporter.flush()
    log.write_from_thread("from a thread")
    reporter.write_fspath_result("suite.toml", ".")
    log.write("from a test")
    reporter.write_fspath_result("suite.toml", "..")
    log.write("the last")
    os.close(descriptor)
    lines = [line for line in capfd.readouterr().out.splitlines() if line]
    assert lines == ["suite.toml ..", "from a thread", ".", "from a test", "suite.toml ..", "the last"]
