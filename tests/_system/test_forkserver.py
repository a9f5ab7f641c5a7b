"""slimgate._system.forkserver: a server that was started early is the one that processes come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os
import psutil
from slimgate._system import forkserver as module

def tell_parent(pipe):
    pipe.send(os.getppid())

if __name__ == "__main__":
    module.PRELOAD[:] = ["json"]
    before = {one.pid for one in psutil.Process().children()}
    module.start_forkserver()
    started = {one.pid for one in psutil.Process().children()} - before
    context = module.start_forkserver()
    mine, theirs = context.Pipe()
    process = context.Process(target=tell_parent, args=(theirs,))
    process.start()
    assert mine.recv() in started, started
    process.join()
"""


def test_processes_come_from_the_server_that_was_started_before(tmp_path: Path) -> None:
    script = tmp_path / "early.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SPINNING = """
import os
from slimgate._system import forkserver as module
from slimgate._system.threads import limit_spinning

def send_setting(pipe):
    pipe.send(os.environ.get("GOMP_SPINCOUNT"))

if __name__ == "__main__":
    module.PRELOAD[:] = ["json"]
    limit_spinning()
    context = module.start_forkserver()
    mine, theirs = context.Pipe()
    process = context.Process(target=send_setting, args=(theirs,))
    process.start()
    print(os.environ["GOMP_SPINCOUNT"], mine.recv())
    process.join()
"""


@pytest.mark.parametrize(
    ("setting", "expected"),
    [({}, "1000 None"), ({"GOMP_SPINCOUNT": "1000"}, "1000 None"), ({"GOMP_SPINCOUNT": "7"}, "7 7")],
)
def test_processes_that_time_keep_the_default_waiting(
    tmp_path: Path, setting: dict[str, str], expected: str
) -> None:
    """1000 came from slimgate in a parent process. Another setting is a user's, and for all processes."""
    script = tmp_path / "spinning.py"
    script.write_text(SPINNING)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "OMP"))}
    done = subprocess.run([sys.executable, str(script)], env=plain | setting, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
