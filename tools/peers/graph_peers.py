"""Tools that read a network as a graph: onnxruntime and nncf, the latter by OpenVINO.

Each function takes the teacher. It returns the bytes of the files that its tool writes, and the scores.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from slimgate.models.predict import predict_scores
from slimgate.plugins.base import Arrays
from tools.peers.peer_case import INPUTS, Case, Result, Scores, count_bytes


class _CallPredictor:
    """A Predictor that calls a function of NumPy inputs."""

    def __init__(self, call: Callable[[dict[str, Any]], Scores]) -> None:
        self._call = call

    def prepare(self, batch: Arrays) -> dict[str, Any]:
        return {name: batch[name] for name in INPUTS}

    def forward(self, prepared: Any) -> Scores:
        return self._call(prepared)

    def fetch(self, output: Any) -> Scores:
        return np.asarray(output, dtype=np.float32)

    def close(self) -> None:
        """Does nothing, because nothing is open."""


class _Logits(nn.Module):
    """The network with two tensors as inputs and one as output, as converters require."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def measure_onnxruntime_dynamic(case: Case) -> Result:
    """onnxruntime.quantization.quantize_dynamic, QInt8, on the graph that torch.onnx exports."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, small = case.folder / "plain.onnx", case.folder / "int8.onnx"
    _export_onnx(case, plain)
    graph = onnx.load(str(plain))
    del graph.graph.value_info[:]  # onnxruntime 1.31 fails on the dynamo exporter's shapes
    onnx.save(graph, str(plain))
    quantize_dynamic(str(plain), str(small), weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.context.threads
    session = onnxruntime.InferenceSession(str(small), options, providers=["CPUExecutionProvider"])
    scores = predict_scores(_CallPredictor(lambda x: session.run(None, x)[0]), case.encoded, batch_size=32)
    return Result(small.stat().st_size, scores)


def measure_nncf_weights(case: Case, *, mode: str, **options: Any) -> Result:
    """nncf.compress_weights on the OpenVINO model."""
    import nncf

    with _hide_log_lines("nncf"):
        model = nncf.compress_weights(
            _convert_to_openvino(case), mode=getattr(nncf.CompressWeightsMode, mode), **options
        )
    return _measure_openvino(case, model)


def measure_nncf_int8(case: Case, *, max_drop: float | None = None) -> Result:
    """nncf.quantize, or with max_drop (a fraction) quantize_with_accuracy_control on `selection` rows."""
    import nncf

    data = nncf.Dataset([{name: batch[name].numpy() for name in INPUTS} for batch in case.batches])
    with _hide_log_lines("nncf"):
        if max_drop is None:
            model = nncf.quantize(_convert_to_openvino(case), data, model_type=nncf.ModelType.TRANSFORMER)
        else:
            rows, validate = _make_validation(case)
            model = nncf.quantize_with_accuracy_control(
                _convert_to_openvino(case),
                data,
                nncf.Dataset(rows),
                validate,
                max_drop=max_drop,
                model_type=nncf.ModelType.TRANSFORMER,
            )
    return _measure_openvino(case, model)


def _export_onnx(case: Case, file: Path) -> None:
    wide = [batch for batch in case.batches if batch["input_ids"].shape[1] > 4][-2:]
    width = min(batch["input_ids"].shape[1] for batch in wide)
    example = tuple(torch.cat([batch[name][:, :width] for batch in wide]) for name in INPUTS)
    axes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    with _hide_log_lines("torch.onnx", "onnxscript"):
        torch.onnx.export(
            _Logits(case.model.network).eval(),
            example,
            str(file),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _convert_to_openvino(case: Case) -> Any:
    import openvino

    example = {name: case.batches[-1][name] for name in INPUTS}
    return openvino.convert_model(_Logits(case.model.network).eval(), example_input=example)


def _measure_openvino(case: Case, model: Any) -> Result:
    import openvino

    openvino.save_model(model, case.folder / "model.xml", compress_to_fp16=False)
    scores = predict_scores(_CallPredictor(_compile(case, model)), case.encoded, batch_size=32)
    return Result(count_bytes(case.folder), scores)


def _compile(case: Case, model: Any) -> Callable[[dict[str, Any]], Scores]:
    import openvino

    # on CPUs with bfloat16 that is the default, and would change the saved model
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": case.context.threads}
    compiled = openvino.compile_model(model, "CPU", settings)
    return lambda inputs: np.asarray(compiled(inputs)[0])


def _make_validation(
    case: Case,
) -> tuple[list[dict[str, Any]], Callable[[Any, Any], tuple[float, list[float]]]]:
    """The rows of `selection`, and a function that computes the accuracy of a compiled model on such rows."""
    context, rows = case.context, case.context.rows("selection")
    task: Any = context.task
    encoded = task.encode_rows(context.task_params, rows, case.model.tokenizer)
    labels = task.label_indices(context.task_params, rows, context.facts)
    items = [{**encoded.batch([i]), "label": labels[i]} for i in range(min(len(rows), 500))]

    def validate(compiled: Any, data: Any) -> tuple[float, list[float]]:
        right = [
            float(np.asarray(compiled({name: item[name] for name in INPUTS})[0]).argmax() == item["label"])
            for item in data
        ]
        return float(np.mean(right)), right

    return items, validate


@contextmanager
def _hide_log_lines(*names: str) -> Iterator[None]:
    """Hides the log lines of these loggers, and moves progress bars to stderr: stdout is the report."""
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
