"""The page that tells the worst cell of every rule: put together from the pages of the simulations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.simulations.page import table
from tools.simulations.rounds import WORST_HEADER, WORST_TITLE

HEADER = (*WORST_HEADER, "minutes of the page", "page")
TEXT = """\
# How often verdicts are wrong

    python -m tools.simulations

makes all of these pages, in {minutes:.0f} minutes of one core. Each rule that decides a budget has a line
here: the simulated cell in which a variant that is exactly at its limit passes most often, and the one in
which an equal variant fails most often (where the page does not simulate equal variants: one at its limit).
A verdict is made to be wrong in at most 5 %; cells above 6 % were run again with more runs. Bold: above 6 %
by more than two standard errors. Of a rate of 5 % the standard error is 2.2 points in 100 runs, 1.0 in 500,
0.4 in 2,500. The power of Tango's test is in [power.md](power.md), how often the plan comes true in
[plans.md](plans.md), and duels of a real model with itself in [duels.md](duels.md), which takes an idle
machine: `python -m tools.simulations.duels`. Not among the cells here: a machine that is slow in long and
rare moments, where a 95th percentile in milliseconds at its limit passes too often
([call_time_verdicts.md](call_time_verdicts.md), its last tables).
"""


def summary(folder: Path) -> str:
    """Raises ValueError for a page that does not say how many minutes it took."""
    rows, minutes, older = [], 0.0, []
    for path in sorted(folder.glob("*.md")):
        text = path.read_text()
        if path.name in ("README.md", "duels.md"):
            continue
        if " minutes of one core" not in text:
            older.append(f"[{path.stem}]({path.name})")
            continue
        page_minutes = minutes_of(text)
        minutes += page_minutes
        rows += [[*line, f"{page_minutes:.1f}", f"[{path.stem}]({path.name})"] for line in worst_lines(text)]
    note = f"\nPages of an earlier run, not counted here: {', '.join(older)}.\n" if older else ""
    return TEXT.format(minutes=minutes) + note + table(HEADER, rows)


def minutes_of(page: str) -> float:
    """Of one core."""
    match = re.search(r"([0-9.]+) minutes of one core", page)
    if match is None:
        raise ValueError("the page does not say how many minutes it took")
    return float(match.group(1))


def worst_lines(page: str) -> Iterator[Sequence[str]]:
    """The cells of the page's table of worst cells; none where it has no such table."""
    _, _, rest = page.partition(f"\n{WORST_TITLE}\n")
    section = rest.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]
