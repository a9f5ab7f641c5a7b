"""Multiply-adds of one call of a PyTorch network, by torch.utils.flop_counter.

It counts matrix products, convolutions and attention from the shapes in each call. It has no formulas for the
integer products of quantized layers, nor for attention on the CPU; these are here. A product without a
formula raises an error, because the count without it would be too low.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop_count

from slimgate.errors import MeasureError
from slimgate.plugins.models import Macs

if TYPE_CHECKING:
    from torch import nn
    from torch._ops import OpOverload

# These map (…, in), the first argument, to (…, out); every output takes `in` multiply-adds.
_LINEAR = (
    "aten._int_mm",
    "aten._weight_int8pack_mm",
    "aten._weight_int4pack_mm",
    "aten._weight_int4pack_mm_for_cpu",
    "aten._dyn_quant_matmul_4bit",
    "aten._grouped_mm",
    "aten.mv",
    "mkldnn._linear_pointwise",
    "onednn.qlinear_pointwise",
    "quantized.linear_dynamic",
)
_ATTENTION = "aten._scaled_dot_product_flash_attention_for_cpu"
# Operations that multiply matrices, by name; in other libraries every operation may.
_MULTIPLIES = re.compile(r"mm(_|$)|mv$|dot$|matmul|linear|conv|attention|lstm|gru|rnn|bilinear|einsum")
_PREPARES = re.compile(r"prepack|choose_qparams|(de)?quantize|_like$")
_TORCH_NAMESPACES = ("aten.", "prim.", "prims.")
# Products of 8-bit integers, whatever the types of their inputs are.
_INTEGERS = frozenset({"aten._int_mm", "onednn.qlinear_pointwise", "quantized.linear_dynamic"})
# The weights have another type than the inputs, and the kernel chooses in which type it multiplies.
_MIXED = re.compile(r"_weight_int\dpack_mm|_dyn_quant_matmul")


class _OperationRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Records the operations that are called, by name, each with the types of its first tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.types: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> Any:
        dtypes = self.types.setdefault(str(func.overloadpacket), set())
        dtypes.update(argument.dtype for argument in args[:1] if isinstance(argument, torch.Tensor))
        return func(*args, **(kwargs or {}))

    def find_type(self, name: str) -> str:
        """The number type that an operation multiplies, such as float32; `mixed` if there are several."""
        if name in _INTEGERS:
            return "int8"
        dtypes = self.types.get(name, set())
        if len(dtypes) != 1 or _MIXED.search(name):
            return "mixed"
        (dtype,) = dtypes
        return "int8" if dtype in (torch.int8, torch.uint8) else str(dtype).removeprefix("torch.")


def count_macs(network: nn.Module, inputs: Mapping[str, torch.Tensor]) -> Macs:
    """Multiply-adds of one call. Raises MeasureError for a multiplying operation that has no formula."""
    own_formulas = _make_own_formulas()
    counter = FlopCounterMode(display=False, custom_mapping=own_formulas)
    with torch.no_grad():
        network(**inputs)  # a first call may try several kernels
        with _OperationRecorder() as seen, counter:
            network(**inputs)
    counted = {str(operator) for operator in (*flop_registry, *own_formulas)}
    if unknown := sorted(name for name in seen.types.keys() - counted if _may_multiply(name)):
        raise MeasureError(f"cannot count the multiply-adds of operation {unknown[0]}")
    counts: dict[str, int] = {}
    for operation, flops in counter.get_flop_counts().get("Global", {}).items():
        kind = seen.find_type(str(operation))
        counts[kind] = counts.get(kind, 0) + int(flops) // 2
    return Macs(counts)


def _may_multiply(name: str) -> bool:
    if _PREPARES.search(name):
        return False
    return bool(_MULTIPLIES.search(name)) or not name.startswith(_TORCH_NAMESPACES)


def _make_own_formulas() -> dict[Any, Any]:
    """For each operation a formula of its floating-point operations, two per multiply-add."""

    def linear(inputs: torch.Tensor, *_: object, out_val: torch.Tensor, **__: object) -> int:
        return int(2 * prod(out_val.shape) * inputs.shape[-1])

    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: object, **__: object
    ) -> int:
        shapes = query.shape, key.shape, value.shape
        return int(sdpa_flop_count(*shapes))  # type: ignore[no-untyped-call]  # torch's own

    formulas = {**dict.fromkeys(_LINEAR, linear), _ATTENTION: attention}
    own_formulas: dict[Any, Any] = {}
    for name, formula in formulas.items():
        package, _, operation = name.partition(".")
        packet = getattr(getattr(torch.ops, package), operation, None)  # some builds lack some of them
        if packet is not None:
            formula._get_raw = True  # type: ignore[attr-defined]  # it gets tensors, not only their shapes
            own_formulas[packet] = formula
    return own_formulas
