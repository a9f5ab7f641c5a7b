"""The table of tools that judge logs: what it draws, what it gives slimgate, and what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.peers.log_gates import (
    CELLS,
    SPOILED,
    TOOLS,
    WRITERS,
    Cell,
    Command,
    count,
    decide_slimgate,
    draw_cell,
    read_decision,
    rows_of,
    run_command,
    write_page,
)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_target_loses_the_margin_on_average(cell: Cell) -> None:
    base, target = draw_cell(cell, 0, 40, 0, cell.margin)
    assert base.shape == target.shape == (40, cell.runs, cell.rows)
    drops = (base - target).mean(axis=(1, 2))
    assert drops.mean() == pytest.approx(cell.margin, abs=4 * drops.std() / np.sqrt(len(drops)))


def test_the_command_decides_as_the_functions_do() -> None:
    cell = Cell("40 texts of 10 questions", 400, 0.08, changes=0.05, groups=40, follow=0.5)
    base, target = draw_cell(cell, 0, 1, 0, 0.0)
    rows = [rows_of(cell, side[0]) for side in (base, target)]
    command = run_command(Path(sys.executable), "slimgate", cell, *rows)
    assert [read_decision("slimgate", cell, command)] == [*decide_slimgate(cell, base[0], target[0]).values()]
    assert command.seconds > 0


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_gets_files_of_its_own(tool: str, tmp_path: Path) -> None:
    cell = CELLS[3]
    rows = [rows_of(cell, np.ones((1, cell.rows)))[:20]] * 2
    arguments = WRITERS[tool](tmp_path, cell, *rows)
    assert {file.name for file in tmp_path.iterdir()} & {*arguments}


def test_an_exit_code_is_read_as_a_decision() -> None:
    cell = CELLS[0]
    loss = json.dumps({"ci_low": 0.01, "ci_high": 0.03})
    assert read_decision("errorbars", cell, Command(0, loss, 0.1)) == "block"
    assert read_decision("illate-parity", cell, Command(1, "Verdict: INCONCLUSIVE -> out", 0.1)) == "neither"
    assert [read_decision("statgate", cell, Command(code, "", 0.1)) for code in range(3)] == [
        "ship",
        "block",
        "neither",
    ]


def test_the_page_has_every_cell_and_tool() -> None:
    shares = vars(count(["ship", "block"], ["ship", "neither"]))
    of_tool = {
        "version": "1.0",
        "cells": {"PASS": {cell.name: shares for cell in CELLS}},
        "seconds": 0.5,
        "agreed": [5, 5],
        "spoiled": dict.fromkeys(SPOILED, "4: refused"),
        "draws": 2,
        "seed": 0,
    }
    page = write_page({"slimgate": of_tool, "statgate": of_tool})
    assert all(page.count(f" {cell.name} |") == 3 for cell in CELLS)
    assert page.count(" refused |") == len(SPOILED)
