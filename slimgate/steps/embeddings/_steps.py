"""Steps that change the embeddings of an encoder: fewer dimensions, fewer bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.embedding_forms import BinaryForm, Int8Form, LeadingDimensions, Query, StoredForm
from slimgate.models.replace_modules import replace_modules_
from slimgate.models.sentence_encoder import SentenceEncoder
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.calibration import calibration_batches

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

TRUNCATE, QUANTIZE = "truncate_embeddings", "quantize_embeddings"


def truncate_(model: TorchModel, dims: int, *, by: str, context: BuildContext) -> Json:
    """Reduces the embeddings to `dims` dimensions. by: "pca" or "first". Raises BuildError, DataError."""
    network = _require_encoder(model, TRUNCATE)
    vectors = embed_calibration_texts(model, context)
    width = vectors.shape[-1]
    if dims >= width:
        raise BuildError(f"{TRUNCATE}: dims = {dims}, but the embeddings have {width}; expected fewer")
    directions, energy = compute_principal_directions(vectors, dims)
    if by == "first":
        directions = torch.eye(dims, width)
        energy = float(vectors[:, :dims].double().square().sum() / vectors.double().square().sum())
    name, layer = _find_last_linear(network)
    if layer is None and not isinstance(network.reduce, nn.Identity):
        raise BuildError(
            f"{TRUNCATE}: an earlier step has cut the embeddings, and they cannot be cut again; cut them "
            "only once"
        )
    if layer is not None:
        replace_modules_(model, TRUNCATE, {name: _merge_projection(layer, directions)})
    else:
        reduce = LeadingDimensions(dims) if by == "first" else _make_projection(directions)
        replace_modules_(model, TRUNCATE, {"reduce": reduce.to(context.device)})
    return {
        "dims_before": width,
        "dims_after": dims,
        "by": by,
        "energy_kept": round(energy, 4),
        "merged": layer is not None,
    }


def quantize_(model: TorchModel, *, to: str, query: Query, context: BuildContext) -> Json:
    """Puts the embeddings into a form of fewer bits; returns the log. Raises BuildError, DataError."""
    _require_encoder(model, QUANTIZE)
    vectors = embed_calibration_texts(model, context)
    form: StoredForm = BinaryForm(vectors.shape[-1], query)
    if to == "int8":
        form = Int8Form.spanning(vectors, query=query)
    replace_modules_(model, QUANTIZE, {"form": form.to(context.device)})
    quantized = form.round_to_stored(vectors.to(context.device))
    cosine = nn.functional.cosine_similarity(vectors.to(context.device), quantized, dim=-1).mean()
    size = -(-form.dims * form.bits // 8)
    return {"to": to, "query": query, "bytes_per_embedding": size, "cosine_to_float": round(float(cosine), 4)}


def embed_calibration_texts(model: TorchModel, context: BuildContext) -> torch.Tensor:
    """(texts, dims) float32 embeddings on the CPU, from the model. Raises DataError without rows."""
    model.network.eval()
    with torch.no_grad():
        parts = [model.network(**batch).logits.float().cpu() for batch in calibration_batches(model, context)]
    return torch.cat([part.flatten(0, -2) for part in parts])


def compute_principal_directions(vectors: torch.Tensor, dims: int) -> tuple[torch.Tensor, float]:
    """(dims, width) orthonormal directions of the largest squared length, and their share of its total."""
    squares, directions = torch.linalg.eigh(vectors.double().t() @ vectors.double())
    principal = directions[:, -dims:].flip(1).t()
    return principal.float().contiguous(), float(squares[-dims:].sum() / squares.sum())


def _require_encoder(model: TorchModel, step_name: str) -> SentenceEncoder:
    network = model.network
    if not isinstance(network, SentenceEncoder):
        raise BuildError(
            f"{step_name}: {type(network).__name__} gives no embeddings; it is for the tasks "
            "sentence_embedding and sentence_similarity"
        )
    if not isinstance(network.form, nn.Identity):
        advice = "use it only once" if step_name == QUANTIZE else f"put {step_name} before {QUANTIZE}"
        raise BuildError(f"{step_name}: the embeddings are quantized already; {advice}")
    return network


def _find_last_linear(network: SentenceEncoder) -> tuple[str, nn.Linear | None]:
    """The name and the linear layer whose output the embeddings are; None if no plain nn.Linear is last."""
    if type(network.reduce) is nn.Linear:
        return "reduce", network.reduce
    last = len(network.dense) - 1
    last_layer = network.dense[last] if last >= 0 and isinstance(network.reduce, nn.Identity) else None
    return (f"dense.{last}", last_layer) if type(last_layer) is nn.Linear else ("", None)


@torch.no_grad()
def _merge_projection(layer: nn.Linear, directions: torch.Tensor) -> nn.Linear:
    """Merges a layer and the projection after it into one layer."""
    directions = directions.to(layer.weight)
    merged = _make_projection(directions @ layer.weight)
    if layer.bias is not None:
        merged.bias = nn.Parameter(directions @ layer.bias)
    return merged


def _make_projection(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer
