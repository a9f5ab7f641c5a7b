"""Commands whose reader goes away: no traceback, and the exit code of the verdict."""

from __future__ import annotations

import array
import fcntl
import json
import os
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from support.prediction_rows import make_turned_rows, write_predictions

SLIMGATE = (sys.executable, "-m", "slimgate.cli.main")


def count_waiting_bytes(pipe: int) -> int:
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


def wait_until_full(reading: int) -> None:
    """Waits until the waiting bytes stay the same: a page of the pipe that is not filled counts less."""
    deadline = time.monotonic() + 60
    before, waiting = -1, 0
    while (waiting == 0 or waiting != before) and time.monotonic() < deadline:
        before = waiting
        time.sleep(0.5)
        waiting = count_waiting_bytes(reading)


def run_with_closed_pipe(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the errors of a command whose standard output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*SLIMGATE, *arguments], stdout=pipe, stderr=subprocess.PIPE, text=True, cwd=folder, check=False
        )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of a teacher and of a variant that lost 30 of 1,000 rows."""
    path = tmp_path_factory.mktemp("closed")
    for name, columns in zip(("teacher", "int8"), make_turned_rows(1000, lost=30), strict=True):
        write_predictions(path / f"{name}.csv", columns)
    return path


def test_output_waits_for_a_slow_reader_of_a_full_pipe() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = subprocess.Popen([*SLIMGATE, "schema"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    wait_until_full(reading)
    assert command.poll() is None, "the schema is longer than the pipe"
    with os.fdopen(reading, "rb") as pipe:
        schema = json.loads(pipe.read())
    assert (command.communicate(timeout=30)[1], command.returncode) == (b"", 0)
    assert "properties" in schema


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("schema", 0),
        ("judge teacher.csv int8.csv --drop-points 1 --report out", 1),
        ("judge teacher.csv gone.csv", 4),
    ],
)
def test_a_closed_pipe_changes_no_exit_code(folder: Path, command: str, code: int) -> None:
    ended, errors = run_with_closed_pipe(folder, *command.split())
    assert (ended, "Traceback" in errors or "BrokenPipe" in errors) == (code, False), errors
    if "--report" in command:
        assert (folder / "out/report.md").is_file()


def test_the_first_lines_are_what_is_asked_for(folder: Path) -> None:
    script = f"set -o pipefail; {sys.executable} -m slimgate.cli.main schema | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


@pytest.mark.parametrize(("streams", "code"), [(">&-", 1), (">&- 2>&-", 1)])
def test_a_stream_that_was_never_open_changes_no_exit_code(folder: Path, streams: str, code: int) -> None:
    command = f"{sys.executable} -m slimgate.cli.main judge teacher.csv int8.csv --drop-points 1 {streams}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_output_that_cannot_be_written_is_one_line(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*SLIMGATE, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=folder, check=False
        )
    assert done.stderr == "slimgate: standard output cannot be written: No space left on device\n"
    assert done.returncode == 4
