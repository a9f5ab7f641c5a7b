"""pytest's own -x, --lf, --junitxml and Ctrl-C work with suites."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

from slimgate.record.run import read_record

pytestmark = pytest.mark.slow

CACHE = ("-p", "cacheprovider")  # which the other tests switch off
RECORD = "reports/latest/one/run.json"


@pytest.fixture(scope="module")
def stopped(repository: Path) -> Ran:
    """`-x` on a suite whose second variant fails its budget."""
    selected = ("-k", "quality and accuracy", "-x", "--junitxml", "junit.xml", *CACHE)
    return run_pytest(repository, "bench/one.toml", "-v", *selected)


def test_x_stops_at_the_first_budget_that_does_not_hold(stopped: Ran) -> None:
    assert stopped.code == 1
    assert "1 failed, 1 passed" in stopped.lines[-1]
    record = read_record(stopped.folder / RECORD)
    assert record.verdict.status == "FAIL"
    assert set(record.variant("damaged").quality) == {"accuracy"}
    assert record.variant("unsure").quality == {}


def test_junit_counts_the_failure_and_holds_its_line(stopped: Ran) -> None:
    [suite] = ElementTree.parse(stopped.folder / "junit.xml").getroot().iter("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    [failure] = suite.iter("failure")
    assert str(failure.get("message")).startswith("damaged: accuracy 0.")
    assert str(failure.get("message")).endswith(": FAIL")


def test_lf_runs_only_what_failed(stopped: Ran) -> None:
    ran = run_pytest(stopped.folder, "bench/one.toml", "-v", "--lf", *CACHE)
    assert ran.code == 1
    assert "1 failed" in ran.lines[-1]
    assert ran.find_outcome("bench/one.toml::test_quality[damaged-accuracy]") == "FAILED"


def interrupt(repository: Path, record: Path) -> tuple[int, str]:
    """Runs a suite and sends it SIGINT as soon as there is a record: the exit code, and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "bench/two.toml"],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
        # a job in the background of a shell ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        # so that no signal to it reaches the process that runs this test
        start_new_session=True,
    )
    try:
        assert os.getpgid(process.pid) == process.pid != os.getpgrp()
        until = time.monotonic() + 300  # a busy machine takes long to start it
        while not record.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=200)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, out


def test_ctrl_c_leaves_a_valid_partial_record_and_report(repository: Path) -> None:
    record = repository / "reports/latest/two/run.json"
    code, out = interrupt(repository, record)
    assert code == 2, out
    assert "KeyboardInterrupt" in out
    assert read_record(record).verdict.missing > 0
    assert (record.parent / "report.md").is_file()


LOSING = """\
import os
import signal

import pytest

# a job in the background of a shell ignores Ctrl-C, and so would this process
signal.signal(signal.SIGINT, signal.default_int_handler)


class Lost:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))  # the signal's handler runs in here


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "call":
        Lost()
"""


def test_ctrl_c_in_a_destructor_stops_the_run_at_the_next_test(repository: Path) -> None:
    conftest = repository / "conftest.py"
    conftest.write_text(LOSING)
    try:
        ran = run_pytest(repository, "bench/two.toml", "-v", "-k", "quality")
    finally:
        conftest.unlink()
    assert ran.code == 2
    assert "KeyboardInterrupt" in ran.out
    assert sum("PASSED" in line for line in ran.lines) == 1
    assert any("stopped by Ctrl-C" in line for line in ran.lines)


RERUN = """\
from _pytest.runner import runtestprotocol


def pytest_runtest_protocol(item, nextitem):
    for number in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = any(report.failed for report in reports)
        if not failed or number == 2:
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
READINGS = """\
from slimgate import Measurement


class Falling(Measurement):
    title = "falling figure"
    readings = 1
    calls = 0

    def measure(self, model):
        if model.name == "teacher":
            return 1.0
        Falling.calls += 1
        if Falling.calls == 1 and model.name == "unsure":
            raise RuntimeError("the meter is off")
        return 4.0 / Falling.calls


falling = Falling()
"""
FALLING_SUITE = """\
[suite]
title = "a figure that is smaller each time"
extends = "_common.toml"

[variants]
{name} = {{ steps = [{{ "own_steps:Same" = {{}} }}] }}

[budgets]
measurements."readings:falling" = {{ value_ratio_max = {limit} }}
"""


@pytest.mark.parametrize(
    ("variant", "limit", "outcome"),
    [
        pytest.param("same", 2.5, "FAILED", id="a failure stays"),
        pytest.param("unsure", 2.5, "PASSED", id="an error runs again"),
    ],
)
def test_a_rerun_repeats_the_verdict(repository: Path, variant: str, limit: float, outcome: str) -> None:
    """pytest-rerunfailures runs a failed test again. A budget must not pass because it was tried again."""
    files = {
        "conftest.py": RERUN,
        "readings.py": READINGS,
        "bench/falling.toml": FALLING_SUITE.format(name=variant, limit=limit),
    }
    for name, text in files.items():
        (repository / name).write_text(text)
    try:
        ran = run_pytest(repository, "bench/falling.toml", "-v", "-k", "measurement")
    finally:
        for name in files:
            (repository / name).unlink()
    assert outcome in ran.out, ran.out
    [facts] = ran.find_variant("falling", variant)["measurements"].values()
    assert facts["verdict"] == ("FAIL" if outcome == "FAILED" else "PASS")
    assert facts["value"] == (4.0 if outcome == "FAILED" else 2.0)
