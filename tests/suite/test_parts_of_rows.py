"""A source that has only gate rows serves variants that need no others; a step that needs some is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.errors import SuiteError
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

SUITE = """
[suite]
title = "only gate rows"
[task]
kind = "text_classification"
source = {{ name = "files", gate = "gate.csv" }}
text = ["text"]
label = "label"
max_tokens = 16
[teacher]
model = "{model}"
[variants]
made = {{ steps = [{{ {step} }}] }}
"""


def read_suite(folder: Path, step: str, model: str = "headed") -> Suite:
    write_tiny_bert(folder / "bare")
    write_tiny_bert(folder / "headed", labels=("neg", "pos"))
    write_rows(folder / "gate.csv", 60)
    (folder / "x.toml").write_text(SUITE.format(step=step, model=model), "utf-8")
    return load_suite(folder / "x.toml", "x.toml")


def test_a_step_without_rows_needs_only_gate_rows(tmp_path: Path) -> None:
    rows = prepare_rows(read_suite(tmp_path, "int8_dynamic = {}"), Store(tmp_path / "store"))
    assert {name: len(split) for name, split in rows.splits.items()} == {
        "train": 0,
        "calibration": 0,
        "selection": 0,
        "gate": 60,
    }


@pytest.mark.parametrize(
    ("step", "split", "hint"),
    [
        ("distill = {}", "train", "train"),
        ("int8_static = {}", "calibration", "calibration, or train to draw it from"),
    ],
    ids=["train", "calibration"],
)
def test_a_step_says_which_rows_it_needs(tmp_path: Path, step: str, split: str, hint: str) -> None:
    with pytest.raises(SuiteError) as caught:
        read_suite(tmp_path, step)
    assert str(caught.value) == (
        f"x.toml [variants.made] steps[0].{step.split()[0]}: needs rows of the split {split}, and [task] "
        f"source has only the part gate; give the source the part {hint}"
    )


def test_a_model_without_a_head_needs_train_rows(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        read_suite(tmp_path, "int8_dynamic = {}", model="bare")
    assert str(caught.value) == (
        "x.toml [teacher] model: bare has no head for this task, so one is made from rows of the split "
        "train, and [task] source has only the part gate; give the source the part train"
    )
