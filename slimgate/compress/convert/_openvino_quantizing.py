"""What steps that quantize OpenVINO graphs share: rows for nncf, layers that are left out, what is logged.

made = quantized(model, context, lambda graph: nncf.quantize(graph, …), tolerance=2.0)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slimgate.compress.agreement import predictor_of
from slimgate.errors import BuildError, SlimgateError
from slimgate.protocols import Arrays, BuildContext

# Between a network's last layer and its answers nothing but these stands.
_CARRIES_ON = frozenset(
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


def quantized(model: Any, context: BuildContext, quantize: Callable[[Any], Any], *, tolerance: float) -> Any:
    """The OpenVinoModel of `quantize(graph)`, whose answers on calibration rows are held against the model's.

    Logs how many numbers of each type the weights are. Raises BuildError in one line where quantizing fails.
    """
    from slimgate._system.signals import signal_stack_kept
    from slimgate._system.silence import silent
    from slimgate.compress.agreement import calibration_arrays, check_agreement, scores
    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.models.openvino_weights import weight_types

    batches = calibration_arrays(model.tokenizer, context)
    before = scores(predictor_of(model, context), batches)
    try:
        with silent(), signal_stack_kept():
            graph = quantize(model.graph.clone())
    except SlimgateError:
        raise
    except Exception as error:  # nncf's errors have no base of their own beside Exception
        raise BuildError(f"nncf: {type(error).__name__}: {' '.join(str(error).split())}") from error
    made = OpenVinoModel(graph, model.tokenizer, model.config)
    after = scores(predictor_of(made, context), batches)
    check_agreement(before, after, batches, context, tolerance=tolerance)
    context.log.update(weights=weight_types(graph))
    return made


def single_rows(model: Any, context: BuildContext, most: int) -> list[Arrays]:
    """At most so many calibration rows, each a batch of its own: padding would be seen as values."""
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), model.tokenizer)
    return [encoded.batch([row]) for row in range(min(most, len(encoded.lengths)))]


def output_layer(graph: Any) -> str | None:
    """The name of the product with weights that gives the logits; None where other operators give them."""
    node = graph.outputs[0].get_node().input_value(0).get_node()
    while node.get_type_name() in _CARRIES_ON:
        node = node.input_value(0).get_node()
    if node.get_type_name() == "MatMul" and _constant(node.input_value(1).get_node()):
        return str(node.get_friendly_name())
    return None


def embedding_lookups(graph: Any) -> list[str]:
    """The names of the operators that look rows of a table up."""
    return [
        str(node.get_friendly_name())
        for node in graph.get_ops()
        if node.get_type_name() == "Gather"
        and _constant(node.input_value(0).get_node())
        and len(node.input_value(0).get_partial_shape()) == 2
        and str(node.get_output_element_type(0).get_type_name()) in ("f32", "f16")
    ]


def _constant(node: Any) -> bool:
    """Whether a node is a Constant, or one that is only stored in another type."""
    while node.get_type_name() in ("Convert", "Multiply", "Subtract", "Reshape"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
