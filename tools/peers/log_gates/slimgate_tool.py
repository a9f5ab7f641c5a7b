"""slimgate, as one of the compared tools."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.peers.log_gates.pairs import Cell, Floats, Row, list_rows
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

        def make_log(name: str, rows: Sequence[Row]) -> Log:
            def read_rows() -> Iterator[LogRow]:
                for row in rows:
                    sample, cluster = row.id, row.cluster
                    if cell.repeats:
                        sample, cluster = name_epoch(row.id, row.epoch + 1), row.id
                    yield LogRow(sample, {"score": row.score}, cluster=cluster)

            return Log("table", name, {"": TaskLog(read_rows)})

        def join_runs(name: str, scores: Floats) -> Log:
            if cell.repeats:
                return make_log(name, list_rows(cell, scores))
            return join_logs(
                [make_log(f"{name}{run}", list_rows(cell, line[None])) for run, line in enumerate(scores)]
            )

        budgets = LogBudgets((("*", (QualityBudget("drop_points", 100 * cell.margin),)),))
        rules = Rules(directions={"score": True})
        judged = judge_logs(join_runs("base", base), join_runs("target", target), budgets, rules)
        (comparison,) = judged.comparisons
        return {"PASS": _DECISIONS[str(comparison.judged.verdict)]}

    def write(self, folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        for name, rows in (("base", base), ("target", target)):
            with (folder / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                extra_columns = ["group"] if cell.groups else ["epoch"] if cell.repeats else []
                writer.writerow(["id", "score", "prompt", *extra_columns])
                for row in rows:
                    extra = [row.cluster] if cell.groups else [row.epoch + 1] if cell.repeats else []
                    writer.writerow([row.id, row.score, row.prompt, *extra])
        direction = ["--higher-is-better", "score"]
        return ["judge", "base.csv", "target.csv", *direction, "--drop-points", f"{100 * cell.margin:g}"]

    def read_decision(self, command: Command) -> str:
        last_line = command.output.rstrip().rpartition("\n")[2]
        return next(decision for word, decision in _DECISIONS.items() if last_line.startswith(word))
