"""slimgate._system.forkserver: a server that was started early is the one that processes come from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os
import psutil
from slimgate._system import forkserver as module

def tell_parent(pipe):
    pipe.send(os.getppid())

if __name__ == "__main__":
    module.PRELOAD[:] = ["json"]
    before = {one.pid for one in psutil.Process().children()}
    module.start_server()
    started = {one.pid for one in psutil.Process().children()} - before
    context = module.forkserver()
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
