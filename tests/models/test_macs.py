"""Multiply-adds of a call: of PyTorch networks and of ONNX graphs, against counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.versions import has_version

from fixtures.models.architectures import write_tiny
from slimgate.errors import MeasureError
from slimgate.models import onnx_macs
from slimgate.models.torch_macs import count_macs

TOKENS, LAYERS, WIDTH, INNER = 10, 4, 32, 64
IDS = {
    "input_ids": torch.arange(5, 5 + TOKENS)[None] % 8,
    "attention_mask": torch.ones(1, TOKENS, dtype=torch.int64),
}


def block_macs(*, key_value: int = WIDTH, matrices: int = 2) -> int:
    """Of a block of a transformer: query and output, key and value, two or three matrices, attention."""
    of_token = 2 * WIDTH * WIDTH + 2 * WIDTH * key_value + matrices * WIDTH * INNER
    return TOKENS * of_token + 2 * TOKENS * TOKENS * WIDTH


# Below 5.19 transformers multiplies positions and the 4 frequencies of a head as matrices.
ROTARY = 0 if has_version("transformers>=5.19") else TOKENS * 4


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("family", "macs"),
    [
        ("bert", LAYERS * block_macs() + WIDTH * WIDTH),  # and the pooler, of one token
        ("gpt2", LAYERS * block_macs(matrices=2) + LAYERS * TOKENS * 2 * WIDTH * (4 * WIDTH - INNER)),
        ("llama", ROTARY + LAYERS * block_macs(key_value=WIDTH // 2, matrices=3)),
        ("opt", LAYERS * block_macs()),
    ],
)
def test_a_transformers_macs_are_its_matrices_and_its_attention(
    tmp_path: Path, family: str, macs: int, attention: str
) -> None:
    from transformers import AutoModel

    write_tiny(tmp_path / "m", family)
    network = AutoModel.from_pretrained(tmp_path / "m", attn_implementation=attention).eval()
    assert count_macs(network, IDS).by_type == {"float32": macs}


def test_experts_that_a_token_does_not_go_to_are_not_counted(tmp_path: Path) -> None:
    from transformers import AutoModel

    write_tiny(tmp_path / "m", "mixtral")  # 4 experts, of which each token goes to 2
    network = AutoModel.from_pretrained(tmp_path / "m").eval()
    router = TOKENS * WIDTH * 4
    block = block_macs(key_value=WIDTH // 2, matrices=6)
    assert count_macs(network, IDS).total == ROTARY + LAYERS * (block + router)


def test_a_convolution_counts_its_kernel_at_every_place() -> None:
    network = torch.nn.Conv2d(4, 6, 3, groups=2).eval()
    assert count_macs(network, {"input": torch.zeros(1, 4, 10, 10)}).total == 6 * 8 * 8 * 2 * 9


@pytest.mark.parametrize("rows", [4, 32], ids=["few rows", "integer product"])
def test_an_int8_layer_counts_as_its_layer_and_a_row_of_ones(rows: int) -> None:
    from slimgate.steps.layers.int8_linear import Int8Linear, is_int_mm_fast

    layer = torch.nn.Linear(16, 24)
    small = Int8Linear.from_linear(layer).eval()
    macs = count_macs(small, {"inputs": torch.zeros(rows, 16)})
    kind = "int8" if is_int_mm_fast() else "float32"  # as the processor computes it
    assert macs.by_type == {kind: (rows + 1) * 16 * 24}


class OfAnotherLibrary(torch.nn.Module):
    def forward(self, inputs: torch.Tensor) -> Any:
        return torch.ops.slimgate_tests.product(inputs)


def test_a_multiplying_operation_without_a_formula_is_named() -> None:
    library = torch.library.Library("slimgate_tests", "FRAGMENT")
    library.define("product(Tensor x) -> Tensor")
    library.impl("product", lambda x: x @ x.T, "CompositeExplicitAutograd")
    with pytest.raises(
        MeasureError, match=r"cannot count the multiply-adds of operation slimgate_tests\.product"
    ):
        count_macs(OfAnotherLibrary(), {"inputs": torch.zeros(3, 3)})
    lstm = torch.nn.LSTM(8, 8).eval()
    with pytest.raises(MeasureError, match="cannot count the multiply-adds"):
        count_macs(lstm, {"input": torch.zeros(3, 1, 8)})


def ran(operator: str, inputs: list[list[int]], output: list[int], kind: str = "float") -> dict[str, Any]:
    """An event of ONNX Runtime's profile."""
    return {
        "cat": "Node",
        "args": {
            "op_name": operator,
            "input_type_shape": [{kind: shape} for shape in inputs],
            "output_type_shape": [{"float": output}],
        },
    }


@pytest.mark.parametrize(
    ("event", "macs"),
    [
        (ran("MatMul", [[2, 5, 8], [8, 4]], [2, 5, 4]), 2 * 5 * 8 * 4),
        (ran("MatMul", [[2, 3, 5, 8], [2, 3, 8, 5]], [2, 3, 5, 5]), 2 * 3 * 5 * 8 * 5),
        (ran("MatMulNBits", [[1, 5, 64], [4, 2, 16], [8]], [1, 5, 4]), 5 * 64 * 4),
        (ran("Gemm", [[8, 5], [8, 4], [4]], [5, 4]), 5 * 8 * 4),
        (ran("Conv", [[1, 4, 10, 10], [6, 2, 3, 3]], [1, 6, 8, 8]), 6 * 8 * 8 * 18),
        (ran("QLinearConv", [[1, 4, 9, 9], [], [], [6, 4, 3, 3]], [1, 6, 7, 7]), 6 * 49 * 36),
        (ran("Attention", [[1, 5, 8], [8, 24], [24]], [1, 5, 8]), 5 * 8 * 24 + 2 * 25 * 8),
        (ran("MultiHeadAttention", [[1, 5, 8], [1, 7, 8], [1, 7, 8]], [1, 5, 8]), 2 * 5 * 7 * 8),
        (ran("Add", [[5, 8], [5, 8]], [5, 8]), 0),
    ],
    ids=lambda value: value["args"]["op_name"] if isinstance(value, dict) else "",
)
def test_an_operators_macs_come_from_the_shapes_that_it_ran_with(event: dict[str, Any], macs: int) -> None:
    assert onnx_macs.count_macs([{"cat": "Session"}, event]).total == macs


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (ran("MatMul", [[5, 8], [8, 4]], [5, 4]), "float32"),
        (ran("MatMul", [[5, 8], [8, 4]], [5, 4], "float16"), "float16"),
        (ran("MatMulInteger", [[5, 8], [8, 4]], [5, 4], "uint8"), "int8"),
        (ran("DynamicQuantizeMatMul", [[5, 8], [8, 4]], [5, 4]), "int8"),
        (ran("MatMulNBits", [[5, 8], [4, 1, 4], [4]], [5, 4]), "mixed"),
    ],
)
def test_multiply_adds_are_split_by_what_the_operator_multiplies(event: dict[str, Any], kind: str) -> None:
    assert onnx_macs.count_macs([event]).by_type == {kind: 5 * 8 * 4}


def test_products_of_pytorch_are_counted_by_number_type() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(16, 24), _ToHalf(), torch.nn.Linear(24, 8).bfloat16())
    macs = count_macs(network.eval(), {"input": torch.zeros(3, 16)})
    # one operation on two types: a peak of one of them would not fit the other
    assert macs.by_type == {"mixed": 3 * 16 * 24 + 3 * 24 * 8}
    half = torch.nn.Linear(16, 24).bfloat16().eval()
    assert count_macs(half, {"input": torch.zeros(3, 16).bfloat16()}).by_type == {"bfloat16": 3 * 16 * 24}


class _ToHalf(torch.nn.Module):
    def forward(self, inputs: Any) -> Any:
        return inputs.bfloat16()


@pytest.mark.parametrize(
    "event", [ran("LSTM", [[3, 1, 8]], [3, 1, 1, 8]), ran("QLinearConv", [[1, 4, 9, 9]], [1, 6, 7, 7])]
)
def test_an_operator_without_a_formula_is_named(event: dict[str, Any]) -> None:
    with pytest.raises(
        MeasureError, match=rf"cannot count the multiply-adds of operator {event['args']['op_name']}"
    ):
        onnx_macs.count_macs([event])


def test_a_graph_and_its_int8_twin_compute_what_the_network_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from onnxruntime.quantization import quantize_dynamic
    from transformers import AutoModelForSequenceClassification

    from slimgate.models.onnx_export import export_onnx
    from slimgate.runtimes import onnxruntime

    write_tiny(tmp_path / "m", "bert")
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    batch = {name: values.numpy() for name, values in IDS.items()}
    batch["token_type_ids"] = np.zeros_like(batch["input_ids"])
    short = {name: np.repeat(values[:, :6], 2, axis=0) for name, values in batch.items()}
    folder = tmp_path / "float"
    folder.mkdir()
    import onnx

    onnx.save(export_onnx(network, (batch, short), opset=onnxruntime.OPSET), folder / "model.onnx")
    expected = count_macs(network, {name: torch.from_numpy(values) for name, values in batch.items()})
    assert onnxruntime.runtime.count_macs(folder, batch, device="cpu") == expected
    (tmp_path / "int8").mkdir()
    quantize_dynamic(folder / "model.onnx", tmp_path / "int8" / "model.onnx")
    small = onnxruntime.runtime.count_macs(tmp_path / "int8", batch, device="cpu")
    assert small.total == expected.total
    # the products of two activations stay in float
    assert small.by_type["float32"] == LAYERS * 2 * TOKENS * TOKENS * WIDTH
    assert small.by_type["int8"] == expected.total - small.by_type["float32"]
