"""A model of ONNX Runtime GenAI, made in a process of its own, and whether it answers as before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slimgate._system.json_text import read_json
from slimgate._system.worker import run_worker
from slimgate.compress.agreement import calibration_arrays, check_agreement, predictor_of, scores
from slimgate.compress.convert import _to_onnx_genai_worker as worker
from slimgate.errors import BuildError
from slimgate.models.generate import can_write
from slimgate.models.onnx_genai_model import CONFIG, COUNTS, OnnxGenaiModel, load_package
from slimgate.models.stock import save_plain
from slimgate.models.write_answers import end_tokens
from slimgate.protocols import AnswerPlan, BuildContext, Json

LIMIT_SECONDS = 24 * 3600.0
_BATCH = 32
_END = "the end"


def convert(model: Any, options: Json, context: BuildContext) -> OnnxGenaiModel:
    """The converted model. options: of the step. Raises BuildError where the builder cannot hold it."""
    load_package("to_onnx_genai")
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
    counts = model.footprint()
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


def check_scores(model: Any, converted: Any, tolerance: float | None, context: BuildContext) -> None:
    """Logs how far scores of calibration rows lie apart. Raises BuildError above the tolerance."""
    batches = calibration_arrays(model.tokenizer, context)
    before, after = (scores(predictor_of(one, context), batches) for one in (model, converted))
    check_agreement(before, after, batches, context, tolerance=tolerance)


@dataclass(frozen=True)
class Divergence:
    """The first token at which an answer leaves the expected one. place: 0 is the first new token.

    written, expected: tokens of the vocabulary, None for the end; gap: how much higher the expected one
    scores, in standard deviations of the scores there.
    """

    row: str
    place: int
    written: int | None
    expected: int | None
    gap: float


def check_answers(model: Any, converted: Any, tolerance: float | None, context: BuildContext) -> None:
    """Compares the greedy answers to the calibration rows of a task that writes.

    Logs the share that changes, and the first divergent token. Raises BuildError where that token's score
    lies further than the tolerance under the expected one's: then it is no rounding of a near tie.
    """
    task, rows = context.task, context.rows("calibration")
    if getattr(task, "encode_prompts", None) is None:
        return
    options = context.task_params.model_copy(update={"temperature": 0.0, "repeats": 1, "stop": ()})
    prompts = task.encode_prompts(options, rows, model.tokenizer)
    expected, written = (
        [
            one.ids
            for one in task.answer(options, predictor_of(each, context), prompts, AnswerPlan(_BATCH))[:, 0]
        ]
        for each in (model, converted)
    )
    found = [
        _find_divergence(model, rows.ids[row], prompts.columns["input_ids"][row], expected[row], written[row])
        for row in range(len(rows))
        if expected[row] != written[row]
    ]
    context.log["changed_answers"] = round(len(found) / len(rows), 4)
    if not found:
        return
    first, worst = found[0], max(found, key=lambda one: one.gap)
    context.log["first_divergence"] = {
        "row": first.row,
        "token": first.place + 1,
        "written": _format_token(model.tokenizer, first.written),
        "expected": _format_token(model.tokenizer, first.expected),
        "gap": round(first.gap, 4),
    }
    if tolerance is not None and worst.gap > tolerance:
        raise BuildError(
            "the converted model writes another answer than the one it was made from: token "
            f"{worst.place + 1} of calibration row {worst.row} is "
            f"{_format_token(model.tokenizer, worst.written)}, expected "
            f"{_format_token(model.tokenizer, worst.expected)}, whose score is higher by {worst.gap:.3g} of "
            f"their standard deviation; expected at most {tolerance:g}. Give another `tolerance` if that is "
            "meant"
        )


@torch.inference_mode()
def _find_divergence(
    model: Any, row: str, prompt: Sequence[int], expected: Sequence[int], written: Sequence[int]
) -> Divergence:
    """Where two answers part that are not equal, by the scores of the model before the step."""
    pairs = enumerate(zip(expected, written, strict=False))
    place = next((i for i, (one, other) in pairs if one != other), min(len(expected), len(written)))
    wanted, own = (one[place] if place < len(one) else None for one in (expected, written))
    text = torch.tensor([[*prompt, *expected[:place]]], device=next(model.network.parameters()).device)
    logits = model.network(input_ids=text).logits[0, -1].float()
    ends = sorted(end_tokens(model.tokenizer, model.network))
    high, low = (float(logits[ends].max() if one is None else logits[one]) for one in (wanted, own))
    return Divergence(row, place, own, wanted, (high - low) / float(logits.std()))


def _format_token(tokenizer: Any, token: int | None) -> str:
    return _END if token is None else f"{token} ({tokenizer.decode([token])!r})"
