"""Replaces the model by a fresh, smaller one of its own family and tokenizer, to be trained by distill.

    { new_student = { layers = 2, hidden = 192 } }
    { new_student = { layers = 2, hidden = 192, heads = 6, intermediate = 768, embeddings = "pca" } }

Sizes that are left out stay in proportion: heads keep their width, the feed-forward part its ratio to hidden.
With embeddings = "pca" the log has the energy that is kept. A student that starts from pretrained weights is
better (Turc et al. 2019, Well-Read Students): that is a variant with model = …. To cut a student from the
teacher, use keep_layers or a structured pruning. Shape as in Sun et al. 2020 and Jiao et al. 2020.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from slimgate.errors import BuildError, SuiteError
from slimgate.models.config import select_by_block
from slimgate.models.seeding import isolated_seed
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load_object
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig

    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json

INTERMEDIATE = ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim")


class Params(Table):
    """The shape of the new model; at least one of layers and hidden."""

    layers: int | None = Field(default=None, ge=1)
    """Number of blocks of the new model; default: as many as the model before the step has."""
    hidden: int | None = Field(default=None, ge=1)
    """Width of the hidden states; default: the width of the model before the step."""
    heads: int | None = Field(default=None, ge=1)
    """Number of attention heads; default: in proportion to hidden."""
    intermediate: int | None = Field(default=None, ge=1)
    """Width of the feed-forward layers; default: in proportion to hidden."""
    embeddings: Literal["random", "pca"] = "random"
    """First values of the token and position tables: random numbers ("random"), or the model's own tables,
    reduced by PCA ("pca")."""

    @model_validator(mode="after")
    def _check_shape(self) -> Params:
        if self.layers is None and self.hidden is None:
            raise ValueError("expected layers or hidden, as in { layers = 2, hidden = 192 }")
        if self.hidden is not None and self.heads is not None and self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is not a multiple of heads = {self.heads}")
        return self


class NewStudent(Step[Params]):
    stochastic = True
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError for a shape that is not smaller than before."""
        for size, names in (
            (params.layers, ("num_hidden_layers", "n_layers", "n_layer")),
            (params.hidden, ("hidden_size", "dim", "n_embd")),
        ):
            before = next((config[name] for name in names if name in config), None)
            if isinstance(before, int) and size is not None:
                if size > before:
                    raise SuiteError(
                        f"{size} was given, but the model has {names[0]} = {before}, expected no more"
                    )
                config = {**config, names[0]: size}
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The new model."""
        return make_new_model(model, params, context)


step = NewStudent()


def make_new_model(model: TorchModel, shape: Params, context: BuildContext) -> TorchModel:
    """The fresh model, on the context's device. Raises BuildError for heads that do not divide the width."""
    import torch

    from slimgate.models.torch_model import TorchModel

    config = _make_student_config(model.config, shape)
    with isolated_seed(context.seed):
        network = load_object(model.architecture).from_config(config).float()
    fresh = TorchModel(network.to(context.device).eval(), model.tokenizer, model.architecture)
    sizes = {
        name: getattr(config, name) for name in ("num_hidden_layers", "hidden_size", "num_attention_heads")
    }
    context.log.update(sizes, intermediate=getattr(config, _find_width_name(config)))
    if shape.embeddings == "pca":
        with torch.no_grad():
            context.log["embedding_energy"] = round(_embed_by_pca(model.network, network), 4)
    before, after = model.measure_size()["parameters"], fresh.measure_size()["parameters"]
    context.log.update(parameters_before=before, parameters_after=after)
    return fresh


def _make_student_config(old: PreTrainedConfig, shape: Params) -> Any:
    config = copy.deepcopy(old)
    hidden, heads = shape.hidden or old.hidden_size, shape.heads
    if heads is None:
        heads = max(1, hidden * old.num_attention_heads // old.hidden_size)
    if hidden % heads:
        raise BuildError(f"new_student: hidden = {hidden} is not a multiple of {heads} heads; give heads")
    width = getattr(old, _find_width_name(old)) or 4 * old.hidden_size
    intermediate = shape.intermediate or max(1, round(width * hidden / old.hidden_size))
    layers = shape.layers or old.num_hidden_layers
    first = range(min(layers, old.num_hidden_layers))
    for key, values in select_by_block(config.to_dict(), old.num_hidden_layers, first).items():
        setattr(config, key, values)
    if (grouped := getattr(old, "num_key_value_heads", None)) is not None:
        heads_per_group = max(1, heads * grouped // old.num_attention_heads)
        config.num_key_value_heads = next(n for n in range(heads_per_group, 0, -1) if heads % n == 0)
        config.head_dim = hidden // heads
    config.num_hidden_layers, config.hidden_size, config.num_attention_heads = layers, hidden, heads
    setattr(config, _find_width_name(old), intermediate)
    if getattr(old, "word_embed_proj_dim", None) == old.hidden_size:  # OPT's token table
        config.word_embed_proj_dim = hidden
    return config


def _find_width_name(config: PreTrainedConfig) -> str:
    """The name of the feed-forward width in a configuration."""
    return next(name for name in INTERMEDIATE if hasattr(config, name))


def _embed_by_pca(old: nn.Module, new: nn.Module) -> float:
    """Sets the new embedding tables from the old ones; returns the share of the tokens' squares that is kept.

    All tables that are added to each other use the same projection: the directions in which the table of
    the tokens varies most.
    """
    import torch
    from torch import nn

    from slimgate.models.linear_layers import find_token_embeddings

    tables = {name: module for name, module in old.named_modules() if isinstance(module, nn.Embedding)}
    tokens = next(iter(find_token_embeddings(old).values()))
    fresh = {name: module for name, module in new.named_modules() if isinstance(module, nn.Embedding)}
    if fresh.keys() - tables.keys():
        raise BuildError(
            'new_student: embeddings = "pca" uses the model\'s tables, and an earlier step has replaced '
            'these tables; put new_student before it, or set embeddings = "random"'
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
