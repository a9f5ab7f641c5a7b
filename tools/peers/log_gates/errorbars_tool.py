"""errorbars."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.peers.log_gates.pairs import Cell, Floats, Row
from tools.peers.log_gates.tool import BLOCK, NEITHER, SHIP, Command, Tool


class Errorbars(Tool):
    name = "errorbars"
    formats = "its own csv and JSON lines; lm-eval samples, Inspect logs"
    refusal = 1
    rule = (
        "no: it compares and gives no verdict",
        "no significant loss in its comparison; in a second column a rule that a user adds by hand: "
        "the 95 % interval is inside the margin",
        "none; 2.5 %",
    )

    def decide(self, cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
        compare = import_module("errorbars.compare")
        compared = compare.paired_compare(
            base.mean(axis=0), target.mean(axis=0), clusters=cell.make_clusters()
        )
        return _apply_rules(compared.as_dict(), cell.margin)

    def write(self, folder: Path, _: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        with (folder / "both.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["question_id", "model", "score", "cluster_id", "sample", "prompt"])
            for name, rows in (("base", base), ("target", target)):
                for row in rows:
                    writer.writerow([row.id, name, row.score, row.cluster or row.id, row.epoch, row.prompt])
        return ["compare", "both.csv", "--model-a", "base", "--model-b", "target", "--json"]

    def read_decision(self, command: Command) -> str:
        return next(iter(_apply_rules(json.loads(command.output), command.margin).values()))


def _apply_rules(compared: Mapping[str, Any], margin: float) -> dict[str, str]:
    """Two rules that a reader of the comparison may have. The drop is base minus target."""
    suffix = "_clustered" if compared.get("se_clustered") is not None else ""
    low, high = compared["ci_low" + suffix], compared["ci_high" + suffix]
    by_hand = SHIP if high < margin else BLOCK if low > margin else NEITHER
    return {
        "no significant loss": BLOCK if low > 0 else SHIP,
        "interval inside the margin, by hand": by_hand,
    }
