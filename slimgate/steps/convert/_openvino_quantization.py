"""The quality of a compiled OpenVINO graph on a split, in the form that nncf's accuracy control takes.

It also has the shared code of steps that quantize OpenVINO graphs: rows for nncf, ignored layers, the log.

    quantized = quantize_model(model, context, lambda graph: nncf.quantize(graph, …), tolerance=2.0)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.errors import BuildError, SlimgateError
from slimgate.judge.metrics.base import compute_value
from slimgate.judge.metrics.registry import load_metric
from slimgate.models.predict import predict_scores
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Rows
from slimgate.runtimes.openvino import RequestPredictor
from slimgate.steps.agreement import AnswersBefore, make_default_predictor
from slimgate.steps.answer_agreement import check_answers

if TYPE_CHECKING:
    import numpy.typing as npt
    import openvino

    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.plugins.models import Predictor
    from slimgate.plugins.rows import Encoded

BATCH_SIZE = 32
# The operators that may be between the output layer and the output of the graph.
_AFTER_OUTPUT_LAYER = frozenset(
    (
        "Add",
        "Convert",
        "Gather",
        "GatherND",
        "Reshape",
        "Slice",
        "Squeeze",
        "StridedSlice",
        "Transpose",
        "Unsqueeze",
    )
)


class Validation:
    """The first default metric of the task, and each row's distance from the scores of the float model.

    A higher value is better: metrics of which less is better are negated. A perplexity p counts as -ln(p), so
    differences are percentages.
    """

    def __init__(self, model: OpenVinoModel, context: BuildContext, split: str) -> None:
        self._tokenizer, self._context = model.tokenizer, context
        self._rows = context.rows(split)
        names = context.task.default_metrics
        self._metric = load_metric(names[0])
        self._float_scores = self._compute_scores(
            make_default_predictor(model, context), range(len(self._rows))
        )
        self.log: dict[str, Any] = {
            "controlled_metric": names[0],
            "controlled_split": split,
            "values": [],
        }

    def __len__(self) -> int:
        return len(self._rows)

    def compute_allowed_drop(self, points: float) -> float:
        """The largest drop of the value that is allowed."""
        return math.log1p(points / 100) if self._metric.unit == "percent" else points / 100

    def make_inputs(self, row: int) -> Arrays:
        """The graph's inputs for one row."""
        encoded = self._encode_rows([row])
        return encoded.batch(range(len(encoded.lengths)))

    def measure(self, compiled: openvino.CompiledModel, data: Iterable[int]) -> tuple[float, list[float]]:
        """The metric's value on these rows, and minus each row's mean distance from the float scores."""
        positions = list(data)
        scores = self._compute_scores(RequestPredictor(compiled.create_infer_request()), positions)
        distances = np.abs(scores - self._float_scores[positions]).reshape(len(positions), -1).mean(axis=1)
        value = self._compute_value(scores, positions)
        if len(positions) == len(self):
            self.log["values"].append(round(value, 6))
        return value, [-float(distance) for distance in distances]

    def _compute_value(self, scores: npt.NDArray[np.float32], positions: list[int]) -> float:
        context = self._context
        rows = self._take_rows(positions)
        outcomes = context.task.outcomes(context.facts, rows, scores, context.task_params, None)
        value = compute_value(self._metric, outcomes)
        if self._metric.unit == "percent":
            value = math.log(value)
        return value if self._metric.higher_is_better else -value

    def _take_rows(self, positions: Iterable[int]) -> Rows:
        return Rows(self._rows.table.take(list(positions)))

    def _encode_rows(self, positions: Iterable[int]) -> Encoded:
        context = self._context
        rows = self._take_rows(positions)
        encoded: Encoded = context.task.encode_rows(context.task_params, rows, self._tokenizer)
        return encoded

    def _compute_scores(self, predictor: Predictor, positions: Iterable[int]) -> npt.NDArray[np.float32]:
        task, params = self._context.task, self._context.task_params
        return predict_scores(
            predictor,
            self._encode_rows(positions),
            batch_size=BATCH_SIZE,
            read=lambda output, batch: task.read_output(params, output, batch),
        )


def quantize_model(
    model: OpenVinoModel,
    context: BuildContext,
    quantize: Callable[[openvino.Model], openvino.Model],
    *,
    tolerance: float,
) -> OpenVinoModel:
    """The OpenVinoModel of `quantize(graph)`. Its answers on calibration rows are compared with the model's.

    Logs how many numbers of each type the weights have, and for a decoder the answers that change. Raises
    BuildError in one line if quantizing fails.
    """
    from slimgate._system.quiet import silent
    from slimgate._system.signals import keep_signal_stack
    from slimgate.models.openvino_model import DECODER, count_weight_types

    before = AnswersBefore(model, context)
    try:
        with silent(), keep_signal_stack():
            graph = quantize(model.graph.clone())
    except SlimgateError:
        raise
    except Exception as error:  # nncf's errors have no common base except Exception
        raise BuildError(f"nncf: {type(error).__name__}: {' '.join(str(error).split())}") from error
    quantized = replace(model, graph=graph)
    before.check(quantized, tolerance=tolerance)
    if model.kind == DECODER:
        check_answers(model, quantized, None, context)
    context.log.update(weights=count_weight_types(graph))
    return quantized


def make_single_rows(model: OpenVinoModel, context: BuildContext, limit: int) -> list[Arrays]:
    """At most `limit` calibration rows, each text a batch, because padding would count as values.

    The texts of a pair stay together.
    """
    from slimgate.models.openvino_decoder import make_decoder_inputs
    from slimgate.models.openvino_model import DECODER
    from slimgate.steps.calibration import list_single_texts

    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), model.tokenizer)
    batches = list(list_single_texts(encoded, range(min(limit, len(encoded.lengths)))))
    if model.kind != DECODER:
        return batches
    texts = [batch["input_ids"] for batch in batches]
    return [make_decoder_inputs(ids, np.arange(ids.shape[1])) for ids in texts]


def find_output_layer(graph: openvino.Model) -> str | None:
    """The name of the product with weights that gives the logits; None if other operators give them."""
    node = graph.outputs[0].get_node().input_value(0).get_node()
    while node.get_type_name() in _AFTER_OUTPUT_LAYER:
        node = node.input_value(0).get_node()
    if node.get_type_name() == "MatMul" and _is_constant(node.input_value(1).get_node()):
        return str(node.get_friendly_name())
    return None


def list_embedding_lookups(graph: openvino.Model) -> list[str]:
    """The names of the operators that look up rows of a table."""
    return [
        str(node.get_friendly_name())
        for node in graph.get_ops()
        if node.get_type_name() == "Gather"
        and _is_constant(node.input_value(0).get_node())
        and len(node.input_value(0).get_partial_shape()) == 2
        and str(node.get_output_element_type(0).get_type_name()) in ("f32", "f16")
    ]


def _is_constant(node: openvino.Node) -> bool:
    """Whether a node is a Constant, or unpacks one: by conversions, scales, zero points and reshapes."""
    while node.get_type_name() in ("Convert", "Multiply", "Subtract", "Reshape"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
