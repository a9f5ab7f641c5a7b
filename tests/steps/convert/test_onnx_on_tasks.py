"""ONNX steps on tiny models of the tasks beside classification: graphs that answer as the network does.

Also on what calibration rows never show: one row, rows of one token, padding on the left, and more tokens
than any of them has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_causal
from fixtures.models.embeddings import PAIRS, make_embedding_context
from fixtures.models.exported import make_distinct_
from fixtures.models.task_rows import make_task_context
from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.errors import BuildError
from slimgate.plugins.base import Arrays
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.agreement import make_calibration_batches, make_default_predictor
from slimgate.steps.convert import onnx_cast, onnx_int8_static, onnx_optimize, to_onnx
from slimgate.steps.convert._onnx_graph import count_node_kinds
from slimgate.tasks import sentence_embedding

pytestmark = pytest.mark.slow

Made = tuple[Any, Any]
BERT: dict[str, Any] = {"num_hidden_layers": 2, "initializer_range": 0.2}


def of_rows(task: str) -> Callable[[Path], Made]:
    def build(folder: Path) -> Made:
        context = make_task_context(folder / "rows", task, train=24)
        return load_tiny(write_tiny(folder / "hub", "bert", **BERT), context), context

    return build


def of_sentences(folder: Path) -> Made:
    context = make_embedding_context(folder / "rows", PAIRS, calibration=16)
    return load_tiny(write_tiny(folder / "hub", "bert", **BERT), context), context


def of_text(architecture: str) -> Callable[[Path], Made]:
    def build(folder: Path) -> Made:
        layers = "n_layer" if architecture == "gpt2" else "num_hidden_layers"
        return make_tiny_causal(folder, architecture, shape={layers: 2}, calibration=8, classes=())

    return build


CASES = [
    *(pytest.param(of_rows(t), id=t) for t in ("text_regression", "multi_label", "token_classification")),
    pytest.param(of_sentences, id="sentence_embedding"),
    *(pytest.param(of_text(name), id=f"causal_lm-{name}") for name in ("gpt2", "llama")),
]


def odd_batches(usual: Arrays, least: int) -> Iterator[Arrays]:
    """Batches of the same inputs in shapes and paddings that rows of the tests do not have.

    least: as many texts as one row has.
    """
    yield {name: values[:least] for name, values in usual.items()}
    yield {name: values[:least, :1] for name, values in usual.items()}
    yield {name: values[:2, :1] for name, values in usual.items()}
    yield {name: np.tile(values[:2], (1, 3))[:, :30] for name, values in usual.items()}
    left = {name: values[:2, :6].copy() for name, values in usual.items()}
    left["attention_mask"][1, :3] = 0
    yield left


def answers(predictor: Any, batch: Arrays) -> Any:
    scores, mask = predictor.fetch(predictor.forward(predictor.prepare(batch))), batch["attention_mask"]
    return scores[mask.astype(bool)] if scores.ndim == 3 and scores.shape[:2] == mask.shape else scores


def also_stored(network: Any) -> int:
    """Numbers that a graph has beside the weights: an output layer that is the table, and frequencies."""
    tied = network.config.tie_word_embeddings and hasattr(network, "lm_head")
    frequencies = [b for name, b in network.named_buffers() if name.endswith(".inv_freq")]
    return int((network.lm_head.weight.numel() if tied else 0) + sum(b.numel() for b in frequencies))


def check_half(half: Any, graph: Any, eager: Any, usual: Arrays, least: int, context: Any) -> None:
    """Half of the bytes of a graph, all of its weights, nearly the network's answers."""
    assert half.measure_size()["parameters"] == graph.measure_size()["parameters"]
    assert half.measure_size()["state_bytes"] < 0.55 * graph.measure_size()["state_bytes"]
    predictor = make_default_predictor(half, context)
    for batch in (usual, *odd_batches(usual, least)):
        expected = answers(eager, batch)
        np.testing.assert_allclose(
            answers(predictor, batch), expected, atol=0.05 * float(expected.std() or 1)
        )


@pytest.mark.parametrize("build", CASES)
def test_every_graph_answers_as_the_network_does(tmp_path: Path, build: Callable[[Path], Made]) -> None:
    model, context = build(tmp_path)
    make_distinct_(model.network)
    usual = make_calibration_batches(model.tokenizer, context)[0]
    parameters = model.measure_size()["parameters"] + also_stored(model.network)
    least = 2 if context.task is sentence_embedding.task else 1
    eager = EagerPredictor(model.network.eval(), "cpu")
    graph = to_onnx.step.apply(model, to_onnx.Params(), context)
    fused = onnx_optimize.step.apply(graph, onnx_optimize.Params(), context)
    for exact in (graph, fused):
        predictor = make_default_predictor(exact, context)
        for batch in (usual, *odd_batches(usual, least)):
            np.testing.assert_allclose(answers(predictor, batch), answers(eager, batch), atol=1e-4, rtol=1e-4)
        assert exact.measure_size()["parameters"] == parameters
    if count_node_kinds(fused.proto)["Cos"]:
        with pytest.raises(BuildError, match="rotary positions, whose angles float16 cannot represent"):
            onnx_cast.step.apply(fused, onnx_cast.Params(), context)
    else:
        check_half(
            onnx_cast.step.apply(fused, onnx_cast.Params(), context), fused, eager, usual, least, context
        )
    # without VNNI sums of int8 products saturate, which narrow weights would prevent
    tolerance = 2.0 if has_saturating_sums(list_cpu_instructions()) else 1.0
    small = onnx_int8_static.step.apply(fused, onnx_int8_static.Params(tolerance=tolerance), context)
    assert small.measure_size()["parameters"] == parameters
    assert small.measure_size()["state_bytes"] < fused.measure_size()["state_bytes"]
    assert answers(make_default_predictor(small, context), usual).shape == answers(eager, usual).shape
