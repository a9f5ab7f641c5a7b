"""Which files a user's code reads, however the code finds their names.

A digest of the code does not show a file whose name comes from a glob, from a settings file or from an
f-string. So an audit hook (PEP 578) sees each file that Python opens and each folder that it lists, and notes
it for all of the user's source files on the stack. If a thread runs no code of the user, it notes it for
those on the stack of the main thread, which may wait for the thread.

It does not see what libraries open outside of Python (Arrow, safetensors, SQLite), or what other processes
open.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from slimgate._system.digests import digest_json, file_sha256, list_sources

# The path of a source file -> the absolute paths that its code has read, and those that it has written.
_READ: defaultdict[str, set[str]] = defaultdict(set)
_WRITTEN: defaultdict[str, set[str]] = defaultdict(set)
# Event -> the position of the path among its arguments, and whether the path is written. "open" has flags.
# https://docs.python.org/3/library/audit_events.html
_EVENTS = {
    **dict.fromkeys(("open", "os.listdir", "os.scandir"), (0, False)),
    "os.mkdir": (0, True),
    "os.rename": (1, True),
}
_IMPORT = "<frozen importlib"


@cache
def watch_reads() -> None:
    """Watches what the code of users reads, from now until the process ends."""
    sys.addaudithook(_note_event)


def describe_read_files(modules: Iterable[str], store: Path) -> dict[str, str]:
    """The state of each file and folder that the user's code in modules, and in what they import, has read.

    What the code writes itself is left out, and so is everything in the store.

    Returns:
        state by path, relative to the current folder if the path is below it: the sha256 of a file, a digest
        of the names in a folder, or "missing".
    """
    sources = {os.path.abspath(file) for module in modules for file in list_sources(module).values()}
    read = {path for source in sources for path in _READ[source]}
    written = {path for source in sources for path in _WRITTEN[source]} | {os.path.abspath(store)}
    inputs = (path for path in read - sources if written.isdisjoint(_list_prefixes(path)))
    return {_shorten(path): _read_state(Path(path)) for path in sorted(inputs)}


def are_unchanged(states: Mapping[str, str]) -> bool:
    """Whether each path has the state from `describe_read_files`."""
    return all(_read_state(Path(path)) == state for path, state in states.items())


def _note_event(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. It must not raise, or the event would fail."""
    if event not in _EVENTS:
        return
    position, is_written = _EVENTS[event]
    # a file descriptor, a null byte, no current folder, an event of other code with other arguments
    with suppress(TypeError, ValueError, OSError, LookupError):
        path = arguments[position]
        absolute = os.path.abspath(os.fsdecode("." if path is None else path))
        if absolute.startswith(_list_system_folders()):
            return
        if event == "os.mkdir" and os.path.isdir(absolute):  # mkdir(exist_ok=True) makes no folder
            return
        if event == "open":
            is_written = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        sources = list(_iter_user_sources(sys._getframe(1)))
        main = threading.main_thread().ident
        if not sources and main is not None and threading.get_ident() != main:
            sources = list(_iter_user_sources(sys._current_frames()[main]))
        for source in sources:
            (_WRITTEN if is_written else _READ)[source].add(absolute)


def _iter_user_sources(frame: FrameType | None) -> Iterator[str]:
    """The user's source files on the stack. Ends where Python imports a module, whose code counts anyway."""
    while frame is not None and not frame.f_code.co_filename.startswith(_IMPORT):
        if _is_users_source(frame.f_code.co_filename):
            yield os.path.abspath(frame.f_code.co_filename)
        frame = frame.f_back


@cache
def _is_users_source(name: str) -> bool:
    return not name.startswith("<") and not os.path.abspath(name).startswith(_list_system_folders())


@cache
def _list_system_folders() -> tuple[str, ...]:
    """The folders of Python, of installed packages, of slimgate and of the system: no inputs."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    slimgate = str(Path(__file__).parents[1])
    system = ("/dev", "/etc", "/proc", "/run", "/sys")
    return tuple(f"{folder}{os.sep}" for folder in (*installed, slimgate, *system))


def _list_prefixes(path: str) -> Iterator[str]:
    """The path and all folders above it."""
    return map(str, (Path(path), *Path(path).parents))


def _shorten(path: str) -> str:
    current = Path.cwd()
    return Path(path).relative_to(current).as_posix() if Path(path).is_relative_to(current) else path


def _read_state(path: Path) -> str:
    try:
        if path.is_dir():
            return digest_json(sorted(name for name in os.listdir(path) if not name.startswith((".", "__"))))
        return file_sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"unreadable: {error.strerror}"
