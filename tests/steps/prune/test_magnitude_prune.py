"""The step magnitude_prune: as many zeros as asked, the smallest weights, and they stay zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.refused_options import read_refusal
from torch import nn

from fixtures.models.building import make_tiny_classifier, save_and_load
from slimgate.models.blocks import find_only_block_list
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import keep_layers, magnitude_prune


def matrices(network: Any) -> dict[str, torch.Tensor]:
    """Weights of the blocks' linear layers."""
    blocks = find_only_block_list(network)
    return {name: m.weight.detach().clone() for name, m in blocks.named_modules() if isinstance(m, nn.Linear)}


@pytest.fixture
def built(tmp_path: Path) -> tuple[Any, Any]:
    return make_tiny_classifier(tmp_path)


def prune(built: tuple[Any, Any], sparsity: float, scope: str = "global") -> Any:
    model, context = built
    return magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=sparsity, scope=scope), context)  # type: ignore[arg-type]


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.999])
def test_globally_only_the_smallest_of_all_weights_are_zero(built: tuple[Any, Any], sparsity: float) -> None:
    before = matrices(built[0].network)
    rest = {k: v.clone() for k, v in built[0].network.state_dict().items() if "encoder" not in k}
    after = matrices(prune(built, sparsity).network)
    old, new = (torch.cat([w.flatten() for w in weights.values()]) for weights in (before, after))
    total = 4 * (4 * 32 * 32 + 2 * 32 * 64)
    assert len(old) == total
    gone = new == 0
    assert int(gone.sum()) == round(sparsity * total)
    assert old[gone].abs().max() <= old[~gone].abs().min()
    assert torch.equal(new[~gone], old[~gone])
    assert all(torch.equal(built[0].network.state_dict()[k], v) for k, v in rest.items())
    assert {k: v for k, v in built[1].log.items() if k != "label_order"} == {
        "head": "the model's own",
        "output_order": [0, 1],
        "matrices": 24,
        "weights": total,
    } | {"zeros": round(sparsity * total), "sparsity": round(round(sparsity * total) / total, 6)}
    assert built[0].measure_size()["nonzero_parameters"] <= built[0].measure_size()["parameters"] - round(
        sparsity * total
    )


def test_by_layer_each_matrix_has_its_share(built: tuple[Any, Any]) -> None:
    with torch.no_grad():  # globally, nothing of the first block would go
        for module in find_only_block_list(built[0].network)[0].modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(1000)
    before = matrices(built[0].network)
    for name, weight in matrices(prune(built, 0.25, "layer").network).items():
        gone = weight == 0
        assert int(gone.sum()) == weight.numel() // 4, name
        assert before[name][gone].abs().max() <= before[name][~gone].abs().min()


def test_by_row_each_output_keeps_its_largest_weights(built: tuple[Any, Any]) -> None:
    before = matrices(built[0].network)
    for name, weight in matrices(prune(built, 0.75, "row").network).items():
        for old, new in zip(before[name], weight, strict=True):
            largest = old.abs().argsort(descending=True)
            assert torch.equal(new[largest[: len(old) // 4]], old[largest[: len(old) // 4]])
            assert (new[largest[len(old) // 4 :]] == 0).all()


def test_globally_a_layer_of_large_weights_keeps_them(built: tuple[Any, Any]) -> None:
    with torch.no_grad():
        find_only_block_list(built[0].network)[0].attention.self.query.weight.fill_(9.0)
    after = matrices(prune(built, 0.5).network)
    assert (after["0.attention.self.query"] == 9.0).all()


def test_the_number_is_exact_also_where_all_weights_are_equal(built: tuple[Any, Any]) -> None:
    with torch.no_grad():
        for module in find_only_block_list(built[0].network).modules():
            if isinstance(module, nn.Linear):
                module.weight.fill_(0.5)
    after = torch.cat([w.flatten() for w in matrices(prune(built, 0.3).network).values()])
    assert int((after == 0).sum()) == round(0.3 * len(after))


def test_zeros_come_back_from_the_artifact(built: tuple[Any, Any], tmp_path: Path) -> None:
    model = prune(built, 0.5)
    again = save_and_load(model, tmp_path / "saved")
    assert again.measure_size() == model.measure_size()
    assert [change["step"] for change in again.modifications] == ["magnitude_prune"]


@pytest.mark.parametrize("epochs", [1, 3], ids=["one epoch", "best of three"])
def test_a_later_training_keeps_the_zeros_and_moves_the_rest(
    built: tuple[Any, Any], tmp_path: Path, epochs: int
) -> None:
    model = prune(built, 0.5)
    again = save_and_load(model, tmp_path / "saved")
    before = matrices(again.network)
    params = fine_tune.Params(
        epochs=epochs, learning_rate=1e-2, weight_decay=0.1, batch_size=16, precision="float32"
    )
    fine_tune.step.apply(again, params, built[1])
    for name, weight in matrices(again.network).items():
        assert (weight[before[name] == 0] == 0).all(), name
    assert sum(int((w != before[name]).sum()) for name, w in matrices(again.network).items()) > 1000


@pytest.mark.slow
def test_zeros_survive_blocks_dropped_before_training(built: tuple[Any, Any]) -> None:
    model = prune(built, 0.5)
    keep_layers.step.apply(model, keep_layers.Params((0, 3)), built[1])
    before = matrices(model.network)
    fine_tune.step.apply(model, fine_tune.Params(learning_rate=1e-2, precision="float32"), built[1])
    for name, weight in matrices(model.network).items():
        assert (weight[before[name] == 0] == 0).all(), name


def test_blocks_of_conv1d_are_reached_as_well(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "gpt2")
    prune((model, context), 0.5)
    assert context.log["matrices"] == 4 * 4
    assert context.log["weights"] == 4 * (3 * 32 * 32 + 32 * 32 + 2 * 32 * 128)
    assert context.log["sparsity"] == 0.5


@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.5, 50.0, float("nan")])
def test_a_sparsity_that_is_no_share_is_refused(sparsity: float) -> None:
    assert read_refusal(magnitude_prune.Params, {"sparsity": sparsity}).startswith("sparsity: ")
