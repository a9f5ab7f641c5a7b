"""The precision of weights in graphs of ONNX and OpenVINO: counted by the operators that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, tiny_context
from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.models.weight_shares import WeightShares, read_artifact_shares, read_weight_shares
from slimgate.plugins.loading import load

# Of the tiny BERT: three tables, and the matrices of four blocks with the pooler and the classifier.
TABLES = 23 * 32 + 64 * 32 + 2 * 32
MATRICES = 4 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32
HEAD = 2 * 32


def shares_after(tmp_path: Path, *steps: str) -> WeightShares:
    """The shares of the artifact of a tiny BERT after steps."""
    context = tiny_context(tmp_path / "rows", calibration=16)
    model: Any = load_tiny(write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos")), context)
    for name in steps:
        step = load("step", name)
        model = step.apply(model, step.Params(), context)
        model.kind = step.gives or model.kind
    folder = tmp_path / "artifact"
    folder.mkdir()
    model.save(folder)
    shares = read_artifact_shares(model.kind, folder)
    assert shares is not None
    assert read_weight_shares(str(folder)) == shares
    return shares


def count_matrices(shares: WeightShares) -> dict[str, int]:
    """The numbers in matrices by precision, whatever the graph calls them."""
    sums: dict[str, int] = {}
    for kind in set(shares.counts) - {"embeddings", "norms and biases"}:
        for precision, numbers in shares.counts[kind].items():
            sums[precision] = sums.get(precision, 0) + numbers
    return sums


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "precision"),
    [
        ((), "float32"),
        (("onnx_cast",), "float16"),
        (("onnx_int8_dynamic",), "int8"),
        (("onnx_optimize", "onnx_int8_static"), "int8"),
        (("onnx_weight_only",), "int4"),
    ],
)
def test_each_onnx_step_is_counted(tmp_path: Path, steps: tuple[str, ...], precision: str) -> None:
    shares = shares_after(tmp_path, "to_onnx", *steps)
    matrices = count_matrices(shares)
    assert sum(shares.counts["embeddings"].values()) == TABLES
    assert sum(matrices.values()) == MATRICES + HEAD
    assert matrices[precision] >= MATRICES - 32 * 32  # the pooler and the classifier may stay float
    assert (shares.quantized_share == 0) == precision.startswith("float")
    assert shares.quantized_share > 0.99 or precision.startswith("float")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "precision", "claim"),
    [
        ((), "float32", ""),
        (("openvino_int8",), "int8", "nncf, quantization"),
        (("openvino_weights",), "int8", "nncf, int8_asym"),
    ],
)
def test_each_openvino_step_is_counted(
    tmp_path: Path, steps: tuple[str, ...], precision: str, claim: str
) -> None:
    shares = shares_after(tmp_path, "to_openvino", *steps)
    matrices = count_matrices(shares)
    assert sum(shares.counts["embeddings"].values()) == TABLES
    assert sum(matrices.values()) == MATRICES + HEAD
    assert matrices[precision] >= MATRICES
    assert shares.claim == claim
    assert shares.quantized_share > 0.99 or not claim


def write_graph(file: Path, nodes: list[Any], **tensors: Any) -> Path:
    """A graph of one input x of 8 numbers, with constants."""
    initializers = [
        tensor if isinstance(tensor, TensorProto) else numpy_helper.from_array(tensor, name)
        for name, tensor in tensors.items()
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)), str(file))
    return file


def test_floats_that_no_known_operator_reads_count(tmp_path: Path) -> None:
    """A graph with an operator of its own must not look more quantized than it is."""
    nodes = [
        helper.make_node("DequantizeLinear", ["packed", "scale"], ["weight"]),
        helper.make_node("MatMul", ["x", "weight"], ["z"]),
        helper.make_node("Own", ["z", "float"], ["y"], domain="example"),
    ]
    file = write_graph(
        tmp_path / "model.onnx",
        nodes,
        packed=np.zeros((8, 8), np.int8),
        scale=np.ones(1, np.float32),
        float=np.zeros((8, 24), np.float32),
        shape=np.zeros((4, 4), np.int64),
    )
    shares = read_weight_shares(str(file))
    assert shares.counts == {"other": {"float32": 192, "int8": 64}}
    assert shares.quantized_share == 0.25


def test_scales_of_blocks_are_no_weights(tmp_path: Path) -> None:
    four_bits = helper.make_tensor(
        "packed", TensorProto.INT4, [8, 8], np.zeros(32, np.uint8).tobytes(), raw=True
    )
    nodes = [
        helper.make_node("DequantizeLinear", ["packed", "scales"], ["weight"], block_size=4),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    scales = np.ones((2, 8), np.float32)
    file = write_graph(tmp_path / "model.onnx", nodes, packed=four_bits, scales=scales)
    assert read_weight_shares(str(tmp_path)) == read_weight_shares(str(file))
    assert read_weight_shares(str(file)).counts == {"other": {"int4": 64}}


def test_a_graph_that_nncf_left_float_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "openvino_model.xml"
    file.write_text(
        '<net><layers><layer id="0" name="w" type="Const"><data element_type="f32" shape="8, 8"/></layer>'
        '<layer id="1" name="m" type="MatMul"/></layers>'
        '<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="1"/></edges>'
        '<rt_info><nncf><weight_compression><mode value="int4_sym"/></weight_compression></nncf></rt_info>'
        "</net>"
    )
    (tmp_path / "openvino_tokenizer.xml").write_text("<net/>")
    assert main(["weights", str(tmp_path)]) == 1
    assert "FAIL: the configuration claims nncf, int4_sym, and no weight" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("model.onnx", b"\x00\x01 no graph", "is no readable ONNX file"),
        ("model.xml", b"<net", "is no readable OpenVINO file"),
        ("model.xml", b"<html/>", "its root is <html>, expected <net> with <layers>"),
    ],
)
def test_a_broken_graph_is_one_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SuiteError, match=problem):
        read_weight_shares(str(tmp_path / name))


def test_of_several_graphs_one_must_be_named(tmp_path: Path) -> None:
    for name in ("model.onnx", "model_quantized.onnx"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        SuiteError, match=r"several graphs \(model\.onnx, model_quantized\.onnx\), .* name the file"
    ):
        read_weight_shares(str(tmp_path))
