"""When a variant is the baseline's own: each thing that may have changed is one reason that it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.releases import write_release

from slimgate.record.comparing.since_baseline import Since, is_same_model, pair_with_baseline
from slimgate.record.files import StoredRecord, read_run
from slimgate.record.outcome_files import read_outcomes


def compare(folder: Path, **changes: Any) -> bool:
    """Whether int8 of a release is called the same, with what is said of it now changed."""
    run = write_release(folder) / "run.json"
    baseline = StoredRecord(run, read_run(run))
    gate = baseline.record.task.splits["gate"].digest
    answers = read_outcomes(baseline.outcomes("int8"))
    earlier = pair_with_baseline(baseline, "int8", changes.pop("answers", lambda same: same)(answers), gate)
    artifact = baseline.record.variant("int8").artifact
    assert artifact is not None
    stated = {
        "digest": artifact.digest,
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
        {"digest": "other"},
        {"runtime": "onnxruntime"},
        {"runtime": "mine:Runtime"},
        {"runtime_params": {"x": 1}},
    ],
    ids=str,
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
