"""ONNX Runtime: runs artifacts that are ONNX graphs.

    runtime = { name = "onnxruntime", graph_optimization = "all", spinning = true }

ONNX Runtime fuses layer norms with the sum before them. On a CPU, at 25 tokens, the fused operator took six
times as long as the two operators, so the default of left_out disables this fusion. Threads never spin
between calls, because another model may run on the same cores then.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError, to_one_line
from slimgate.models.onnx_model import DATA, KIND, MODEL
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import Macs
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding

    from slimgate.models.onnx_model import OnnxModel
    from slimgate.models.torch_model import TorchModel

OPSET = 20
LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "disabled": "ORT_DISABLE_ALL",
}
TYPES: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}
ERRORS_ONLY = 3
SLOW_FUSION = "SkipLayerNormFusion"


class Params(Table):
    graph_optimization: Literal["all", "extended", "basic", "disabled"] = "all"
    """Level of ONNX Runtime's graph optimizations while a graph loads."""
    left_out: tuple[str, ...] = (SLOW_FUSION,)
    """Names of graph optimizations to leave out at every level of graph_optimization."""
    spinning: bool = True
    """Let threads spin while they wait for the next operator of a call, which is faster."""


class OnnxPredictor:
    """A Predictor for a session. `prepare` binds the inputs of a batch once."""

    def __init__(self, session: InferenceSession, device: str) -> None:
        self._session: Any = session
        self._device = device.partition(":")[0]
        self._inputs = {node.name: TYPES[node.type] for node in session.get_inputs()}
        self._output = session.get_outputs()[0].name

    def prepare(self, batch: Arrays) -> object:
        """The inputs of the graph, bound to the session. Raises BuildError if the batch lacks one."""
        from onnxruntime import OrtValue

        if missing := [name for name in self._inputs if name not in batch]:
            raise BuildError(f"the graph reads {missing[0]}, but a batch has only {', '.join(batch)}")
        binding = self._session.io_binding()
        for name, kind in self._inputs.items():
            values = np.ascontiguousarray(batch[name], dtype=kind)
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(values, self._device, 0))
        binding.bind_output(self._output, self._device)
        return binding

    def forward(self, prepared: IOBinding) -> object:
        """One call; on a GPU, finished when it returns."""
        self._session.run_with_iobinding(prepared)
        return prepared

    def fetch(self, output: IOBinding) -> npt.NDArray[np.float32]:
        """The scores of the last call on what was prepared, as float32 on the host."""
        return np.array(output.copy_outputs_to_cpu()[0], dtype=np.float32)

    def close(self) -> None:
        """Drops the session."""
        self._session = None


def _format_session_code(params: Params) -> str:
    """The lines that open a graph with the options that change the answers."""
    lines, argument = "", ""
    if params.graph_optimization != "all":
        level = LEVELS[params.graph_optimization]
        lines = (
            "options = onnxruntime.SessionOptions()\n"
            f"options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}\n"
        )
        argument = "options, "
    return (
        f"{lines}session = onnxruntime.InferenceSession(\n"
        f'    "{MODEL}", {argument}providers=["CPUExecutionProvider"],\n'
        f"    disabled_optimizers={json.dumps(params.left_out)},\n"
        ")"
    )


class OnnxRuntime(Runtime[Params]):
    kinds = frozenset({KIND})
    default_for = kinds
    packages = ("onnxruntime",)
    counts_macs = True
    form = Form(
        name=KIND,
        package="onnxruntime",
        imports="import onnxruntime\n",
        load=_format_session_code,
        options=("graph_optimization", "left_out"),
        predict="{batch}\n"
        # the type of an input is such as "tensor(int32)"
        "given = {i.name: batch[i.name].astype(i.type[7:-1]) for i in session.get_inputs()}\n"
        "scores = session.run(None, given)[0]",
        files=(MODEL, DATA),
        optional=frozenset({DATA}),
        takes=frozenset({"torch", "torch_quantized"}),
        needs=("onnx", "onnxscript", "onnxruntime"),
    )

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> OnnxPredictor:
        """The artifact's graph, on `threads` threads. Raises MissingExtra without onnxruntime."""
        return OnnxPredictor(open_session(folder / MODEL, params, device=device, threads=threads), device)

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """Counts the multiply-adds of one call, from ONNX Runtime's profile of the graph."""
        from slimgate.models.onnx_macs import count_macs

        with tempfile.TemporaryDirectory() as scratch:
            return count_macs(profile_call(folder / MODEL, batch, device=device, scratch=Path(scratch)))

    def open_model(self, model: OnnxModel, context: BuildContext) -> OnnxPredictor:
        """The graph of an OnnxModel that a step has made."""
        graph = model.find_session_input(context.scratch / "predicted")
        session = open_session(graph, Params(), device=context.device, threads=context.threads)
        return OnnxPredictor(session, context.device)

    def load_model(self, folder: Path, device: str) -> OnnxModel:
        """The OnnxModel of a folder. Raises MissingExtra without onnx."""
        from slimgate.models.onnx_model import load_onnx_model

        import_extra("onnx", "onnx", f"an artifact of kind {KIND}")
        return load_onnx_model(folder)

    def export(self, model: TorchModel, batches: tuple[Arrays, Arrays], folder: Path) -> OnnxModel:
        """A TorchModel as an OnnxModel, saved in the folder."""
        from slimgate.models.onnx_export import export_onnx
        from slimgate.models.onnx_model import OnnxModel

        exported = OnnxModel(export_onnx(model.network, batches, opset=OPSET), model.tokenizer, model.config)
        exported.save(folder)
        return exported


runtime = OnnxRuntime()


def open_session(graph: Path | bytes, params: Params, *, device: str, threads: int) -> Any:
    """A session for the file or bytes of a graph. Raises BuildError if the device or graph is wrong."""
    onnxruntime = import_extra("onnxruntime", "onnx", "runtime onnxruntime")
    providers = _choose_providers(device, onnxruntime.get_available_providers())
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(
            source,
            make_session_options(params, threads=threads),
            providers=providers,
            disabled_optimizers=list(params.left_out),
        )
    except Exception as error:  # its exceptions have no common base except Exception
        message = to_one_line(error)
        raise BuildError(f"ONNX Runtime cannot load the graph: {message}") from error


def profile_call(graph: Path, batch: Arrays, *, device: str, scratch: Path) -> list[dict[str, Any]]:
    """The events of ONNX Runtime's profile of one call, without changes to the graph.

    Weights are not prepacked, because a prepacked weight has no shape in the profile.
    """
    import onnxruntime

    session_options = make_session_options(Params(graph_optimization="disabled"), threads=1)
    session_options.add_session_config_entry("session.disable_prepacking", "1")
    session_options.enable_profiling, session_options.profile_file_prefix = True, str(scratch / "profile")
    providers = _choose_providers(device, onnxruntime.get_available_providers())
    session = onnxruntime.InferenceSession(str(graph), session_options, providers=providers)
    predictor = OnnxPredictor(session, device)
    predictor.forward(predictor.prepare(batch))
    events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return events


def make_session_options(params: Params, *, threads: int) -> Any:
    """SessionOptions: operators one after another, each on `threads` threads."""
    import onnxruntime

    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads, session_options.inter_op_num_threads = threads, 1
    session_options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    level = LEVELS[params.graph_optimization]
    session_options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session_options.log_severity_level = ERRORS_ONLY
    session_options.add_session_config_entry("session.intra_op.allow_spinning", str(int(params.spinning)))
    session_options.add_session_config_entry("session.force_spinning_stop", "1")
    return session_options


def _choose_providers(device: str, available: list[str]) -> list[Any]:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or "CUDAExecutionProvider" not in available:
        raise BuildError(
            f"this onnxruntime does not run on {device}, it has {', '.join(available)}; for a GPU of NVIDIA "
            "install onnxruntime-gpu"
        )
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]
