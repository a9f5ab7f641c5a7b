"""A model as a folder that servers and transformers load, unchanged from the tool that wrote it.

The folder of an artifact of kind served:

    config.json  *.safetensors, or *.gguf  tokenizer files     as the tool wrote them
    slimgate.json                                              the kind, the Auto class, how many weights

Weights stay in the tool's format. transformers loads it with the quantizer that config.json names, or with
its reader of GGUF files; slimgate unpacks integers of GPTQ, AWQ and AutoRound (checkpoint.py).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from slimgate._system.json_text import read_json
from slimgate._system.quiet import silent
from slimgate.errors import BuildError
from slimgate.models.checkpoint import read_network
from slimgate.models.gguf_encoder import ENCODER, load_gguf_encoder
from slimgate.models.gguf_file import read_gguf_format
from slimgate.models.pretrained import load_weights
from slimgate.models.quantized_files import SERVED, read_quantized
from slimgate.models.saved_files import DESCRIPTION, load_tokenizer, read_description, save_tokenizer
from slimgate.models.special_tokens import add_end_tokens_, list_ends
from slimgate.plugins.base import Json
from slimgate.plugins.models import ModelRef
from slimgate.store.seal import MANIFEST

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.context import BuildContext

KIND = SERVED
COUNTS = ("parameters", "nonzero_parameters")
OWNER = "transformers"


@dataclass
class Served:
    """A folder that servers load, with its network for predictions.

    folder: only read; auto: transformers' Auto class of the network, or SentenceEncoder; counts: parameters
    and nonzero_parameters of the weights that the files represent.
    """

    folder: Path
    auto: str
    counts: Json
    device: str = "cpu"
    kind: str = field(default=KIND, init=False)

    @cached_property
    def network(self) -> nn.Module:
        """The network, in evaluation mode, loaded at its first use. Raises BuildError."""
        if self.auto == ENCODER:
            file = find_gguf_file(self.folder)
            assert file is not None
            return load_gguf_encoder(file, self.config).to(self.device).eval()
        network: nn.Module = load_served_network(self.folder, self.auto).to(self.device).eval()
        return network

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The folder's tokenizer."""
        return load_tokenizer(self.folder)

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The folder's config.json, loaded by transformers."""
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self.folder, trust_remote_code=False)

    @property
    def architecture(self) -> str:
        """The architecture, in the form that TorchModel uses."""
        return f"transformers:{self.auto}"

    @cached_property
    def stored(self) -> Json | None:
        """How its files store the weights, for the record; None for weights in floating point."""
        file, text = find_gguf_file(self.folder), str(self.folder)
        if file is None:
            format_facts = read_quantized(self.folder, read_json(self.folder / "config.json"), text)
        else:
            format_facts = read_gguf_format(file, text)
        dtype = str(next(self.network.parameters()).dtype).removeprefix("torch.")
        return None if format_facts is None else {**format_facts.list_facts(), "dtype": dtype}

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, and state_bytes of the files that hold weights."""
        files = [*self.folder.glob("*.safetensors"), *self.folder.glob("*.gguf")]
        return {**self.counts, "state_bytes": sum(file.stat().st_size for file in files)}

    def code_modules(self) -> list[str]:
        """The module whose code reads its weights."""
        return [(load_gguf_encoder if self.auto == ENCODER else read_network).__module__]

    def save(self, folder: Path) -> None:
        """Copies the files, and writes slimgate.json next to them. The model then uses the copies."""
        copy_served(self.folder, folder)
        description = {"kind": self.kind, "auto": self.auto, "counts": self.counts}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")
        self.folder = folder  # the first folder is often a step's scratch folder, which is removed


def load_served(folder: Path, device: str) -> Served:
    """Loads what `Served.save` wrote."""
    description = read_description(folder)
    return Served(folder, description["auto"], description["counts"], device)


def copy_served(source: Path, target: Path) -> None:
    """Copies the files into an existing folder, without slimgate.json and the manifest of the store."""

    def list_ignored(folder: str, names: list[str]) -> list[str]:
        at_top = Path(folder) == source  # a folder below may have files of these names
        return [name for name in names if at_top and name in (DESCRIPTION, MANIFEST)]

    shutil.copytree(source, target, dirs_exist_ok=True, ignore=list_ignored)


def find_gguf_file(folder: Path) -> Path | None:
    """The GGUF file of a folder; None if it has none."""
    return next(iter(sorted(folder.glob("*.gguf"))), None)


def read_quant_method(folder: Path) -> str | None:
    """The format of a folder's weights from its config.json; "gguf" for a GGUF file."""
    if find_gguf_file(folder) is not None:
        return "gguf"
    stated = read_json(folder / "config.json").get("quantization_config")
    return str(stated.get("quant_method")) if isinstance(stated, dict) else None


def load_served_network(folder: Path, auto: str) -> PreTrainedModel:
    """The network of a folder, loaded by transformers. Raises BuildError in one line."""
    file = find_gguf_file(folder)
    if read_quant_method(folder) is None:
        return load_weights(auto, ModelRef(str(folder), folder)).network
    network, _ = read_network(auto, folder, file=file.name if file else None, dtype=None, text=str(folder))
    # a GGUF file names only one end token
    add_end_tokens_(network, list_ends(read_json(folder / "config.json").get("eos_token_id")))
    return network


def load_written(folder: Path, model: TorchModel | Served, counts: Json, context: BuildContext) -> Served:
    """The folder that a step has written from a TorchModel. counts: of the model before.

    Logs the format, and the files of the folder.
    """
    counted = {name: counts[name] for name in COUNTS}
    written = Served(folder, read_auto_class(model), counted, context.device)
    context.log.update(format=read_quant_method(folder), files=sorted(file.name for file in folder.iterdir()))
    return written


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
