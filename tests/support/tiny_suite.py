"""Whole suites on tiny rows and a tiny model, written into a folder."""

from __future__ import annotations

from pathlib import Path

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

_FILES = """\
[suite]
title = "tiny"
threads = 1

[task]
source = { name = "files", train = "train.csv", gate = "gate.csv" }
text = ["text"]
"""
# The rows of `write_tiny_rows` as two tasks. Teacher, variants and more tables follow.
CLASSIFICATION = f"""{_FILES}\
kind = "text_classification"
label = "label"
max_tokens = 32
splits = {{ train = "rest", calibration = 0, selection = 16 }}
"""
CAUSAL = f"""{_FILES}\
kind = "causal_lm"
group = "file"
max_tokens = 32
splits = {{ train = "rest", calibration = 8, selection = 16 }}
"""
# The rows of one file, which slimgate splits.
ONE_FILE = """\
[suite]
title = "tiny"

[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv", real = false }
text = ["text"]
label = "label"
max_tokens = 32
splits = { train = 100, calibration = 8, selection = 20, gate = 100 }
"""
_MODELS = """\
group = "file"

[teacher]
model = "hub"

[variants]
shorter = { steps = [{ keep_layers = [0, 2] }] }
pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }

[measure]
batch_size = 16
"""
SUITE = CLASSIFICATION + _MODELS


def make_tiny_run(folder: Path, *, gate: int = 60, store: str = "store", **replaced: str) -> SuiteRun:
    """The run of the suite, as one pytest session has it. replaced: texts of the suite file to change."""
    if not (folder / "hub").exists():
        write_tiny_bert(folder / "hub", initializer_range=0.2)
        write_tiny_rows(folder, gate=gate)
    text = SUITE
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return make_run(folder, text, store=store)


def write_tiny_rows(folder: Path, *, gate: int = 40) -> None:
    """Writes the files of rows that the tasks above name. gate: the number of gate rows."""
    write_rows(folder / "train.csv", 64, seed=1)
    write_rows(folder / "gate.csv", gate, seed=2, prefix="g")


def make_run(folder: Path, text: str, *, store: str = "store") -> SuiteRun:
    """The run of a suite with this text, as one pytest session has it."""
    (folder / "suite.toml").write_text(text, "utf-8")
    suite = load_suite(folder / "suite.toml", "suite.toml")
    return SuiteRun(suite, Store(folder / store), device="cpu")
