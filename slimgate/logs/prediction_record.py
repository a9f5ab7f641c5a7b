"""Writes the record of verdicts on prediction files: run.json and outcomes, as for every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgate import __version__
from slimgate._system.digests import json_digest
from slimgate._system.files import write_atomically
from slimgate.errors import DataError
from slimgate.outcomes import ClassOutcomes, same_rows
from slimgate.record import (
    RunRecord,
    SelfTest,
    SplitFacts,
    SuiteFacts,
    TaskFactsRecord,
    VariantRecord,
    to_json,
)
from slimgate.record.files import OUTCOMES, RECORD, TEACHER
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run_verdict import verdict
from slimgate.record.task import PREDICTIONS
from slimgate.run.environment import describe_machine
from slimgate.run.gate_results import format_now


@dataclass(frozen=True)
class JudgedFile:
    """A target's judged file. quality, behaviour: as in the record; warnings: likely mistakes, in words."""

    teacher: ClassOutcomes
    variant: ClassOutcomes
    quality: Mapping[str, Mapping[str, Any]]
    behaviour: Mapping[str, Any]
    warnings: Sequence[str]


def write_prediction_record(
    judged: Mapping[str, JudgedFile], base: str, folder: Path, *, command: str, seed: int
) -> RunRecord:
    """Writes the record from which reports are made into a folder. judged: by target; base: the base's file.

    Raises DataError if the targets were judged on different rows or classes.
    """
    first = next(iter(judged.values()))
    for name, file in judged.items():
        if (file.teacher.classes, file.teacher.strays) != (first.teacher.classes, first.teacher.strays):
            raise DataError(
                f"{name} has other classes than the first target ({', '.join(file.teacher.classes)}); give "
                "each target a report of its own"
            )
        same_rows(first.teacher, file.teacher)
    record = _make_record(judged, base, folder, command, seed)
    (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    write_outcomes(first.teacher, folder / OUTCOMES / f"{TEACHER}.parquet")
    for name, file in judged.items():
        write_outcomes(file.variant, folder / OUTCOMES / f"{name}.parquet")
    write_atomically(folder / RECORD, to_json(record))
    return record


def _make_record(
    judged: Mapping[str, JudgedFile], base: str, folder: Path, command: str, seed: int
) -> RunRecord:
    first = next(iter(judged.values()))
    teacher = first.teacher
    variants = [
        _make_teacher_record(first.quality),
        *(
            VariantRecord.model_validate(
                {
                    "name": name,
                    "parent": TEACHER,
                    "quality": file.quality,
                    "behaviour": file.behaviour,
                    "notes": list(file.warnings),
                }
            )
            for name, file in judged.items()
        ),
    ]
    run_verdict = verdict(variants, SelfTest(), missing=0)
    rows = json_digest([teacher.ids.tolist(), teacher.labels.tolist(), teacher.classes])
    sizes = np.bincount(teacher.labels, minlength=len(teacher.classes)).tolist()
    task = TaskFactsRecord(
        kind=PREDICTIONS,
        params={"labels": list(teacher.label_set), "positive": teacher.positive},
        source={"name": "prediction files", "base": base},
        real=True,
        classes=list(teacher.classes),
        splits={
            "gate": SplitFacts(
                n=len(teacher),
                digest=rows,
                dropped_overlap=0,
                repeats=0,
                groups=None if teacher.groups is None else len(np.unique(teacher.groups)),
                label_counts=dict(zip(teacher.label_set, sizes, strict=False)),
            )
        },
    )
    return RunRecord(
        slimgate=__version__,
        created=format_now(),
        command=command,
        machine=describe_machine(threads=1, device="cpu"),
        suite=SuiteFacts(
            path=f"{folder.resolve().name}.toml",
            title=f"{', '.join(judged)} against {base}",
            digest=json_digest([base, sorted(first.quality)]),
            seeds=[seed],
        ),
        task=task,
        variants=variants,
        self_test=SelfTest(),
        verdict=run_verdict,
        this_run=run_verdict,
    )


def _make_teacher_record(quality: Mapping[str, Mapping[str, Any]]) -> VariantRecord:
    values = {
        name: {
            "teacher": facts["teacher"],
            "value": facts["teacher"],
            "n": facts["n"],
            "measured": format_now(),
        }
        for name, facts in quality.items()
    }
    return VariantRecord.model_validate({"name": TEACHER, "parent": None, "quality": values})
