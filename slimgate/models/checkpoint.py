"""A checkpoint whose weights another tool has quantized. It is judged from its files, which stay unchanged.

The folder of an artifact of kind quantized_checkpoint:

    config.json  weights  tokenizer files  generation_config.json  …    copies of the folder's files
    slimgate.json                                                       architecture, kind, storage format

For a GGUF file, transformers makes config.json and the tokenizer next to it.
"""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slimgate._system.json_text import read_json
from slimgate._system.quiet import silent
from slimgate.errors import BuildError, to_one_line
from slimgate.models.dequantize import dequantize_folder
from slimgate.models.integer_packing import Packing, find_packing
from slimgate.models.quantized_files import CHECKPOINT, read_method_name
from slimgate.models.saved_files import (
    COPIED,
    DESCRIPTION,
    load_tokenizer,
    read_description,
    read_stored_tensors,
    save_tokenizer,
)
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.base import Json
from slimgate.store.seal import MANIFEST

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

TRANSFORMERS = "transformers"
# The files that transformers reads in addition to the weights: settings, vocabulary, chat template.
_COMPANIONS = (".json", ".txt", ".model", ".jinja", ".spm", ".tiktoken")
# The methods that transformers leaves to gptqmodel if it is installed.
_GPTQMODEL_METHODS = ("awq", "gptq")


@dataclass
class Checkpoint(TorchModel):
    """A TorchModel that is saved by copying its files.

    folder: of the files; file: the file of a GGUF model; dtype: the dtype that the suite asks for, None for
    the stored one; stored: Quantized.list_facts().
    """

    folder: Path = field(default_factory=Path)
    file: str | None = None
    dtype: str | None = None
    stored: Json = field(default_factory=dict)

    @property
    def auto(self) -> str:
        """transformers' Auto class."""
        return self.architecture.partition(":")[2]

    def code_modules(self) -> list[str]:
        """This module, and the module that unpacks weights."""
        return sorted({__name__, dequantize_folder.__module__})

    def select_counted_files(self, names: list[str]) -> list[str]:
        """The files of an artifact that came with the checkpoint."""
        return [self.file] if self.file else [name for name in names if name != DESCRIPTION]

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters (without zeros of unpacked weights), state_bytes (of the files)."""
        with silent(), torch.device("meta"):
            empty = _import_auto_class(self.architecture).from_config(_make_plain_config(self.config))
        parameters = sum(weight.numel() for weight in empty.parameters())
        return {
            "parameters": parameters,
            "nonzero_parameters": parameters - _count_zeros(self.network, empty),
            "state_bytes": sum(
                file.stat().st_size for file in list_checkpoint_weights(self.folder, self.file)
            ),
        }

    def save(self, folder: Path) -> None:
        """Copies the files."""
        for file in list_checkpoint_files(self.folder, self.file):
            shutil.copyfile(file, folder / file.name)
        if self.file:
            _make_plain_config(self.config).save_pretrained(folder)
            save_tokenizer(self.tokenizer, folder)
        description = {
            "architecture": self.architecture,
            "kind": self.kind,
            "modifications": self.modifications,
            COPIED: {"file": self.file, "dtype": self.dtype, "stored": self.stored},
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def load_checkpoint(folder: Path, *, device: str = "cpu") -> Checkpoint:
    """Loads what `Checkpoint.save` wrote, in evaluation mode."""
    description = read_description(folder)
    checkpoint = description[COPIED]
    auto = str(description["architecture"]).partition(":")[2]
    network, _ = read_network(
        auto, folder, file=checkpoint["file"], dtype=checkpoint["dtype"], text=str(folder)
    )
    tokenizer = load_tokenizer(folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id
    return Checkpoint(
        network=network.to(device).eval(),
        tokenizer=tokenizer,
        architecture=description["architecture"],
        kind=CHECKPOINT,
        folder=folder,
        file=checkpoint["file"],
        dtype=checkpoint["dtype"],
        stored=checkpoint["stored"],
    )


def make_checkpoint(
    model: TorchModel, folder: Path, *, file: str | None, dtype: str | None, stored: Json
) -> Checkpoint:
    """A model that a task has loaded by `read_network`. Raises BuildError if the task added layers."""
    if model.architecture.partition(":")[0] != TRANSFORMERS:
        raise BuildError(
            f"{type(model.network).__name__} adds its own layers to a transformer, but an already "
            "quantized model is judged only from its files; expected a causal language model, or a "
            "classifier with a head in its files"
        )
    return Checkpoint(
        network=model.network,
        tokenizer=model.tokenizer,
        architecture=model.architecture,
        kind=CHECKPOINT,
        folder=folder,
        file=file,
        dtype=dtype,
        stored={**stored, "dtype": str(model.network.dtype).removeprefix("torch.")},
    )


def read_network(
    auto: str, folder: Path, *, file: str | None, dtype: str | None, text: str, **options: object
) -> tuple[Any, Json]:
    """A network of a quantized folder or GGUF file, and transformers' loading info.

    auto: the name of transformers' Auto class. options: of its from_pretrained. text: the model, for errors.
    slimgate unpacks the integers of AutoRound, and those of GPTQ and AWQ if their packages are not installed.
    Raises BuildError if transformers cannot load the model.
    """
    arguments: Json = {"output_loading_info": True, **options}
    try:
        with silent():
            if file is not None:
                network, info = _import_auto_class(auto).from_pretrained(
                    folder,
                    gguf_file=file,
                    **{**arguments, "config": None},  # transformers makes it from the file
                    dtype=_parse_dtype(dtype or "float32"),
                )
            else:
                network, info = _read_folder(auto, folder, _parse_dtype(dtype), text, arguments)
            _unpack_lazy_weights(network)
    except (BuildError, pickle.UnpicklingError):
        raise
    except Exception as error:  # each quantization package raises different errors
        problem = to_one_line(error)[:300]
        raise BuildError(
            f"{text}: transformers cannot load it as {auto}: {type(error).__name__}: {problem}"
        ) from error
    return network, info


def _read_folder(
    auto: str, folder: Path, dtype: torch.dtype | str, text: str, options: Json
) -> tuple[Any, Json]:
    quantization = read_json(folder / "config.json")["quantization_config"]
    method = read_method_name(quantization)
    if packing := find_packing(method, quantization):
        config = options.get("config") or _import_auto_class("AutoConfig").from_pretrained(
            folder, trust_remote_code=False
        )
        with torch.device("meta"):
            empty = _import_auto_class(auto).from_config(_make_plain_config(config))
        if _is_unpacked_here(method, folder, empty):
            return _read_unpacked(empty, folder, packing, dtype, text, options)
    loaded: tuple[Any, Json] = _import_auto_class(auto).from_pretrained(
        folder, dtype=dtype, weights_only=True, trust_remote_code=False, **options
    )
    return loaded


def _is_unpacked_here(method: str, folder: Path, empty: nn.Module) -> bool:
    """Whether slimgate unpacks the weights of a folder, rather than transformers and its packages.

    empty: its network without weights. transformers itself reads models of AutoRound with experts, because
    AutoRound stores them as separate layers and transformers stacks them.
    """
    if method in _GPTQMODEL_METHODS:
        from transformers.utils import is_gptqmodel_available, is_optimum_available

        return not (is_gptqmodel_available() and is_optimum_available())
    modules = {name for name, _ in empty.named_modules()}
    packed = (name for name in read_stored_tensors(folder) or () if name.endswith(".qweight"))
    return all(name.removesuffix(".qweight") in modules for name in packed)


def _read_unpacked(
    empty: PreTrainedModel, folder: Path, packing: Packing, dtype: torch.dtype | str, text: str, options: Json
) -> tuple[Any, Json]:
    """Loads and unpacks the weights of a folder. empty: the network, on the device meta."""
    from transformers import GenerationConfig
    from transformers.pytorch_utils import Conv1D

    transposed = frozenset(name for name, layer in empty.named_modules() if isinstance(layer, Conv1D))
    state = dequantize_folder(folder, packing, text, transposed=transposed)
    config = empty.config
    if dtype == "auto":
        dtype = config.dtype or next(tensor.dtype for tensor in state.values() if tensor.is_floating_point())
    network, info = type(empty).from_pretrained(
        None, state_dict=state, dtype=dtype, **{**options, "config": config}
    )
    if (folder / "generation_config.json").is_file():
        network.generation_config = GenerationConfig.from_pretrained(folder)
    return network, info


@torch.no_grad()
def _unpack_lazy_weights(network: nn.Module) -> None:
    """Runs a first call, at which compressed-tensors unpacks weights, so that an error appears here."""
    quantizer = getattr(network, "hf_quantizer", None)
    if type(quantizer).__name__ == "CompressedTensorsHfQuantizer":
        network.eval()(input_ids=torch.zeros((1, 2), dtype=torch.long))


def list_checkpoint_files(folder: Path, file: str | None) -> list[Path]:
    """The files of a checkpoint for an artifact: its weights, settings, vocabulary, chat template."""
    if file is not None:
        return [folder / file]
    companions = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in _COMPANIONS and path.name not in (DESCRIPTION, MANIFEST)
    ]
    return [*list_checkpoint_weights(folder, None), *companions]


def list_checkpoint_weights(folder: Path, file: str | None) -> list[Path]:
    """The files with the weights: a single file, the files of an index, or all files of the same format."""
    if file is not None:
        return [folder / file]
    for pattern, single in (
        ("*.safetensors", "model.safetensors"),
        ("pytorch_model*.bin", "pytorch_model.bin"),
    ):
        if (folder / single).is_file():
            return [folder / single]
        index = folder / f"{single}.index.json"
        if index.is_file():
            return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def _import_auto_class(name: str) -> Any:
    import transformers

    return getattr(transformers, name.rpartition(":")[2])


def _parse_dtype(name: str | None) -> Any:
    return "auto" if name is None else getattr(torch, name)


def _make_plain_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the same architecture without quantization."""
    plain = copy.deepcopy(config)
    if hasattr(plain, "quantization_config"):
        del plain.quantization_config
    return plain


def _count_zeros(network: nn.Module, empty: nn.Module) -> int:
    """The number of zeros among a network's float weights; packed layers are not counted."""
    shapes = {name: weight.shape for name, weight in empty.named_parameters()}
    zeros = 0
    for name, weight in network.named_parameters():
        if shapes.get(name) != weight.shape:
            continue
        values = weight.dequantize() if hasattr(weight, "tensor_data_names") else weight
        zeros += values.numel() - int(torch.count_nonzero(values))
    return zeros
