"""An ONNX graph with its tokenizer: saved as one file and JSON, loaded again the same.

The folder of an artifact of kind onnx:

    model.onnx                   the graph with its weights; above 2 GB these stand in model.onnx.data
    config.json  tokenizer files as transformers has them
    slimgate.json                the kind

The graph's inputs are named as a tokenizer names them, (rows, tokens) each; its one output is `logits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.errors import BuildError
from slimgate.models.beside_graph import load_beside, save_beside
from slimgate.models.onnx_weights import array_of, footprint, stored_bytes

MODEL = "model.onnx"
DATA = "model.onnx.data"
KIND = "onnx"
# A protobuf message holds less than 2 GB.
MOST_INSIDE = 1_900_000_000


@dataclass
class OnnxModel:
    """A graph that predicts, and all that is needed to save it. proto: onnx.ModelProto, weights inside."""

    proto: Any
    tokenizer: Any
    config: Any
    kind: str = KIND

    def code_modules(self) -> list[str]:
        """None: what the graph does is in its file."""
        return []

    def footprint(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""
        return footprint(self.proto)

    def openable(self, folder: Path) -> bytes | Path:
        """What a session is made of: the graph's bytes, or a file in the folder where they are too many."""
        if stored_bytes(self.proto) <= MOST_INSIDE:
            return bytes(self.proto.SerializeToString())
        _write_graph(self.proto, folder)
        return folder / MODEL

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact. Raises BuildError for weights that are NaN or infinite."""
        for tensor in self.proto.graph.initializer:
            values = array_of(tensor)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise BuildError(f"weights are NaN or infinite after the step, first in {tensor.name}")
        save_beside(folder, self)
        _write_graph(self.proto, folder)


def _write_graph(proto: Any, folder: Path) -> None:
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    if stored_bytes(proto) <= MOST_INSIDE:
        onnx.save_model(proto, folder / MODEL)
        return
    copy = type(proto)()
    copy.CopyFrom(proto)  # saving empties the tensors that it moves out
    onnx.save_model(copy, folder / MODEL, save_as_external_data=True, location=DATA, size_threshold=1024)


def load_onnx_model(folder: Path, *, device: str = "cpu") -> OnnxModel:  # noqa: ARG001
    """What `OnnxModel.save` or `slimgate export` wrote.

    Raises BuildError where weights would be read from another folder.
    """
    return OnnxModel(proto=read_graph(folder), **load_beside(folder))


def read_graph(folder: Path) -> Any:
    """The graph of a folder with its weights, those of files beside it too."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    proto = onnx.load_model(folder / MODEL, load_external_data=False)
    root = folder.resolve()
    for tensor in proto.graph.initializer:
        if not uses_external_data(tensor):
            continue
        file = (folder / ExternalDataInfo(tensor).location).resolve()
        if not file.is_relative_to(root):
            raise BuildError(f"{folder / MODEL}: {tensor.name} is stored outside of the folder, in {file}")
        if not file.is_file():
            raise BuildError(f"{folder / MODEL}: {tensor.name} is stored in {file}, which there is not")
    load_external_data_for_model(proto, str(folder))
    return proto
