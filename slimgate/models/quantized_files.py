"""Facts in config.json and the files of a folder about weights that another tool has quantized.

    quantization_config: {"quant_method": "gptq", "bits": 4, "group_size": 128}     a folder of transformers
    model.Q4_K_M.gguf                                                              a file of llama.cpp

Only config.json and the headers of the weight files are read. Neither torch nor a quantization package is
loaded, so that a folder that cannot be judged is an error before any model loads.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slimgate._system.json_text import JsonObject
from slimgate.errors import SuiteError, did_you_mean
from slimgate.models.integer_packing import Packing, find_packing, read_bits, read_group_size
from slimgate.models.saved_files import Stored, describe_names, read_stored_tensors

# Kinds of artifacts: a folder that another tool has quantized, and a folder that a step wrote for servers
# (served.py). A runtime says which formats of weights it computes (Runtime.formats).
CHECKPOINT, SERVED = "quantized_checkpoint", "served"
# How a runtime computes with such weights: in their format, or unpacked to floating point. Unpacked weights
# give the same answers as the format, but not its times.
COMPUTED_BY_KERNELS, COMPUTED_UNPACKED = "kernels", "dequantized"
# How slimgate loads each quant_method of transformers: the packages that its loader imports. slimgate itself
# unpacks gptq and awq (dequantize.py).
PACKAGES: dict[str, tuple[str, ...]] = {
    "aqlm": ("aqlm",),
    "auto-round": ("auto_round",),
    "awq": (),
    "bitnet": (),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed_tensors",),
    "fbgemm_fp8": (),
    "fp8": (),
    "fp_quant": ("fp_quant",),
    "gptq": (),
    "hqq": ("hqq",),
    "mxfp4": (),
    "quanto": ("optimum.quanto",),
    "quark": ("quark",),
    "spqr": ("spqr_quant",),
    "torchao": ("torchao",),
    "vptq": ("vptq",),
}
_INSTALL = {"optimum.quanto": "optimum-quanto", "quark": "amd-quark", "spqr_quant": "spqr-quant"}
# The numbers of bits that GPTQ and AWQ pack into 32-bit integers.
_WORD = 32
_NUMBERS = re.compile(r"(?<=\.)\d+(?=\.)")
# Methods whose files have several tensors for a quantized layer. The first suffix is that of its levels.
_PACKED: dict[str, tuple[str, ...]] = {
    "auto-round": ("qweight", "weight_packed"),
    "awq": ("qweight",),
    "compressed-tensors": ("weight_packed",),
    "gptq": ("qweight",),
}
_EIGHT_BITS = frozenset({"I8", "F8_E4M3", "F8_E5M2"})


@dataclass(frozen=True)
class Quantized:
    """How a checkpoint stores its weights. bits: of most weights; None if the config does not say.

    format: `gptq`, `compressed-tensors (pack-quantized)`; scheme: `W4A16`; group_size: how many weights share
    a scale, None if a whole row or tensor does; left_out: layers that stay in floating point, with * for the
    number of a block.
    """

    format: str
    scheme: str
    group_size: int | None = None
    left_out: tuple[str, ...] = ()

    def list_facts(self) -> dict[str, Any]:
        """The fields for the record."""
        return {
            "format": self.format,
            "scheme": self.scheme,
            "group_size": self.group_size,
            "left_out": list(self.left_out),
        }


def describe_quantization(quantization: JsonObject) -> str:
    """The claim of a quantization_config: `compressed-tensors (pack-quantized), W4A16`."""
    storage = _describe_storage(quantization)
    return f"{storage.format}, {storage.scheme}"


def read_weight_format(stored: JsonObject) -> str:
    """`gguf`, or the quant_method of transformers. stored: Quantized.list_facts(), from a manifest."""
    return str(stored["format"]).partition(" ")[0]


def read_quantization(config: JsonObject, text: str) -> JsonObject | None:
    """The quantization_config of a config.json; None for a model that is not quantized.

    text: the model, as the suite names it. Raises SuiteError for a format that slimgate cannot read.
    """
    quantization = config.get("quantization_config")
    if quantization is None:
        return None
    if not isinstance(quantization, dict):
        raise SuiteError(
            f'"{text}": config.json has quantization_config = {str(quantization)[:60]!r}, expected an object '
            "with quant_method, as transformers writes it"
        )
    method = read_method_name(quantization)
    if method not in PACKAGES:
        actual = f"quant_method {method!r}" if method else "a quantization_config without quant_method"
        raise SuiteError(
            f'"{text}": config.json has {actual}, which transformers does not read; known: '
            f"{', '.join(PACKAGES)}{did_you_mean(method, PACKAGES) if method else ''}"
        )
    return quantization


def read_method_name(quantization: JsonObject) -> str:
    """The quant_method. bitsandbytes and AutoRound have also written it in other ways."""
    method = quantization.get("quant_method")
    if method is None and (quantization.get("load_in_4bit") or quantization.get("load_in_8bit")):
        return "bitsandbytes"
    return "auto-round" if method == "intel/auto-round" else str(method or "")


def read_quantized(folder: Path, config: JsonObject, text: str) -> Quantized | None:
    """How a folder of transformers stores its weights; None for a folder that is not quantized.

    Raises SuiteError if a package is missing, or if the files do not hold what config.json says.
    """
    quantization = read_quantization(config, text)
    if quantization is None:
        return None
    method = read_method_name(quantization)
    _check_packages(method, text)
    tensors = read_stored_tensors(folder)
    if tensors is not None:
        _check_tensors(method, quantization, tensors, text)
    storage = _describe_storage(quantization)
    from_files = tensors is not None and method in _PACKED
    left_out = _list_plain_layers(tensors) if tensors is not None and from_files else storage.left_out
    return replace(storage, left_out=replace_numbers(left_out))


def _check_packages(method: str, text: str) -> None:
    missing = [name for name in PACKAGES[method] if not _is_installed(name)]
    if missing:
        names = " ".join(_INSTALL.get(name, name.replace("_", "-")) for name in missing)
        extra = {"auto-round": "llm", "compressed-tensors": "llm", "torchao": "torchao"}.get(method)
        install = f'pip install "slimgate[{extra}]"' if extra else f"pip install {names}"
        raise SuiteError(
            f'"{text}": config.json says that it is quantized by {method}, which needs {names}: {install}'
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a package inside a package that is not installed
        return False


def replace_numbers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name once, with * for the number of a block."""
    return tuple(dict.fromkeys(_NUMBERS.sub("*", name) for name in names))


# Facts in config.json


def _describe_storage(quantization: JsonObject) -> Quantized:
    """How weights of any quant_method are stored, as the configuration says."""
    return _DESCRIBE.get(read_method_name(quantization), _describe_bits)(quantization)


def _list_names(quantization: JsonObject, key: str = "modules_to_not_convert") -> tuple[str, ...]:
    return tuple(map(str, quantization.get(key) or ()))


def _describe_bits(quantization: JsonObject) -> Quantized:
    bits = read_bits(quantization)
    return Quantized(
        format=read_method_name(quantization),
        scheme="unknown" if bits is None else f"W{bits}A16",
        group_size=read_group_size(quantization),
        left_out=_list_names(quantization),
    )


def _describe_auto_round(quantization: JsonObject) -> Quantized:
    activations, extra = quantization.get("act_bits") or 16, quantization.get("extra_config") or {}
    unquantized = [
        name for name, options in extra.items() if isinstance(options, dict) and options.get("bits", 0) >= 16
    ]
    data_type = str(quantization.get("data_type", "int"))
    return Quantized(
        format=f"auto-round ({str(quantization.get('packing_format', '')).removeprefix('auto_round:')})",
        scheme=f"W{quantization.get('bits')}A{activations}" + ("" if data_type == "int" else f" {data_type}"),
        group_size=read_group_size(quantization),
        left_out=tuple(unquantized),
    )


def _describe_compressed_tensors(quantization: JsonObject) -> Quantized:
    groups = quantization.get("config_groups") or {}
    schemes, sizes = [], []
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") or {}
        inputs = group.get("input_activations") or {}
        kind = "FP" if weights.get("type") == "float" else ""
        schemes.append(
            f"W{kind}{weights.get('num_bits', 16)}A{kind * bool(inputs)}{inputs.get('num_bits', 16)}"
        )
        sizes.append(weights.get("group_size"))
    sizes = [size for size in sizes if isinstance(size, int) and size > 0]
    return Quantized(
        format=f"compressed-tensors ({quantization.get('format', 'unknown')})",
        scheme=" + ".join(dict.fromkeys(schemes)) or "unknown",
        group_size=sizes[0] if sizes else None,
        left_out=_list_names(quantization, "ignore"),
    )


def _describe_torchao(quantization: JsonObject) -> Quantized:
    config = quantization.get("quant_type")
    if isinstance(config, dict):
        config = config.get("default", config)
    name, size = str(config), None
    if isinstance(config, dict):
        name, size = str(config.get("_type", "unknown")), (config.get("_data") or {}).get("group_size")
    return Quantized(
        format="torchao",
        scheme=name.removesuffix("Config"),
        group_size=size if isinstance(size, int) else None,
        left_out=_list_names(quantization),
    )


def _describe_bitsandbytes(quantization: JsonObject) -> Quantized:
    four = bool(quantization.get("load_in_4bit"))
    kind = str(quantization.get("bnb_4bit_quant_type", "fp4")).upper()
    return Quantized(
        format="bitsandbytes",
        scheme=f"W4A16 {kind}" if four else "W8A8",
        group_size=64 if four else None,
        left_out=_list_names(quantization, "llm_int8_skip_modules"),
    )


def _describe_mxfp4(quantization: JsonObject) -> Quantized:
    return Quantized("mxfp4", "WFP4A16", group_size=32, left_out=_list_names(quantization))


def _describe_fp8(quantization: JsonObject) -> Quantized:
    block = quantization.get("weight_block_size")
    return Quantized(
        format=read_method_name(quantization),
        scheme="WFP8AFP8",
        group_size=block[-1] if isinstance(block, list) and block else None,
        left_out=_list_names(quantization),
    )


_DESCRIBE = {
    "auto-round": _describe_auto_round,
    "bitsandbytes": _describe_bitsandbytes,
    "compressed-tensors": _describe_compressed_tensors,
    "fbgemm_fp8": _describe_fp8,
    "fp8": _describe_fp8,
    "mxfp4": _describe_mxfp4,
    "torchao": _describe_torchao,
}

# Facts in the weight files


def _list_plain_layers(tensors: Mapping[str, Stored]) -> tuple[str, ...]:
    """The layers whose weights are matrices of floating-point numbers; embeddings always are."""
    return tuple(
        name.removesuffix(".weight")
        for name, tensor in tensors.items()
        if name.endswith(".weight")
        and tensor.dtype in ("F32", "F16", "BF16")
        and len(tensor.shape) == 2
        and "embed" not in name
    )


def _check_tensors(method: str, quantization: JsonObject, tensors: Mapping[str, Stored], text: str) -> None:
    """Raises SuiteError if scales are missing, or have another group size than config.json says."""
    if not tensors:
        raise SuiteError(f'"{text}": its safetensors files contain no weights')
    packing = find_packing(method, quantization)
    if missing := list(_list_missing_parts(method, packing, tensors)):
        raise SuiteError(
            f'"{text}": its files lack {describe_names(missing)}, without which weights of {method} cannot '
            "be read; save the quantized model again"
        )
    size = _describe_storage(quantization).group_size
    for name, inputs, groups in _list_grouped_layers(method, packing, quantization, tensors):
        if size is not None and groups != -(-inputs // size):
            raise SuiteError(
                f'"{text}": config.json says group_size = {size}, but the scales of {name} are for groups of '
                f"{-(-inputs // groups)}; correct quantization_config, or save the quantized model again"
            )


def _list_missing_parts(method: str, packing: Packing | None, tensors: Mapping[str, Stored]) -> Iterator[str]:
    """The tensors of quantized layers that the files do not hold."""
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        needed: tuple[str, ...] = ()
        if packing is not None and part == "qweight":
            needed = ("scales", "qzeros")
        elif method == "compressed-tensors":
            packed = part == "weight_packed" or (part == "weight" and tensor.dtype in _EIGHT_BITS)
            needed = ("weight_scale",) if packed else ()
        yield from (f"{layer}.{other}" for other in needed if f"{layer}.{other}" not in tensors)


def _list_grouped_layers(
    method: str, packing: Packing | None, quantization: JsonObject, tensors: Mapping[str, Stored]
) -> Iterator[tuple[str, int, int]]:
    """(layer, inputs, groups that share a scale) of each packed layer, from the shapes of its tensors.

    The last group may be smaller. Layers whose widths differ are left out.

    gptq: qweight (inputs / values in a word, outputs), scales (groups, outputs). awq: qweight (inputs,
    outputs / values in a word). compressed-tensors: weight_packed (outputs, inputs / values in a word),
    weight_scale (outputs, groups).
    """
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if part == "qweight" and packing is not None and packing.bits is not None:
            inputs = tensor.shape[0]
            if packing.order == "gptq":
                inputs = inputs * _WORD // packing.bits
            groups = tensors[f"{layer}.scales"].shape[0]
        elif part == "weight_packed" and method == "compressed-tensors" and tensor.dtype == "I32":
            packed_inputs = _count_packed_inputs(quantization, tensor)
            scales = tensors[f"{layer}.weight_scale"].shape
            if packed_inputs is None or len(scales) != 2:
                continue
            inputs, groups = packed_inputs, scales[1]
        else:
            continue
        if groups > 1:
            yield layer, inputs, groups


def _count_packed_inputs(quantization: JsonObject, tensor: Stored) -> int | None:
    """Inputs of a layer that compressed-tensors packed; None if the groups have several widths."""
    groups = quantization.get("config_groups") or {}
    widths = {(group.get("weights") or {}).get("num_bits") for group in groups.values()}
    width = widths.pop() if len(widths) == 1 else None
    if not isinstance(width, int) or width <= 0 or _WORD % width:
        return None
    return int(tensor.shape[1] * (_WORD // width))
