"""llama.cpp's quantizer, which has all of its types and mixes. Only a worker process may run it.

It ends the process if one of its own checks fails.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.llama_cpp_library import describe_log, load_library

if TYPE_CHECKING:
    import gguf

USER = "to_gguf"
Importance = Mapping[str, npt.NDArray[np.float32]]


def quantize_file(
    source: Path,
    target: Path,
    kind: str,
    *,
    importance: Importance,
    tensor_types: Mapping[str, str],
    pure: bool,
    threads: int,
) -> None:
    """Writes a file of floats in a type of llama.cpp, such as Q4_K_M.

    importance: tensor -> (inputs,) mean squares; tensor_types: regular expression of tensors' names -> type;
    pure: whether all matrices have the same type. Raises BuildError in one line.
    """
    import gguf

    library = load_library(USER)
    options = library.llama_model_quantize_default_params()
    options.nthread = threads
    options.ftype = int(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    options.pure = pure
    overrides = [
        (pattern.encode(), gguf.GGMLQuantizationType[name]) for pattern, name in tensor_types.items()
    ]
    override_array = (library.llama_model_tensor_override * (len(overrides) + 1))()
    for place, (pattern, tensor_type) in enumerate(overrides):
        override_array[place].pattern, override_array[place].type = pattern, int(tensor_type)
    # Both arrays end with an entry of zeros. `name_tensors` leaves out importance of a wrong size.
    matrices = (library.llama_model_imatrix_data * (len(importance) + 1))()
    for place, (name, values) in enumerate(importance.items()):
        matrices[place].name = name.encode()
        matrices[place].data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        matrices[place].size = values.size
    if overrides:
        options.tt_overrides = override_array
    if importance:
        options.imatrix = matrices
    code = library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options))
    if code:
        raise BuildError(f"llama.cpp cannot write {kind}: {describe_log()}")


def name_tensors(reader: gguf.GGUFReader, importance: Importance) -> dict[str, npt.NDArray[np.float32]]:
    """Importance by the names of a file's tensors. Leaves out tensors with another number of inputs.

    importance: by the names of the network's layers.
    """
    import gguf

    architecture = reader.get_field("general.architecture").contents()
    blocks = int(reader.get_field(f"{architecture}.block_count").contents())
    architecture_id = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(architecture_id, blocks)
    widths = {tensor.name: int(tensor.shape[0]) for tensor in reader.tensors if len(tensor.shape) == 2}
    named: dict[str, npt.NDArray[np.float32]] = {}
    for layer, values in importance.items():
        # a sentence encoder has its transformer under another name
        tensor = f"{names.get_name(layer) or names.get_name(layer.partition('.')[2])}.weight"
        if widths.get(tensor) == values.size:
            named[tensor] = np.ascontiguousarray(values, dtype=np.float32)
    return named


def check_patterns(patterns: Sequence[str], tensors: Sequence[str]) -> None:
    """Raises BuildError for a pattern of tensor_types that matches no tensor."""
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in tensors):
            kinds = sorted({re.sub(r"\.\d+\.", ".*.", name) for name in tensors})
            raise BuildError(
                f'tensor_types "{pattern}" matches no tensor; there are {", ".join(kinds)[:300]}'
            )
