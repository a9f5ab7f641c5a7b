"""Quantizes linear layers with torchao, with its kernels and its own ways of rounding.

    { torchao_quantize = { config = "int8_weight_only" } }

| config           | weights           | activations              | runs on                       |
|------------------|-------------------|--------------------------|-------------------------------|
| int8_dynamic     | int8 by channel   | int8 by row, when called | CPU, GPU                      |
| int8_weight_only | int8 by channel   | as they are              | CPU, GPU                      |
| int4_weight_only | int4 by group     | bfloat16                 | GPU of compute capability 8.0 |
| float8_dynamic   | float8 by channel | float8 by row            | GPU of compute capability 8.9 |

They are torchao's Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, Int4WeightOnlyConfig (tile
packed) and Float8DynamicActivationFloat8WeightConfig.
The layer that gives the logits and the embedding tables stay float. On a GPU the layers compute in bfloat16,
on the CPU in float32. The kernels are made for the runtime "compiled": in eager they are mostly slower than
float.
Weights are stored as the plain tensors of torchao's wrappers (layers/torchao_linear.py), never a pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

# The lowest compute capability of a GPU for a configuration's kernel; the others run on CPUs.
NEEDS_GPU = {"int4_weight_only": (8, 0), "float8_dynamic": (8, 9)}


class Params(Table):
    config: Literal["int8_dynamic", "int8_weight_only", "int4_weight_only", "float8_dynamic"]
    """The quantization configuration of torchao, which sets the format of weights and activations."""
    group_size: Literal[32, 64, 128, 256] = 128
    """Number of weights that share a scale, for int4_weight_only."""

    @model_validator(mode="after")
    def _check_config(self) -> Params:
        if "group_size" in self.model_fields_set and self.config != "int4_weight_only":
            raise ValueError(f'group_size is for int4_weight_only, but config = "{self.config}" was given')
        return self


class TorchaoQuantize(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    claims = ("smaller",)
    packages = ("torchao",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with torchao's layers. Raises BuildError on a device without the kernel; MissingExtra."""
        from slimgate.models.linear_layers import find_linear_layers
        from slimgate.models.replace_modules import note_untied_tables, replace_modules_
        from slimgate.steps.layers.torchao_linear import TorchaoLinear

        check_device(params.config, context.device)
        config = make_configuration(params, context.device)
        compute: Any = "bfloat16" if context.device.startswith("cuda") else "float32"
        layers = find_linear_layers(model, inside="network")
        replacements: dict[str, Any] = {
            name: TorchaoLinear.from_linear(layer, config, compute=compute) for name, layer in layers.items()
        }
        context.log.update(note_untied_tables(model.network, replacements))
        replace_modules_(model, "torchao_quantize", replacements)
        context.log.update(
            linear_layers=len(replacements), torchao=type(config).__name__, computes_in=compute
        )
        return model


step = TorchaoQuantize()


def check_device(config: str, device: str) -> None:
    """Raises BuildError if the device has no kernel for the configuration."""
    from slimgate.errors import BuildError

    if config not in NEEDS_GPU:
        return
    least = NEEDS_GPU[config]
    needed = f"torchao's {config} needs an NVIDIA GPU of compute capability {least[0]}.{least[1]}"
    if not device.startswith("cuda"):
        raise BuildError(f"{needed}, and this is {device}; run with --slimgate-device cuda")
    import torch

    capability = torch.cuda.get_device_capability(device)
    if capability < least:
        raise BuildError(f"{needed}, but this GPU has {capability[0]}.{capability[1]}")


def make_configuration(params: Params, device: str) -> Any:
    """torchao's configuration object. None of them sets the compiler's options for the whole process."""
    from slimgate.steps.layers.int8_linear import is_int_mm_exact
    from slimgate.steps.layers.torchao_linear import import_torchao_quantization

    ao = import_torchao_quantization()
    if params.config == "int8_dynamic":
        # without VNNI a CPU adds pairs of products in 16 bits, which would saturate
        narrow = device == "cpu" and not is_int_mm_exact()
        return ao.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False, reduce_range=narrow)
    if params.config == "int8_weight_only":
        return ao.Int8WeightOnlyConfig(set_inductor_config=False)
    if params.config == "int4_weight_only":
        packing = "tile_packed_to_4d"
        return ao.Int4WeightOnlyConfig(
            group_size=params.group_size, int4_packing_format=packing, set_inductor_config=False
        )
    return ao.Float8DynamicActivationFloat8WeightConfig(granularity=ao.PerRow(), set_inductor_config=False)
