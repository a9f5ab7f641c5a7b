"""A tiny suite with a space of step lists, in a folder as a user has it."""

from __future__ import annotations

from pathlib import Path

from fixtures.models.tiny import write_rows, write_tiny_bert
from support.tiny_suite import CLASSIFICATION

_TASK = CLASSIFICATION.replace("max_tokens = 32", "max_tokens = 16").replace("16 }", "200 }")
_MODELS = """\
[teacher]
model = "model"

[budgets]
accuracy = { drop_points = 20.0 }

[measure]
metrics = ["accuracy"]
workloads = [{ batch = 4, tokens = 16 }]
max_seconds = 0.1
rounds = 3

[tune]
max_trials = 6
keep = 2

[[tune.space]]
name = "students"
steps = [
  { magnitude_prune = { sparsity = { choices = [0.05, 0.97] } } },
  { prune_ffn = { pruning_ratio = 0.001, importance = "magnitude" }, optional = true },
]
"""
SUITE = _TASK + _MODELS


def write_repository(folder: Path, text: str = SUITE, *, gate_seed: int = 2) -> Path:
    """Writes the suite, its rows and its model, and returns the suite's file. gate_seed: of the gate rows."""
    write_tiny_bert(folder / "model", initializer_range=0.2)
    write_rows(folder / "train.csv", 400, seed=1)
    rows = write_rows(folder / "gate.csv", 120, seed=gate_seed).read_text("utf-8").splitlines()
    # Texts of different lengths
    lines = [line.replace(",", f" {'the ' * (i % 7 + 1)},", 1) for i, line in enumerate(rows[1:])]
    (folder / "gate.csv").write_text("\n".join([rows[0], *lines]) + "\n", "utf-8")
    suite = folder / "suite.toml"
    suite.write_text(text, "utf-8")
    return suite
