"""A whole suite on tiny rows and a tiny model, written into a folder."""

from __future__ import annotations

from pathlib import Path

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

SUITE = """
[suite]
title = "tiny"
threads = 1

[task]
kind = "text_classification"
source = { name = "files", train = "train.csv", gate = "gate.csv" }
text = ["text"]
label = "label"
group = "file"
max_tokens = 32
splits = { train = "rest", calibration = 0, selection = 16 }

[teacher]
model = "hub"

[variants]
shorter = { steps = [{ keep_layers = [0, 2] }] }
pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }

[measure]
batch_size = 16
"""


def make_tiny_run(folder: Path, *, gate: int = 60, store: str = "store", **replaced: str) -> SuiteRun:
    """The run of the suite, as one pytest session has it. replaced: texts of the suite file to change."""
    if not (folder / "hub").exists():
        write_tiny_bert(folder / "hub", initializer_range=0.2)
        write_rows(folder / "train.csv", 64, seed=1)
        write_rows(folder / "gate.csv", gate, seed=2, prefix="g")
    text = SUITE
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "suite.toml").write_text(text, "utf-8")
    suite = load_suite(folder / "suite.toml", "suite.toml")
    return SuiteRun(suite, Store(folder / store), device="cpu")
