"""Steps that plant faults as they occur in real releases. A gate must not pass a model with such a fault.

{ "tools.trust.planted_faults:forget_class" = { label = 0 } }

slimgate plants faults of its own in every run (slimgate/run/planted_fault.py): exchanged answers, noise on
one layer of the teacher. These are the faults of broken exports and careless scripts.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field


def forget_class(model: Any, context: Any, *, label: Annotated[int, Field(ge=0)] = 0) -> None:
    """Makes the model never answer one class: its logit is far below the others."""
    _find_output_layer(model).bias.data[label] = -1e4
    context.log.update(fault="one class is never answered")


def turn_label_map(model: Any, context: Any) -> None:
    """Shifts the label map by one: class 0 is answered as class 1, and so on."""
    layer = _find_output_layer(model)
    for tensor in (layer.weight.data, layer.bias.data):
        tensor.copy_(tensor.roll(1, dims=0))
    context.log.update(fault="each class is answered as the next")


def shift_vocabulary(model: Any, context: Any, *, by: Annotated[int, Field(ge=1)] = 1) -> None:
    """Shifts the embeddings, as the tokenizer of another vocabulary does: each token gets a neighbour's."""
    from torch import nn

    tables = [module for module in model.network.modules() if isinstance(module, nn.Embedding)]
    table = max(tables, key=lambda module: module.num_embeddings).weight.data
    table.copy_(table.roll(by, dims=0))
    context.log.update(fault=f"embeddings of the token {by} before")


def lose_scales(model: Any, context: Any, *, factor: Annotated[float, Field(gt=0)] = 0.0078125) -> None:
    """Makes every matrix of the encoder too small, like integers that were exported without their scales."""
    from torch import nn

    output_layer = _find_output_layer(model)
    for module in model.network.modules():
        if isinstance(module, nn.Linear) and module is not output_layer:
            module.weight.data.mul_(factor)
    context.log.update(fault=f"matrices times {factor}")


def _find_output_layer(model: Any) -> Any:
    from slimgate.models.blocks import find_output_linear

    return find_output_linear(model.network, model.network.config.num_labels)
