"""slimgate.steps.training.options: what is frozen neither changes nor has optimiser state (fine_tune,
distill).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.steps.finetune import distill, fine_tune
from slimgate.steps.training.options import with_frozen_layers

OPTIONS: dict[str, Any] = {"precision": "float32", "learning_rate": 1e-2, "keep_best": False}


def tiny(folder: Path, architecture: str = "bert", **shape: Any) -> tuple[Any, Any]:
    context = make_tiny_context(folder / "rows", train=32, selection=0)
    path = write_tiny_classifier(folder / "hub", architecture, **shape)
    context.load_teacher = lambda: load_tiny(path, make_tiny_context(folder / "rows"))
    return load_tiny(path, context), context


def changed(model: Any, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, p in model.network.named_parameters() if not torch.equal(p, before[name])}


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.network.named_parameters()}


@pytest.mark.parametrize("step", [fine_tune.step, distill.step], ids=["fine_tune", "distill"])
def test_frozen_weights_stay_and_have_no_optimiser_state(
    tmp_path: Path, step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slimgate.steps.training import trainer

    optimizers: list[torch.optim.Optimizer] = []
    create = trainer._Trainer.create_optimizer

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        optimizers.append(create(self, *args, **kwargs))
        return optimizers[-1]

    monkeypatch.setattr(trainer._Trainer, "create_optimizer", spy)
    model, context = tiny(tmp_path)
    before = weights(model)
    params = step.Params(freeze_embeddings=True, freeze_layers=2, **OPTIONS)
    step.apply(model, params, context)
    moved = changed(model, before)
    still = ("bert.embeddings.", "bert.encoder.layer.0.", "bert.encoder.layer.1.")
    assert not [name for name in moved if name.startswith(still)]
    assert {name for name in before if name.startswith(("bert.encoder.layer.2.", "classifier"))} <= moved | {
        name for name in before if name.endswith("key.bias")
    }
    trained = sum(p.numel() for group in optimizers[0].param_groups for p in group["params"])
    free = sum(tensor.numel() for name, tensor in before.items() if not name.startswith(still))
    assert trained == free == context.log["trained_parameters"]
    assert all(p.requires_grad for p in model.network.parameters())
    assert not any(
        p.grad is not None for name, p in model.network.named_parameters() if name.startswith(still)
    )
    assert context.log["seconds"]["train"] > 0


def test_without_options_all_is_trained(tmp_path: Path) -> None:
    model, context = tiny(tmp_path, num_hidden_layers=1)
    before = weights(model)
    fine_tune.step.apply(model, fine_tune.Params(**OPTIONS), context)
    assert "bert.embeddings.word_embeddings.weight" in changed(model, before)
    assert context.log["trained_parameters"] == sum(tensor.numel() for tensor in before.values())


def test_of_gpt2_the_tables_alone_are_embeddings(tmp_path: Path) -> None:
    model, _ = tiny(tmp_path, "gpt2")
    with with_frozen_layers(model.network, embeddings=True) as free:
        still = {name for name, p in model.network.named_parameters() if not p.requires_grad}
    assert still == {"transformer.wte.weight", "transformer.wpe.weight"}
    parameters = dict(model.network.named_parameters())
    assert free == sum(p.numel() for name, p in parameters.items() if name not in still)
    assert all(p.requires_grad for p in parameters.values())


def test_what_was_frozen_before_stays_so(tmp_path: Path) -> None:
    model, _ = tiny(tmp_path)
    model.network.bert.embeddings.requires_grad_(False)
    with with_frozen_layers(model.network, embeddings=True, layers=1):
        pass
    assert not any(p.requires_grad for p in model.network.bert.embeddings.parameters())
    assert all(p.requires_grad for p in model.network.bert.encoder.parameters())


def test_more_blocks_than_there_are_or_nothing_left_is_an_error(tmp_path: Path) -> None:
    model, _ = tiny(tmp_path, num_hidden_layers=2)
    with pytest.raises(BuildError, match="freeze_layers = 3 was given, but the model has 2 blocks"):
        with_frozen_layers(model.network, layers=3).__enter__()
    model.network.requires_grad_(False)
    model.network.bert.embeddings.requires_grad_(True)
    with pytest.raises(BuildError, match="leave no weight to train"):
        with_frozen_layers(model.network, embeddings=True).__enter__()
    for name, module in list(model.network.bert.embeddings.named_children()):
        if isinstance(module, nn.Embedding):
            setattr(model.network.bert.embeddings, name, nn.Identity())
    with pytest.raises(BuildError, match="has no embeddings; leave it out"):
        with_frozen_layers(model.network, embeddings=True).__enter__()
