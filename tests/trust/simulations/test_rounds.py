"""Rounds of a simulation, and the summary of the worst cells."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pytest

from tools.simulations.page import Options, format_head
from tools.simulations.rounds import TIMES, WORST, Rates, format_worst_cells, simulate_in_rounds
from tools.simulations.summary import make_summary, read_minutes, read_worst_rows


def test_the_worst_cells_are_run_again_and_bad_ones_once_more() -> None:
    calls: list[tuple[int, int, int]] = []

    def simulate(cell: int, runs: int, number: int) -> float:
        calls.append((cell, runs, number))
        # cell 0 is bad, cell 1 was bad by chance
        return 0.10 if cell == 0 or (cell == 1 and number == 0) else 0.05

    simulated = simulate_in_rounds(range(100), simulate, lambda share: share, reps=40)
    assert [(cell.result, cell.runs) for cell in simulated[:2]] == [
        (0.10, 40 * TIMES[2]),
        (0.05, 40 * TIMES[1]),
    ]
    assert sum(cell.runs == 40 * TIMES[1] for cell in simulated) == WORST - 1
    assert calls[100 + WORST :] == [(0, 40 * TIMES[2], 2)]


RATES = [
    Rates("accuracy drop_points", "n 200", 0.02, 0.01, 100),
    Rates("accuracy drop_points", "n 300", 0.04, 0.00, 500),
    Rates("memory", "normal", 0.25, nan, None),
]


def test_the_worst_cell_of_each_rule_is_read_back_from_its_page(tmp_path: Path) -> None:
    text = format_head("Title", "power", Options(10, 0), error="none.", text="Text.") + format_worst_cells(
        RATES
    )
    (tmp_path / "power.md").write_text(f"{text}\n## Every cell\n\n| x |\n|---|\n| 1 |\n")
    lines = list(read_worst_rows(text))
    assert lines == [
        ["accuracy drop_points", "2", "4.0", "n 300", "500", "1.0", "n 200", "100"],
        ["memory", "1", "**25.0**", "normal", "exact", "-", "-", "-"],
    ]
    page = make_summary(tmp_path)
    assert page.count("[power](power.md)") == 2
    with pytest.raises(ValueError, match="minutes"):
        read_minutes("no such thing")
