"""Runs a server and ends it with the process that started it, however that process ends.

    python server_guard.py PARENT STOP GRACE COMMAND …

A separate program that uses only the standard library. PARENT: the process whose end ends the server. STOP:
the number of the signal that asks the server to end. GRACE: seconds until it is killed with all its child
processes. The first line on standard output is the server's process id, which is also its group. The exit
code is the server's, or 128 and the signal that ended it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

EVERY = 0.1


def guard(parent: int, stop: int, grace: float, command: list[str]) -> int:
    """Waits until the server ends, the parent has ended, or a signal asks this process to end."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    try:
        while server.poll() is None and os.getppid() == parent and not stopping.is_set():
            stopping.wait(EVERY)
        if server.poll() is None:
            server.send_signal(stop)
            with suppress(subprocess.TimeoutExpired):
                server.wait(grace)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for a group of zombies
            os.killpg(server.pid, signal.SIGKILL)  # its child processes are in its group
        code = server.wait()
        _wait_for_group(server.pid)
    return code if code >= 0 else 128 - code


def _wait_for_group(group: int) -> None:
    """Waits a second at most until killed child processes are gone: the next server needs their memory."""
    with suppress(ProcessLookupError, PermissionError):
        for _ in range(100):
            os.killpg(group, 0)
            time.sleep(0.01)


if __name__ == "__main__":
    _, _parent, _stop, _grace, *_command = sys.argv
    sys.exit(guard(int(_parent), int(_stop), float(_grace), _command))
