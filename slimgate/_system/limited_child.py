"""The child process of limited_program.py: drops rights, runs program.py, and then prints a secret word.

limited_program.py runs this file by its path. The arguments are the CPU seconds and the megabytes that the
program may use. The word comes on the standard input. The file imports nothing of slimgate.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import types
from contextlib import suppress
from typing import Any

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of sched.h
_FILE_BYTES, _OPEN_FILES = 16 * 2**20, 64
_FOLDER = os.path.realpath(os.getcwd())
# Events that Python announces before they happen: https://docs.python.org/3/library/audit_events.html
_REFUSED = frozenset(
    {
        *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"),
        *("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"),
        *("os.kill", "os.killpg"),
    }
)
# The event -> how many of its first arguments are paths that it changes.
_CHANGED_PATHS = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate"), 1),
    "shutil.rmtree": 1,  # its own steps name only parts of paths
    "sqlite3.connect": 1,  # opens the file without an "open" event
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
}


def main() -> None:
    """Runs program.py without its output. If it ends, writes the word to the original standard output."""
    word, output = sys.stdin.buffer.read(), os.dup(1)
    null_device = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(null_device, stream)
    with open("program.py", encoding="utf-8") as file:
        program = file.read()
    _leave_network()
    _set_limits(int(sys.argv[1]), int(sys.argv[2]))
    sys.addaudithook(_refuse_event)
    module = types.ModuleType("answer")  # not __main__, so that the program's main block does not run
    sys.modules["answer"] = module
    sys.argv = ["program.py"]
    exec(compile(program, "program.py", "exec"), module.__dict__)
    os.write(output, word)
    os._exit(0)  # without waiting for threads and exit handlers of the program


def _leave_network() -> None:
    """Moves into a new network namespace, which has no interface."""
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None, use_errno=True)
        if library.unshare(_NEW_NETWORK):
            library.unshare(_NEW_USER | _NEW_NETWORK)


def _refuse_event(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, which Python calls before it does something. Raises PermissionError to prevent it."""
    if event in _REFUSED:
        raise PermissionError(f"{event}: refused, because this program runs in isolation")
    paths = arguments[: _CHANGED_PATHS.get(event, 0)]
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        paths = arguments[:1]
    for path in paths:
        if not isinstance(path, int) and not _is_in_folder(os.fsdecode(path)):
            raise PermissionError(f"{path}: this program may only change files in its own folder")


def _is_in_folder(path: str) -> bool:
    real_path = os.path.realpath(path)
    return path == os.devnull or real_path == _FOLDER or real_path.startswith(_FOLDER + os.sep)


def _set_limits(cpu_seconds: int, memory_mb: int) -> None:
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: memory_mb * 2**20,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        with suppress(ValueError, OSError):  # macOS has no limit on memory; a lower limit may be set already
            resource.setrlimit(kind, (limit, limit))


main()
