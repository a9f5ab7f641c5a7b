"""Makes the page with the worst cell of every rule from the pages of the simulations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.simulations.page import format_table
from tools.simulations.rounds import WORST_HEADER, WORST_TITLE

HEADER = (*WORST_HEADER, "minutes of the page", "page")
TEXT = """\
# How often verdicts are wrong

    python -m tools.simulations

This command makes all pages in this folder except duels.md, in {minutes:.0f} minutes on one core. The table
has one line for each rule that decides a budget. A cell is one simulated setting, and the page in the last
column explains its name. "False PASS" is the share of runs in which a variant exactly at its limit passes,
in the cell where this share is highest. "False FAIL" is the share of runs in which a variant that equals its
teacher fails, in the cell where this share is highest. If a page does not simulate equal variants, "false
FAIL" shows a variant exactly at its limit.

The rules are designed so that at most 5 % of the verdicts are wrong. If a cell had a rate above 6 %, it was
simulated again with more runs. A rate is bold if it is above 6 % by more than two standard errors. If the
rate is 5 %, its standard error is 2.2 percentage points with 100 runs, 1.0 with 500 runs, and 0.4 with 2,500
runs.

The table leaves out one known problem. If a machine is slow in rare but long periods, a variant whose 95th
percentile in milliseconds is at its limit passes too often. The last tables of
[call_time_verdicts.md](call_time_verdicts.md) give the rate of these wrong verdicts.

Three pages in this folder have no line in the table. [power.md](power.md) shows the power of Tango's test.
[plans.md](plans.md) shows how often the predictions of `--slimgate-plan` come true. [duels.md](duels.md) has
duels of a real model with itself. The command `python -m tools.simulations.duels` writes this last page and
needs an idle machine.
"""


def make_summary(folder: Path) -> str:
    """Makes the page from the pages in a folder; names those without minutes as pages of an earlier run."""
    rows, minutes, older = [], 0.0, []
    for path in sorted(folder.glob("*.md")):
        text = path.read_text()
        if path.name in ("README.md", "duels.md"):
            continue
        if " minutes of one core" not in text:
            older.append(f"[{path.stem}]({path.name})")
            continue
        page_minutes = read_minutes(text)
        minutes += page_minutes
        rows += [
            [*line, f"{page_minutes:.1f}", f"[{path.stem}]({path.name})"] for line in read_worst_rows(text)
        ]
    note = f"\nPages of an earlier run, not counted here: {', '.join(older)}.\n" if older else ""
    return TEXT.format(minutes=minutes) + note + format_table(HEADER, rows)


def read_minutes(page: str) -> float:
    """Reads the minutes of one core that a page took.

    Raises:
        ValueError: if the page does not say it.
    """
    match = re.search(r"([0-9.]+) minutes of one core", page)
    if match is None:
        raise ValueError("the page does not say how many minutes it took")
    return float(match.group(1))


def read_worst_rows(page: str) -> Iterator[Sequence[str]]:
    """Yields the rows of the page's table of worst cells; none if it has no such table."""
    _, _, rest = page.partition(f"\n{WORST_TITLE}\n")
    section = rest.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]
