"""The precision of the stored weights of a model, by kind of layer, next to what the model claims.

    read_weight_shares("../models/student-w4a16").quantized_share      # 0.98

A model is a folder with safetensors, a GGUF file, or a graph of ONNX or OpenVINO. Of safetensors and GGUF
files, only the headers are read. A folder may claim in its quantization_config that it is quantized and
still hold floats, if the recipe's patterns match no module: `unmatched` lists these patterns. The claim of a
GGUF file is its general.file_type. The claim of an OpenVINO graph is what NNCF wrote into it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

from slimgate._system.json_text import JsonObject, read_json
from slimgate.errors import SuiteError
from slimgate.models.gguf_file import list_gguf_files, read_file_type, read_gguf_header
from slimgate.models.graph_weights import ONNX, OPENVINO, find_graph, read_graph_weights
from slimgate.models.integer_packing import find_packing
from slimgate.models.model_ref import GGUF, TORCH, parse_model_ref, read_model_config
from slimgate.models.quantized_files import CHECKPOINT, SERVED, describe_quantization, read_method_name
from slimgate.models.saved_files import Stored, read_description, read_stored_tensors

# Kinds of artifacts whose files say the precision of their weights.
_KINDS_OF_GRAPHS = frozenset({"onnx", "onnx_genai", "openvino", "openvino_decoder"})
KINDS_WITH_SHARES = frozenset({TORCH, "torch_quantized", SERVED, CHECKPOINT, GGUF}) | _KINDS_OF_GRAPHS

# Kind of layer -> parts of its name; the first match counts.
_KINDS = {
    "embeddings": r"embe?d|wte\b|wpe\b|token_types|position_embd",
    "output": r"(^|\.)(lm_head|output(?!\.dense)|embed_out|score|classifier|pooler)(\.|$)",
    "experts": r"experts|_exps\b|_shexp\b",
    "attention": r"attn|attention|(^|\.)[qkvo]_proj|c_attn|query|key|value|ssm|mixer",
    "mlp": r"mlp|ffn|feed_forward|fc\d|c_fc|intermediate|output\.dense|gate_proj|up_proj|down_proj",
}
# The layers that a recipe for language models changes: those of a block, without embeddings and the output.
_BLOCK_KINDS = ("attention", "mlp", "experts", "other")
_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Precisions of 16 bits or more.
_WIDE = frozenset({*_FLOATS.values(), "int16", "int32", "int64"})
_EIGHT_BITS = {"I8": "int8", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "F8_E8M0": "fp8"}
# Names of tensors next to packed weights: scales, zero points, orders, shapes.
_COMPANIONS = re.compile(
    r"(\.|_)(qzeros|g_idx|scales?|zero_point|zeros?|shape|absmax|quant_map|SCB|weight_format|input_scale|"
    r"weight_scale(_inv|_2)?|global_scale|nested_\w+|quant_state\.\w+|bitsandbytes__\w+)$"
)
# In a layer that a step of slimgate put in: the tensors next to its weights, and those with the weights.
_COMPANIONS_OF_STEPS = frozenset({"gain", "input_zero_point", "pattern", "smoothing", "threshold"})
_WEIGHTS_OF_STEPS = frozenset({"packed", "qdata", "values"})
# Types of masks, positions and indices, which are not weights.
_NON_WEIGHT_TYPES = frozenset({"BOOL", "I64", "U64"})
# The end of the names of MXFP4 weights (gpt-oss), which are stored in blocks with one scale each.
_MXFP4_END = "_blocks"
# Bits of the integers into which other formats pack weights.
_WORD_BITS = 32
_BITS_OF_INTEGERS = {"U8": 8, "I32": 32, "I64": 64}
# The kind of a graph's weights if their operator alone says it.
_KINDS_OF_ROLES: Mapping[str, str] = {"table": "embeddings", "output": "output"}
# The order in which kinds are listed.
_ORDER = ("embeddings", "attention", "mlp", "experts", "other", "output", "norms and biases")


@dataclass(frozen=True)
class WeightShares:
    """Weights by kind of layer and precision. counts: kind -> precision -> number of weights.

    claim: what the configuration says, or ""; unmatched: its patterns that match no module of the files.
    """

    counts: Mapping[str, Mapping[str, int]]
    claim: str
    unmatched: tuple[str, ...] = ()

    @property
    def quantized_share(self) -> float:
        """Share of the weights of the blocks' matrices with less than 16 bits; 0 without such weights."""
        counts: Counter[str] = Counter()
        for kind in _BLOCK_KINDS:
            counts.update(self.counts.get(kind, {}))
        quantized = sum(count for precision, count in counts.items() if precision not in _WIDE)
        return quantized / counts.total() if counts.total() else 0.0


def read_weight_shares(text: str) -> WeightShares:
    """The shares of a model, as a suite names it, or of a graph file.

    Raises SuiteError if it holds no model, or one whose files do not say the precision of their weights.
    """
    path = Path(text)
    if path.suffix.lower() == ".gguf" and path.is_file():
        return _read_gguf_shares(path)
    if path.suffix in (ONNX, OPENVINO) and path.is_file():
        return _read_graph_shares(path)
    models = ("*.safetensors", "*.gguf", "pytorch_model*.bin")
    if path.is_dir() and not any(file for pattern in models for file in path.glob(pattern)):
        graph_shares = _find_graph_shares(path)
        if graph_shares is not None:
            return graph_shares
    ref = parse_model_ref(text)
    if ref.folder is None:
        from slimgate.models.hub import fetch_model

        ref = fetch_model(ref)
    assert ref.folder is not None
    if ref.file is not None:
        return _read_gguf_shares(ref.folder / ref.file)
    shares = _read_folder_shares(ref.folder, read_model_config(ref))
    if shares is None:
        raise SuiteError(
            f'"{text}": {ref.folder} has no readable *.safetensors and no graph (*.onnx, *.xml), expected '
            "weights whose files say their precision; save the model with save_pretrained"
        )
    return shares


@lru_cache(maxsize=256)
def read_artifact_shares(kind: str, folder: Path) -> WeightShares | None:
    """The shares of an artifact's folder, which is immutable; None if its files do not say the precision."""
    if kind not in KINDS_WITH_SHARES:
        return None
    if kind in _KINDS_OF_GRAPHS:
        try:
            return _find_graph_shares(folder)
        except SuiteError:  # several graphs, or no package to read them: only a budget needs the shares
            return None
    if files := list_gguf_files(folder):
        return _read_gguf_shares(files[0])
    replaced = _list_replaced_layers(read_description(folder))
    return _read_folder_shares(folder, read_json(folder / "config.json"), replaced)


def explain_missing_shares(kind: str, folder: Path) -> str:
    """The reason why an artifact has no shares."""
    if kind in _KINDS_OF_GRAPHS:
        try:
            _find_graph_shares(folder)
        except SuiteError as error:
            return str(error).removesuffix("; name the file")  # nobody can name a file of the store
    return "its files do not say in which precision the weights are"


def _find_graph_shares(folder: Path) -> WeightShares | None:
    graph = find_graph(folder)
    return None if graph is None else _read_graph_shares(graph)


def _list_replaced_layers(description: JsonObject) -> dict[str, JsonObject]:
    """Name -> options of each layer that a step has put in place of a float layer."""
    return {
        name: options
        for change in description.get("modifications") or ()
        for name, (_, options) in (change["spec"].get("modules") or {}).items()
    }


def _read_gguf_shares(file: Path) -> WeightShares:
    from gguf import GGUFReader

    header, reader = read_gguf_header(file, file.name), GGUFReader(file)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for tensor in reader.tensors:
        kind = _choose_weight_kind(tensor.name.removesuffix(".weight"), dimensions=len(tensor.shape))
        precision = _FLOATS.get(tensor.tensor_type.name, tensor.tensor_type.name)
        counts[kind][precision] += int(tensor.n_elements)
    claim = read_file_type(reader) or header.stored.scheme
    return WeightShares(_sort_counts(counts), "" if claim in _FLOATS else f"gguf, {claim}")


def _read_graph_shares(file: Path) -> WeightShares:
    weights, claim = read_graph_weights(file)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for weight in weights:
        kind = _KINDS_OF_ROLES.get(weight.role)
        if kind is None:
            kind = _choose_weight_kind(weight.name.removesuffix(".weight"), dimensions=weight.dimensions)
        counts[kind][weight.precision] += weight.numbers
    return WeightShares(_sort_counts(counts), claim)


def _sort_counts(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """The kinds in their order; for each the precisions, the most common first."""
    return {kind: dict(counts[kind].most_common()) for kind in _ORDER if kind in counts}


def _read_folder_shares(
    folder: Path, config: JsonObject, replaced: Mapping[str, JsonObject] | None = None
) -> WeightShares | None:
    """The shares of a folder; None without readable safetensors. replaced: from _list_replaced_layers."""
    tensors = read_stored_tensors(folder)
    if tensors is None:
        return None
    quantization = config.get("quantization_config") or {}
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    quantized: list[str] = []
    for name, stored in tensors.items():
        module, _, part = name.rpartition(".")
        options = _find_layer_options(module, replaced or {})
        if _COMPANIONS.search(name) or (options is not None and part in _COMPANIONS_OF_STEPS):
            continue
        if options is not None and part in _WEIGHTS_OF_STEPS:
            precision, numbers = _count_packed_weights(stored, options)
            dimensions = 2
        elif _is_mask_or_index(part, stored):
            continue
        else:
            module, precision, numbers = _count_stored_weights(name, stored, quantization)
            dimensions = _count_dimensions(part, stored, precision)
        counts[_choose_weight_kind(module, dimensions=dimensions)][precision] += numbers
        if precision not in _FLOATS.values():
            quantized.append(module)
    modules = [name.rpartition(".")[0] for name in tensors]
    unmatched = tuple(
        pattern for pattern in _list_patterns(quantization) if not _has_match(pattern, modules, quantized)
    )
    claim = describe_quantization(quantization) if quantization else ""
    return WeightShares(_sort_counts(counts), claim, unmatched)


def _is_mask_or_index(part: str, stored: Stored) -> bool:
    """Whether a tensor is a mask or has indices.

    Older checkpoints of GPT-2 and GPT-NeoX (Pythia) store the mask of each attention as `bias`,
    (1, 1, tokens, tokens), in bytes or floats.
    """
    is_mask = part == "bias" and len(stored.shape) == 4
    return is_mask or stored.dtype in _NON_WEIGHT_TYPES


def _count_dimensions(part: str, stored: Stored, precision: str) -> int:
    """1 for biases and norms, also for the biases of all experts in one tensor."""
    if part.endswith("bias"):
        return 1
    return len(stored.shape) if precision in _FLOATS.values() else 2


def _find_layer_options(module: str, replaced: Mapping[str, JsonObject]) -> JsonObject | None:
    """The options of a layer; a step on one of two towers records it by the name inside the tower."""
    while module:
        if module in replaced:
            return replaced[module]
        module = module.partition(".")[2]
    return None


def _count_packed_weights(stored: Stored, options: JsonObject) -> tuple[str, int]:
    """(precision, numbers) of the packed weights of a layer, whose options give its shape."""
    rows, columns = (
        options.get(linear, options.get(table))
        for linear, table in (("out_features", "num_embeddings"), ("in_features", "embedding_dim"))
    )
    numbers = int(rows or 0) * int(columns or 0)
    if (named := _FLOATS.get(stored.dtype) or _EIGHT_BITS.get(stored.dtype)) is not None:
        return named, numbers
    stored_bits = prod(stored.shape) * _BITS_OF_INTEGERS.get(stored.dtype, 8)
    return f"int{options.get('bits') or max(1, stored_bits // max(1, numbers))}", numbers


def _count_stored_weights(name: str, stored: Stored, quantization: JsonObject) -> tuple[str, str, int]:
    """(module, precision, numbers) of a tensor that holds weights."""
    module, _, part = name.rpartition(".")
    size = prod(stored.shape)
    if part == "qweight":
        packing = find_packing(read_method_name(quantization), quantization) if quantization else None
        bits = packing.bits if packing and packing.bits else int(quantization.get("bits") or 4)
        return module, f"int{bits}", size * _WORD_BITS // bits
    if part in ("weight_packed", "weight_scale_packed"):
        if stored.dtype == "U8":
            return module, "fp4", 2 * size
        bits = _find_group_bits(module, quantization)
        return module, f"int{bits}", size * _WORD_BITS // bits
    if part.endswith(_MXFP4_END) and stored.dtype == "U8":
        return name.removesuffix(_MXFP4_END), "fp4", 2 * size
    if part == "weight" and stored.dtype == "U8":  # bitsandbytes packs two numbers
        return module, str(quantization.get("bnb_4bit_quant_type", "fp4")), 2 * size
    precision = _FLOATS.get(stored.dtype) or _EIGHT_BITS.get(stored.dtype) or stored.dtype.lower()
    return module, precision, size


def _find_group_bits(module: str, quantization: JsonObject) -> int:
    """Bits of the compressed-tensors group that a module is in; of the first group if none names it."""
    groups = [
        group for group in (quantization.get("config_groups") or {}).values() if isinstance(group, dict)
    ]
    named = [
        group for group in groups if any(_is_module_named(t, module) for t in group.get("targets") or ())
    ]
    weights = [(group.get("weights") or {}).get("num_bits") for group in (*named, *groups)]
    return next((int(bits) for bits in weights if isinstance(bits, int) and bits > 0), 4)


def _choose_weight_kind(module: str, *, dimensions: int) -> str:
    if dimensions < 2:
        return "norms and biases"
    return next((kind for kind, pattern in _KINDS.items() if re.search(pattern, module)), "other")


def _list_patterns(quantization: JsonObject) -> Iterator[str]:
    """The modules that a configuration names: by class, by name, by regular expression."""
    for group in (quantization.get("config_groups") or {}).values():
        yield from (group.get("targets") or ()) if isinstance(group, dict) else ()
    for key in ("ignore", "modules_to_not_convert", "llm_int8_skip_modules"):
        yield from quantization.get(key) or ()
    for key in ("dynamic", "extra_config"):
        table = quantization.get(key)
        yield from table if isinstance(table, dict) else ()


def _has_match(pattern: str, modules: list[str], quantized: list[str]) -> bool:
    """Whether a pattern matches a module. A class, such as Linear, matches if anything is quantized."""
    if re.fullmatch(r"[A-Z]\w*", pattern):
        return bool(quantized)
    return any(_is_module_named(pattern, module) for module in modules)


def _is_module_named(pattern: str, module: str) -> bool:
    """Whether a pattern of a quantization_config names a module, or a parent of it."""
    if (marked := re.match(r"(re:|[+-]:)(.*)", pattern)) is not None:
        return re.search(marked[2], module) is not None
    if "*" in pattern:  # transformers reads it as a regular expression: model.layers.*.self_attn
        try:
            return re.match(rf"(?:{pattern})(\.|$)", module) is not None
        except re.error:
            return False
    return pattern == module or f".{pattern}." in f".{module}."
