"""The step onnx_optimize: which operators become one, and a graph in which there is nothing to fuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.models.building import make_tiny_context
from fixtures.models.exported import Exported
from fixtures.models.tiny_graph import make_tiny_graph, make_tiny_onnx_model
from slimgate.steps.agreement import make_default_predictor, score_batches
from slimgate.steps.convert import onnx_int8_dynamic, onnx_int8_static, onnx_optimize
from slimgate.steps.convert._onnx_first_token import keep_first_token
from slimgate.steps.convert._onnx_graph import GraphIndex, count_node_kinds

pytestmark = pytest.mark.slow


def test_attention_and_embeddings_become_one_operator_each(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    kinds = count_node_kinds(onnx_optimize.step.apply(model, onnx_optimize.Params(), context).proto)
    assert (kinds["MultiHeadAttention"], kinds["EmbedLayerNormalization"], kinds["Softmax"]) == (4, 1, 0)
    assert context.log["fused"] == {"MultiHeadAttention": 4, "EmbedLayerNormalization": 1}
    assert context.log["max_difference_relative"] < 0.001
    assert context.log["operators"] < 0.6 * context.log["operators_before"]


def test_a_fused_graph_is_quantized_as_one_that_is_not(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    fused = onnx_optimize.step.apply(model, onnx_optimize.Params(), context)
    for step, kind in (
        (onnx_int8_dynamic.step, "MatMulInteger"),
        (onnx_int8_static.step, "MatMulIntegerToFloat"),
    ):
        quantized = step.apply(fused, step.Params(), context)
        assert count_node_kinds(quantized.proto)[kind] == 4 * 6 + 1  # blocks, pooler
        assert quantized.measure_size()["parameters"] == tiny.parameters


def test_a_graph_with_nothing_to_fuse_says_zero(tmp_path: Path) -> None:
    context, model = (
        make_tiny_context(tmp_path / "rows", calibration=16),
        make_tiny_onnx_model(tmp_path / "hub"),
    )
    optimized = onnx_optimize.step.apply(model, onnx_optimize.Params(), context)
    assert context.log["fused_operators"] == 0
    assert count_node_kinds(optimized.proto) == count_node_kinds(make_tiny_onnx_model(tmp_path / "hub").proto)


def test_layer_norms_and_the_approximate_gelu_on_request(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    params = onnx_optimize.Params(layer_norms=True, first_token=False, gelu="tanh", tolerance=0.1)
    kinds = count_node_kinds(onnx_optimize.step.apply(model, params, context).proto)
    assert (kinds["SkipLayerNormalization"], kinds["FastGelu"], kinds["BiasGelu"]) == (8, 4, 0)
    assert context.log["max_difference_relative"] > 1e-5  # it is an approximation


def test_the_last_block_computes_what_the_first_token_needs(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    all_tokens = onnx_optimize.step.apply(model, onnx_optimize.Params(first_token=False), context)
    assert context.log["first_token_operators"] == 0
    model, context = tiny.copy_model(tmp_path)
    optimized = onnx_optimize.step.apply(model, onnx_optimize.Params(), context)
    # of the last block: attention with its query's product; output, both layers of the FFN, norms, sums, GELU
    assert context.log["first_token_operators"] == 13
    kinds, before = count_node_kinds(optimized.proto), count_node_kinds(all_tokens.proto)
    assert kinds["Gather"] == before["Gather"] + 1  # what enters the block is chosen once
    assert kinds - before == {"Gather": 1}
    after = score_batches(make_default_predictor(optimized, context), tiny.batches)
    for expected, other in zip(tiny.answers, after, strict=True):
        np.testing.assert_allclose(expected, other, atol=1e-5)


def test_a_head_that_reads_all_tokens_keeps_them() -> None:
    assert keep_first_token(GraphIndex(make_tiny_graph())) == 0
