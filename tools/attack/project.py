"""A project of the attack: a folder with its own clock, its state, and small edits of its files."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slimgate._system.toml import format_toml_key, format_toml_value

# Folders that commands write. Everything else is the state.
WRITTEN = (".slimgate", "second-store", "reports", "shards", "merged", "exported", "saved")
MINUTE = 60_000_000_000  # nanoseconds
START = 1_767_225_600_000_000_000  # 2026-01-01, nanoseconds


class Project:
    """The files below a folder. Each action moves the clock of their modification times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now = START
        # File name -> its earlier contents, with their modification times.
        self.older: defaultdict[str, list[tuple[bytes, int]]] = defaultdict(list)

    def tick(self) -> None:
        """Moves the clock by a minute."""
        self._now += MINUTE

    def find_path(self, name: str) -> Path:
        """The file or folder of that name."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self.find_path(name).read_bytes()

    def write(self, name: str, content: bytes | str, *, at: int | None = None) -> None:
        """Writes a file. at: its modification time in nanoseconds, default now."""
        path = self.find_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            self.older[name].append((path.read_bytes(), self.read_modified(name)))
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.touch(name, at=at)

    def touch(self, name: str, *, at: int | None = None) -> None:
        """Sets the modification time of a file. at: in nanoseconds, default now."""
        moment = self._now if at is None else at
        os.utime(self.find_path(name), ns=(moment, moment))

    def read_modified(self, name: str) -> int:
        """The modification time of a file in nanoseconds."""
        return self.find_path(name).stat().st_mtime_ns

    def list_files(self, *below: str) -> list[str]:
        """The names of the state's files below these folders, sorted; default: all files."""
        roots = [self.find_path(name) for name in below or (".",)]
        names = (
            path.relative_to(self.folder).as_posix()
            for root in roots
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.relative_to(self.folder).parts
        )
        return sorted(name for name in names if name.partition("/")[0] not in WRITTEN)

    def copy_folder(self, source: str, target: str) -> None:
        """Replaces a folder by a copy of another, with its modification times."""
        shutil.rmtree(self.find_path(target), ignore_errors=True)
        if self.find_path(source).is_dir():
            shutil.copytree(self.find_path(source), self.find_path(target), symlinks=True)

    def digest_state(self) -> str:
        """Digest of the names and bytes of the state's files."""
        digest = hashlib.sha256()
        for name in self.list_files():
            content = self.read(name)
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def copy_state(self, target: Path) -> Path:
        """The state's files in a new folder."""
        for name in self.list_files():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.find_path(name), path)
        return target

    def change_byte(self, name: str, draw: random.Random) -> str:
        """Changes one byte of a file. In one of four cases, the modification time stays."""
        content = bytearray(self.read(name))
        at, before = draw.randrange(len(content)), self.read_modified(name)
        content[at] ^= 1 << draw.randrange(8)
        silent = draw.random() < 0.25
        self.write(name, bytes(content), at=before if silent else None)
        return f"change byte {at} of {name}" + (", same modification time" if silent else "")

    def edit_text(self, name: str, edit: Callable[[str], str]) -> None:
        """Replaces the text of a file."""
        self.write(name, edit(self.read(name).decode()))

    def read_tables(self, name: str) -> dict[str, Any]:
        """The tables of a TOML file."""
        return tomllib.loads(self.read(name).decode())

    def write_tables(self, name: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes the tables as a TOML file."""
        lines = []
        for title, table in tables.items():
            lines.append(f"[{title}]")
            lines += [f"{format_toml_key(key)} = {format_toml_value(value)}" for key, value in table.items()]
        self.write(name, "\n".join(lines) + "\n")
