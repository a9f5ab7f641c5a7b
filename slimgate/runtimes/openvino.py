"""OpenVINO: runs artifacts that are OpenVINO graphs, on the CPU.

    runtime = { name = "openvino", inference_precision = "bf16", static_shapes = true }

On CPUs with bfloat16, OpenVINO computes in bfloat16 by default. So this runtime always sets
inference_precision. With static_shapes, it keeps the compiled graphs of the latest shapes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.errors import BuildError, to_one_line
from slimgate.models.openvino_model import KIND, MODEL, WEIGHTS
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime

if TYPE_CHECKING:
    import openvino as ov

    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.models.torch_model import TorchModel

MAX_SHAPES = 8
Shape = tuple[tuple[int, ...], ...]


class Params(Table):
    inference_precision: Literal["f32", "bf16", "f16"] = "f32"
    """Format in which floating-point operators compute; integer operators stay as they are."""
    performance_hint: Literal["LATENCY", "THROUGHPUT"] = "LATENCY"
    """What OpenVINO optimizes: the time of a call ("LATENCY"), or the number of calls per second
    ("THROUGHPUT")."""
    scheduling: Literal["ANY_CORE", "PCORE_ONLY", "ECORE_ONLY"] = "ANY_CORE"
    """Kind of CPU cores to use: any cores, performance cores ("PCORE_ONLY") or efficient cores
    ("ECORE_ONLY")."""
    cpu_pinning: bool = False
    """Bind each thread to a core."""
    hyper_threading: bool | None = None
    """true: use two threads on a core; default: only if there are more threads than cores."""
    static_shapes: bool = False
    """Compile the graph for the shape of each batch: calls are faster, but each new shape needs a
    compilation."""
    dynamic_quantization_group_size: int | None = Field(default=None, ge=0)
    """Number of activations that share a scale before compressed weights; 0: activations stay in float;
    default: OpenVINO's default."""
    execution_mode: Literal["PERFORMANCE", "ACCURACY"] = "PERFORMANCE"
    """OpenVINO's execution mode; "ACCURACY" avoids optimizations that change the answers."""


@dataclass
class Prepared:
    """Inputs in the graph's order. arrays: the tensors' memory. owner: the predictor of their shape."""

    owner: RequestPredictor
    tensors: list[Any]
    arrays: list[npt.NDArray[Any]]


class RequestPredictor:
    """A Predictor that runs a request of a compiled graph. It sets the request's inputs when they change.

    The request owns the output of `forward`, so read the output before the next call.
    """

    def __init__(self, request: ov.InferRequest) -> None:
        inputs = request.get_compiled_model().inputs
        self._request: Any = request
        self._inputs = {node.any_name: np.dtype(node.element_type.to_dtype()) for node in inputs}
        self._bound: Prepared | None = None

    def prepare(self, batch: Arrays) -> Prepared:
        """The inputs of the graph. An array is copied only if its type or layout differs.

        Raises BuildError if the batch lacks an input.
        """
        from openvino import Tensor

        _check_inputs(self._inputs, batch)
        arrays = [np.ascontiguousarray(batch[name], dtype=kind) for name, kind in self._inputs.items()]
        prepared = Prepared(self, [Tensor(values, shared_memory=True) for values in arrays], arrays)
        self._bind(prepared)
        return prepared

    def _bind(self, prepared: Prepared) -> None:
        for number, tensor in enumerate(prepared.tensors):
            self._request.set_input_tensor(number, tensor)
        self._bound = prepared

    def forward(self, prepared: Prepared) -> object:
        """Calls the graph, and waits for the end. OpenVINO's `infer` is slower: it makes dicts of outputs."""
        if self._bound is not prepared:
            self._bind(prepared)
        self._request.start_async()
        self._request.wait()
        return self._request

    def fetch(self, output: ov.InferRequest) -> npt.NDArray[np.float32]:
        """The scores of the last call, float32, copied."""
        return np.array(output.get_output_tensor(0).data, dtype=np.float32)

    def close(self) -> None:
        """Drops the request, and the graph with it."""
        self._request = self._bound = None


class StaticPredictor:
    """Compiles a graph for each shape of a batch, and keeps the graphs of the latest shapes."""

    def __init__(self, graph: ov.Model, compile_graph: Callable[[ov.Model], RequestPredictor]) -> None:
        self._graph, self._compile_graph = graph, compile_graph
        self._names = [node.any_name for node in graph.inputs]
        self._predictors: OrderedDict[Shape, RequestPredictor] = OrderedDict()

    def prepare(self, batch: Arrays) -> Prepared:
        """The inputs of the graph for their shape. Compiles the graph first if the shape is new."""
        _check_inputs(self._names, batch)
        shape = tuple(batch[name].shape for name in self._names)
        if shape not in self._predictors:
            graph = self._graph.clone()
            graph.reshape(dict(zip(self._names, map(list, shape), strict=True)))
            self._predictors[shape] = self._compile_graph(graph)
        self._predictors.move_to_end(shape)
        if len(self._predictors) > MAX_SHAPES:
            self._predictors.popitem(last=False)
        return self._predictors[shape].prepare(batch)

    def forward(self, prepared: Prepared) -> object:
        """Calls the graph for the shape of the inputs."""
        return prepared.owner.forward(prepared)

    def fetch(self, output: ov.InferRequest) -> npt.NDArray[np.float32]:
        """The scores of the last call, float32, copied."""
        return np.array(output.get_output_tensor(0).data, dtype=np.float32)

    def close(self) -> None:
        """Drops all graphs."""
        self._predictors.clear()
        self._graph = None


def _check_inputs(names: Iterable[str], batch: Arrays) -> None:
    if missing := [name for name in names if name not in batch]:
        raise BuildError(f"the graph reads {missing[0]}, but a batch has only {', '.join(batch)}")


def _format_compile_code(params: Params) -> str:
    """Two lines of Python that open a graph, with the options that change the answers."""
    properties = json.dumps(make_answer_properties(params))
    return f'settings = {properties}\nmodel = openvino.compile_model("model.xml", "CPU", settings)'


class OpenVino(Runtime[Params]):
    kinds = frozenset({KIND})
    obeys_onednn = True
    default_for = kinds
    packages = ("openvino",)
    form = Form(
        name=KIND,
        package="openvino",
        imports="import openvino\n",
        load=_format_compile_code,
        options=("inference_precision", "dynamic_quantization_group_size", "execution_mode"),
        predict="{batch}\nscores = model({i.any_name: batch[i.any_name] for i in model.inputs})[0]",
        files=(MODEL, WEIGHTS),
        takes=frozenset({"torch"}),
        needs=("openvino",),
    )

    def load(
        self, folder: Path, params: Params, *, device: str, threads: int
    ) -> RequestPredictor | StaticPredictor:
        """The artifact's graph, on `threads` threads. Raises MissingExtra without openvino."""
        from slimgate.models.openvino_model import read_graph

        return make_predictor(read_graph(folder, mapped=True), params, device=device, threads=threads)

    def open_model(self, model: OpenVinoModel, context: BuildContext) -> RequestPredictor | StaticPredictor:
        """A predictor for an OpenVinoModel that a step has made."""
        return make_predictor(model.graph, Params(), device=context.device, threads=context.threads)

    def load_model(self, folder: Path, device: str) -> OpenVinoModel:
        """The OpenVinoModel of a folder. Raises MissingExtra without openvino."""
        from slimgate.models.openvino_model import load_openvino_model

        return load_openvino_model(folder)

    def export(self, model: TorchModel, batches: tuple[Arrays, Arrays], folder: Path) -> OpenVinoModel:
        """Converts a TorchModel to an OpenVinoModel, and saves it in the folder."""
        from slimgate.models.openvino_export import export_openvino
        from slimgate.models.openvino_model import OpenVinoModel

        graph = export_openvino(model.network, batches[0], attention="eager")
        exported = OpenVinoModel(graph, model.tokenizer, model.config)
        exported.save(folder)
        return exported


runtime = OpenVino()


def make_predictor(
    graph: ov.Model, params: Params, *, device: str, threads: int
) -> RequestPredictor | StaticPredictor:
    """A Predictor for an openvino.Model. Raises BuildError if the device is not the CPU."""
    properties = make_properties(params, threads=threads)

    def open_request(shaped: ov.Model) -> RequestPredictor:
        return RequestPredictor(compile_graph(shaped, properties, device=device).create_infer_request())

    return StaticPredictor(graph, open_request) if params.static_shapes else open_request(graph)


def compile_graph(graph: ov.Model, properties: Mapping[str, object], *, device: str) -> ov.CompiledModel:
    """Compiles a graph. Raises BuildError if the device is not the CPU, or if OpenVINO fails."""
    from slimgate.models.openvino_model import make_compiling_core

    if device.partition(":")[0] != "cpu":
        raise BuildError(f"OpenVINO runs on the CPU, not on {device}; choose --slimgate-device cpu")
    try:
        return make_compiling_core().compile_model(graph, "CPU", properties)
    except RuntimeError as error:
        message = to_one_line(error)
        raise BuildError(f"OpenVINO cannot compile the graph: {message}") from error


def make_properties(params: Params, *, threads: int) -> dict[str, Any]:
    """All properties for OpenVINO. By default, it uses hyper-threads if there are more threads than cores."""
    import psutil

    hyper_threads = params.hyper_threading
    if hyper_threads is None:
        hyper_threads = threads > (psutil.cpu_count(logical=False) or threads)
    return {
        **make_answer_properties(params),
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": params.performance_hint,
        "SCHEDULING_CORE_TYPE": params.scheduling,
        "ENABLE_CPU_PINNING": params.cpu_pinning,
        "ENABLE_HYPER_THREADING": hyper_threads,
    }


def make_answer_properties(params: Params) -> dict[str, Any]:
    """OpenVINO's properties that change the answers."""
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": params.inference_precision,
        "EXECUTION_MODE_HINT": params.execution_mode,
    }
    if params.dynamic_quantization_group_size is not None:
        properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = params.dynamic_quantization_group_size
    return properties
