"""Networks that transformers' own classes hold: every layer has their type, and the shapes of config.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from slimgate._system.quiet import silent
from slimgate.errors import BuildError
from slimgate.models.pretrained import load_weights
from slimgate.models.saved_files import save_tokenizer
from slimgate.plugins.models import ModelRef

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from slimgate.models.served import Served
    from slimgate.models.torch_model import TorchModel

OWNER = "transformers"


def read_auto_class(model: TorchModel | Served) -> str:
    """The Auto class of a TorchModel whose architecture is transformers' own."""
    return str(model.architecture.partition(":")[2])


def find_stock_difference(model: TorchModel) -> str | None:
    """Why no class of transformers holds all of a TorchModel, in words; None if one holds all of it."""
    import torch
    import transformers

    network = model.network
    if model.architecture.partition(":")[0] != OWNER:
        return f"{type(network).__name__} is not a class of transformers"
    with silent(), torch.device("meta"):
        stock = getattr(transformers, read_auto_class(model)).from_config(network.config)
    return _find_other_layer(network, stock) or _find_other_shape(network, stock)


def _find_other_layer(network: nn.Module, stock: nn.Module) -> str | None:
    mine, theirs = dict(network.named_modules()), dict(stock.named_modules())
    for name, module in mine.items():
        if name not in theirs or type(module) is not type(theirs[name]):
            return f"{name or 'the network'} is {type(module).__name__}"
    missing = next((name for name in theirs if name not in mine), None)
    return None if missing is None else f"it has no {missing}"


def _find_other_shape(network: nn.Module, stock: nn.Module) -> str | None:
    expected = {name: tuple(tensor.shape) for name, tensor in stock.state_dict().items()}
    for name, tensor in network.state_dict().items():
        if expected.get(name) != tuple(tensor.shape):
            return f"{name} is {tuple(tensor.shape)}, and config.json says {expected.get(name)}"
    return None


def save_stock(model: TorchModel, folder: Path) -> PreTrainedModel:
    """Writes a network with save_pretrained; returns the network that transformers loads from the folder.

    Raises BuildError if the loaded network lacks a weight.
    """
    with silent():
        cast("PreTrainedModel", model.network).save_pretrained(folder)
    weights = load_weights(read_auto_class(model), ModelRef(str(folder), folder))
    if weights.missing:
        raise BuildError(f"transformers does not find {weights.missing[0]} again in {folder}")
    return weights.network.eval()


def save_plain(model: TorchModel, folder: Path) -> None:
    """Writes a TorchModel for other tools: weights by save_pretrained, config.json, the tokenizer.

    Raises BuildError if no class of transformers holds the network.
    """
    if other := find_stock_difference(model):
        raise BuildError(f"no transformers class can load the model ({other}), so no other tool can read it")
    folder.mkdir(parents=True, exist_ok=True)
    save_stock(model, folder)
    save_tokenizer(model.tokenizer, folder)
