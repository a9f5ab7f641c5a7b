"""A GGUF file, made in a process of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from slimgate._system.worker import run_worker
from slimgate.errors import BuildError
from slimgate.models.gguf_encoder import write_encoder
from slimgate.models.llm_packages import require_package
from slimgate.models.sentence_encoder import SentenceEncoder
from slimgate.models.stock import save_plain
from slimgate.plugins.context import BuildContext
from slimgate.steps.convert import _to_gguf_worker as worker
from slimgate.steps.layers.float_layers import check_float_activations, quantized_layers, to_float_layer

LIMIT_SECONDS = 24 * 3600.0


def convert_apart(model: Any, kind: str, context: BuildContext) -> Path:
    """The folder with model.gguf, config.json and the tokenizer. kind: Q8_0, … Raises BuildError."""
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
