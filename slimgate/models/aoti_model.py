"""A network compiled ahead of time, with its tokenizer: a package of PyTorch's AOTInductor.

The folder of an artifact of kind torch_aoti:

    model.pt2                    the package: machine code with the weights inside, and its C++ source
    config.json  tokenizer files as transformers writes them
    slimgate.json                kind, names of the inputs, device and vector instructions

The package is machine code for one kind of processor, and runs unchecked. So only packages of the local store
are loaded (a suite's `model` is never a package). It holds no pickle. A package that holds files other than
code and its descriptions is refused before it is opened.
"""

from __future__ import annotations

import platform
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.errors import BuildError
from slimgate.models import saved_files
from slimgate.models.graph import Graph
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

PACKAGE = "model.pt2"
KIND = "torch_aoti"
# The files that the compiler puts into a package, next to the archive's own notes, which have no suffix.
CODE = frozenset({".so", ".cpp", ".json", ".h", ".cubin", ".o"})
NOTES = frozenset({"archive_format", "archive_version", "byteorder", "version", "serialization_id"})


@dataclass
class ExportedModel(Graph):
    """A package that predicts, with everything that saving it needs.

    package: the compiled file; inputs: their names, in the order of the network; device: "cpu" or "cuda";
    weights: parameters, nonzero_parameters and state_bytes of the network that was compiled.
    """

    package: Path
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    inputs: tuple[str, ...]
    device: str
    weights: dict[str, int]
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""
        return dict(self.weights)

    def description(self) -> Json:
        """The inputs, and the kind of machine that the package is for."""
        return {"inputs": list(self.inputs), "device": self.device, "instructions": describe_instructions()}

    def write(self, folder: Path) -> None:
        """Writes model.pt2. Raises BuildError for a package that holds more than code."""
        check_package(self.package)
        shutil.copyfile(self.package, folder / PACKAGE)


def check_package(package: Path) -> None:
    """Raises BuildError if a package holds a file that is neither code nor its description."""
    with zipfile.ZipFile(package) as stored:
        names = [Path(name) for name in stored.namelist()]
    other = [name for name in names if name.suffix not in CODE and name.name not in NOTES]
    if other:
        raise BuildError(
            f"{package.name} contains {other[0]}, expected only compiled code "
            f"({', '.join(sorted(CODE))}), so it is not loaded"
        )


def read_description(folder: Path, device: str) -> Json:
    """Reads the notes of `ExportedModel.save`. Raises BuildError if they are for another kind of machine."""
    description = saved_files.read_description(folder)
    current = {"device": device.partition(":")[0], "instructions": describe_instructions()}
    for name, value in current.items():
        if description[name] != value:
            raise BuildError(
                f"{folder / PACKAGE} is compiled for {name} {description[name]}, but this machine has "
                f"{value}; build it again here with --slimgate-rebuild"
            )
    return description


def describe_instructions() -> str:
    """The processor's family and vector instructions that code is compiled for, such as "x86_64 avx512"."""
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    return f"{platform.machine()} {pick_vec_isa()}".strip()
