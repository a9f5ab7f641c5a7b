"""Counts the decisions of each tool on all pairs, in an environment of the tool."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tools.peers.log_gates.errorbars_tool import Errorbars
from tools.peers.log_gates.evalsig_tool import Evalsig
from tools.peers.log_gates.illate_parity_tool import IllateParity
from tools.peers.log_gates.pairs import CELLS, SPOILED, Cell, Floats, Row, draw_cell, list_rows
from tools.peers.log_gates.slimgate_tool import Slimgate
from tools.peers.log_gates.statgate_tool import Statgate
from tools.peers.log_gates.tool import BLOCK, SHIP, Command, Tool

TOOLS: Mapping[str, Tool] = {
    tool.name: tool for tool in (Slimgate(), Evalsig(), Statgate(), IllateParity(), Errorbars())
}
# Pairs of a cell that also go through the command of each tool.
COMMANDS = 5


@dataclass(frozen=True)
class Count:
    """The shares of one rule's decisions on one cell, for targets that lost the margin and for equal ones."""

    ships_at_margin: float
    ships_equal: float
    blocks_equal: float
    refused: str = ""


def count_tool(tool: Tool, python: Path, draws: int, seed: int) -> dict[str, Any]:
    """The counts of one tool for the page. python: of the tool's environment."""
    cells: dict[str, dict[str, Any]] = {}
    seconds: list[float] = []
    agreed = called = 0
    for number, cell in enumerate(CELLS):
        at_margin, equal = (draw_cell(cell, number, draws, seed, drop) for drop in (cell.margin, 0.0))
        decisions = _decide_in_environment(tool, python, cell, *at_margin)
        decisions_equal = _decide_in_environment(tool, python, cell, *equal)
        for rule, of_margin in decisions.items():
            cells.setdefault(rule, {})[cell.name] = asdict(compute_shares(of_margin, decisions_equal[rule]))
        first = next(iter(decisions_equal.values()))
        if (cell.runs > 1 and not cell.repeats) or first[0].startswith("refused"):
            continue
        for number_of_draw in range(min(COMMANDS, draws)):
            base, target = (list_rows(cell, side[number_of_draw]) for side in equal)
            command = run_command(tool, python, cell, base, target)
            called += 1
            agreed += tool.read_decision(command) == first[number_of_draw]
            seconds.append(command.seconds)
        sys.stderr.write(f"{tool.name}: {cell.name}\n")
    return {
        "version": _read_version(tool, python),
        "cells": cells,
        "seconds": float(np.median(seconds)),
        "agreed": [agreed, called],
        "spoiled": _judge_spoiled(tool, python),
        "draws": draws,
        "seed": seed,
    }


def compute_shares(at_margin: Sequence[str], equal: Sequence[str]) -> Count:
    """The shares of one rule's decisions, by draw of targets that lost the margin and of equal ones."""
    if at_margin[0].startswith("refused"):
        return Count(float("nan"), float("nan"), float("nan"), at_margin[0])
    draws = len(at_margin)
    return Count(at_margin.count(SHIP) / draws, equal.count(SHIP) / draws, equal.count(BLOCK) / draws)


def _decide_in_environment(
    tool: Tool, python: Path, cell: Cell, base: Floats, target: Floats
) -> dict[str, list[str]]:
    """All decisions of a tool, by a process of its environment, which calls `decide_all`."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "draws.npz"
        np.savez(file, base=base, target=target, cell=json.dumps(asdict(cell)))
        program = [str(python), "-m", "tools.peers.log_gates", "--inside", tool.name, str(file)]
        done = subprocess.run(program, capture_output=True, text=True, check=True)
    decisions: dict[str, list[str]] = json.loads(done.stdout)
    return decisions


def decide_all(tool: Tool, file: Path) -> dict[str, list[str]]:
    """By rule the decision on each draw of a file; `refused: …` where the tool gives none."""
    with np.load(file) as stored:
        cell = Cell(**json.loads(str(stored["cell"])))
        sides = stored["base"], stored["target"]
    decisions: dict[str, list[str]] = {}
    for base, target in zip(*sides, strict=True):
        for rule, decision in tool.decide(cell, base, target).items():
            decisions.setdefault(rule, []).append(decision)
    return decisions


def run_command(tool: Tool, python: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> Command:
    """Runs the tool's command on the files of one pair."""
    with tempfile.TemporaryDirectory() as scratch:
        arguments = tool.write(Path(scratch), cell, base, target)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        program = [str(python.with_name(tool.name)), *arguments]
        done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=scratch)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Command(done.returncode, done.stdout + done.stderr, seconds, cell.margin)


def _judge_spoiled(tool: Tool, python: Path) -> dict[str, str]:
    """The exit code and the output of a tool's command for logs that do not compare."""
    cell = CELLS[1]
    base, target = cell.draw(np.random.default_rng(0), 0.0)
    outcomes = {}
    for name, spoil in SPOILED.items():
        command = run_command(tool, python, cell, list_rows(cell, base), spoil(list_rows(cell, target)))
        outcomes[name] = f"{command.code}: {' / '.join(command.output.split(chr(10)))[-1500:]}"
    return outcomes


def _read_version(tool: Tool, python: Path) -> str:
    if isinstance(tool, Slimgate):
        return version(tool.name)
    program = f"from importlib.metadata import version; print(version({tool.name!r}))"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
