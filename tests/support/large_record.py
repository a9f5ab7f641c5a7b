"""A record of many variants with their outcomes, for tests of the largest page that a browser must open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slimgate.outcomes import ClassOutcomes
from slimgate.record.build import StepFacts
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts, Flips
from slimgate.results.figures import SizeFacts
from support.sample_record import (
    TEACHER_BYTES,
    make_artifact,
    make_latency,
    make_quality,
    make_record_of,
    make_slice_facts,
    make_variant,
)

CLASSES = tuple(f"library {k}" for k in range(8))
VERDICTS = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


def make_large_record(folder: Path, *, variants: int, rows: int) -> RunRecord:
    """Makes the record, and writes the outcomes of the teacher and of every variant below the folder."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(CLASSES), rows)
    sure = random.dirichlet(np.full(len(CLASSES), 0.3), rows)
    sure[np.arange(rows), labels] += 0.8
    (folder / "outcomes").mkdir(parents=True, exist_ok=True)
    _write_answers(folder, "teacher", labels, sure)
    return make_record_of(*(_make_variant(folder, k, labels, sure, random) for k in range(variants)))


def _write_answers(folder: Path, name: str, labels: np.ndarray, sure: np.ndarray) -> ClassOutcomes:
    shares = sure / sure.sum(axis=1, keepdims=True)
    ids = np.array([f"all/{k}" for k in range(len(labels))])
    outcomes = ClassOutcomes(
        ids, labels=labels, predictions=shares.argmax(axis=1), classes=CLASSES, probabilities=shares
    )
    write_outcomes(outcomes, folder / "outcomes" / f"{name}.parquet")
    return outcomes


def _make_variant(
    folder: Path, k: int, labels: np.ndarray, sure: np.ndarray, random: np.random.Generator
) -> VariantRecord:
    name = f"pruned-{k}"
    noise = random.dirichlet(np.full(len(CLASSES), 0.3), len(labels)) * (0.2 + 0.01 * k)
    _write_answers(folder, name, labels, sure + noise)
    drop = 0.02 * k + float(random.normal(0, 0.2))
    verdict = VERDICTS[min(2, int(max(0.0, drop) / 1.4))]
    speed = 1 + k / 100 + float(random.normal(0, 0.1))
    slices = [
        make_slice_facts(
            "label", label, 2500, drop + float(random.normal()), (drop - 1, drop + 1), verdict=verdict
        )
        for label in CLASSES
    ]
    size = int(TEACHER_BYTES / (1 + k / 50))
    return make_variant(
        name,
        steps=[
            StepFacts(name="magnitude_prune", params={"sparsity": k / 250}, seconds=1.0, log={"matrices": 36})
        ],
        artifact=make_artifact(size, 22_714_756, nonzero_parameters=int(22_714_756 * (1 - k / 250))),
        quality={
            "accuracy": make_quality(name, "accuracy", drop, (drop - 0.5, drop + 0.5), verdict),
            "f1_macro": make_quality(name, "f1_macro", drop + 0.1, (drop - 0.5, drop + 0.7), verdict),
        },
        size=SizeFacts(compression=TEACHER_BYTES / size, measured="now"),
        behaviour=BehaviourFacts(
            flips=Flips(right_to_wrong=100, wrong_to_right=80, changed=220, percent=1.2, interval=(1.0, 1.5)),
            budgets=[BudgetFacts(kind="flips_max_percent", limit=4.0, verdict=Verdict.PASS)],
            agreement=0.95,
            slices=slices,
        ),
        latency={
            workload: make_latency(
                p50 / speed, speedup=speed, speedup_interval=(speed * 0.97, speed * 1.03), noise_floor=0.02
            )
            for workload, p50 in (("b1", 6.31), ("b32x32", 78.4))
        },
    )
