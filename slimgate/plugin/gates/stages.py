"""The stages of a variant: what each step on the way from the teacher cost in quality, and saved in size.

Measured on `selection`, not on the gate: a stage is for understanding, the variant is what is judged.
"""

from __future__ import annotations

from typing import Any

from slimgate.errors import SlimgateError
from slimgate.judge.metrics import load_metric, value_of
from slimgate.run import run
from slimgate.run.run import ModelHandle, SuiteRun
from slimgate.store.artifact import Artifact

LOSS = "log_loss"


def stage_facts(variant: ModelHandle) -> list[dict[str, Any]]:
    """A stage for each step, those of the variants it starts from first; none where one step says it all."""
    stages = list(run.list_stages(variant.run, variant.name))
    if len(stages) < 3 or not len(variant.run.rows.splits.get("selection", ())):
        return []
    return [_facts(variant.run, owner, step, artifact) for owner, step, artifact in stages]


def _facts(run: SuiteRun, owner: str, step: str | None, artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    facts = {key: manifest[key] for key in ("kind", "bytes", "parameters", "nonzero_parameters")}
    facts |= {"variant": owner, "step": step, "seconds": manifest["seconds"] if step else None}
    try:
        outcomes = run.selection_outcomes(owner, artifact)
    except SlimgateError as error:  # a stage may be broken where the variant, after further steps, is not
        return {**facts, "note": str(error)}
    task = run.suite.setup.task
    needs = task.object.needs(task.params)
    metrics = [load_metric(name) for name in dict.fromkeys((*run.suite.metrics, LOSS))]
    values = {metric.name: value_of(metric, outcomes) for metric in metrics if metric.needs in needs}
    return {**facts, "selection": values}
