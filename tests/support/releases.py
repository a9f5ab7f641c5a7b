"""Writes releases of one suite as a run does: records and outcomes, with figures of the real judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.judge.behaviour import judge_behaviour, make_behaviour_facts, measure_behaviour
from slimgate.judge.behaviour_message import format_behaviour_message
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import BehaviourBudgets, FlipsBudget, SliceBudget
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import ClassOutcomes
from slimgate.record.build import ArtifactFacts
from slimgate.record.comparing import Comparison, compare
from slimgate.record.files import read_record_file
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run import RunRecord, VariantRecord, format_record_json, read_record
from slimgate.record.run_verdict import judge_record
from slimgate.record.task import Machine, SplitFacts, SuiteFacts, TaskFactsRecord
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import SelfTest

CLASSES = ("card", "cash", "loan", "transfer")
ROWS = 2000  # of each label
SUITE = "bench/support.toml"


def make_answers(wrong: Mapping[str, Sequence[int]]) -> ClassOutcomes:
    """2,000 rows of each label. wrong: label -> its rows that are wrong, counted from 0 within the label."""
    labels = np.repeat(np.arange(len(CLASSES)), ROWS)
    predictions = labels.copy()
    for name, rows in wrong.items():
        label_index = CLASSES.index(name)
        predictions[label_index * ROWS + np.asarray(rows, dtype=np.int64)] = (label_index + 1) % len(CLASSES)
    ids = np.asarray([f"row/{k}" for k in range(len(labels))], dtype=np.str_)
    return ClassOutcomes(ids, labels, predictions, CLASSES)


# Wrong rows of models. The teacher has 100 of each label; INT8 has the same rows and 15 more of each.
TEACHER = {name: range(100) for name in CLASSES}
INT8 = {name: range(115) for name in CLASSES}
LOSES_LOANS = {**INT8, "loan": range(145)}
LOST = {name: range(160) for name in CLASSES}  # 3 points behind the teacher
UNSURE = {name: range(130) for name in CLASSES}  # 1.5 points, with an interval that contains 1.5
FEWER = {name: range(110) for name in CLASSES}


@dataclass(frozen=True)
class Model:
    """A variant of a release. wrong: as in `make_answers`; speedup: estimate, low, high."""

    wrong: Mapping[str, Sequence[int]] = field(default_factory=lambda: INT8)
    budgets: Sequence[QualityBudget] = (QualityBudget("drop_points", 1.0),)
    flips: FlipsBudget | None = None
    slices: SliceBudget | None = None
    size: int = 1_000_000
    speedup: tuple[float, float, float] = (2.0, 1.9, 2.1)
    gated: bool = True
    reason: str | None = None
    error: str | None = None


def seal(file: Path) -> Path:
    """Writes a record that a test has edited again, as slimgate does, so that it does not count as edited."""
    file.write_text(format_record_json(read_record(file)), "utf-8")
    return file


def write_release(
    folder: Path,
    *,
    created: str = "2026-11-01T08:00:00+00:00",
    teacher: Mapping[str, Sequence[int]] = TEACHER,
    models: Mapping[str, Model] | None = None,
    gate_digest: str = "gate-1",
    missing: int = 0,
    **changes: Any,
) -> Path:
    """Writes run.json and outcomes/ of a run, and returns the folder.

    models: by name; default: one variant int8. missing: the number of checks that did not run. changes:
    fields of the RunRecord.
    """
    original = make_answers(teacher)
    models_written = {"int8": Model()} if models is None else models
    variants = [
        _make_teacher(original),
        *(_make_variant(name, original, model) for name, model in models_written.items()),
    ]
    fields: dict[str, Any] = {
        "slimgate": "0.1.0",
        "created": created,
        "command": "pytest bench",
        "machine": make_machine(),
        "suite": SuiteFacts(path=SUITE, title="What does the customer ask for?", digest="s", seeds=[0]),
        "task": _make_task(gate_digest),
        "variants": variants,
        "self_test": SelfTest(),
        "verdict": judge_record(variants, SelfTest(), missing),
    }
    (folder / "outcomes").mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(format_record_json(RunRecord(**{**fields, **changes})))
    write_outcomes(original, folder / "outcomes" / "teacher.parquet")
    for name, model in models_written.items():
        if model.error is None:
            write_outcomes(make_answers(model.wrong), folder / "outcomes" / f"{name}.parquet")
    return folder


def make_machine(**changes: Any) -> Machine:
    fields: dict[str, Any] = {
        "cpu": "a cpu",
        "cores": 2,
        "threads": 2,
        "memory_bytes": 8_000_000_000,
        "device": "cpu",
        "os": "Linux",
        "python": "3.11",
        "libraries": {"torch": "2.13.0"},
    }
    return Machine(**{**fields, **changes})


def _make_task(digest: str) -> TaskFactsRecord:
    gate = SplitFacts(n=ROWS * len(CLASSES), digest=digest, dropped_overlap=0, repeats=0)
    return TaskFactsRecord(
        kind="text_classification",
        params={"text": ["message"], "label": "intent", "max_tokens": 64},
        source={"name": "files"},
        real=True,
        classes=list(CLASSES),
        splits={"gate": gate},
    )


def _make_artifact(size: int) -> ArtifactFacts:
    return ArtifactFacts(
        kind="torch",
        digest=f"digest-{size}",
        bytes=size,
        parameters=size // 4,
        nonzero_parameters=size // 4,
        runtime="eager",
    )


def _make_teacher(outcomes: ClassOutcomes) -> VariantRecord:
    value = float(outcomes.right.mean())
    facts = QualityFacts(teacher=value, value=value, n=len(outcomes), measured="")
    return VariantRecord(
        name="teacher",
        parent=None,
        artifact=_make_artifact(4_000_000),
        quality={"accuracy": facts},
        latency={"b1": LatencyFacts(p50_ms=10.0, measured="")},
    )


def _make_variant(name: str, teacher: ClassOutcomes, model: Model) -> VariantRecord:
    if model.error is not None:
        awaited = ["accuracy"] if model.budgets else []
        return VariantRecord(
            name=name, parent="teacher", gated=model.gated, error=model.error, awaited=awaited
        )
    outcomes, accuracy = make_answers(model.wrong), load_metric("accuracy")
    judged = judge_quality(accuracy, teacher, outcomes, model.budgets)
    undecided = [budget.on_inconclusive for budget in model.budgets]
    facts = make_quality_facts(judged, format_message(name, judged), undecided, measured="")
    budgets = BehaviourBudgets(
        flips=model.flips, slices={} if model.slices is None else {"accuracy": model.slices}
    )
    judged_behaviour = judge_behaviour(teacher, outcomes, budgets, metrics={"accuracy": accuracy})
    changed = make_behaviour_facts(
        measure_behaviour(teacher, outcomes),
        judged_behaviour,
        format_behaviour_message(name, judged_behaviour),
    )
    middle, low, high = model.speedup
    return VariantRecord(
        name=name,
        parent="teacher",
        gated=model.gated,
        reason=model.reason,
        artifact=_make_artifact(model.size),
        quality={"accuracy": facts},
        behaviour=changed.replace(measured=""),
        latency={
            "b1": LatencyFacts(
                p50_ms=10.0 / middle, speedup=middle, speedup_interval=(low, high), measured=""
            )
        },
    )


def compare_folders(old: Path, new: Path) -> Comparison:
    return compare(read_record_file(old), read_record_file(new))


def compare_changed(folder: Path, **changes: object) -> Comparison:
    """The comparison of the default release with one that `write_release` makes with these changes."""
    write_release(folder / "old")
    return compare_folders(folder / "old", write_release(folder / "new", **changes))  # type: ignore[arg-type]
