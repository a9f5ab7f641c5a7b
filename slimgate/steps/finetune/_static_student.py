"""Makes a model of token vectors from another model: its tables, and its head."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import find_logits_layer
from slimgate.models.sentence_encoder import SentenceEncoder, pool
from slimgate.models.static_encoder import StaticClassifier, StaticEncoder, StaticSentenceEncoder
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.base import iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.tasks.parts.encoding import EncodedTexts
from slimgate.tasks.parts.heads import compute_classifier_inputs
from slimgate.tasks.parts.objectives import make_objective

if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from slimgate.steps.finetune.static_student import Params

STEP = "static_student"
BATCH_SIZE = 256
# Score of the special tokens around a text: their weight is so small that training does not change it.
NEXT_TO_NONE = -40.0
TOKENS = "vectors of single tokens"


@dataclass(frozen=True)
class Directions:
    """vector = mean + z · rows; only z (dims,) is stored. energy: the share of the squares that stays."""

    rows: torch.Tensor
    mean: torch.Tensor
    energy: float


def make_static_model(model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
    """The model of token vectors, on the context's device.

    Raises BuildError if the model does not answer a text by a head or a vector, or is too narrow.
    """
    network = model.network
    layer = None if isinstance(network, SentenceEncoder) else _find_head(model, context)
    if isinstance(network, SentenceEncoder) and not isinstance(network.form, nn.Identity):
        raise BuildError(
            f"{STEP}: the embeddings are quantized already; put {STEP} before quantize_embeddings"
        )
    vectors = compute_token_vectors(model, layer, context)
    if params.dims > vectors.shape[1]:
        raise BuildError(
            f"{STEP}: dims = {params.dims}, but the vectors of {type(network).__name__} have "
            f"{vectors.shape[1]} numbers; expected at most {vectors.shape[1]}"
        )
    tokens_before, tokens_after = _find_frame(model.tokenizer, context)
    frame = sorted({*tokens_before, *tokens_after, model.config.pad_token_id or 0})
    directions = compute_centred_directions(np.delete(vectors.numpy(), frame, axis=0), params.dims)
    network_class = StaticSentenceEncoder if layer is None else StaticClassifier
    static_network = network_class(_make_static_config(model.config, params))
    weights = compute_sif_weights(model, frame, params.sif, context)
    reduced = (vectors - directions.mean) @ directions.rows.T
    _set_tables_(static_network.encoder, weights.unsqueeze(1) * reduced, frame)
    if isinstance(static_network, StaticClassifier) and layer is not None:
        _set_head_(static_network.classifier, layer, directions)
    architecture = f"{network_class.__module__}:{network_class.__qualname__}"
    student = TorchModel(static_network.to(context.device).eval(), model.tokenizer, architecture)
    before, after = model.measure_size()["parameters"], student.measure_size()["parameters"]
    context.log.update(tokens=len(vectors), dims_before=vectors.shape[1], dims_after=params.dims)
    context.log.update(energy_kept=round(directions.energy, 4), bigrams=params.bigrams)
    context.log.update(parameters_before=before, parameters_after=after)
    return student


def _find_head(model: TorchModel, context: BuildContext) -> nn.Linear:
    """The layer that gives the answers. Raises BuildError for a model without such a layer."""
    network, task = model.network, context.task
    if not make_objective(task, context.task_params).by_row:
        raise BuildError(
            f"{STEP}: {type(network).__name__} answers token by token, or compares texts with images; the "
            "step is for models that answer a whole text by a head, and for sentence encoders"
        )
    if len(columns := task.text_columns(context.task_params)) > 1:
        raise BuildError(
            f"{STEP}: the model reads {', '.join(columns)} as one text, and a mean of token vectors does "
            "not show which text a word came from; the step is for tasks of one text, and for sentence "
            "encoders, which encode the texts of a pair separately"
        )
    layer = find_logits_layer(network) if hasattr(network.config, "vocab_size") else None
    if layer is None:
        raise BuildError(
            f"{STEP}: {type(network).__name__} does not read text, or its answers do not come from a "
            "float linear layer; put the step before the step that changed the head"
        )
    return layer


@torch.inference_mode()
def compute_token_vectors(model: TorchModel, layer: nn.Linear | None, context: BuildContext) -> torch.Tensor:
    """(vocabulary, features) float32 on the CPU: the head's inputs for a text of each single token.

    layer: the head; None for a sentence encoder: the vectors before they get unit length.
    """
    encoded = _make_single_tokens(model, context)

    def progress(_stage: str, done: int, total: int) -> None:
        context.progress(TOKENS, done, total)

    with context.time_stage("token vectors"):
        if layer is not None:
            features = compute_classifier_inputs(model.network, layer, encoded, progress=progress)
            return torch.from_numpy(features)
        pieces = []
        for positions in iter_batches(range(len(encoded)), BATCH_SIZE):
            pieces.append(
                _embed_batch(cast("SentenceEncoder", model.network), encoded, positions, context.device)
            )
            progress(TOKENS, positions[-1] + 1, len(encoded))
    return torch.cat(pieces)


def _embed_batch(
    network: SentenceEncoder, encoded: EncodedTexts, positions: Sequence[int], device: str
) -> torch.Tensor:
    batch = {name: torch.from_numpy(values).to(device) for name, values in encoded.batch(positions).items()}
    tokens = network.encoder(**batch).last_hidden_state
    pooled = pool(tokens, batch["attention_mask"], network.config.sentence["pooling"])
    reduced: torch.Tensor = network.reduce(network.dense(pooled)).float().cpu()
    return reduced


def _make_single_tokens(model: TorchModel, context: BuildContext) -> EncodedTexts:
    """A row for each token of the vocabulary, between the tokens that the tokenizer puts around a text."""
    size = int(model.config.vocab_size)
    before, after = _find_frame(model.tokenizer, context)
    ids = [[*before, token, *after] for token in range(size)]
    width = len(ids[0])
    arrays = {"input_ids": ids, "attention_mask": [[1] * width] * size}
    columns = {name: arrays.get(name, [[0] * width] * size) for name in model.tokenizer("a")}
    return EncodedTexts(columns, dict.fromkeys(columns, 0), "right", np.full(size, width, dtype=np.int64))


def _find_frame(tokenizer: PreTrainedTokenizerBase, context: BuildContext) -> tuple[list[int], list[int]]:
    """The tokens that the tokenizer puts before and after a text, from a train row. Raises BuildError."""
    names = context.task.text_columns(context.task_params)
    for text in context.rows("train").table[names[0]].to_pylist():
        tokenized = tokenizer(str(text), return_special_tokens_mask=True)
        marks = list(tokenized["special_tokens_mask"])
        if 0 in marks:
            first, last = marks.index(0), len(marks) - marks[::-1].index(0)
            return tokenized["input_ids"][:first], tokenized["input_ids"][last:]
    raise BuildError(f"{STEP}: the tokenizer finds no token in the texts of train")


def compute_centred_directions(vectors: npt.NDArray[np.float32], dims: int) -> Directions:
    """The directions around the mean in which the vectors (tokens, features) vary most."""
    values = torch.from_numpy(np.asarray(vectors)).double()
    mean = values.mean(0)
    squares, directions = torch.linalg.eigh((values - mean).T @ (values - mean))
    rows = directions[:, -dims:].flip(1).T
    energy = float(squares[-dims:].sum() / squares.sum().clamp(min=1e-30))
    return Directions(rows.float().contiguous(), mean.float(), energy)


def compute_sif_weights(
    model: TorchModel, frame: Sequence[int], sif: float, context: BuildContext
) -> torch.Tensor:
    """(vocabulary,) a / (a + p), p the share of the token among those of train, without the frame."""
    encoded = cast(
        "EncodedTexts", context.task.encode_rows(context.task_params, context.rows("train"), model.tokenizer)
    )
    ids = np.fromiter((i for row in encoded.columns["input_ids"] for i in row), dtype=np.int64)
    counts = np.bincount(ids, minlength=int(model.config.vocab_size)).astype(np.float64)
    counts[list(frame)] = 0
    return torch.from_numpy(sif / (sif + counts / max(counts.sum(), 1))).float()


def _make_static_config(old: PreTrainedConfig, params: Params) -> Any:
    """The old configuration, for tokens and outputs, with the shape of the tables."""
    config = copy.deepcopy(old)
    config.static = {"dims": params.dims, "bigrams": params.bigrams}
    if getattr(config, "sentence", None):
        # the layers after the pooling are part of the vectors
        config.sentence = {**config.sentence, "pooling": "mean", "dense": []}
    return config


@torch.no_grad()
def _set_tables_(encoder: StaticEncoder, vectors: torch.Tensor, frame: Sequence[int]) -> None:
    """Sets vectors, equal scores except for the frame's, and empty buckets."""
    tokens, scores = (encoder.embeddings[name] for name in ("tokens", "scores"))
    tokens.weight.copy_(vectors)  # type: ignore[operator]
    tokens.weight[list(frame)] = 0.0  # type: ignore[operator]
    scores.weight.zero_()  # type: ignore[operator]
    scores.weight[list(frame)] = NEXT_TO_NONE  # type: ignore[operator]
    if encoder.bigrams is not None:
        encoder.bigrams.weight.zero_()


@torch.no_grad()
def _set_head_(layer: nn.Linear, old: nn.Linear, directions: Directions) -> None:
    """Converts the old layer of mean + z · rows to a layer of z."""
    weight = old.weight.detach().float().cpu()
    layer.weight.copy_(weight @ directions.rows.T)
    layer.bias.copy_(weight @ directions.mean)
    if old.bias is not None:
        layer.bias.add_(old.bias.detach().float().cpu())
