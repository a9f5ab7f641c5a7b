"""The base class of the compared tools: their functions, their commands and their files."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tools.peers.log_gates.pairs import Cell, Floats, Row

SHIP, BLOCK, NEITHER = "ship", "block", "neither"


@dataclass(frozen=True)
class Command:
    """What a tool's command returned for a pair.

    seconds: of the CPU, of the process with all that it starts. margin: of the pair's cell.
    """

    code: int
    output: str
    seconds: float
    margin: float


class Tool(ABC):
    """A tool that judges a target's log against a base's log."""

    # The name of the package and of the command.
    name: ClassVar[str]
    # The files that it reads, for the page.
    formats: ClassVar[str]
    # The exit code of its command for files that it does not judge.
    refusal: ClassVar[int]
    # For the page: whether it has a margin, what counts as PASS, and how often that is wrong by design.
    rule: ClassVar[tuple[str, str, str]]

    @abstractmethod
    def decide(self, cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
        """By rule the decision on one pair, by the functions that the tool's command calls.

        base, target: (runs, rows) scores. A decision is SHIP, BLOCK, NEITHER or `refused: …`. The first rule
        is the one that the command applies.
        """

    @abstractmethod
    def write(self, folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        """Writes the files of a pair as the tool reads them, and returns the arguments of its command."""

    def read_decision(self, command: Command) -> str:
        """What the command decided, by the first rule of `decide`."""
        return {0: SHIP, 1: BLOCK, 2: NEITHER}[command.code]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
