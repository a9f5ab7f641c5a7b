"""A separate process that writes a model as a GGUF file, with llama.cpp's converter and quantizer.

    python -P -m slimgate.steps.convert._to_gguf_worker FOLDER

reads FOLDER/request.json {"type", "source", "llama_cpp"} and FOLDER/model: as transformers saves it, or a
GGUF file of floats in it, `source`. "llama_cpp" is null, or the options {"tensor_types", "pure", "threads"}
with which its quantizer writes the type, using FOLDER/importance.npz. It writes FOLDER/written/model.gguf and
FOLDER/answer.json: the entries for the log, or {"error"} alone. The quantizer ends the process if one of its
own checks fails.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.worker import answer_request
from slimgate.errors import BuildError
from slimgate.models.llama_cpp_converter import describe_unknown, load_converter
from slimgate.models.llama_cpp_library import describe_log, load_library
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    import gguf

USER = "to_gguf"
Importance = Mapping[str, npt.NDArray[np.float32]]
MODEL, WRITTEN = "model", "written"
IMPORTANCE = "importance.npz"
FILE = "model.gguf"
# The number of weights in a block of Q4_0.
BLOCK = 32
# Types that the converter writes itself; for the others slimgate sets the type of each tensor.
OWN_TYPES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16", "Q8_0": "MOSTLY_Q8_0"}


def convert(folder: Path, kind: str) -> Json:
    """Writes the file; returns the entries for the log. Raises BuildError."""
    import gguf

    converter = load_converter()
    name = json.loads((folder / MODEL / "config.json").read_text("utf-8"))["architectures"][0]
    try:
        converter_class = converter.get_model_class(name)
    except NotImplementedError as error:
        raise BuildError(describe_unknown(name, frozenset(converter.TEXT_MODEL_MAP))) from error
    (folder / WRITTEN).mkdir()
    own_type = OWN_TYPES.get(kind)
    file_type = gguf.LlamaFileType[own_type or f"MOSTLY_{kind}"]
    gguf.quants.quantize = _make_quantize_function(gguf)
    if own_type is None:
        converter_class = _make_converter_class(converter_class, gguf, gguf.GGMLQuantizationType[kind])
    converter_class(
        folder / MODEL, file_type, folder / WRITTEN / FILE, eager=True, model_name="model"
    ).write()
    return _describe_file(gguf, folder / WRITTEN / FILE)


def quantize(folder: Path, kind: str, source: str | None, options: Json) -> Json:
    """Has llama.cpp quantize a file of floats; returns the entries for the log. Raises BuildError.

    source: that file in FOLDER/model; None: it is made first.
    """
    import gguf

    floats, target = folder / "float32.gguf", folder / WRITTEN / FILE
    log: Json = {}
    if source is None:
        log = convert(folder, "F32")
        target.rename(floats)
    else:
        target.parent.mkdir()
        (folder / MODEL / source).rename(floats)
    reader = gguf.GGUFReader(floats)
    check_patterns(list(options["tensor_types"]), [tensor.name for tensor in reader.tensors])
    measured: dict[str, Any] = {}
    if (folder / IMPORTANCE).is_file():
        with np.load(folder / IMPORTANCE, allow_pickle=False) as arrays:
            measured = dict(arrays)
        log["importance_tensors"] = len(importance := name_tensors(reader, measured))
        log["importance_unused"] = len(measured) - len(importance)
        measured = importance
    quantize_file(floats, target, kind, importance=measured, **options)
    floats.unlink()
    log |= _describe_file(gguf, target)
    if kind == "MXFP4_MOE" and "MXFP4" not in log["tensor_types"]:
        raise BuildError(
            "MXFP4_MOE is a type of experts, and the model has none, so llama.cpp would write Q8_0; set "
            'type = "Q8_0"'
        )
    return log


def _make_converter_class(base: Any, package: ModuleType, kind: gguf.GGMLQuantizationType) -> Any:
    """The converter's class, with another type for the matrices that llama-quantize would change."""
    tensors = package.MODEL_TENSOR
    floats = (tensors.FFN_GATE_INP, tensors.POS_EMBD, tensors.TOKEN_TYPES)
    tables = (tensors.TOKEN_EMBD, tensors.OUTPUT)

    class Converter(base):  # type: ignore[misc]
        model_arch = base.model_arch

        def tensor_force_quant(self, name: str, new_name: str, bid: int | None, n_dims: int) -> Any:
            forced = super().tensor_force_quant(name, new_name, bid, n_dims)
            is_matrix = n_dims >= 2 and new_name.endswith(".weight")
            if forced is not False or not is_matrix or self._is_one_of(new_name, floats, bid):
                return forced
            if self._is_one_of(new_name, tables, bid):
                return package.GGMLQuantizationType.Q8_0
            return kind

        def _is_one_of(self, name: str, keys: Iterable[gguf.MODEL_TENSOR], bid: int | None) -> bool:
            return any(self.match_model_tensor_name(name, key, bid) for key in keys)

    return Converter


def _make_quantize_function(package: ModuleType) -> Any:
    """gguf's quantize, with a better scale for each block of Q4_0."""
    quantize_by_gguf = package.quants.quantize

    def quantize(values: npt.NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> Any:
        if kind.name == "Q4_0" and values.shape[-1] % BLOCK == 0:
            return quantize_q4_0(values)
        return quantize_by_gguf(values, kind)

    return quantize


def quantize_q4_0(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(…, columns) float32 -> (…, bytes) in llama.cpp's Q4_0: 32 weights share a float16 scale, levels -8..7.

    It takes the scale with the least squared error among those that make the weight of largest magnitude a
    level. gguf only tries level -8. So weights that lie on such a grid already, as after gptq, keep their
    levels.
    """
    blocks = values.reshape(-1, BLOCK).astype(np.float32)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(1, keepdims=True), 1)
    best, levels = np.zeros_like(extreme), np.zeros_like(blocks)
    least = np.full_like(extreme, np.inf)
    for level in (*range(-8, 0), *range(7, 0, -1)):
        scale = (extreme / level).astype(np.float16).astype(np.float32)
        nearest = np.clip(np.rint(blocks / np.where(scale == 0, np.inf, scale)), -8, 7)
        error = np.square(nearest * scale - blocks).sum(1, keepdims=True)
        better = error < least
        least, best = np.where(better, error, least), np.where(better, scale, best)
        levels = np.where(better, nearest, levels)
    halves = (levels + 8).astype(np.uint8).reshape(-1, 2, BLOCK // 2)
    packed = np.concatenate(
        [best.astype(np.float16).view(np.uint8), halves[:, 0] | halves[:, 1] << 4], axis=1
    )
    return np.ascontiguousarray(packed.reshape(*values.shape[:-1], -1))


def _describe_file(gguf: ModuleType, file: Path) -> Json:
    reader = gguf.GGUFReader(file)
    types = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    fields = ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre")
    fields_found = {name: reader.fields[name].contents() for name in fields if name in reader.fields}
    return {"tensor_types": dict(sorted(types.items())), "gguf": fields_found}


def write_file(folder: Path, request: Json) -> Json:
    """Writes the file that a request asks for."""
    options = request["llama_cpp"]
    if options is None:
        return convert(folder, request["type"])
    return quantize(folder, request["type"], request["source"], options)


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
    if tensor_types:
        options.tt_overrides = _make_type_array(library, tensor_types)
    if importance:
        options.imatrix = _make_importance_array(library, importance)
    code = library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options))
    if code:
        raise BuildError(f"llama.cpp cannot write {kind}: {describe_log()}")


def _make_type_array(library: Any, tensor_types: Mapping[str, str]) -> Any:
    """llama.cpp's array of tensor types, which ends with an entry of zeros."""
    import gguf

    array = (library.llama_model_tensor_override * (len(tensor_types) + 1))()
    for entry, (pattern, kind) in zip(array, tensor_types.items(), strict=False):
        entry.pattern, entry.type = pattern.encode(), int(gguf.GGMLQuantizationType[kind])
    return array


def _make_importance_array(library: Any, importance: Importance) -> Any:
    """llama.cpp's array of importance, which ends with an entry of zeros; it does not copy the values."""
    array = (library.llama_model_imatrix_data * (len(importance) + 1))()
    for entry, (name, values) in zip(array, importance.items(), strict=False):
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    return array


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


if __name__ == "__main__":
    answer_request(write_file)
