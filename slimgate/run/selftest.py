"""Makes the models and answers that the self-test judges: a copy of the teacher, a damaged copy, a fault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics.base import Metric, arrange_outcomes
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes
from slimgate.plugins.rows import Rows
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.measure.quality import SplitEncoder, predict_outcomes
from slimgate.run.model_handle import ModelHandle
from slimgate.store.store import Artifact, Entry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from slimgate.models.torch_model import TorchModel


# The kinds of artifact that hold a network of PyTorch with float weights.
KINDS = ("torch",)


class NothingToDamage(MeasureError):
    """A model without a matrix that can be damaged here."""


def damage_largest_matrix_(network: nn.Module, *, strength: float, seed: int) -> str:
    """Adds noise to the largest matrix, and returns the name of its layer.

    strength: standard deviation of the noise, as a multiple of that of the matrix's values. Embeddings are
    left out, because only some of their rows are used. Raises NothingToDamage if there is no float matrix.
    """
    import torch

    name, weight = _find_largest_matrix(network)
    matrix = weight.detach()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(matrix.shape, generator=generator) * (strength * float(matrix.float().std()))
    matrix.add_(noise.to(matrix.device, matrix.dtype))
    return name


def _find_largest_matrix(network: nn.Module) -> tuple[str, torch.Tensor]:
    """The layer's name and its weight (convolutions count as matrices); the first of equally large ones."""
    from torch import nn

    embeddings = [module for module in network.modules() if isinstance(module, nn.Embedding)]
    embedding_weights = {id(module.weight) for module in embeddings}
    weights = [(name, getattr(module, "weight", None)) for name, module in network.named_modules()]
    matrices: list[tuple[str, torch.Tensor]] = [
        (name, weight)
        for name, weight in weights
        if _is_float_matrix(weight) and id(weight) not in embedding_weights  # also of a layer tied to one
    ]
    if not matrices:
        raise NothingToDamage("the network has no float matrix to damage")
    return max(matrices, key=lambda pair: pair[1].numel())


def _is_float_matrix(weight: object) -> TypeGuard[torch.Tensor]:
    """Whether it is a parameter of plain floats: quantized layers hold tensors of their own types."""
    import torch

    return (
        type(weight) is torch.nn.Parameter
        and type(weight.data) is torch.Tensor
        and weight.is_floating_point()
        and weight.ndim >= 2
    )


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
    return _predict_copy(teacher, lambda _: None, seed=seed, shuffle=True)


def predict_damaged_copy(
    teacher: ModelHandle, *, strength: float, seed: int
) -> tuple[Outcomes, Outcomes, str]:
    """Like predict_identical_copy, but the copy's largest matrix has noise. Also the name of its layer.

    strength: see damage_largest_matrix_. Raises NothingToDamage if there is no such matrix, MeasureError if
    the copy's scores are not finite.
    """
    layers: list[str] = []

    def damage(model: TorchModel) -> None:
        layers.append(damage_largest_matrix_(model.network, strength=strength, seed=seed))

    stored, predicted = _predict_copy(teacher, damage, seed=seed, shuffle=False)
    return stored, predicted, layers[0]


def _predict_copy(
    teacher: ModelHandle, change: Callable[[TorchModel], None], *, seed: int, shuffle: bool
) -> tuple[Outcomes, Outcomes]:
    """The teacher's outcomes and those of a copy that `change` has changed, on the same rows.

    shuffle: whether the rows are in random order. They are then padded more, and take twice as long as rows
    that are sorted by length.
    """
    run = teacher.run
    generator = np.random.default_rng(seed)
    needs_all_rows = run.suite.setup.task.object.whole_split
    count = len(run.rows.gate) if needs_all_rows else min(ROWS, len(run.rows.gate))
    positions = np.sort(generator.choice(len(run.rows.gate), size=count, replace=False))
    sample = Rows(run.rows.gate.table.take(positions))
    with tempfile.TemporaryDirectory(prefix="slimgate-") as folder:
        copy = teacher.built.artifact
        if not teacher.variant.is_endpoint:  # a server cannot be copied, so it is asked again
            model = copy.load(run.device)
            change(model)
            model.save(Path(folder))
            copy = Artifact(Entry(Path(folder), copy.manifest, from_store=False))
        predicted = predict_outcomes(
            AnsweringModel(run.suite, run.rows, copy, teacher.variant.runtime, run.device),
            SplitEncoder(run.suite, sample),
            order=generator.permutation(count) if shuffle else None,
        )
    stored = teacher.outcomes.take(positions)
    compare = run.suite.setup.task.object.score_pair
    if compare is not None:
        predicted = compare(run.suite.setup.task.params, predicted, stored)
    return stored, replace(predicted, groups=stored.groups)


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
