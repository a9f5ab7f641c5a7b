"""Code that nobody has read: what it may do, and what ends it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from slimgate._system import limited_program
from slimgate._system.limited_program import run_limited


def runs(program: str, *, cpu_seconds: int = 2, memory_mb: int = 512) -> bool:
    return run_limited(program, cpu_seconds=cpu_seconds, memory_mb=memory_mb)


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 + 1 == 2",
        "import numpy as np; assert np.eye(3).sum() == 3",
        "open('own', 'w').write('x'); import os; os.remove('own')",
        "import tempfile; tempfile.TemporaryFile().write(b'x')",
        "if __name__ == '__main__': raise ValueError",
        "from dataclasses import dataclass\n@dataclass\nclass One:\n    x: 'int'\nassert One(1).x == 1",
        "print('spoken' * 1000)",
        "import sqlite3; sqlite3.connect(':memory:').execute('create table words (word)')",
        "import sqlite3; sqlite3.connect('own.db').execute('create table words (word)')",
    ],
)
def test_plain_code_runs_to_its_end(program: str) -> None:
    assert runs(program)


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 + 1 == 3",
        "def f(:",
        "\ud800",
        "input()",
        "import sys; sys.exit(0)",  # leaves before the tests behind it
        "import os; os._exit(0)",
        "x = bytearray(900 * 2**20)",
        "open('own', 'wb').write(b'0' * 2**25)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.fork()",
        "import os; os.kill(os.getppid(), 0)",
    ],
)
def test_what_fails_leaves_or_takes_too_much_has_not_run(program: str) -> None:
    assert not runs(program)


def test_endless_loops_and_endless_waits_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    assert not runs("while True: pass", cpu_seconds=1)
    monkeypatch.setattr(limited_program, "_ELAPSED_PER_CPU", 1)
    assert not runs("import time; time.sleep(600)", cpu_seconds=1)
    assert time.monotonic() - began < 60


def test_it_sees_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert runs("import os; assert 'secret' not in os.environ.values()")


def test_it_changes_no_file_outside_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_text("before")
    (tmp_path / "folder").mkdir()
    for program in (
        f"open({str(file)!r}, 'w').write('after')",
        f"import os; os.remove({str(file)!r})",
        f"import os; os.symlink({str(file)!r}, 'link'); open('link', 'a').write('after')",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"import pathlib; pathlib.Path({str(tmp_path / 'new')!r}).touch()",
        f"import sqlite3; sqlite3.connect({str(tmp_path / 'new')!r}).execute('create table words (word)')",
    ):
        assert not runs(program)
    assert sorted(os.listdir(tmp_path)) == ["folder", "kept"]
    assert file.read_text() == "before"


def test_it_has_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        connect = f"import socket; socket.create_connection({address!r}, timeout=1)"
        assert not runs(connect)
        assert not runs(f"import _socket; s = _socket.socket(); s.connect({address!r})")
