"""A worker: a module run in a separate process, which may hang or die without ending this one.

    ended = run_worker("slimgate.run.measure.memory_worker", folder, limit=600)

Its request and its answer are files in the folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

LOG_FILE = "worker.log"
LONGEST_MESSAGE = 500  # characters


@dataclass(frozen=True)
class Ended:
    """How a worker ended.

    code: its exit code, the negative number of the signal that ended it, or None at the time limit. output:
    the message of its last exception, or else the last line of its standard error.
    """

    code: int | None
    output: str

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it, such as SIGILL; None without a signal."""
        return find_signal_name(self.code)

    @property
    def message(self) -> str:
        """Why it failed, for a message."""
        if self.code is None:
            return "it did not end within its time limit, so it was stopped"
        return self.output if self.output and not self.signal else describe_end(self.code)


def find_signal_name(code: int | None) -> str | None:
    """The name of the signal that ended a process with this exit code, such as SIGILL; None without one."""
    if code is None or code >= 0:
        return None
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def describe_end(code: int | None) -> str:
    """How a process ended, for a message."""
    name = find_signal_name(code)
    return f"it was killed by {name}" if name else f"it ended with code {code}"


def end_with_parent(every: float = 1.0) -> None:
    """In a worker: ends it and its child processes soon after the parent process ends."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run_worker(
    module: str, folder: Path, *, limit: float, environment: Mapping[str, str] | None = None
) -> Ended:
    """`python -m module folder`, with this process's search path, so that a user's code is found.

    environment: variables that differ from this process's.
    It has its own session: at the limit (seconds), and if it dies, its child processes end with it.
    """
    command = [sys.executable, "-P", "-m", module, str(folder)]
    search_path = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    with (folder / LOG_FILE).open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **search_path, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(limit)
        finally:  # also after Ctrl-C, which does not reach the worker's session
            if code != 0:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Ended(code, find_last_words((folder / LOG_FILE).read_text("utf-8", errors="replace")))


def find_last_words(text: str) -> str:
    """The last output of a process in one line: the whole exception of a traceback, else the last line."""
    lines = text.strip().splitlines()
    starts = [
        place for place, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")
    ]
    if not starts:
        return lines[-1] if lines else ""
    after = lines[starts[-1] + 1 :]
    frames = next((place for place, line in enumerate(after) if not line.startswith(" ")), 0)
    return shorten(" ".join(" ".join(after[frames:]).split()), LONGEST_MESSAGE, placeholder=" …")
