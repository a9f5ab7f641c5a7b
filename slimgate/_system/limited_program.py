"""Runs unreviewed Python code that a model wrote, in a process with limits.

    run_limited("assert 1 + 1 == 2", cpu_seconds=5, memory_mb=1024)   # True

The process has its own temporary folder, none of the environment variables of this one (no tokens), and
limits on time, memory and files. It cannot start processes, change files outside its folder, or use the
network. It can read every file that the user can read, and code that is written to break out of Python can do
so. So this prevents accidents, but is no sandbox against an attacker.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PROGRAM = "program.py"
_CHILD = Path(__file__).with_name("limited_child.py")
# Limit of elapsed time / limit of CPU time. It leaves room on a busy machine, and ends code that only waits.
_ELAPSED_PER_CPU = 4


def run_limited(program: str, *, cpu_seconds: int, memory_mb: int) -> bool:
    """Whether the program ran to its end. A program that exits early did not.

    limited_child.py gets a secret word, which the program does not know, and prints it after the program.
    """
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="slimgate-", ignore_cleanup_errors=True) as folder:
        Path(folder, PROGRAM).write_text(program, "utf-8", errors="replace")
        arguments = [str(cpu_seconds), str(memory_mb)]
        output = _run_child(folder, arguments, word.encode(), max_seconds=_ELAPSED_PER_CPU * cpu_seconds)
    return output == word.encode()


def _run_child(folder: str, arguments: list[str], word: bytes, *, max_seconds: float) -> bytes:
    """The output of limited_child.py. max_seconds: when it and its children are killed; then b"".

    arguments: see limited_child.py. word: its standard input.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-s", str(_CHILD), *arguments],
        cwd=folder,
        env=_make_environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(word, timeout=max_seconds)[0]
        finally:  # also after Ctrl-C, which does not reach the session of the process
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return b""


def _make_environment(folder: str) -> dict[str, str]:
    """The environment of the process. The fixed hash seed gives sets the same order in every run."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    variables = {"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "LANG": "C.UTF-8"}
    return {**variables, **one_thread, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
