"""The precision of weights in graphs of ONNX and OpenVINO: counted by the operators that read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_artifact, load_tiny, make_tiny_context, save_model
from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.models.weight_shares import (
    WeightShares,
    explain_missing_shares,
    read_artifact_shares,
    read_weight_shares,
)
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load

# Of the tiny BERT: three tables, and the matrices of two blocks with the pooler and the classifier.
TABLES = 23 * 32 + 64 * 32 + 2 * 32
MATRICES = 2 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32
HEAD = 2 * 32


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """export(conversion): the folder of a tiny BERT after it, exported once: an export takes ten seconds."""

    @cache
    def apply(conversion: str) -> Path:
        root = tmp_path_factory.mktemp(conversion)
        hub = write_tiny(root / "hub", "bert", labels=("neg", "pos"), num_hidden_layers=2)
        return save_after(root, load_tiny(hub, calibration_context(root)), conversion)[1]

    return apply


def calibration_context(folder: Path) -> BuildContext:
    return make_tiny_context(folder / "rows", calibration=16)


def save_after(folder: Path, model: Any, *steps: str) -> tuple[str, Path]:
    """The kind and the saved folder of a model after steps."""
    context = calibration_context(folder)
    for name in steps:
        step = load("step", name)
        model = step.apply(model, step.Params(), context)
        model.kind = step.gives or model.kind
    artifact = save_model(model, folder / "artifact")
    return model.kind, artifact


def read_shares_after(folder: Path, kind: str, exported: Path, steps: Sequence[str]) -> WeightShares:
    """The shares of the artifact of a graph after steps."""
    final_kind, artifact = save_after(folder, load_artifact(kind, exported), *steps)
    shares = read_artifact_shares(final_kind, artifact)
    assert shares is not None
    assert read_weight_shares(str(artifact)) == shares
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
def test_each_onnx_step_is_counted(
    export: Callable[[str], Path], tmp_path: Path, steps: tuple[str, ...], precision: str
) -> None:
    shares = read_shares_after(tmp_path, "onnx", export("to_onnx"), steps)
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
    export: Callable[[str], Path], tmp_path: Path, steps: tuple[str, ...], precision: str, claim: str
) -> None:
    shares = read_shares_after(tmp_path, "openvino", export("to_openvino"), steps)
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
        helper.make_node("MatMul", ["x", "weight"], ["z"]),
        helper.make_node("Relu", ["z"], ["y"]),
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


def count_onnx(file: Path, nodes: list[Any], **tensors: Any) -> dict[str, dict[str, int]]:
    """Counts of a graph that also has one int8 matrix of 64 numbers, behind DequantizeLinear."""
    packed = [
        helper.make_node("DequantizeLinear", ["packed", "scale"], ["weight"]),
        helper.make_node("MatMul", ["x", "weight"], ["h"]),
        helper.make_node("Relu", ["h"], ["hidden"]),
    ]
    constants = {"packed": np.zeros((8, 8), np.int8), "scale": np.ones(1, np.float32)}
    write_graph(file, [*packed, *nodes], **constants, **tensors)
    return {kind: dict(counts) for kind, counts in read_weight_shares(str(file)).counts.items()}


EXPERTS = [
    helper.make_node("Gather", ["large", "index"], ["chosen"]),
    helper.make_node("MatMul", ["hidden", "chosen"], ["z"]),
    helper.make_node("Relu", ["z"], ["y"]),
]
FLAT = [
    helper.make_node("Reshape", ["large", "shape"], ["matrix"]),
    helper.make_node("MatMul", ["hidden", "matrix"], ["z"]),
    helper.make_node("Relu", ["z"], ["y"]),
]
WIDE = [
    helper.make_node("DequantizeLinear", ["large", "scale"], ["wide"]),
    helper.make_node("MatMul", ["hidden", "wide"], ["z"]),
    helper.make_node("Relu", ["z"], ["y"]),
]


@pytest.mark.parametrize(
    ("nodes", "large", "precision"),
    [
        pytest.param(EXPERTS, np.zeros((4, 8, 10), np.float32), "float32", id="experts"),
        pytest.param(FLAT, np.zeros(320, np.float32), "float32", id="flat"),
        pytest.param(WIDE, np.zeros((8, 40), np.int16), "int16", id="sixteen-bits"),
    ],
)
def test_no_large_matrix_is_lost(tmp_path: Path, nodes: list[Any], large: Any, precision: str) -> None:
    counts = count_onnx(
        tmp_path / "model.onnx", nodes, large=large, index=np.int64(0), shape=np.array([8, 40])
    )
    assert counts == {"other": {precision: 320, "int8": 64}}
    assert read_weight_shares(str(tmp_path)).quantized_share == pytest.approx(64 / 384)


def test_the_output_layer_is_no_block(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["hidden", "head"], ["z"]),
        helper.make_node("Add", ["z", "bias"], ["y"]),
    ]
    counts = count_onnx(
        tmp_path / "model.onnx", nodes, head=np.zeros((8, 4), np.float32), bias=np.zeros(4, np.float32)
    )
    assert counts == {"other": {"int8": 64}, "output": {"float32": 32}}


def test_a_residual_connection_is_no_output_layer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["hidden", "float"], ["z"]),
        helper.make_node("Add", ["z", "h"], ["y"]),
    ]
    counts = count_onnx(tmp_path / "model.onnx", nodes, float=np.zeros((8, 8), np.float32))
    assert counts == {"other": {"float32": 64, "int8": 64}}


def test_each_branch_has_names_of_its_own(tmp_path: Path) -> None:
    """Branches of If may use one name for different weights."""

    def branch(dtype: Any) -> Any:
        scale = numpy_helper.from_array(np.ones(1, np.float32), "s")
        stored = numpy_helper.from_array(np.zeros((8, 8), dtype), "w")
        unpacked = helper.make_node("DequantizeLinear", ["w", "s"], ["u"])
        nodes = [] if dtype == np.float32 else [unpacked]
        nodes.append(helper.make_node("MatMul", ["hidden", "u" if nodes else "w"], ["b"]))
        end = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 8])
        return helper.make_graph(nodes, "branch", [], [end], [stored, scale])

    for first, second in ((np.int8, np.float32), (np.float32, np.int8)):
        chosen = helper.make_node(
            "If", ["condition"], ["z"], then_branch=branch(first), else_branch=branch(second)
        )
        nodes = [chosen, helper.make_node("Relu", ["z"], ["y"])]
        counts = count_onnx(tmp_path / "model.onnx", nodes, condition=np.array(True))
        assert counts == {"other": {"int8": 128, "float32": 64}}


def test_a_local_function_is_read(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.zeros((8, 8), np.float32))
    body = [
        helper.make_node("Constant", [], ["w"], value=value),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
    ]
    opset = [helper.make_opsetid("", 21)]
    function = helper.make_function("own", "Layer", ["a"], ["b"], body, opset)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    node = helper.make_node("Layer", ["x"], ["y"], domain="own")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    model = helper.make_model(
        graph, functions=[function], opset_imports=[*opset, helper.make_opsetid("own", 1)]
    )
    onnx.save(model, str(tmp_path / "model.onnx"))
    assert read_weight_shares(str(tmp_path)).counts == {"other": {"float32": 64}}


def test_bodies_of_openvino_loops_are_read(tmp_path: Path) -> None:
    inside = (
        '<layers><layer id="0" name="w" type="Const"><data element_type="f32" shape="80, 80"/></layer>'
        '<layer id="1" name="m" type="MatMul"/><layer id="2" name="r" type="Result"/></layers>'
        '<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="1"/>'
        '<edge from-layer="1" from-port="0" to-layer="2" to-port="0"/></edges>'
    )
    loop = f'<layer id="0" name="loop" type="TensorIterator"><body>{inside}</body></layer>'
    (tmp_path / "model.xml").write_text(f"<net><layers>{loop}</layers><edges/></net>")
    assert read_weight_shares(str(tmp_path)).counts == {"other": {"float32": 6400}}


def test_the_larger_factor_is_the_weight(tmp_path: Path) -> None:
    """A scale may be the first input of Multiply."""
    layers = "".join(
        f'<layer id="{number}" type="Const"><data element_type="f32" shape="{shape}"/></layer>'
        for number, shape in enumerate(("1, 80", "80, 80"))
    )
    edges = "".join(
        f'<edge from-layer="{source}" from-port="0" to-layer="{target}" to-port="{port}"/>'
        for source, target, port in ((0, 2, 0), (1, 2, 1), (2, 3, 1), (3, 4, 0))
    )
    ends = '<layer id="2" type="Multiply"/><layer id="3" type="MatMul"/><layer id="4" type="Relu"/>'
    (tmp_path / "model.xml").write_text(f"<net><layers>{layers}{ends}</layers><edges>{edges}</edges></net>")
    assert read_weight_shares(str(tmp_path)).counts == {"other": {"float32": 6400}}


def test_weights_next_to_a_graph_are_not_ignored(tmp_path: Path) -> None:
    """A suite loads pytorch_model.bin of such a folder, so its graph says nothing."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    (tmp_path / "onnx").mkdir()
    write_graph(tmp_path / "onnx" / "model_quantized.onnx", nodes, w=np.zeros((8, 8), np.float32))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SuiteError, match=r"has no readable \*\.safetensors"):
        read_weight_shares(str(tmp_path))
    assert read_artifact_shares("onnx", tmp_path / "onnx") is not None


def test_an_artifact_of_two_graphs_has_no_shares(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        write_graph(tmp_path / name, [])
    assert read_artifact_shares("onnx", tmp_path) is None
    assert explain_missing_shares("onnx", tmp_path).endswith(
        "has several graphs (decoder.onnx, encoder.onnx), expected one"
    )
    assert explain_missing_shares("torch", tmp_path) == (
        "its files do not say in which precision the weights are"
    )
