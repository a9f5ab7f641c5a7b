"""Saves and loads a decoder in the format of ONNX Runtime GenAI.

`onnxruntime_genai.Model` opens the folder of an artifact of kind onnx_genai:

    genai_config.json             names of inputs and outputs, the end tokens, the longest text
    model.onnx  model.onnx.data   the graph, and its weights
    config.json  tokenizer files  as transformers writes them
    slimgate.json                 the kind, how weights are stored, how many there are

An exported folder has the same files without slimgate.json. It opens in the runtime too, but no step can
start from it. The library refuses entries of genai_config.json that it does not know.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.models.graph import Graph
from slimgate.models.saved_files import load_companions, read_description
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

KIND = "onnx_genai"  # the extra has this name too
PACKAGE = "onnxruntime_genai"
CONFIG, MODEL, DATA = "genai_config.json", "model.onnx", "model.onnx.data"
COUNTS = ("parameters", "nonzero_parameters")


@dataclass
class OnnxGenaiModel(Graph):
    """A converted model.

    written: its folder, which is only read. counts: how many parameters, and how many of them are not zero.
    precision: how the weights are stored.
    """

    written: Path
    counts: Json
    precision: str
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """The counts, and `state_bytes`: the bytes of the graph and its weights."""
        sizes = ((self.written / name).stat().st_size for name in (MODEL, DATA))
        return {**self.counts, "state_bytes": sum(sizes)}

    def write(self, folder: Path) -> None:
        """Copies the library's files. The model then uses the copy."""
        copy_files(self.written, folder)
        self.written = folder

    def description(self) -> dict[str, Any]:
        """The entries of slimgate.json in addition to the kind."""
        return {"precision": self.precision, "counts": self.counts}


def load_onnx_genai_model(folder: Path) -> OnnxGenaiModel:
    """Loads a folder that `OnnxGenaiModel.save` wrote."""
    description = read_description(folder)
    return OnnxGenaiModel(folder, description["counts"], description["precision"], **load_companions(folder))


def copy_files(folder: Path, target: Path) -> None:
    """Copies the library's files into a folder that exists."""
    for name in (CONFIG, MODEL, DATA):
        shutil.copyfile(folder / name, target / name)
