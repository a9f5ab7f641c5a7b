"""A server that runs as long as this process: started under a guard, stopped with all its child processes.

    server = ChildServer(["vllm", "serve", "model"], log=Path("served.log"))
    …
    server.stop()

The guard (server_guard.py) watches this process. So the server also ends after Ctrl-C, a crash or a kill -9.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# Seconds between the signal that stops a server and SIGKILL.
GRACE = 15.0
_GUARD = Path(__file__).with_name("server_guard.py")
_LAST_BYTES = 20_000


class ChildServer:
    """A running server. log: the file that gets its output."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        stop: signal.Signals = signal.SIGTERM,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """environment: variables that differ from this process's."""
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = [str(os.getpid()), str(int(stop)), str(GRACE), *command]
        with log.open("wb") as written:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), *arguments],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=written,
                # Ctrl-C at a terminal then reaches only this process, which stops the server
                start_new_session=True,
            )
        assert self._guard.stdout is not None
        with self._guard.stdout as output:
            line = output.readline()
        self.pid = int(line) if line.strip() else None
        if self.pid is None:
            self._guard.wait()

    @property
    def code(self) -> int | None:
        """Its exit code, or 128 and the signal that ended it; None while it runs."""
        return self._guard.poll()

    def read_last_lines(self) -> list[str]:
        """The last six lines of its output."""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _LAST_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
        return [line for line in text.splitlines() if line.strip()][-6:]

    def stop(self) -> None:
        """Ends it, and waits until it has ended."""
        if self._guard.poll() is None:
            self._guard.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._guard.wait(GRACE + 5)
        if self._guard.poll() is None or self._guard.returncode < 0:  # the guard did not end it
            self._guard.kill()
            self._guard.wait()
            if self.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)


def find_free_port() -> int:
    """A port of this machine on which no process listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_port_taken(port: int) -> bool:
    """Whether a process listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
