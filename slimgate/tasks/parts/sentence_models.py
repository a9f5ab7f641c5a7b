"""Models of sentence embeddings: folders, loading, storage cost, and similarity to the teacher's embeddings.

A model is a folder of transformers or sentence-transformers. A folder of sentence-transformers has
modules.json, which names the folders of pooling, dense layers and normalization; slimgate reads their
settings. The module does not import torch, because `check_sentence_model` checks a suite before torch loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from slimgate._system.json_text import read_json
from slimgate._system.number_text import MEGABYTE
from slimgate.errors import BuildError, SuiteError
from slimgate.models.config import check_positions, find_stated_value
from slimgate.models.pretrained import POOLER, Weights, forbid_code, load_weights, require_weights
from slimgate.models.saved_files import check_tokenizer
from slimgate.plugins.base import Json, iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ComparedModel, ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.plugins.task import Task
from slimgate.tasks.parts.encoding import EncodedTexts
from slimgate.tasks.parts.retrieval import normalize_vectors
from slimgate.tasks.parts.sentences import EncodedPairs, SentenceParams, encode_sentences
from slimgate.tasks.parts.text_task import list_train_texts

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from slimgate.models.sentence_encoder import SentenceEncoder
    from slimgate.models.torch_model import TorchModel

# Settings in pooling's config.json, in both ways in which it is written.
_POOLING = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "last"}
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ARCHITECTURE = "slimgate.models.sentence_encoder:SentenceEncoder"
# The rows of a mean cosine. More rows hardly change it.
ROWS = 512
FLOAT_BITS = 32
INDEX_SIZE = 1_000_000
S = TypeVar("S", bound=SentenceParams)


def read_sentence_layout(folder: Path) -> dict[str, Any]:
    """pooling, normalize, dense (as for SentenceEncoder) and dense_files; empty without modules.json.

    Raises BuildError for a module or a setting that SentenceEncoder does not have.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    layout: dict[str, Any] = {"normalize": False, "dense": [], "dense_files": []}
    for module in _read_json(path):
        kind = str(module["type"]).rpartition(".")[2]
        inner = _resolve_module_folder(folder, module.get("path", ""))
        if layout["normalize"]:
            raise BuildError(f"{path}: module {kind} comes after Normalize, which must be the last")
        if kind == "Pooling":
            layout["pooling"] = _read_pooling(inner / "config.json")
        elif kind == "Dense":
            layout["dense"].append(_read_dense_layer(inner / "config.json"))
            layout["dense_files"].append(_find_weights_file(inner))
        elif kind == "Normalize":
            layout["normalize"] = True
        elif kind != "Transformer":
            raise BuildError(
                f"{path}: module {kind} is not known, expected Transformer, Pooling, Dense or Normalize"
            )
    return layout


def _resolve_module_folder(folder: Path, path: object) -> Path:
    """A module's folder. path: as modules.json names it. Raises BuildError if it is not in the model's."""
    if Path(str(path)).is_absolute() or ".." in Path(str(path)).parts:
        raise BuildError(f"{folder / 'modules.json'}: path {path!r} is outside of the model's folder")
    return folder / str(path)


def _read_pooling(path: Path) -> str:
    config = _read_json(path)
    stated = config.get("pooling_mode")
    modes = [stated] if isinstance(stated, str) else stated or []
    poolings = [_POOLING.get(mode) for mode in modes]
    poolings += [
        _FLAGS.get(key) for key, on in config.items() if key.startswith("pooling_mode_") and on is True
    ]
    if len(poolings) != 1 or poolings[0] is None:
        raise BuildError(
            f"{path}: {config} was given, expected one way of pooling: mean, cls, max or lasttoken; or "
            "choose another with [task] pooling"
        )
    return poolings[0]


def _read_dense_layer(path: Path) -> dict[str, Any]:
    config = _read_json(path)
    activation = str(config.get("activation_function", "Identity")).rpartition(".")[2].removesuffix("()")
    if activation not in ("Identity", "Tanh"):
        raise BuildError(f"{path}: activation {activation} was given, expected Identity or Tanh")
    return {
        "in_features": int(config["in_features"]),
        "out_features": int(config["out_features"]),
        "bias": bool(config.get("bias", True)),
        "activation": activation,
    }


def _find_weights_file(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise BuildError(f"{folder}: no weights, expected {' or '.join(_WEIGHTS)}")


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise BuildError(f"{path}: cannot be read: {error}") from error


def check_sentence_model(params: SentenceParams, ref: ModelRef, config: Json) -> None:
    """Raises SuiteError for an encoder-decoder, too few positions, no tokenizer, or too wide matryoshka."""
    if config.get("is_encoder_decoder"):
        raise SuiteError(
            f"{ref.text} is an encoder with a decoder, expected only an encoder or only a decoder"
        )
    check_positions(params.max_tokens, ref, config)
    check_tokenizer(ref)
    width = find_stated_value(config, "hidden_size", "dim", "n_embd")
    if isinstance(width, int) and params.matryoshka and params.matryoshka[0] > width:
        raise SuiteError(
            f"matryoshka = {list(params.matryoshka)}, but embeddings of {ref.text} have {width} dimensions"
        )


class SentenceTask(Task[S]):
    """A task in which the model encodes each text of a row separately."""

    end_to_end = True
    # The vector of a text as a query comes first, as a document last. Only asymmetric search has two vectors.
    snippet_tail = (
        "vectors = {scores}.reshape(len(texts), -1, scores.shape[-1])\n"
        "print(vectors[:, 0] @ vectors[:, -1].T)"
    )
    distill_options = MappingProxyType(
        {"alpha": 0.2, "temperature": 1.0, "mse_weight": 1.0, "batch_size": 64}
    )

    def check_model(self, params: S, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if a model of this config.json cannot be used for the task."""
        check_sentence_model(params, ref, config)

    def load_model(self, params: S, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the encoder of a reference."""
        return load_sentence_model(params, ref, context)

    def encode_rows(
        self, params: S, rows: Rows, tokenizer: PreTrainedTokenizerBase
    ) -> EncodedTexts | EncodedPairs:
        """Tokenises the one or two texts of each row."""
        return encode_sentences(params, rows, tokenizer)

    def compare(self, params: S, teacher: ComparedModel, variant: ComparedModel) -> Json:
        """The storage of an embedding in an index, and its similarity to the teacher's."""
        return compute_embedding_figures(teacher, variant)


def load_sentence_model(params: SentenceParams, ref: ModelRef, context: BuildContext) -> TorchModel:
    """Loads a folder as a TorchModel. Options in [task] override its settings. Raises BuildError."""
    from slimgate.models.pretrained import load_config, load_or_train_tokenizer
    from slimgate.models.seeding import isolated_seed
    from slimgate.models.torch_model import TorchModel

    assert ref.folder is not None
    config = load_config(ref)
    tokenizer = load_or_train_tokenizer(ref, list_train_texts(params.texts, context), config)
    with isolated_seed(context.seed):  # fresh weights start from random numbers
        weights, network = load_encoder(ref, config, {**_list_options(params), "texts": len(params.texts)})
    require_weights(ref, weights, context)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.config.pad_token_id = tokenizer.pad_token_id
    settings = {name: network.config.sentence[name] for name in ("pooling", "normalize")}
    layout = "plain" if ref.fresh or not read_sentence_layout(ref.folder) else "sentence-transformers"
    context.log.update(layout=layout, **settings)
    return TorchModel(network.to(context.device).eval(), tokenizer, ARCHITECTURE)


def load_encoder(
    ref: ModelRef, config: PreTrainedConfig, stated: Mapping[str, object]
) -> tuple[Weights, SentenceEncoder]:
    """Loads a folder as a SentenceEncoder. Returns also how its files fit the network.

    stated: settings that override the folder's. A pooler may be missing, because it is not used.
    """
    from slimgate.models.sentence_encoder import SentenceEncoder

    assert ref.folder is not None
    layout = {} if ref.fresh else read_sentence_layout(ref.folder)
    files: list[Path] = layout.pop("dense_files", [])
    weights = _ignore_missing_pooler(load_weights("AutoModel", ref, dtype="float32", config=config))
    encoder = weights.network
    encoder.config.sentence = {**layout, **stated}
    network = SentenceEncoder(encoder.config, encoder)
    _read_dense(network, files)
    return weights, network


def _list_options(params: SentenceParams) -> dict[str, Any]:
    stated: dict[str, Any] = {}
    if params.pooling != "model":
        stated["pooling"] = params.pooling
    if params.normalize is not None:
        stated["normalize"] = params.normalize
    return stated


def _ignore_missing_pooler(weights: Weights) -> Weights:
    """Drops a missing pooler from the missing weights, because it is not used."""
    return replace(weights, missing=[name for name in weights.missing if not name.startswith(f"{POOLER}.")])


def _read_dense(network: SentenceEncoder, files: list[Path]) -> None:
    """Reads the weights of the layers after the pooling, each from a separate file."""
    import safetensors.torch
    import torch

    layers = [module for module in network.dense if hasattr(module, "weight")]
    for layer, file in zip(layers, files, strict=True):
        if file.suffix == ".safetensors":
            state = safetensors.torch.load_file(str(file))
        else:
            with forbid_code(str(file)):
                state = torch.load(file, weights_only=True)
        layer.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in state.items()})


def compute_embedding_figures(teacher: ComparedModel, variant: ComparedModel) -> dict[str, Any]:
    """The `figures` of the record: the storage of embeddings, and their mean cosine to the teacher's.

    Only the vectors of documents count, because an index stores documents, and queries may have another form.
    """
    old, new = embed_documents(teacher), embed_documents(variant)
    sizes = [count_bytes(model, vectors.shape[-1]) for model, vectors in ((teacher, old), (variant, new))]
    figures = {
        "bytes_per_embedding": _make_figure("bytes of an embedding in an index", *sizes),
        "index_mb_per_million": _make_figure(
            "MB of an index of 1,000,000 embeddings", *(size * INDEX_SIZE / MEGABYTE for size in sizes)
        ),
    }
    if old.shape == new.shape:
        cosine = float((normalize_vectors(old) * normalize_vectors(new)).sum(-1).mean())
        figures["cosine_to_teacher"] = _make_figure(
            "mean cosine of embeddings to the teacher's", None, cosine
        )
    return {"figures": figures}


def embed_documents(model: ComparedModel) -> npt.NDArray[np.float32]:
    """(rows, dims) vectors of the first documents: of the second text of a pair, or of the text."""
    count = min(ROWS, len(model.encoded.lengths))
    parts = [
        model.predictor.fetch(
            model.predictor.forward(model.predictor.prepare(model.encoded.batch(positions)))
        )
        for positions in iter_batches(range(count), 64)
    ]
    vectors = np.concatenate(parts)
    return vectors[:, 1] if vectors.ndim == 3 else vectors


def count_bytes(model: ComparedModel, dims: int) -> int:
    """The bytes that an index stores for a vector of the artifact."""
    return -(-dims * _read_bits(model.folder) // 8)


def _read_bits(folder: Path) -> int:
    """The bits of a number: those of the last form that a step has added, else those of a float."""
    from slimgate.models.saved_files import DESCRIPTION

    path = folder / DESCRIPTION
    if not path.is_file():
        return FLOAT_BITS
    description: Json = json.loads(path.read_text("utf-8"))
    forms = [change["spec"].get("modules", {}).get("form") for change in description.get("modifications", [])]
    kinds = [form[0].rpartition(":")[2] for form in forms if form is not None]
    return {"Int8Form": 8, "BinaryForm": 1}[kinds[-1]] if kinds else FLOAT_BITS


def _make_figure(label: str, teacher: float | None, variant: float) -> dict[str, Any]:
    return {"what": label, "teacher": teacher, "variant": variant}
