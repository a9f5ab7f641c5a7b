"""Ctrl-C and SIGTERM at any phase leave a valid partial record and a report; running again goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.user_repository import make_user_environment, run_pytest
from support.warm_python import start_module

from slimgate.record.run import read_record
from tools.trust.kill_nine import list_session_processes

OWN_WAITS = '''
"""A step and a runtime that wait where they are told to: by a file of that name."""

import time
from pathlib import Path

import slimgate.runtimes.eager as eager
from own_steps import OwnStep


def wait(phase):
    if Path(f"wait-{phase}").exists():
        Path("reached").touch()
        time.sleep(300)


class Waits(OwnStep):
    def apply(self, model, params, context):
        wait("build")
        with Path("built").open("a") as log:
            log.write("one\\n")
        return model


class Runtime:
    Params = eager.Params
    kinds = eager.runtime.kinds

    def load(self, folder, params, *, device, threads):
        wait("quality")
        return eager.runtime.load(folder, params, device=device, threads=threads)
'''

SUITE = """\
[suite]
title = "stopped"
extends = "_common.toml"

[variants]
waits = { steps = [{ "own_waits:Waits" = {} }], runtime = { name = "own_waits:Runtime" } }

[measure]
max_seconds = 60
rounds = 3
"""
ALL = ("bench/stopped.toml", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
RECORD = "reports/latest/stopped/run.json"


@pytest.fixture
def waiting(fresh_repository: Path) -> Path:
    (fresh_repository / "own_waits.py").write_text(OWN_WAITS)
    (fresh_repository / "bench/stopped.toml").write_text(SUITE)
    return fresh_repository


def reached(folder: Path, phase: str) -> Callable[[int], bool]:
    """Whether a run is in the phase; of latency, whether the processes of a duel are there."""
    if phase == "latency":
        return lambda leader: len(list_session_processes(leader)) >= 5
    return lambda _leader: (folder / "reached").exists()


def stopped(folder: Path, phase: str, by: signal.Signals) -> tuple[int, list[str]]:
    """Runs the suite and stops it in that phase: exit code and the lines that it wrote."""
    (folder / f"wait-{phase}").touch()
    (folder / "reached").unlink(missing_ok=True)
    out = folder / "out.txt"
    out.unlink(missing_ok=True)
    streams = (os.devnull, str(out), str(out))
    process = start_module("pytest", ALL, folder, make_user_environment(), streams, new_session=True)
    try:
        until, is_reached = time.monotonic() + 250, reached(folder, phase)
        while not is_reached(process.pid) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        os.kill(process.pid, by)
        code = process.wait(timeout=200)
        assert _gone(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    return code, out.read_text().splitlines()


def _gone(leader: int) -> bool:
    """Whether its processes end within a minute."""
    until = time.monotonic() + 60
    while list_session_processes(leader) and time.monotonic() < until:
        time.sleep(0.1)
    return list_session_processes(leader) == []


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("phase", ["build", "quality", "latency"])
def test_a_stopped_run_leaves_a_record_and_says_what_it_kept(
    waiting: Path, phase: str, by: signal.Signals
) -> None:
    code, lines = stopped(waiting, phase, by)
    assert code == 2, lines
    record = read_record(waiting / RECORD)
    assert record.verdict.status == "partial"
    assert record.verdict.missing > 0
    assert all((waiting / RECORD).with_name(name).is_file() for name in ("report.md", "report.html"))
    assert bool(record.variant("waits").quality) is (phase == "latency")
    named = "SIGTERM" if by is signal.SIGTERM else "Ctrl-C"
    message, checks, again = lines[-3:]
    assert message == f"slimgate: stopped by {named}. Kept: finished steps and answers, in .slimgate"
    assert checks.endswith(f" checks of bench/stopped.toml are in {RECORD}")
    assert again.startswith("slimgate: run the same command again, it continues from there")
    assert list((waiting / ".slimgate/tmp").iterdir()) == []


@pytest.mark.slow
def test_running_again_goes_on_from_there(waiting: Path) -> None:
    stopped(waiting, "quality", signal.SIGINT)
    built = (waiting / "built").read_text()
    (waiting / "wait-quality").unlink()
    ran = run_pytest(waiting, *ALL, "-k", "not latency and not speedup and not planted_delay")
    assert ran.code == 0
    assert (waiting / "built").read_text() == built == "one\n"


def test_a_killed_run_leaves_no_report_of_the_run_before(fresh_repository: Path) -> None:
    """SIGKILL after the first verdict: the reports said PASS, of models that had changed since."""
    suite, latest = fresh_repository / "bench/stopped.toml", fresh_repository / "reports/latest"
    suite.write_text(
        SUITE.partition("[variants]")[0]
        + '[variants]\nsame = { steps = [{ "own_steps:Same" = {} }] }\n'
        + 'other = { steps = [{ "own_kill:Kill" = {} }] }\n[budgets]\naccuracy = { drop_points = 5.0 }\n'
    )
    (fresh_repository / "own_kill.py").write_text(
        "import os\n\nfrom own_steps import OwnStep\n\n\nclass Kill(OwnStep):\n"
        "    def apply(self, model, params, context):\n        return model\n"
    )
    arguments = (str(suite), "-q", "-k", "quality", "--benchmark-skip")
    assert run_pytest(fresh_repository, *arguments).code == 0
    reports = [latest / "report.md", latest / "pr-comment.md", latest / "stopped/report.md"]
    assert all(file.exists() for file in reports)
    code = (fresh_repository / "own_kill.py").read_text()
    (fresh_repository / "own_kill.py").write_text(code.replace("return model", "os.kill(os.getpid(), 9)"))
    assert run_pytest(fresh_repository, *arguments).code == -signal.SIGKILL
    assert read_record(fresh_repository / RECORD).verdict.status == "partial"
    assert [file for file in reports if file.exists()] == []
