"""Writes the model in the compressed-tensors layout, which vLLM, SGLang and transformers load.

    { compressed_tensors = { scheme = "W8A8" } }
    { gptq = { bits = 4, group_size = 128 } }, { compressed_tensors = {} }

| scheme | weights                     | activations               |
|--------|-----------------------------|---------------------------|
| W8A8   | int8, a scale per channel   | int8, a scale per token   |
| W8A16  | int8, a scale per group     | as they are               |
| W4A16  | int4, a scale per group     | as they are               |
| FP8    | float8, a scale per channel | float8, a scale per token |
| FP8A16 | float8, a scale per channel | as they are               |

Layers that gptq, weight_only or int8_dynamic have quantized keep their levels to the last bit. Float layers
get the levels of `scheme`; without `scheme` they stay float. The format has no layout for 2:4 sparsity: zeros
of sparsegpt_prune stay zeros, and take as much space as other levels. The layer that gives the logits, the
embeddings and norms stay float.
The artifact is the folder that servers load. slimgate judges it as transformers loads it, which on a CPU
unpacks the weights.
Source: the package compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate._system.quiet import silent
from slimgate._system.requirements import require_package
from slimgate.errors import BuildError
from slimgate.models.saved_files import save_tokenizer
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import AnswersBefore

if TYPE_CHECKING:
    from torch import Tensor, nn

    from slimgate.models.served import Served
    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.layers.float_layers import Quantized
    from slimgate.steps.layers.grid import Grid


EXACT, OTHER_DTYPE, ROUNDED_ACTIVATIONS = 0.01, 0.1, 1.0


class Params(Table):
    scheme: Literal["W8A8", "W8A16", "W4A16", "FP8", "FP8A16"] | None = None
    """Format to which float layers are quantized; `slimgate steps compressed_tensors` explains each format.
    Default: float layers stay float."""
    group_size: int = Field(default=128, ge=8, le=4096)
    """Number of weights of a row that share a scale, for W8A16 and W4A16."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Format of the weights that are not quantized, and of the scales; default: unchanged."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed difference between the written model and the network with the rounded weights, in
    standard deviations of the scores. The rounding of weights by `scheme` does not count. Default: 0.01, or
    0.1 if dtype changes, or 1.0 if activations are also rounded."""


class CompressedTensors(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "served"
    reads = ("calibration",)
    claims = ("smaller",)
    packages = ("compressed-tensors",)

    def weight_format(self, params: Params) -> str:
        """The format of every scheme."""
        return "compressed-tensors"

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> Served:
        """The Served. Raises BuildError if the layout cannot hold the model; MissingExtra."""
        from slimgate.models.served import load_written

        layers = round_network(model, params)
        before = AnswersBefore(model, context)
        folder = context.scratch / "compressed_tensors"
        counts = model.measure_size()
        write_layout(model, layers, folder, dtype=params.dtype)
        written = load_written(folder, model, counts, context)
        tolerance = params.tolerance or _choose_tolerance(params, layers)
        before.check(written, tolerance=tolerance)
        return written


step = CompressedTensors()


def _choose_tolerance(params: Params, layers: Mapping[str, Rounded]) -> float:
    if any(each.activations for each in layers.values()):
        return ROUNDED_ACTIVATIONS
    return EXACT if params.dtype is None else OTHER_DTYPE


@dataclass(frozen=True)
class Rounded:
    """A layer in the layout.

    weights, activations: QuantizationArgs of compressed-tensors; scale: (rows, groups).
    """

    weights: Json
    activations: Json | None
    scale: Tensor


def round_network(model: TorchModel, params: Params) -> dict[str, Rounded]:
    """Makes every layer a float one whose weights are rounded, and returns the numbers of each.

    The package rounds a float weight with given scales. The weights already lie on their grids here, so it
    finds the levels that an earlier step has chosen.

    Raises BuildError if a layer has no place in the layout, or none is quantized.
    """
    import torch

    from slimgate.models.linear_layers import find_linear_layers
    from slimgate.models.served import find_stock_difference
    from slimgate.steps.layers.float_layers import list_quantized_layers, make_float_layer

    require_package("compressed_tensors", "compressed_tensors")
    rounded: dict[str, Rounded] = {}
    for name, layer in list_quantized_layers(model.network).items():
        rounded[name] = _convert_quantized(name, layer)
        model.network.set_submodule(name, make_float_layer(layer))
    if params.scheme is not None:
        float_layers = find_linear_layers(model, inside="blocks", check_reach=not rounded)
        for name, linear in float_layers.items():
            if name not in rounded:
                with torch.no_grad():
                    rounded[name] = _round_layer_(name, linear, params)
    if not rounded:
        raise BuildError("no layer is quantized; give `scheme`, or put gptq or weight_only before this step")
    if other := find_stock_difference(model):
        raise BuildError(f"no transformers class can load the model ({other}), so no server can load it")
    model.kind = "torch"
    return rounded


def _convert_quantized(name: str, layer: Quantized) -> Rounded:
    from slimgate.steps.layers.float_layers import check_float_activations
    from slimgate.steps.layers.int8_linear import Int8Linear

    check_float_activations(name, layer)
    if isinstance(layer, Int8Linear):
        scale = layer.weight_scale.unsqueeze(1)
        return Rounded(_make_weight_args(8, "channel", None), _make_token_args("int"), scale)
    return _convert_grid(name, layer.make_grid(), layer.columns)


def _convert_grid(name: str, grid: Grid, columns: int) -> Rounded:
    scheme = grid.scheme
    if not scheme.symmetric:
        raise BuildError(
            f"{name} has zero points, which transformers cannot read in this layout; set symmetric = true "
            "in the step that quantizes"
        )
    width = scheme.group_size if scheme.granularity == "group" else None
    if width is not None and columns % min(width, columns):
        raise BuildError(
            f"{name} has {columns} columns, which is not a multiple of the group size {width}; choose "
            "another group size"
        )
    weights = _make_weight_args(scheme.bits, scheme.granularity, width and min(width, columns))
    return Rounded(weights, None, grid.scale)


def _round_layer_(name: str, layer: nn.Linear, params: Params) -> Rounded:
    """Rounds a float layer's weights in place."""
    import torch

    from slimgate.steps.layers.grid import Scheme, dequantize, fit_grid, quantize
    from slimgate.steps.layers.int8_linear import quantize_weight

    assert params.scheme is not None
    weight = layer.weight.detach().float()
    if params.scheme.startswith("FP8"):
        float8 = torch.float8_e4m3fn
        scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / torch.finfo(float8).max
        layer.weight.copy_((weight / scale).to(float8).float() * scale)
        activations = _make_token_args("float") if params.scheme == "FP8" else None
        return Rounded({**_make_weight_args(8, "channel", None), "type": "float"}, activations, scale)
    if params.scheme == "W8A8":
        levels, by_row = quantize_weight(weight)
        layer.weight.copy_(levels.float() * by_row.unsqueeze(1))
        return Rounded(_make_weight_args(8, "channel", None), _make_token_args("int"), by_row.unsqueeze(1))
    scheme = Scheme(4 if params.scheme == "W4A16" else 8, "group", params.group_size)
    grid = fit_grid(weight, scheme)
    layer.weight.copy_(dequantize(quantize(weight, grid), grid))
    return _convert_grid(name, grid, weight.shape[1])


def _make_weight_args(bits: int, strategy: str, group_size: int | None) -> Json:
    return {
        "num_bits": bits,
        "type": "int",
        "strategy": strategy,
        "group_size": group_size,
        "symmetric": True,
        "dynamic": False,
    }


def _make_token_args(kind: str) -> Json:
    return {"num_bits": 8, "type": kind, "strategy": "token", "symmetric": True, "dynamic": True}


def write_layout(
    model: TorchModel, layers: Mapping[str, Rounded], folder: Path, *, dtype: str | None
) -> None:
    """Writes config.json, safetensors and the tokenizer. The network cannot be used afterwards."""
    import torch
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config

    network: Any = model.network if dtype is None else model.network.to(getattr(torch, dtype))
    config = QuantizationConfig(
        config_groups=_make_groups(layers),
        ignore=_list_unrounded_layers(network, layers),
        quantization_status="frozen",
    )
    with silent():
        apply_quantization_config(network, config, show_progress=False)
        for name, numbers in layers.items():
            _set_numbers_(network.get_submodule(name), numbers)
        compressor = ModelCompressor.from_pretrained_model(network)
        compressor.compress_model(network)
        folder.mkdir()
        network.save_pretrained(folder)
        compressor.update_config(str(folder))
    save_tokenizer(model.tokenizer, folder)


def _make_groups(layers: Mapping[str, Rounded]) -> Json:
    """Groups of layers with the same form. For a single form the target is the class, as servers expect."""
    forms: dict[str, tuple[Rounded, list[str]]] = {}
    for name, numbers in layers.items():
        forms.setdefault(repr((numbers.weights, numbers.activations)), (numbers, []))[1].append(name)
    return {
        f"group_{place}": {
            "targets": ["Linear"] if len(forms) == 1 else names,
            "weights": numbers.weights,
            "input_activations": numbers.activations,
        }
        for place, (numbers, names) in enumerate(forms.values())
    }


def _list_unrounded_layers(network: nn.Module, layers: Mapping[str, Rounded]) -> list[str]:
    from torch import nn

    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return [name for name in linear if name not in layers]


def _set_numbers_(module: nn.Module, numbers: Rounded) -> None:
    from torch import nn

    layer: Any = module  # compressed_tensors has given it a weight_scale
    shape = layer.weight_scale.shape
    layer.weight_scale = nn.Parameter(numbers.scale.to(layer.weight.dtype).view(shape), requires_grad=False)
