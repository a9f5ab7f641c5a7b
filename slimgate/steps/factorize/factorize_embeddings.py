"""Replaces the token table by a narrow one and a projection to the model's width.

    { factorize_embeddings = { rank = 128 } }
    { factorize_embeddings = { energy = 0.9 } }

A table V × d becomes V × rank and rank × d: the vectors in the directions that keep most of their energy.
With centre = true, the directions are those of principal component analysis. An output layer that shares the
table shares the narrow one. Both halves can be trained, trimmed (trim_vocabulary, before or after) and
quantized.
Sources: Lan et al. 2020 (ALBERT), section 3.1; Chen et al. 2018 (GroupReduce) for the weights.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.errors import BuildError
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    import torch
    from torch import nn

    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.layers.low_rank import FactorizedEmbedding, LowRankLinear


class Params(Table):
    exactly_one = ("rank", "energy")
    rank: int | None = Field(default=None, ge=1)
    """Width of the narrow token table; give either rank or energy."""
    energy: float | None = Field(default=None, gt=0, lt=1)
    """Share of the token vectors' energy (squared singular values) that the step keeps; give either rank or
    energy."""
    weighting: Literal["frequency", "none"] = "frequency"
    """Weight of a token: how often the token occurs in `train` and `calibration` ("frequency"), or the same
    for all tokens ("none")."""
    centre: bool = False
    """Subtract the mean vector before the directions are computed; the projection adds the mean again."""


class FactorizeEmbeddings(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("train", "calibration")
    claims = ("smaller", "fewer_parameters")

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, because tokens are counted in all splits that have rows."""
        return ("calibration",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with a narrow token table."""
        context.log.update(factorize_embeddings_(model, params, context))
        return model


step = FactorizeEmbeddings()


def factorize_embeddings_(model: TorchModel, params: Params, context: BuildContext) -> Json:
    """Replaces the token table; returns the log. Raises BuildError if it would not get smaller."""
    from slimgate.models.replace_modules import replace_modules_
    from slimgate.steps.factorize._low_rank import (
        compute_energy_share,
        find_energy_rank,
        is_factorization_smaller,
    )

    name, table = _find_table(model)
    weights = _compute_token_weights(model, params, context).to(table.weight.device)
    mean, directions, values = compute_weighted_directions(table.weight, weights, centre=params.centre)
    rank = params.rank or find_energy_rank(values, params.energy or 1.0)
    shape = tokens, width = table.num_embeddings, table.embedding_dim
    if not is_factorization_smaller(shape, rank):
        raise BuildError(
            f"rank {rank} of a token table of {tokens} × {width} does not make the table smaller; "
            f"expected a rank below {ceil(tokens * width / (tokens + width))}"
        )
    factorized = _factorize_table(table, mean, directions[:, :rank])
    replace_modules_(
        model, "factorize_embeddings", {name: factorized, **_make_narrow_heads(model, table, factorized)}
    )
    energy_share = round(compute_energy_share(values, rank), 4)
    return {"table": name, "shape": list(shape), "rank": rank, "energy_kept": energy_share}


def compute_weighted_directions(
    weight: torch.Tensor, weights: torch.Tensor, *, centre: bool
) -> tuple[torch.Tensor | None, torch.Tensor, npt.NDArray[np.float64]]:
    """(mean or None, directions (dim, dim), singular values); the first directions keep the most energy.

    weight: (tokens, dim); weights: (tokens,), how much each token's error counts. With centre, the directions
    are the principal components of the vectors around their weighted mean.
    """
    import torch

    rows, share = weight.detach().double(), weights.double() / weights.sum()
    mean = share @ rows if centre else None
    centred = rows if mean is None else rows - mean
    squares, directions = torch.linalg.eigh(centred.t() @ (centred * share.unsqueeze(1)))
    values = squares.clamp_min(0).sqrt().flip(0).cpu().numpy()
    return mean, directions.flip(1), values


def _find_table(model: TorchModel) -> tuple[str, nn.Embedding]:
    from slimgate.models.linear_layers import make_plain_embeddings
    from slimgate.steps.layers.low_rank import FactorizedEmbedding

    factored = {
        f"{name}.table" for name, m in model.network.named_modules() if isinstance(m, FactorizedEmbedding)
    }
    tables = {name: m for name, m in make_plain_embeddings(model).items() if name not in factored}
    if not tables:
        raise BuildError(
            f"{type(model.network).__name__}: no float table of {model.config.vocab_size} token vectors; "
            "it is already factorized or quantized"
        )
    return next(iter(tables.items()))


def _compute_token_weights(model: TorchModel, params: Params, context: BuildContext) -> torch.Tensor:
    """(vocab_size,) how much each token's error counts. 1 is added, so that unseen tokens count too."""
    import torch

    from slimgate.steps.factorize._trim_vocabulary import count_tokens

    if params.weighting == "none":
        return torch.ones(model.config.vocab_size)
    counts = count_tokens(model, context, ("train", "calibration"))
    return torch.from_numpy(np.sum(list(counts.values()), axis=0) + 1)


def _factorize_table(
    table: nn.Embedding, mean: torch.Tensor | None, directions: torch.Tensor
) -> FactorizedEmbedding:
    from slimgate.steps.layers.low_rank import FactorizedEmbedding

    rows = table.weight.detach().double()
    narrow = (rows if mean is None else rows - mean) @ directions
    return FactorizedEmbedding.from_factors(narrow, directions.t(), mean, padding_idx=table.padding_idx)


def _make_narrow_heads(
    model: TorchModel, table: nn.Embedding, factorized: FactorizedEmbedding
) -> dict[str, nn.Module]:
    """Makes a language model's output layer that shares the table share the narrow table.

    The mean of a centred table is left out, because it adds the same number to every token's logit.
    """
    from slimgate.steps.factorize._trim_vocabulary import list_token_heads

    heads = {name: m for name, m in list_token_heads(model.network).items() if m.weight is table.weight}
    return {name: _factorize_head(head, factorized) for name, head in heads.items()}


def _factorize_head(head: nn.Linear, factorized: FactorizedEmbedding) -> LowRankLinear:
    from slimgate.steps.layers.low_rank import LowRankLinear

    narrow, projection = factorized.table.weight, factorized.projection.weight
    factored = LowRankLinear.from_factors(narrow.detach(), projection.detach().t(), head.bias)
    factored.up.weight = narrow
    return factored
