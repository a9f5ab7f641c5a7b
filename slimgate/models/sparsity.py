"""Which weights stay: masks of the highest scores, with exact counts, and the note of layers with zeros.

    masks = make_keep_masks([weight.abs() for weight in weights], 0.5, "global")
    zero_(weights[0], masks[0])

A mask is True if a weight stays. Among equal scores, exactly as many are removed as needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

Scope = Literal["global", "layer", "row"]


def make_keep_masks(scores: Sequence[Tensor], sparsity: float, scope: Scope) -> list[Tensor]:
    """Masks that leave out the lowest scores: the share `sparsity` of all, of each matrix, or of each row.

    scores: one (out_features, in_features) matrix for each layer. The masks have the same shapes.
    """
    if scope == "row":
        return [_keep_highest(matrix, round((1 - sparsity) * matrix.shape[1])) for matrix in scores]
    if scope == "layer":
        return [_keep_overall([matrix], sparsity)[0] for matrix in scores]
    return _keep_overall(scores, sparsity)


def keep_n_of_m(scores: Tensor, n: int, m: int) -> Tensor:
    """A mask that keeps the n highest of every m adjacent scores in a row.

    scores: (out_features, in_features). Raises BuildError if m does not divide in_features.
    """
    rows, columns = scores.shape
    check_groups(columns, n, m)
    return _keep_highest(scores.reshape(-1, m), n).view(rows, columns)


def check_groups(columns: int, n: int, m: int) -> None:
    """Raises BuildError if rows of that many columns cannot be cut into groups of m."""
    if columns % m:
        raise BuildError(f"{n}:{m} sparsity: a layer has {columns} inputs, expected a multiple of {m}")


def _keep_overall(scores: Sequence[Tensor], sparsity: float) -> list[Tensor]:
    """Masks without the lowest share `sparsity` of the scores of all matrices together."""
    all_scores = torch.cat([matrix.flatten() for matrix in scores])
    lowest = torch.topk(all_scores, round(sparsity * len(all_scores)), largest=False, sorted=False).indices
    keep = torch.ones_like(all_scores, dtype=torch.bool)
    keep[lowest] = False
    parts = torch.split(keep, [matrix.numel() for matrix in scores])
    return [part.view_as(matrix) for part, matrix in zip(parts, scores, strict=True)]


def _keep_highest(scores: Tensor, count: int) -> Tensor:
    """A mask of the `count` highest scores of each row."""
    highest = torch.topk(scores, count, dim=1, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, highest, value=True)


def zero_(weight: Tensor, keep: Tensor) -> None:
    """Sets weights that are not kept to zero, in place."""
    with torch.no_grad():
        weight.masked_fill_(~keep, 0.0)


def list_pruned_layers(model: TorchModel) -> frozenset[str]:
    """Names of the layers whose zeros earlier steps have noted."""
    return frozenset(name for change in model.modifications for name in change["spec"].get("pruned", ()))


def note_pruned_layers(
    model: TorchModel, step_name: str, layers: Mapping[str, nn.Linear]
) -> dict[str, float]:
    """Notes the layers whose zeros later training keeps. Returns counts and the sparsity for the log."""
    model.note(step_name, pruned=sorted(layers))
    weights = [layer.weight for layer in layers.values()]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    total = sum(weight.numel() for weight in weights)
    return {"matrices": len(weights), "weights": total, "zeros": zeros, "sparsity": round(zeros / total, 6)}
