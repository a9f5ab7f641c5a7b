"""A worker: a module run in a separate process, which may hang or die without ending this one.

    answer = ask_worker("slimgate.models._gguf_check_worker", folder, request, limit=600, failure="…")

Its request and its answer are files in the folder; in the worker, `answer_request` reads and writes them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from slimgate.errors import BuildError, SlimgateError

LOG_FILE = "worker.log"
REQUEST, ANSWER = "request.json", "answer.json"
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


def end_with_parent() -> None:
    """In a worker: ends it and its child processes within a second after the parent process ends."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def answer_request(compute: Callable[[Path, Any], Mapping[str, Any] | None]) -> None:
    """In a worker: writes what compute(folder, request) returns into the folder, or an error of slimgate."""
    end_with_parent()
    folder = Path(sys.argv[1])
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    try:
        answer = compute(folder, request) or {}
    except SlimgateError as error:
        answer = {"error": str(error)}
    (folder / ANSWER).write_text(json.dumps(answer), "utf-8")


def ask_worker(
    module: str, folder: Path, request: Mapping[str, Any], *, limit: float, failure: str
) -> dict[str, Any]:
    """The answer of a worker. failure: the beginning of the error if it ends without an answer.

    Raises BuildError if it fails; limit: as in `run_worker`.
    """
    (folder / REQUEST).write_text(json.dumps(request), "utf-8")
    ended = run_worker(module, folder, limit=limit)
    if ended.code != 0:
        raise BuildError(f"{failure}: {ended.message}")
    answer: dict[str, Any] = json.loads((folder / ANSWER).read_text("utf-8"))
    if error := answer.get("error"):
        raise BuildError(error)
    return answer


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
        number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")
    ]
    if not starts:
        return lines[-1] if lines else ""
    after = lines[starts[-1] + 1 :]
    frames = next((number for number, line in enumerate(after) if not line.startswith(" ")), 0)
    return shorten(" ".join(" ".join(after[frames:]).split()), LONGEST_MESSAGE, placeholder=" …")
