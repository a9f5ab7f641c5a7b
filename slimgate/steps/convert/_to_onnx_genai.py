"""A model of ONNX Runtime GenAI, made in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slimgate._system.import_extra import import_extra
from slimgate._system.json_text import read_json
from slimgate._system.worker import run_worker
from slimgate.errors import BuildError
from slimgate.models.generate import can_write
from slimgate.models.onnx_genai_model import CONFIG, COUNTS, KIND, PACKAGE, OnnxGenaiModel
from slimgate.models.stock import save_plain
from slimgate.models.write_answers import end_tokens
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.convert import _to_onnx_genai_worker as worker

LIMIT_SECONDS = 24 * 3600.0


def convert(model: Any, options: Json, context: BuildContext) -> OnnxGenaiModel:
    """The converted model. options: of the step. Raises BuildError where the builder cannot hold it."""
    import_extra(PACKAGE, KIND, "to_onnx_genai")
    if not can_write(model.network):
        raise BuildError(
            f"{type(model.network).__name__} is no causal language model, which ONNX Runtime GenAI runs"
        )
    folder = context.scratch / "to_onnx_genai"
    folder.mkdir()
    save_plain(model, folder / worker.MODEL)
    (folder / worker.REQUEST).write_text(json.dumps(options), "utf-8")
    ended = run_worker(worker.__name__, folder, limit=LIMIT_SECONDS)
    if ended.code != 0:
        raise BuildError(f"ONNX Runtime GenAI cannot convert the model: {ended.message}")
    written = folder / worker.WRITTEN
    longest = _correct_config(written / CONFIG, model)
    context.log["longest_text"] = longest
    counts = model.measure_size()
    return OnnxGenaiModel(
        written,
        {name: counts[name] for name in COUNTS},
        options["precision"],
        model.tokenizer,
        model.config,
    )


def _correct_config(file: Path, model: Any) -> int:
    """Writes the end tokens of slimgate's answers, and the longest text that the graph computes rightly.

    The builder leaves out some end tokens of a configuration that names several. It reads from `layer_types`
    which blocks have a sliding window, and gives none to a model whose blocks all have it. Gives the longest
    text, in tokens.
    """
    content = read_json(file)
    content["model"]["eos_token_id"] = sorted(end_tokens(model.tokenizer, model.network))
    longest, window = content["model"]["context_length"], getattr(model.config, "sliding_window", None)
    if window and getattr(model.config, "layer_types", None) is None:
        longest = min(longest, window)
        content["model"]["context_length"] = content["search"]["max_length"] = longest
    file.write_text(json.dumps(content, indent=4), "utf-8")
    return int(longest)
