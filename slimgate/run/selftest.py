"""Makes the models and answers that the self-test judges: a copy of the teacher, a damaged copy, a fault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics.base import Metric, arrange_outcomes
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes
from slimgate.plugins.base import Json
from slimgate.plugins.rows import Rows
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.damaged_layer import damage_largest_matrix_
from slimgate.run.keys import make_copy_key
from slimgate.run.measure.quality import FILE, SplitEncoder, list_answering_modules, predict_outcomes
from slimgate.run.model_handle import ModelHandle
from slimgate.run.process_state import guard_process_state
from slimgate.run.rows import check_task
from slimgate.store.store import Artifact, Entry

# The kinds of artifact that hold a network of PyTorch with float weights.
KINDS = ("torch",)
ROWS = 500
ROUNDING = 1e-12  # 0.9 - 0.8 is a little less than 0.1
# Returns the outcomes with these rows made wrong.
DamageRows = Callable[[Outcomes, Ints], Outcomes]


def make_default_budget(metric: Metric) -> QualityBudget:
    """The self-test's budget on a metric for which no variant has a budget."""
    if metric.unit == "percent":
        return QualityBudget(kind="increase_relative", limit=0.02)
    return QualityBudget(kind="drop_points", limit=2.0)


def predict_identical_copy(teacher: ModelHandle, *, seed: int) -> tuple[Outcomes, Outcomes]:
    """The teacher's outcomes and those of a copy, on at most 500 gate rows, or on all if the task needs all.

    The copy is saved and loaded, and predicts the rows in another order and in other batches. An endpoint is
    asked again instead.
    """
    stored, predicted, _ = _predict_copy(teacher, None, seed=seed)
    return stored, predicted


def predict_damaged_copy(
    teacher: ModelHandle, *, strength: float, seed: int
) -> tuple[Outcomes, Outcomes, str]:
    """Like predict_identical_copy, but the copy's largest matrix has noise. Also the name of its layer.

    The rows are sorted by length: in random order they are padded more, and take twice as long.

    strength: see damage_largest_matrix_. Raises NothingToDamage if there is no such matrix, MeasureError if
    the copy's scores are not finite.
    """
    return _predict_copy(teacher, strength, seed=seed)


def _predict_copy(
    teacher: ModelHandle, strength: float | None, *, seed: int
) -> tuple[Outcomes, Outcomes, str]:
    """The teacher's outcomes and those of a copy on the same rows, and the name of the layer with noise.

    If a model has answered rows in this run, the copy answers too: it shows whether this process and this
    machine still give the teacher's answers. Otherwise its answers are from the store, as all others are.

    strength: of the noise; None for a copy without noise, which has an empty name.
    """
    run = teacher.run
    generator = np.random.default_rng(seed)
    needs_all_rows = run.suite.setup.task.object.whole_split
    count = len(run.rows.gate) if needs_all_rows else min(ROWS, len(run.rows.gate))
    positions = np.sort(generator.choice(len(run.rows.gate), size=count, replace=False))
    encoder = SplitEncoder(run.suite, Rows(run.rows.gate.table.take(positions)))
    order = generator.permutation(count) if strength is None else None
    model = AnsweringModel(run.suite, run.rows, teacher.built.artifact, teacher.variant.runtime, run.device)

    def predict() -> tuple[Outcomes, str]:
        if teacher.variant.is_endpoint:  # a server cannot be copied, so it is asked again
            return predict_outcomes(model, encoder, order=order), ""
        return _predict_with_noise(model, encoder, order, strength, seed)

    def fill(folder: Path) -> Json:
        outcomes, layer = predict()
        check_task(run.suite.setup.task, run.rows.task)
        write_outcomes(outcomes, folder / FILE)
        return {"artifact": model.artifact.digest, "rows": len(outcomes), "layer": layer}

    stored = teacher.outcomes.take(positions)
    key = make_copy_key(model, positions, order, seed=seed, strength=strength)
    if teacher.variant.is_endpoint or (run.has_new_answers and run.store.find("outcomes", key)):
        predicted, layer = predict()
    else:
        entry = run.store.make("outcomes", key, fill, modules=list_answering_modules(model))
        predicted, layer = read_outcomes(entry.folder / FILE), entry.manifest["layer"]
    compare = run.suite.setup.task.object.score_pair
    if compare is not None:
        predicted = compare(run.suite.setup.task.params, predicted, stored)
    return stored, replace(predicted, groups=stored.groups), layer


def _predict_with_noise(
    model: AnsweringModel, encoder: SplitEncoder, order: Ints | None, strength: float | None, seed: int
) -> tuple[Outcomes, str]:
    """The outcomes of a saved and loaded copy, and the name of the layer with noise; "" without noise."""
    with tempfile.TemporaryDirectory(prefix="slimgate-") as folder, guard_process_state():
        copy, layer = model.artifact.load(model.device), ""
        if strength is not None:
            layer = damage_largest_matrix_(copy.network, strength=strength, seed=seed)
        copy.save(Path(folder))
        artifact = Artifact(Entry(Path(folder), model.artifact.manifest, from_store=False))
        return predict_outcomes(replace(model, artifact=artifact), encoder, order=order), layer


def plant_fault(
    outcomes: Outcomes, metric: Metric, drop: float, *, seed: int, damage_rows: DamageRows | None = None
) -> Outcomes:
    """The outcomes, with enough wrong rows to lower a metric by `drop`, a fraction, or with all wrong.

    If rows come in groups, the rows are made wrong group by group. A lost file or customer looks
    like that, and it is the hardest case for a verdict.

    damage_rows(outcomes, rows): the outcomes with those rows made wrong. By default it swaps a row's
    probabilities of the label and of the next class; this needs a classification, and raises MeasureError for
    other outcomes. The damaged outcomes go through a file, like a variant's.
    """
    damage = damage_rows or _make_rows_wrong
    order = _order_rows(outcomes, np.random.default_rng(seed), right_only=damage_rows is None)
    unit_weights = np.ones(len(outcomes))
    outcomes = arrange_outcomes(metric, outcomes)
    base = float(metric.statistic(outcomes, unit_weights))
    # Bisection finds the smallest number of rows that lower the metric enough.
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        value = float(metric.statistic(damage(outcomes, order[:middle]), unit_weights))
        loss = base - value if metric.higher_is_better else value - base
        if loss >= drop - ROUNDING:
            high = middle
        else:
            low = middle + 1
    with tempfile.TemporaryDirectory(prefix="slimgate-") as folder:
        write_outcomes(damage(outcomes, order[:low]), Path(folder) / "outcomes.parquet")
        return read_outcomes(Path(folder) / "outcomes.parquet")


def _order_rows(outcomes: Outcomes, generator: np.random.Generator, *, right_only: bool) -> Ints:
    """Rows in random order, group by group. Rows that are right, or partly right, come before wrong rows."""
    right = np.ones(len(outcomes)) if outcomes.right is None else outcomes.right
    order = generator.permutation(len(outcomes))
    if outcomes.groups is not None:
        _, group_numbers = np.unique(outcomes.groups, return_inverse=True)
        group_order = generator.permutation(int(group_numbers.max()) + 1)
        order = order[np.argsort(group_order[group_numbers[order]], kind="stable")]
    right_rows, rest = order[right[order] > 0], order[right[order] == 0]
    return right_rows if right_only else np.concatenate([right_rows, rest])


def _make_rows_wrong(outcomes: Outcomes, rows: Ints) -> Outcomes:
    if not isinstance(outcomes, ClassOutcomes):
        raise MeasureError(
            "the task does not say how a row goes wrong: it has no with_planted_fault(outcomes, rows)"
        )
    return outcomes.with_wrong_rows(rows)
