"""A fresh network in the shape of another, only smaller."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.seeding import isolated_seed
from slimgate.models.token_embeddings import token_embeddings
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load_object

INTERMEDIATE = ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim")


class Shape(Protocol):
    """Numbers of the new network; None stays in proportion."""

    @property
    def layers(self) -> int | None: ...
    @property
    def hidden(self) -> int | None: ...
    @property
    def heads(self) -> int | None: ...
    @property
    def intermediate(self) -> int | None: ...
    @property
    def embeddings(self) -> str: ...


def new_model(model: Any, shape: Shape, context: BuildContext) -> TorchModel:
    """The fresh model, on the context's device. Raises BuildError for heads that do not divide the width."""
    config = _config(model.config, shape)
    with isolated_seed(context.seed):
        network = load_object(model.architecture).from_config(config).float()
    fresh = TorchModel(network.to(context.device).eval(), model.tokenizer, model.architecture)
    sizes = {
        name: getattr(config, name) for name in ("num_hidden_layers", "hidden_size", "num_attention_heads")
    }
    context.log.update(sizes, intermediate=getattr(config, _intermediate(config)))
    if shape.embeddings == "pca":
        context.log["embedding_energy"] = round(_embed_by_pca(model.network, network), 4)
    before, after = model.measure_size()["parameters"], fresh.measure_size()["parameters"]
    context.log.update(parameters_before=before, parameters_after=after)
    return fresh


def _config(old: Any, shape: Shape) -> Any:
    config = copy.deepcopy(old)
    hidden, heads = shape.hidden or old.hidden_size, shape.heads
    if heads is None:
        heads = max(1, hidden * old.num_attention_heads // old.hidden_size)
    if hidden % heads:
        raise BuildError(f"new_student: hidden = {hidden} is no multiple of {heads} heads; give heads")
    width = getattr(old, _intermediate(old)) or 4 * old.hidden_size
    intermediate = shape.intermediate or max(1, round(width * hidden / old.hidden_size))
    layers = shape.layers or old.num_hidden_layers
    for key, value in list(config.to_dict().items()):
        if (
            isinstance(value, list | tuple)
            and len(value) == old.num_hidden_layers
            and key.startswith("layer")
        ):
            setattr(config, key, list(value)[:layers])
    if (grouped := getattr(old, "num_key_value_heads", None)) is not None:
        heads_per_group = max(1, heads * grouped // old.num_attention_heads)
        config.num_key_value_heads = next(n for n in range(heads_per_group, 0, -1) if heads % n == 0)
        config.head_dim = hidden // heads
    config.num_hidden_layers, config.hidden_size, config.num_attention_heads = layers, hidden, heads
    setattr(config, _intermediate(old), intermediate)
    if getattr(old, "word_embed_proj_dim", None) == old.hidden_size:  # OPT's token table
        config.word_embed_proj_dim = hidden
    return config


def _intermediate(config: Any) -> str:
    """The name of the feed-forward width in a configuration."""
    return next(name for name in INTERMEDIATE if hasattr(config, name))


@torch.no_grad()
def _embed_by_pca(old: nn.Module, new: nn.Module) -> float:
    """Sets the new embedding tables from the old ones; gives the share of the tokens' squares that is kept.

    All tables that are added to each other go through the same projection: the directions in which that of
    the tokens is widest.
    """
    tables = {name: module for name, module in old.named_modules() if isinstance(module, nn.Embedding)}
    tokens = next(iter(token_embeddings(old).values()))
    fresh = {name: module for name, module in new.named_modules() if isinstance(module, nn.Embedding)}
    if fresh.keys() - tables.keys():
        raise BuildError(
            'new_student: embeddings = "pca" takes the model\'s tables, and an earlier step has put others '
            'in their place; put new_student before it, or set embeddings = "random"'
        )
    width = next(table.embedding_dim for name, table in fresh.items() if tables[name] is tokens)
    weight = tokens.weight.double()
    squares, directions = torch.linalg.eigh(weight.T @ weight)
    principal = directions[:, -width:]
    for name, table in fresh.items():
        if tables[name].embedding_dim == tokens.embedding_dim and table.embedding_dim == width:
            rows = (
                tables[name].weight.double() @ principal
                if width < tokens.embedding_dim
                else tables[name].weight
            )
            table.weight.copy_(rows[: table.num_embeddings])
    return float(squares[-width:].sum() / squares.sum())
