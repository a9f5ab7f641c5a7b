"""illate-parity."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from tools.peers.log_gates.pairs import Cell, Floats, Row, list_rows
from tools.peers.log_gates.tool import BLOCK, NEITHER, SHIP, Command, Tool, write_lines


class IllateParity(Tool):
    name = "illate-parity"
    formats = "its own JSON lines of labels"
    refusal = 2
    rule = ("yes", "PASS", "2.5 %")

    def decide(self, cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
        bootstrap, parity = import_module("illate_parity.bootstrap"), import_module("illate_parity.parity")
        rows = list_rows(cell, base if cell.repeats else base[:1])
        if len({row.id for row in rows}) < len(rows):
            return {"PASS": "refused: an id twice"}
        # As `check`: the right label is 0, a wrong answer is 1. The seed is the default seed plus 2.
        wrong_base, wrong_target = (1 - scores[0].astype(np.int64) for scores in (base, target))
        difference = bootstrap.fast_paired_accuracy(
            np.zeros(cell.rows, np.int64), wrong_base, wrong_target, seed=2
        )
        verdict = parity.verdict(difference["low"], difference["high"], cell.margin)
        return {"PASS": {"PASS": SHIP, "FAIL": BLOCK}.get(verdict, NEITHER)}

    def write(self, folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        right = [{"id": row.id, "text": row.prompt, "label": "right"} for row in base]
        write_lines(folder / "gold.jsonl", right)
        for name, rows in (("base", base), ("target", target)):
            labels = [
                {"id": row.id, "label": "right" if row.score == 1 else "wrong" if row.score == 0 else None}
                for row in rows
            ]
            write_lines(folder / f"{name}.jsonl", labels)
        files = ["--gold", "gold.jsonl", "--current", "base.jsonl", "--candidate", "target.jsonl"]
        return ["check", *files, "--margin", f"{cell.margin:g}", "--out", "out"]

    def read_decision(self, command: Command) -> str:
        return SHIP if command.code == 0 else BLOCK if "FAIL" in command.output else NEITHER
