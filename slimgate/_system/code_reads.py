"""Which files and environment variables a user's code reads, however the code finds their names.

A digest of the code does not show a file whose name comes from a glob, from a settings file or from an
f-string. So an audit hook (PEP 578) sees each file that Python opens and each folder that it lists, and notes
it for all of the user's source files on the stack. If a thread runs no code of the user, it notes it for
those on the stack of the main thread, which may wait for the thread.

No audit event shows which variables are read, so os.environ gets a class that notes them. It notes a variable
only if the user's code itself reads it. If the code copies all variables, such as for another process, none
is noted (`source_code.list_variables` counts the strings of such code as names).

It does not see what libraries open outside of Python (Arrow, safetensors, SQLite), what other processes
open or read, or which variables are read after the process has compiled a model.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import threading
from collections import defaultdict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from slimgate._system.digests import SECRET, digest_json, file_sha256, list_sources

MISSING = "missing"
# How the state of a folder begins.
FOLDER = "folder "
# The path of a source file -> what its code has read, and what it has written: absolute paths, and $NAME for
# a variable.
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
# Modules of Python whose functions read a variable for their caller, such as os.getenv.
_FOR_CALLERS = frozenset({"os", "collections.abc", "_collections_abc", "posixpath", "ntpath"})
# The names of a copy of all variables that a thread is making, from the next one on.
_COPY = threading.local()


class _WatchedVariables(os._Environ[str]):
    """os.environ, which notes the variables that the code of users reads and sets."""

    def __getitem__(self, name: str) -> str:
        if next(getattr(_COPY, "names", iter(())), None) != name:
            _COPY.names = iter(())
            _note_variable(name, _READ)
        return super().__getitem__(name)

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name, value)
        _note_variable(name, _WRITTEN)

    def keys(self) -> KeysView[str]:
        _COPY.names = iter(list(self))  # dict(os.environ) then reads each of them, in this order
        return super().keys()

    def items(self) -> ItemsView[str, str]:
        _COPY.names = iter(list(self))
        return super().items()

    def values(self) -> ValuesView[str]:
        _COPY.names = iter(list(self))
        return super().values()


@cache
def watch_reads() -> None:
    """Watches what the code of users reads, from now until the process ends."""
    sys.addaudithook(_note_event)
    watch_variables()


def watch_variables() -> None:
    """Notes from now on which environment variables the code of users reads."""
    os.environ.__class__ = _WatchedVariables  # the same object, because other modules have imported it


def stop_watching_variables() -> None:
    """Gives os.environ its own class again, until the process ends.

    torch.compile cannot trace the class that notes reads: it ends a graph where a model reads a variable.
    """
    os.environ.__class__ = os._Environ


def describe_code_reads(modules: Iterable[str], store: Path) -> dict[str, str]:
    """The state of everything that the user's code in modules, and in what they import, has read.

    What the code writes itself is left out, and so are everything in the store, secrets, and the variables
    that pytest sets for each test.

    Returns:
        state by path, relative to the current folder if the path is below it: the sha256 of a file, a digest
        of the names in a folder, or "missing". The key of an environment variable is $NAME, and its state is
        the sha256 of its value.
    """
    sources = {os.path.abspath(file) for module in modules for file in list_sources(module).values()}
    read = {name for source in sources for name in _READ[source]}
    written = {name for source in sources for name in _WRITTEN[source]} | {os.path.abspath(store)}
    inputs = (name for name in read - sources if written.isdisjoint(_list_prefixes(name)))
    names = [_shorten(name) for name in sorted(inputs)]
    return {name: read_state(name) for name in names}


def list_changed_reads(states: Mapping[str, str]) -> list[str]:
    """The files, folders and variables whose state differs from that of `describe_code_reads`."""
    return [name for name, state in states.items() if read_state(name) != state]


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


def _note_variable(name: object, notes: Mapping[str, set[str]]) -> None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in _FOR_CALLERS:
        frame = frame.f_back
    is_for_user = frame is not None and is_users_source(frame.f_code.co_filename)
    if not is_for_user or not isinstance(name, str) or name.startswith("PYTEST_") or SECRET.search(name):
        return
    for source in _iter_user_sources(frame):
        notes[source].add(f"${name}")


def _iter_user_sources(frame: FrameType | None) -> Iterator[str]:
    """The user's source files on the stack. Ends where Python imports a module, whose code counts anyway."""
    while frame is not None and not frame.f_code.co_filename.startswith(_IMPORT):
        if is_users_source(frame.f_code.co_filename):
            yield os.path.abspath(frame.f_code.co_filename)
        frame = frame.f_back


@cache
def is_users_source(name: str) -> bool:
    """Whether a file of code is a user's, and not of Python, an installed package or slimgate."""
    return not name.startswith("<") and not os.path.abspath(name).startswith(_list_system_folders())


@cache
def _list_system_folders() -> tuple[str, ...]:
    """The folders of Python, of installed packages, of slimgate and of the system: no inputs."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    slimgate = str(Path(__file__).parents[1])
    system = ("/dev", "/etc", "/proc", "/run", "/sys")
    return tuple(f"{folder}{os.sep}" for folder in (*installed, slimgate, *system))


def _list_prefixes(name: str) -> Iterator[str]:
    """The path and all folders above it; a variable itself."""
    return iter([name]) if name.startswith("$") else map(str, (Path(name), *Path(name).parents))


def _shorten(name: str) -> str:
    """A path relative to the current folder; other names stay, and so does a path that begins with $ then."""
    if name.startswith("$") or not Path(name).is_relative_to(Path.cwd()):
        return name
    short = Path(name).relative_to(Path.cwd()).as_posix()
    return name if short.startswith("$") else short


def read_state(name: str) -> str:
    """The state of a file, a folder or a variable now, as `describe_code_reads` returns it."""
    if name.startswith("$"):
        value = os.environ.get(name[1:])
        return MISSING if value is None else hashlib.sha256(os.fsencode(value)).hexdigest()
    path = Path(name)
    try:
        if path.is_dir():
            names = [name for name in os.listdir(path) if not name.startswith((".", "__"))]
            if Path.cwd().is_relative_to(path.absolute()):  # slimgate writes folders there, such as reports
                names = [name for name in names if not (path / name).is_dir()]
            return f"{FOLDER}{digest_json(sorted(names))}"
        return file_sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        return f"unreadable: {error.strerror}"
