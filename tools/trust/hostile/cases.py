"""What a case is, and all of them in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUITE, JUDGE, OPENED = "pytest", "slimgate judge", "open an artifact"
MODULES = {OPENED: "tools.trust.hostile.opening"}


@dataclass(frozen=True)
class Case:
    """An input: its name, what writes it into a folder, the command on it, the exit codes that are right.

    write(folder) gives the arguments of the command. slow: it is large, or a model is built.
    """

    name: str
    shown: str
    write: Callable[[Path], list[str]]
    folder: Path
    codes: tuple[int, ...] = (4,)
    slow: bool = False

    @property
    def canary(self) -> Path:
        """What the pickles would write, were one loaded."""
        return self.folder / "CODE_RAN"

    def write_command(self) -> list[str]:
        """Writes the input into a folder of its own; the module to run, with its arguments."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = self.write(self.folder)
        if self.shown.startswith(SUITE):
            flags = ["-p", "no:cacheprovider", "--slimgate-store", "store", "--slimgate-report", "reports"]
            return ["pytest", *arguments, *flags]
        return [MODULES.get(self.shown, "slimgate.cli.main"), *arguments]


def list_cases(out: Path) -> Iterator[Case]:
    """Every case, each in a folder of its own below `out`."""
    from tools.trust.hostile import artifacts, models, predictions, records, rows, suites

    tables = (suites.CASES, models.CASES, artifacts.CASES, rows.CASES, predictions.CASES, records.CASES)
    for number, (name, shown, write, codes, slow) in enumerate(case for table in tables for case in table):
        yield Case(name, shown, write, out / f"{number:02d}", codes, slow)
