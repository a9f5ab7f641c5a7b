"""Sentence encoders of BERT's kind as GGUF files, which llama.cpp computes embeddings with.

transformers cannot read such files. So slimgate unpacks the weights, by their names in the package gguf,
into a network of the config.json next to the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.saved_files import save_tokenizer
from slimgate.models.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from slimgate.models.torch_model import TorchModel

ENCODER = SentenceEncoder.__name__
FAMILIES = ("bert",)
# The names in sentence-transformers and in llama.cpp's converter; llama.cpp has no pooling by the maximum.
POOLING = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}


def write_encoder(model: TorchModel, folder: Path) -> None:
    """Writes a TorchModel's encoder in the layout of sentence-transformers, for llama.cpp's converter.

    Raises BuildError if llama.cpp has no place for a part of it.
    """
    network, settings = cast("SentenceEncoder", model.network), model.config.sentence
    if (family := model.config.model_type) not in FAMILIES:
        raise BuildError(
            f"to_gguf writes only encoders of {', '.join(FAMILIES)}; the family of this model is {family}"
        )
    if (pooling := settings["pooling"]) not in POOLING:
        raise BuildError(f'llama.cpp has no pooling "{pooling}", expected {", ".join(POOLING)}')
    for name in ("reduce", "form"):
        if not isinstance(getattr(network, name), nn.Identity):
            raise BuildError(
                "llama.cpp does not support what truncate_embeddings or quantize_embeddings adds"
            )
    if len(network.dense):
        raise BuildError("llama.cpp does not support a dense layer after the pooling")
    network.encoder.save_pretrained(folder)
    save_tokenizer(model.tokenizer, folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if settings["normalize"] else [])]
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": f"{place}_{kind}" if place else "",
            "type": f"models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "1_Pooling").mkdir()
    pooling_config = {f"pooling_mode_{POOLING[pooling]}": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling_config), "utf-8")


def load_gguf_encoder(file: Path, config: PreTrainedConfig) -> SentenceEncoder:
    """The network of a GGUF file, its weights unpacked to float32. Raises BuildError if a weight is missing.

    config: the config of the network that was written, with its `sentence`.
    """
    import gguf

    network = SentenceEncoder.from_config(config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, network.config.num_hidden_layers)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    state = {}
    for name, weight in network.encoder.state_dict().items():
        layer, _, part = name.rpartition(".")
        stored = tensors.get(f"{names.get_name(layer)}.{part}")
        if stored is None:
            raise BuildError(f"{file.name} has no tensor for {name}")
        values = gguf.dequantize(stored.data, stored.tensor_type)
        state[name] = torch.from_numpy(values.copy()).reshape(weight.shape)
    network.encoder.load_state_dict(state)
    return network
