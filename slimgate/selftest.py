"""The gate judged by itself: a copy of the teacher must not FAIL, a planted fault must not PASS."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from slimgate.artifact import Artifact
from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget, allowed_drop
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.measure.quality import Encoder, predict
from slimgate.metrics import load_metric, value_of
from slimgate.metrics.base import Metric
from slimgate.outcome_files import read_outcomes, write_outcomes
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes
from slimgate.protocols import Rows
from slimgate.run import ModelHandle
from slimgate.store import Entry

ROWS = 500
ROUNDING = 1e-12  # 0.9 - 0.8 is a little less than 0.1
Spoil = Callable[[Outcomes, Ints], Outcomes]


def default_budget(metric: Metric) -> QualityBudget:
    """What the self-test holds a metric to where no variant has a budget on it."""
    if metric.unit == "percent":
        return QualityBudget(kind="increase_relative", limit=0.02)
    return QualityBudget(kind="drop_points", limit=2.0)


def identical_copy(teacher: ModelHandle, *, seed: int) -> tuple[Outcomes, Outcomes]:
    """The teacher's outcomes, and those of a copy, on some 500 gate rows.

    The copy is saved, loaded again, and predicts the rows afresh in another order, in other batches.
    """
    run = teacher.run
    generator = np.random.default_rng(seed)
    together = getattr(run.suite.setup.task.object, "whole_split", False)
    count = len(run.rows.gate) if together else min(ROWS, len(run.rows.gate))
    positions = np.sort(generator.choice(len(run.rows.gate), size=count, replace=False))
    sample = Rows(run.rows.gate.table.take(positions))
    with tempfile.TemporaryDirectory(prefix="slimgate-") as folder:
        teacher.built.artifact.load(run.device).save(Path(folder))
        copy = Artifact(Entry(Path(folder), teacher.built.artifact.manifest, False))
        afresh = predict(
            run.suite,
            run.rows,
            copy,
            teacher.variant.runtime,
            Encoder(run.suite, sample),
            device=run.device,
            order=generator.permutation(count),
        )
    stored = teacher.outcomes.take(positions)
    return stored, replace(afresh, groups=stored.groups)


def plant_fault(
    outcomes: Outcomes, metric: Metric, drop: float, *, seed: int, spoil: Spoil | None = None
) -> Outcomes:
    """The outcomes with as many rows made wrong as lower a metric by at least `drop` (a fraction).

    spoil(outcomes, rows) -> the outcomes with those rows made wrong; of a classification, by exchanging a
    row's probabilities of the label and of the next class. The damaged outcomes go through a file, as a
    variant's do. Raises MeasureError for other tasks' outcomes without `spoil`.
    """
    damage = spoil or _exchanged
    order = _to_spoil(outcomes, np.random.default_rng(seed), right_only=spoil is None)
    ones = np.ones(len(outcomes))
    base = float(metric.statistic(outcomes, ones))
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        value = float(metric.statistic(damage(outcomes, order[:middle]), ones))
        if (base - value if metric.higher_is_better else value - base) >= drop - ROUNDING:
            high = middle
        else:
            low = middle + 1
    with tempfile.TemporaryDirectory(prefix="slimgate-") as folder:
        write_outcomes(damage(outcomes, order[:low]), Path(folder) / "outcomes.parquet")
        return read_outcomes(Path(folder) / "outcomes.parquet")


def _to_spoil(outcomes: Outcomes, generator: np.random.Generator, *, right_only: bool) -> Ints:
    """Rows in random order, right ones first; the others may be half right, as the tags of a row are."""
    right = np.ones(len(outcomes)) if outcomes.right is None else outcomes.right
    found = generator.permutation(np.flatnonzero(right > 0))
    rest = generator.permutation(np.flatnonzero(right == 0))
    return found if right_only else np.concatenate([found, rest])


def judge_fault(
    outcomes: Outcomes,
    metric_name: str,
    budget: QualityBudget,
    *,
    seed: int,
    spoil: Spoil | None = None,
) -> QualityJudgement:
    """The verdict on a planted fault of twice the drop that the budget allows."""
    metric = load_metric(metric_name)
    allowed = allowed_drop(budget, value_of(metric, outcomes))
    damaged = plant_fault(outcomes, metric, 2 * allowed, seed=seed, spoil=spoil)
    return judge_quality(metric, outcomes, damaged, [budget], seed=seed)


def _exchanged(outcomes: Outcomes, rows: Ints) -> Outcomes:
    if not isinstance(outcomes, ClassOutcomes):
        raise MeasureError("the task does not say how a row goes wrong: it has no spoiled(outcomes, rows)")
    return outcomes.exchanged(rows)
