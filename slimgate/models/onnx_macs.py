"""Multiply-adds of one call of an ONNX graph, from the operators in ONNX Runtime's profile.

The profile has the shapes of every operator's tensors in that call, whatever shapes the graph states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import TYPE_CHECKING

from slimgate.errors import MeasureError
from slimgate.plugins.models import Macs

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

Shape = list[int]
# Operators that multiply matrices, by name.
_MULTIPLIES = re.compile(r"MatMul|Gemm|Conv|Attention|LSTM|GRU|RNN|Einsum|MoE")
# Operators that multiply 8-bit integers although their first input is float, and one whose weights have
# another type than its inputs, so that the kernel chooses.
_TYPES = {"DynamicQuantizeMatMul": "int8", "MatMulNBits": "mixed"}
# Names of types in a profile -> their usual names.
_NAMES = {"float": "float32", "double": "float64", "uint8": "int8"}


def _count_product_macs(inputs: list[Shape], output: Shape) -> int:
    """(…, in) times (in, out)."""
    return prod(output) * inputs[0][-1]


def _count_gemm_macs(inputs: list[Shape], output: Shape) -> int:
    """The first input may be transposed; the output has the same rows."""
    return output[-1] * prod(inputs[0])


def _make_convolution_formula(weight: int) -> Callable[[list[Shape], Shape], int]:
    """weight: the place of (out, in / groups, …) among the inputs."""
    return lambda inputs, output: prod(output) * prod(inputs[weight][1:])


def _count_attention_macs(inputs: list[Shape], output: Shape) -> int:
    """(rows, tokens, in) by weights (in, 3 * width) of query, key and value, then the products of tokens."""
    (rows, tokens, _), widths = inputs[0], inputs[1][-1]
    return rows * tokens * (inputs[0][-1] * widths + 2 * tokens * output[-1])


def _count_multi_head_macs(inputs: list[Shape], output: Shape) -> int:
    """Query (rows, tokens, width), key (rows, read, width), value (rows, read, value width)."""
    (rows, tokens, width), read = inputs[0], inputs[1][1]
    return rows * tokens * read * (width + output[-1])


FORMULAS: Mapping[str, Callable[[list[Shape], Shape], int]] = {
    **dict.fromkeys(
        ("MatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul",
         "MatMulNBits"),
        _count_product_macs,
    ),
    **dict.fromkeys(("Gemm", "QGemm", "FusedGemm"), _count_gemm_macs),
    **dict.fromkeys(("Conv", "FusedConv", "ConvInteger"), _make_convolution_formula(1)),
    "QLinearConv": _make_convolution_formula(3),
    **dict.fromkeys(("Attention", "QAttention"), _count_attention_macs),
    "MultiHeadAttention": _count_multi_head_macs,
}  # fmt: skip


def count_macs(events: Iterable[Json]) -> Macs:
    """Counts the multiply-adds in a profile of ONNX Runtime, by number type.

    events: entries of a profile. Raises MeasureError for a multiplying operator without a formula.
    """
    counts: dict[str, int] = {}
    for event in events:
        call = event.get("args", {})
        if "op_name" in call and (macs := _count_operator_macs(call)):
            kind = _find_number_type(call)
            counts[kind] = counts.get(kind, 0) + macs
    return Macs(counts)


def _find_number_type(call: Json) -> str:
    """The number type that an operator multiplies: the type of its first input, or the entry in _TYPES."""
    first = next((name for tensor in call.get("input_type_shape", ()) for name in tensor), "mixed")
    return _TYPES.get(str(call["op_name"]), _NAMES.get(first, first))


def _count_operator_macs(call: Json) -> int:
    operator = str(call["op_name"])
    if not _MULTIPLIES.search(operator):
        return 0
    inputs, outputs = (
        [shape for tensor in call.get(f"{side}_type_shape", ()) for shape in tensor.values()]
        for side in ("input", "output")
    )
    formula = FORMULAS.get(operator)
    if formula is None or not outputs:
        raise MeasureError(f"cannot count the multiply-adds of operator {operator}")
    try:
        return formula(inputs, outputs[0])
    except (IndexError, ValueError) as error:  # optional inputs are missing, or have another rank
        raise MeasureError(
            f"cannot count the multiply-adds of operator {operator} with inputs of shape {inputs}"
        ) from error
