"""slimgate."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.peers.log_gates.pairs import Cell, Floats, Row, rows_of
from tools.peers.log_gates.tool import BLOCK, NEITHER, SHIP, Command, Tool

_DECISIONS = {"PASS": SHIP, "FAIL": BLOCK, "INCONCLUSIVE": NEITHER}


class Slimgate(Tool):
    name = "slimgate"
    formats = "logs of 20 tools, tables (csv, JSON lines, parquet)"
    refusal = 4
    rule = ("yes", "PASS", "5 %")

    def decide(self, cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
        from slimgate.judge import QualityBudget
        from slimgate.logs.budgets import LogBudgets
        from slimgate.logs.rules import Rules
        from slimgate.logs.several_runs import join_logs
        from slimgate.logs.verdicts import judge_logs
        from slimgate.plugins.reader import Log, TaskLog, name_epoch
        from slimgate.plugins.reader import Row as LogRow

        def read(name: str, rows: Sequence[Row]) -> Log:
            def lines() -> Iterator[LogRow]:
                for row in rows:
                    id, cluster = row.id, row.cluster
                    if cell.repeats:
                        id, cluster = name_epoch(row.id, row.epoch + 1), row.id
                    yield LogRow(id, {"score": row.score}, cluster=cluster)

            return Log("table", name, {"": TaskLog(lines)})

        def side(name: str, scores: Floats) -> Log:
            if cell.repeats:
                return read(name, rows_of(cell, scores))
            return join_logs(
                [read(f"{name}{at}", rows_of(cell, line[None])) for at, line in enumerate(scores)]
            )

        budgets = LogBudgets((("*", (QualityBudget("drop_points", 100 * cell.margin),)),))
        judged = judge_logs(side("base", base), side("target", target), budgets, Rules())
        (comparison,) = judged.comparisons
        return {"PASS": _DECISIONS[str(comparison.judged.verdict)]}

    def write(self, folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        for name, rows in (("base", base), ("target", target)):
            with (folder / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                columns = ["group"] if cell.groups else ["epoch"] if cell.repeats else []
                writer.writerow(["id", "score", "prompt", *columns])
                for row in rows:
                    more = [row.cluster] if cell.groups else [row.epoch + 1] if cell.repeats else []
                    writer.writerow([row.id, row.score, row.prompt, *more])
        return ["judge", "base.csv", "target.csv", "--drop-points", f"{100 * cell.margin:g}"]

    def read_decision(self, command: Command) -> str:
        last_line = command.output.rstrip().rpartition("\n")[2]
        return next(decision for word, decision in _DECISIONS.items() if last_line.startswith(word))
