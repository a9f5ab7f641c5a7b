"""When a variant is the baseline's own, and why its answers cannot be paired with those of the baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.releases import INT8, Model, make_answers, write_release

from slimgate.record.comparing.metrics import Since, is_same_model, pair_with_baseline
from slimgate.record.files import StoredRecord, read_run
from slimgate.record.outcome_files import read_outcomes


def compare(folder: Path, **changes: Any) -> bool:
    """Whether int8 of a release is called the same, with what is said of it now changed."""
    run = write_release(folder) / "run.json"
    baseline = StoredRecord(run, read_run(run))
    gate = baseline.record.task.splits["gate"].digest
    answers = read_outcomes(baseline.make_outcomes_path("int8"))
    earlier = pair_with_baseline(baseline, "int8", changes.pop("answers", lambda same: same)(answers), gate)
    artifact = baseline.record.variant("int8").artifact
    assert artifact is not None
    stated = {
        "artifact_digest": artifact.digest,
        "runtime": artifact.runtime,
        "runtime_params": artifact.runtime_params,
        "machine": baseline.record.machine,
    }
    return is_same_model(earlier, baseline, **{**stated, **changes})


def test_the_same_files_machine_and_answers_are_the_same_model(tmp_path: Path) -> None:
    assert compare(tmp_path)


def test_other_answers_are_another_model(tmp_path: Path) -> None:
    def change(answers: Any) -> Any:
        predictions = answers.predictions.copy()
        predictions[0] = (predictions[0] + 1) % len(answers.classes)
        return replace(answers, predictions=predictions)

    assert not compare(tmp_path, answers=change)


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact_digest": "other"},
        {"runtime": "onnxruntime"},
        {"runtime": "mine:Runtime"},
        {"runtime_params": {"x": 1}},
    ],
)
def test_another_file_or_runtime_is_another_model(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert not compare(tmp_path, **changes)


def test_another_processor_or_library_is_another_model(tmp_path: Path) -> None:
    run = write_release(tmp_path / "before") / "run.json"
    machine = read_run(run).machine
    for name, value in (
        ("cpu", "another"),
        ("libraries", {"torch": "9.9"}),
        ("device", "cuda"),
        ("threads", 7),
    ):
        changed = machine.model_copy(update={name: value})
        assert not compare(tmp_path / name, machine=changed), name


def test_a_variant_without_answers_of_then_is_not_the_same(tmp_path: Path) -> None:
    run = write_release(tmp_path) / "run.json"
    baseline = StoredRecord(run, read_run(run))
    new = Since(None, None, "new since then")
    assert not is_same_model(new, baseline, "d", "eager", {}, baseline.record.machine)


@pytest.mark.parametrize(
    ("name", "gate_digest", "has_model", "why_not"),
    [
        ("int8", "gate-1", True, None),
        ("int4", "gate-1", False, "new since then"),
        ("broken", "gate-1", False, "not measured then"),
        ("int8", "gate-2", True, "the gate rows are other ones (the digests of the split differ)"),
        ("lost", "gate-1", True, "its outcomes in the baseline cannot be read (FileNotFoundError)"),
    ],
    ids=["paired", "new", "not measured", "other rows", "no file"],
)
def test_answers_are_paired_or_have_a_reason(
    tmp_path: Path, name: str, gate_digest: str, has_model: bool, why_not: str | None
) -> None:
    models = {"int8": Model(), "lost": Model(), "broken": Model(error="broken: out of memory")}
    run = write_release(tmp_path, models=models) / "run.json"
    (tmp_path / "outcomes/lost.parquet").unlink()
    since = pair_with_baseline(StoredRecord(run, read_run(run)), name, make_answers(INT8), gate_digest)
    assert (since.model is not None, since.pair is not None) == (has_model, why_not is None)
    assert since.why_not == why_not
