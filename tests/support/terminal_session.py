"""Runs pytest at a pseudo-terminal, and reads the screen that a user sees."""

from __future__ import annotations

import os
import pty
import re
import select
import time
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

from support.user_repository import make_user_environment
from support.warm_python import Process, start_module

_PIECES = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n\b])|(\x1b.|[^\x1b\r\n\b]+)", re.DOTALL)


@dataclass
class Screen:
    """The screen of a terminal that never scrolls: enough for pytest, and for lines rewritten in place.

    unknown: control sequences that it ignores.
    """

    rows: dict[int, str] = field(default_factory=dict)
    row: int = 0
    column: int = 0
    unknown: list[str] = field(default_factory=list)

    def feed(self, text: str) -> None:
        for match in _PIECES.finditer(text):
            numbers, letter, control, plain = match.groups()
            if letter is not None:
                self._obey(numbers, letter)
            elif control is not None:
                self._control(control)
            elif plain.startswith("\x1b") or not plain.isprintable():
                self.unknown.append(plain)
            else:
                self._put(plain)

    @property
    def lines(self) -> list[str]:
        return [self.rows.get(row, "").rstrip() for row in range(max(self.rows, default=-1) + 1)]

    def _obey(self, numbers: str, letter: str) -> None:
        count = int(numbers) if numbers.isdigit() else 1
        if letter == "A":
            self.row -= count
        elif letter == "G":
            self.column = count - 1
        elif letter == "K" and numbers == "2":
            self.rows[self.row] = ""
        elif letter != "m":
            self.unknown.append(f"{numbers}{letter}")

    def _control(self, control: str) -> None:
        if control == "\n":
            self.row += 1
        elif control == "\b":
            self.column = max(self.column - 1, 0)
        else:
            self.column = 0

    def _put(self, text: str) -> None:
        line = self.rows.get(self.row, "").ljust(self.column)
        self.rows[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)


@dataclass(frozen=True)
class SessionOutput:
    """raw: everything that was written; frames: the screen after each write that changed it."""

    code: int
    raw: str
    frames: list[list[str]]
    unknown: list[str]

    @property
    def last(self) -> str:
        return "\n".join(self.frames[-1])

    def list_live_lines(self, text: str) -> list[str]:
        """The lines with this text that any frame has, each once."""
        return list(dict.fromkeys(line for frame in self.frames for line in frame if text in line))


def run_pytest_at_terminal(
    folder: Path, *arguments: str, columns: int = 110, seconds: float = 280, **environment: str
) -> SessionOutput:
    """Runs pytest in a folder, at a terminal of this width."""
    controller, terminal_end = pty.openpty()
    ioctl(terminal_end, TIOCSWINSZ, pack("HHHH", 40, columns, 0, 0))
    left_out = ("COLUMNS", "LINES", "CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PY_COLORS")
    variables = {name: value for name, value in make_user_environment().items() if name not in left_out}
    variables |= {"TERM": "xterm-256color", **environment}
    terminal = os.ttyname(terminal_end)
    options = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments]
    running = start_module("pytest", options, folder, variables, (terminal, terminal, terminal))
    try:
        os.close(terminal_end)
        return _read_session(controller, running, time.monotonic() + seconds)
    finally:
        running.kill()
        os.close(controller)


def _read_session(controller: int, running: Process, until: float) -> SessionOutput:
    raw, screen, frames = b"", Screen(), [[""]]
    while time.monotonic() < until:
        if not select.select([controller], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(controller, 65536)
        except OSError:  # on Linux, the other end is closed
            piece = b""
        if not piece:
            break
        raw += piece
        screen = Screen()
        screen.feed(raw.decode("utf-8", "ignore"))
        if screen.lines != frames[-1]:
            frames.append(screen.lines)
    else:
        raise TimeoutError(raw.decode("utf-8", "replace")[-2000:])
    return SessionOutput(running.wait(timeout=30), raw.decode("utf-8", "replace"), frames, screen.unknown)
