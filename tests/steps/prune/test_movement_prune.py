"""The step movement_prune: which weights go, by what they learn, and that they stay away."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils import parametrize

from fixtures.models.masking import make_tiny_model
from slimgate.models.linear_layers import find_linear_layers
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import magnitude_prune, movement_prune
from slimgate.steps.prune._gradual_params import compute_cubic_sparsity, compute_pruning_progress
from slimgate.steps.prune._movement_prune import (
    MaskedWeight,
    MovementSchedule,
    compute_final_masks,
    sum_blocks,
    with_masks,
)

pytestmark = pytest.mark.slow


def build(tmp_path: Path, architecture: str) -> tuple[Any, Any]:
    """A tiny model whose teacher is what it was."""
    model, context = make_tiny_model(tmp_path, architecture)
    context.load_teacher = lambda: make_tiny_model(tmp_path, architecture)[0]
    return model, context


def prune(model: Any, context: Any, **options: Any) -> dict[str, Any]:
    """The weights by layer after the step."""
    params = movement_prune.Params.model_validate({"sparsity": 0.5, "batch_size": 4, **options})
    movement_prune.step.apply(model, params, context)
    return weights(model)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: layer.weight.detach().clone() for name, layer in find_linear_layers(model).items()}


def zeros(matrices: dict[str, torch.Tensor]) -> int:
    return sum(int((matrix == 0).sum()) for matrix in matrices.values())


def total(matrices: dict[str, torch.Tensor]) -> int:
    return sum(matrix.numel() for matrix in matrices.values())


@pytest.mark.parametrize("architecture", ["roberta", "electra", "gpt2", "bert-mean"])
def test_exactly_the_stated_share_of_the_weights_is_zero(tmp_path: Path, architecture: str) -> None:
    model, context = build(tmp_path, architecture)
    matrices = prune(model, context, sparsity=0.7)
    assert zeros(matrices) == round(0.7 * total(matrices))
    assert context.log["sparsity"] == pytest.approx(0.7, abs=1e-4)
    assert context.log["zeros"] == zeros(matrices)
    assert not any(parametrize.is_parametrized(m) for m in model.network.modules())
    assert all(type(layer) is nn.Linear for layer in find_linear_layers(model).values())


def test_the_best_epoch_is_one_of_the_final_sparsity(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    # a rate that ruins the model: the epochs before the last are better, and the third is pruned whole
    matrices = prune(model, context, epochs=4, cool_down=0.5, learning_rate=0.5, precision="float32")
    assert zeros(matrices) == round(0.5 * total(matrices))
    assert context.log.get("best_epoch", 4) in (3, 4)


def test_later_training_keeps_the_zeros_and_moves_the_others(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    before = prune(model, context)
    fine_tune.step.apply(model, fine_tune.Params(epochs=1, learning_rate=1e-3), context)
    after = weights(model)
    for name, matrix in before.items():
        assert bool((after[name][matrix == 0] == 0).all())
        assert not torch.equal(after[name], matrix)


def test_what_an_earlier_step_pruned_stays_zero_and_counts(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.3), context)
    before = weights(model)
    after = prune(model, context, sparsity=0.6)
    assert zeros(after) == round(0.6 * total(after))
    for name, matrix in before.items():
        assert bool((after[name][matrix == 0] == 0).all())


@pytest.mark.parametrize("block", [[8, 4], "row", "column"])
def test_whole_blocks_of_each_layer_go(tmp_path: Path, block: Any) -> None:
    model, context = build(tmp_path, "bert")
    matrices = prune(model, context, block=block, scope="layer")
    for name, matrix in matrices.items():
        shapes = {"row": (1, matrix.shape[1]), "column": (matrix.shape[0], 1)}
        shape = shapes[block] if isinstance(block, str) else (8, 4)
        gone = sum_blocks((matrix == 0).float(), shape)
        assert set(gone.flatten().tolist()) == {0.0, float(shape[0] * shape[1])}, name
        assert int((gone > 0).sum()) == gone.numel() // 2, name


def test_blocks_of_many_sizes_reach_the_sparsity_within_a_block(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    matrices = prune(model, context, block="row", sparsity=0.4)  # rows of 32 and of 64 weights
    assert abs(zeros(matrices) - 0.4 * total(matrices)) <= 32  # half of the largest block


def test_the_gradient_of_a_score_is_that_of_its_mask() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    mask = MaskedWeight(layer.weight.detach(), (1, 1))
    mask.scores.data = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    mask.threshold = 0.5
    with with_masks({"layer": layer}, [mask]):
        output = layer(torch.tensor([[10.0, 100.0]]))
        assert output.tolist() == [[10.0, 430.0]]  # -2 is not counted
        output[0, 0].backward()
        # d output / d mask = input * weight, for the masked weight too
        assert mask.scores.grad is not None
        assert mask.scores.grad.tolist() == [[10.0, -200.0], [0.0, 0.0]]
        original = dict(layer.named_parameters())["parametrizations.weight.original"]
        assert original.grad is not None
        assert original.grad.tolist() == [[10.0, 0.0], [0.0, 0.0]]
    assert layer.weight.tolist() == [[1.0, -2.0], [3.0, 4.0]]


def test_a_small_growing_weight_outlives_a_large_shrinking_one() -> None:
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 0.1]]))
    mask = MaskedWeight(layer.weight.detach(), (1, 1))
    schedule = MovementSchedule([[mask]], 0.5, warm_up=0.5, cool_down=0.2)
    inputs = torch.eye(2)
    with with_masks({"layer": layer}, [mask]):
        optimizer = torch.optim.SGD([*layer.parameters()], lr=0.05)
        for step in range(20):
            schedule.before_step(step, 20)
            assert schedule.settled == (step >= 16)
            optimizer.zero_grad()
            ((layer(inputs) - torch.tensor([[0.0], [1.0]])) ** 2).sum().backward()
            optimizer.step()
    assert [mask.tolist() for mask in compute_final_masks([mask], 0.5)] == [[[False, True]]]


def test_the_final_masks_are_exact_where_scores_are_equal() -> None:
    masks = [MaskedWeight(torch.ones(3, 4), (1, 1)), MaskedWeight(torch.ones(2, 4), (1, 1))]
    final_masks = compute_final_masks(masks, 0.35)
    assert [tuple(mask.shape) for mask in final_masks] == [(3, 4), (2, 4)]
    assert sum(int((~mask).sum()) for mask in final_masks) == 7  # 0.35 of 20


@pytest.mark.parametrize(
    ("block", "sparsity", "expected"),
    [
        ((64, 64), 0.55, 0.5),
        ((32, 32), 0.51, 0.5),
        ((1, 1), 0.3, 0.3),
        ((60, 128), 0.5, 60 / 128),
        ((64, 64), 0.95, 0.75),
    ],
    ids=["two of four", "eight of sixteen", "weights", "cut blocks", "one block is kept"],
)
def test_the_end_prunes_the_blocks_that_training_pruned(block: Any, sparsity: float, expected: float) -> None:
    weight = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    weight[120:] *= 9  # the cut blocks are kept
    mask = MaskedWeight(weight, block, magnitude=True)
    MovementSchedule([[mask]], sparsity, warm_up=0.0, cool_down=0.5).before_step(9, 10)
    (final_mask,) = compute_final_masks([mask], sparsity)
    assert float((~final_mask).float().mean()) == pytest.approx(expected, abs=1e-4)
    assert torch.equal(mask(torch.ones_like(weight)) != 0, final_mask)


def test_scores_may_start_at_their_blocks_relative_magnitude() -> None:
    weight = torch.tensor([[1.0, -1.0, 0.0, 0.0], [4.0, 2.0, 0.0, 0.0]])  # mean magnitude 1
    mask = MaskedWeight(weight, (1, 2), magnitude=True)
    assert mask.scores.tolist() == [[1.0, 0.0], [3.0, 0.0]]
    assert MaskedWeight(weight, (1, 2)).scores.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    again = MaskedWeight(weight, (1, 2), magnitude=True, pruned=True)
    assert again.scores.tolist() == [[1.0, -math.inf], [3.0, -math.inf]]


def test_a_block_at_the_edge_is_cut() -> None:
    mask = MaskedWeight(torch.ones(3, 5), (2, 2))
    assert mask.scores.shape == (2, 3)
    assert mask.area is None
    assert mask.count_block_weights().tolist() == [[4, 4, 2], [2, 2, 1]]
    mask.scores.data = torch.tensor([[0.0, 5.0, 1.0], [2.0, 3.0, 4.0]])
    (final_mask,) = compute_final_masks([mask], 0.4)  # 4 and 2 of 15
    assert final_mask.int().tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_sparsity_waits_rises_by_the_cubic_law_and_rests() -> None:
    times = [compute_pruning_progress(step, 10, warm_up=0.2, cool_down=0.4) for step in range(10)]
    assert times == pytest.approx([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1])
    assert [compute_cubic_sparsity(0.8, time) for time in (0, 0.5, 1)] == pytest.approx([0, 0.7, 0.8])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"warm_up": 0.5, "cool_down": 0.5}, "expected less than 1"),
        ({"block": [0, 32]}, "greater than or equal to 1"),
        ({"sparsity": 1.0}, "less than 1"),
    ],
    ids=["schedule", "block", "sparsity"],
)
def test_a_wrong_option_says_what_is_expected(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        movement_prune.Params.model_validate({"sparsity": 0.5, **wrong})
