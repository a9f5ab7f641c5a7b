"""Writes the model as a GGUF file, which llama.cpp, and what is built on it, loads.

    { to_gguf = { type = "Q4_0" } }

| type             | bits of a weight | levels                                 |
|------------------|------------------|----------------------------------------|
| F32, F16, BF16   | 32, 16, 16       | floats                                 |
| Q8_0, Q5_0, Q4_0 | 8.5, 5.5, 4.5    | 32 weights share a scale               |
| Q5_1, Q4_1       | 6, 5             | 32 weights share a scale and a minimum |

Weights are rounded to the nearest level. The scale of Q4_0 has the least squared error, so that
it keeps the levels of { gptq = { bits = 4, group_size = 32 } } to the bit. Embeddings and the layer that
gives the logits have Q8_0 below 8 bits. Norms stay float32, and matrices whose rows 32 does not divide become
F16. Tensor names, metadata and vocabulary are those of llama.cpp's own converter, which the package
auto-round carries; it knows the causal language models of transformers that llama.cpp runs. It needs a
tokenizer that llama.cpp has too: SentencePiece, or byte-level BPE. Sentence encoders of BERT's kind, with
WordPiece, are written for llama.cpp's embeddings.
The artifact is a folder with the file, config.json and the tokenizer. slimgate judges it as transformers
loads it, which unpacks the weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from slimgate._system.worker import run_worker
from slimgate.errors import BuildError
from slimgate.models.llama_cpp_converter import check_tokenizer
from slimgate.models.llm_packages import require_package
from slimgate.models.stock import save_plain
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import predictor_of
from slimgate.steps.convert import _to_gguf_worker as worker

# How far rounding may move answers, in standard deviations of the scores, before something else is wrong.
TOLERANCE = {"F32": 0.01, "F16": 0.02, "BF16": 0.2, "Q8_0": 0.5}
LIMIT_SECONDS = 24 * 3600.0


class Params(Table):
    type: Literal["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"] = "Q8_0"
    """Format of the weights (see the table)."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers, in standard deviations of the scores; default: 0.01 with F32,
    0.02 with F16, 0.2 with BF16, 0.5 with Q8_0, else any change."""


class ToGguf(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "served"
    reads = ("calibration",)
    claims = ()
    packages = ("gguf", "auto-round")
    requires = ("transformers>=5.18",)  # reads the merges of such files

    def weight_format(self, params: Params) -> str:
        """Of every type."""
        return "gguf"

    def check_folder(self, params: Params, folder: Path) -> None:
        """llama.cpp reads the tokenizer, as far as its file says that."""
        check_tokenizer(folder)

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The folder's model. Raises BuildError where llama.cpp has no place for it; MissingExtra."""
        from slimgate.models.served import load_written
        from slimgate.steps.agreement import calibration_arrays, check_agreement, scores

        batches = calibration_arrays(model.tokenizer, context)
        before = scores(predictor_of(model, context), batches)
        folder = convert_apart(model, params.type, context)
        written = load_written(folder, model, model.measure_size(), context)
        after = scores(predictor_of(written, context), batches)
        tolerance = params.tolerance or TOLERANCE.get(params.type)
        check_agreement(before, after, batches, context, tolerance=tolerance)
        return written


step = ToGguf()


def convert_apart(model: Any, kind: str, context: BuildContext) -> Path:
    """The folder with model.gguf, config.json and the tokenizer. kind: Q8_0, … Raises BuildError."""
    from slimgate.models.gguf_encoder import write_encoder
    from slimgate.models.sentence_encoder import SentenceEncoder
    from slimgate.steps.layers.float_layers import check_float_activations, quantized_layers, to_float_layer

    for package in ("gguf", "auto_round", "sentencepiece"):
        require_package("to_gguf", package)
    folder = context.scratch / "to_gguf"
    folder.mkdir()
    for name, layer in quantized_layers(model.network).items():
        check_float_activations(name, layer)
        model.network.set_submodule(name, to_float_layer(layer))
    if isinstance(model.network, SentenceEncoder):
        (folder / worker.MODEL).mkdir()
        write_encoder(model, folder / worker.MODEL)
    else:
        save_plain(model, folder / worker.MODEL)
    (folder / worker.REQUEST).write_text(json.dumps({"type": kind}), "utf-8")
    ended = run_worker(worker.__name__, folder, limit=LIMIT_SECONDS)
    if ended.code != 0:
        raise BuildError(f"to_gguf failed: {ended.message}")
    answer = json.loads((folder / worker.ANSWER).read_text("utf-8"))
    if "error" in answer:
        raise BuildError(answer["error"])
    context.log.update(answer)
    written = folder / worker.WRITTEN
    for file in (folder / worker.MODEL).iterdir():
        if file.is_file() and ".safetensors" not in file.name and file.name != "modules.json":
            shutil.copyfile(file, written / file.name)
    return written
