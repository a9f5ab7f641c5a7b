"""The table of tools that judge logs: what it draws, what it gives slimgate, and what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.peers.log_gates.counting import TOOLS, compute_shares, run_command
from tools.peers.log_gates.page import write_page
from tools.peers.log_gates.pairs import CELLS, SPOILED, Cell, draw_cell, list_rows
from tools.peers.log_gates.tool import Command, Tool


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_target_loses_the_margin_on_average(cell: Cell) -> None:
    base, target = draw_cell(cell, 0, 40, 0, cell.margin)
    assert base.shape == target.shape == (40, cell.runs, cell.rows)
    drops = (base - target).mean(axis=(1, 2))
    assert drops.mean() == pytest.approx(cell.margin, abs=4 * drops.std() / np.sqrt(len(drops)))


def test_the_command_decides_as_the_functions_do() -> None:
    cell = Cell("40 texts of 10 questions", 400, 0.08, changes=0.05, groups=40, follow=0.5)
    base, target = draw_cell(cell, 0, 1, 0, 0.0)
    rows = [list_rows(cell, side[0]) for side in (base, target)]
    slimgate = TOOLS["slimgate"]
    command = run_command(slimgate, Path(sys.executable), cell, *rows)
    assert [slimgate.read_decision(command)] == [*slimgate.decide(cell, base[0], target[0]).values()]
    assert command.seconds > 0


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_each_tool_gets_files_of_its_own(tool: Tool, tmp_path: Path) -> None:
    cell = CELLS[3]
    rows = [list_rows(cell, np.ones((1, cell.rows)))[:20]] * 2
    arguments = tool.write(tmp_path, cell, *rows)
    assert {file.name for file in tmp_path.iterdir()} & {*arguments}


def test_an_exit_code_is_read_as_a_decision() -> None:
    loss = json.dumps({"ci_low": 0.01, "ci_high": 0.03})
    assert TOOLS["errorbars"].read_decision(Command(0, loss, 0.1, 0.01)) == "block"
    assert TOOLS["illate-parity"].read_decision(Command(1, "Verdict: INCONCLUSIVE", 0.1, 0.01)) == "neither"
    assert [TOOLS["statgate"].read_decision(Command(code, "", 0.1, 0.01)) for code in range(3)] == [
        "ship",
        "block",
        "neither",
    ]


def test_the_page_has_every_cell_and_tool() -> None:
    shares = vars(compute_shares(["ship", "block"], ["ship", "neither"]))
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
