"""Inputs and cases, and all cases in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Writes an input into a folder, and returns the arguments of the command.
Write = Callable[[Path], list[str]]

SUITE, JUDGE, OPENED = "pytest", "slimgate judge", "open an artifact"
MODULES = {OPENED: "tools.trust.hostile.opening"}


class Input(NamedTuple):
    """An input before it has a folder.

    command: as the table shows it. codes: the right exit codes. slow: it is large, or builds a model.
    """

    name: str
    command: str
    write: Write
    codes: tuple[int, ...] = (4,)
    slow: bool = False


@dataclass(frozen=True)
class Case:
    """An input and the folder that it is written into."""

    input: Input
    folder: Path

    @property
    def canary(self) -> Path:
        """The file that a pickle of the input writes if it is loaded."""
        return self.folder / "CODE_RAN"

    def write_command(self) -> list[str]:
        """Writes the input into its folder. Returns the module to run, and its arguments."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = self.input.write(self.folder)
        if self.input.command == SUITE:
            flags = ["-p", "no:cacheprovider", "--slimgate-store", "store", "--slimgate-report", "reports"]
            return ["pytest", *arguments, *flags]
        return [MODULES.get(self.input.command, "slimgate.cli.main"), *arguments]


def list_cases(out: Path) -> Iterator[Case]:
    """Every case, each with its own folder below `out`."""
    from tools.trust.hostile import artifacts, models, predictions, records, rows, suites

    modules = (suites, models, artifacts, rows, predictions, records)
    for number, case_input in enumerate(entry for module in modules for entry in module.INPUTS):
        yield Case(case_input, out / f"{number:02d}")
