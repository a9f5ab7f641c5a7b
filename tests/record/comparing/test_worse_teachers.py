"""A teacher that is trained or on a server, and got worse: it hides what a variant lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.releases import INT8, Model, write_release
from support.sample_record import change_variant

from slimgate.errors import DataError
from slimgate.record.accept import accept
from slimgate.record.build import StepFacts
from slimgate.record.comparing import compare
from slimgate.record.files import StoredRecord, read_run
from slimgate.record.run import format_record_json
from slimgate.record.task import Demands

# 800 of 8,000 rows are wrong, 400 more than before; int8 has the same wrong rows.
WORSE = {name: range(200) for name in INT8}
# 5 rows more than before: 0.06 points, which is less than a quarter of the budget of 1 point
ALMOST = {**{name: range(100) for name in INT8}, "card": range(105)}


def make_release(folder: Path, kind: str, **options: Any) -> StoredRecord:
    """kind: trained, server or files, as the teacher is."""
    file = write_release(folder, **options) / "run.json"
    record = read_run(file)
    artifact = record.variants[0].artifact
    assert artifact is not None
    changes: dict[str, Any] = {}
    if kind == "trained":
        changes = {"steps": [StepFacts(name="finetune", params={}, seconds=1.0, log={})]}
    elif kind == "server":
        changes = {"artifact": artifact.model_copy(update={"bytes": None})}
    changed = change_variant(record, "teacher", **changes)
    file.write_text(format_record_json(changed))
    return StoredRecord(file, changed)


@pytest.mark.parametrize("kind", ["trained", "server"])
def test_a_worse_teacher_is_a_weaker_gate(tmp_path: Path, kind: str) -> None:
    old = make_release(tmp_path / "old", kind)
    new = make_release(tmp_path / "new", kind, teacher=WORSE, models={"int8": Model(WORSE)})
    [weakening] = compare(old, new).weaker
    assert (weakening.about, weakening.change) == (
        "settings",
        "the teacher has changed: its accuracy was 0.95 and is 0.9",
    )
    accept(old, tmp_path / "baselines", "v1", reason=None, at="2026-11-01")
    with pytest.raises(DataError, match="than the baseline v1: the teacher has changed: its accuracy was"):
        accept(new, tmp_path / "baselines", "v2", reason=None, at="2026-11-02")
    assert compare(new, old).weaker == []


def test_the_reason_of_the_suite_is_about_the_teacher_too(tmp_path: Path) -> None:
    demands = [Demands(reason=reason) for reason in (None, "the server has another build")]
    old = make_release(tmp_path / "old", "server", demands=demands[0])
    new = make_release(
        tmp_path / "new", "server", teacher=WORSE, models={"int8": Model(WORSE)}, demands=demands[1]
    )
    assert [weakening.reason for weakening in compare(old, new).weaker] == ["the server has another build"]
    again = make_release(tmp_path / "again", "server", demands=demands[1])
    assert [weakening.reason for weakening in compare(again, new).weaker] == [None]


def test_a_little_worse_teacher_needs_a_reason_to_be_kept(tmp_path: Path) -> None:
    old = make_release(tmp_path / "old", "server")
    new = make_release(tmp_path / "new", "server", teacher=ALMOST)
    assert compare(old, new).weaker == []
    accept(old, tmp_path / "baselines", "v1", reason=None, at="2026-11-01")
    with pytest.raises(DataError, match="the teacher has changed"):
        accept(new, tmp_path / "baselines", "v2", reason=None, at="2026-11-02")


def test_a_teacher_whose_files_are_compared_is_no_second_change(tmp_path: Path) -> None:
    old = make_release(tmp_path / "old", "files")
    new = make_release(tmp_path / "new", "files", teacher=WORSE, models={"int8": Model(WORSE)})
    assert compare(old, new).weaker == []
