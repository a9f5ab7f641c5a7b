"""evalsig."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.peers.log_gates.pairs import Cell, Floats, Row, list_rows
from tools.peers.log_gates.tool import BLOCK, NEITHER, SHIP, Tool

# The gain that a target must show, in the examples of evalsig's README.
MIN_DELTA = 0.005
# Resamples of the bootstrap over clusters. The command has 10,000, which take 2 s a verdict.
RESAMPLES = 1_000
_DECISIONS = {"ALLOW": SHIP, "REJECT": BLOCK}


class Evalsig(Tool):
    name = "evalsig"
    formats = (
        "its own JSON and parquet; lm-eval (samples with the score at the top of a row), "
        "Inspect (JSON with one score per sample), HELM (result.success or result.stats)"
    )
    refusal = 65
    rule = (
        "no: `--min-delta` is the gain that the target must show",
        "ALLOW, as its README says; in a second column ALLOW and all other verdicts except REJECT",
        "5 % at a drop of 0; none",
    )

    def decide(self, cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
        evalsig, types = import_module("evalsig"), import_module("evalsig.types")

        def read(name: str, scores: Floats) -> Any:
            items = [
                types.ItemResult(row.id, row.score, row.cluster, row.epoch) for row in list_rows(cell, scores)
            ]
            return types.RunFrame(name, name, "task", "accuracy", items)

        report = evalsig.gate(
            read("base", base),
            read("target", target),
            min_delta=MIN_DELTA,
            cluster="cluster_id" if cell.groups else None,
            n_resamples=RESAMPLES,
        )
        decision = _DECISIONS.get(str(report.verdict.value), NEITHER)
        return {"ALLOW": decision, "all but REJECT": SHIP if decision == NEITHER else decision}

    def write(self, folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
        for name, rows in (("base", base), ("target", target)):
            items = [
                {
                    "item_id": row.id,
                    "score": row.score,
                    "cluster_id": row.cluster,
                    "epoch": row.epoch,
                    "metadata": {"prompt": row.prompt},
                }
                for row in rows
            ]
            frame = {"run_id": name, "model_id": name, "task_id": "task", "metric_name": "accuracy"}
            (folder / f"{name}.json").write_text(json.dumps({**frame, "items": items}))
        clusters = ["--cluster", "cluster_id"] if cell.groups else []
        files = ["--baseline", "base.json", "--candidate", "target.json"]
        return ["gate", *files, "--min-delta", f"{MIN_DELTA:g}", *clusters]
