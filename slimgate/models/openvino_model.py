"""An OpenVINO graph with its tokenizer: saved as OpenVINO's two files and JSON, loaded again the same.

The folder of an artifact of kind openvino:

    model.xml  model.bin          the graph, and its weights
    config.json  tokenizer files  as transformers has them
    slimgate.json                 the kind

The graph's inputs are named as a tokenizer names them, (rows, tokens) each; its one output is `logits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate._system.silence import silent
from slimgate.errors import BuildError
from slimgate.models.beside_graph import load_beside, save_beside
from slimgate.models.openvino_package import load_openvino
from slimgate.models.openvino_weights import first_broken, footprint

MODEL = "model.xml"
KIND = "openvino"
OUTPUT = "logits"


@dataclass
class OpenVinoModel:
    """A graph that predicts, and all that is needed to save it. graph: openvino.Model."""

    graph: Any
    tokenizer: Any
    config: Any
    kind: str = KIND

    def code_modules(self) -> list[str]:
        """None: what the graph does is in its files."""
        return []

    def footprint(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""
        return footprint(self.graph)

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact. Raises BuildError for weights that are NaN or infinite."""
        if broken := first_broken(self.graph):
            raise BuildError(f"weights are NaN or infinite after the step, first in {broken}")
        save_beside(folder, self)
        write_graph(self.graph, folder)


def write_graph(graph: Any, folder: Path, *, compress_to_fp16: bool = False) -> None:
    """model.xml and model.bin."""
    folder.mkdir(parents=True, exist_ok=True)
    with silent():
        load_openvino("an artifact of kind openvino").save_model(
            graph, folder / MODEL, compress_to_fp16=compress_to_fp16
        )


def read_graph(folder: Path, *, mapped: bool = False) -> Any:
    """The graph of a folder. mapped: weights stay in the file, which must then live as long as the graph."""
    openvino = load_openvino("an artifact of kind openvino")
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": mapped})
    try:
        return core.read_model(folder / MODEL)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise BuildError(f"OpenVINO cannot read {folder / MODEL}: {said}") from error


def load_openvino_model(folder: Path, *, device: str = "cpu") -> OpenVinoModel:  # noqa: ARG001
    """What `OpenVinoModel.save` or `slimgate export` wrote."""
    return OpenVinoModel(graph=read_graph(folder), **load_beside(folder))
