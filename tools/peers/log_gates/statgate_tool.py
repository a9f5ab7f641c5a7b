"""statgate."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.peers.log_gates.pairs import Cell, Floats, Row, list_rows
from tools.peers.log_gates.tool import BLOCK, NEITHER, SHIP, Tool, write_lines

_DECISIONS = {"SHIP": SHIP, "BLOCK": BLOCK}


class Statgate(Tool):
    name = "statgate"
    formats = "its own JSON lines, JSON and csv; promptfoo"
    refusal = 3
    rule = ("yes", "SHIP; in a second column SHIP with `--alpha 0.1`, the level of slimgate", "2.5 %; 5 %")

    def decide(self, cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
        statgate, records = import_module("statgate"), import_module("statgate.records")

        def read(scores: Floats) -> list[Any]:
            return [
                records.EvalRecord(case_id=row.id, score=row.score, run_index=row.epoch)
                for row in list_rows(cell, scores)
            ]

        def evaluate(alpha: float) -> str:
            # The report shows the permutation test, but the verdict does not depend on it.
            settings = statgate.GateSettings(margin=cell.margin, alpha=alpha, seed=42, permutations=100)
            report = statgate.evaluate_gate(read(base), read(target), settings)
            return _DECISIONS.get(str(report.verdict.value), NEITHER)

        return {"SHIP": evaluate(0.05), "SHIP, --alpha 0.1": evaluate(0.10)}

    def write(self, folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        for name, rows in (("base", base), ("target", target)):
            lines = [
                {"case_id": row.id, "score": row.score, "run_index": row.epoch, "prompt": row.prompt}
                for row in rows
            ]
            write_lines(folder / f"{name}.jsonl", lines)
        return ["compare", "base.jsonl", "target.jsonl", "--margin", f"{cell.margin:g}", "--seed", "42"]
