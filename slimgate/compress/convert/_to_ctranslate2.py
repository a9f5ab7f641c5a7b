"""A model in CTranslate2's format, by its own converter, and whether it answers as before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slimgate._system.json_text import read_json
from slimgate._system.quiet import silent
from slimgate.compress.agreement import predictor_of
from slimgate.errors import BuildError
from slimgate.models.ctranslate2_model import COUNTS, FOLDER, CTranslate2Model, load_package
from slimgate.models.stock import save_plain
from slimgate.protocols import AnswerPlan, BuildContext

_BATCH = 32


def convert(model: Any, quantization: str, context: BuildContext) -> CTranslate2Model:
    """The converted model. Raises BuildError where no class of transformers holds it, or the task has no
    answers.
    """
    load_package("to_ctranslate2")
    if context.task.encode_prompts is None:
        raise BuildError("models of this task write no answers, as CTranslate2 does; expected text_to_text")
    from ctranslate2.converters import TransformersConverter

    plain, written = context.scratch / "plain", context.scratch / FOLDER
    save_plain(model, plain)
    _state_norms(plain / "config.json")
    converter = TransformersConverter(str(plain))
    try:
        with silent():
            converter.convert(str(written), quantization=None if quantization == "float32" else quantization)
    except Exception as error:  # its loaders read a model's parts, and raise anything where one is missing
        said = " ".join(str(error).split())
        raise BuildError(f"CTranslate2 cannot convert the model: {type(error).__name__}: {said}") from error
    _name_unknown_token(written / "config.json", model.tokenizer)
    counts = model.footprint()
    forced = getattr(model.network.generation_config, "forced_bos_token_id", None)
    return CTranslate2Model(
        written,
        {name: counts[name] for name in COUNTS},
        quantization,
        () if forced is None else (int(forced),),
        model.tokenizer,
        model.config,
    )


def _state_norms(file: Path) -> None:
    """The converter reads where BART's norms are; transformers' configuration does not say it any more."""
    config = read_json(file)
    if config["model_type"] == "bart":
        file.write_text(
            json.dumps({"normalize_before": False, "normalize_embedding": True, **config}), "utf-8"
        )


def _name_unknown_token(file: Path, tokenizer: Any) -> None:
    """CTranslate2 opens no model without an unknown token, which a tokenizer of bytes does not have.

    It is never read: texts come as tokens of the vocabulary. The padding token takes its name.
    """
    config = read_json(file)
    if config.get("unk_token") is None:
        config["unk_token"] = tokenizer.pad_token or tokenizer.eos_token
        file.write_text(json.dumps(config, indent=2), "utf-8")


def check_answers(model: Any, converted: Any, tolerance: float | None, context: BuildContext) -> None:
    """Logs the share of calibration answers that change. Raises BuildError for one above the tolerance."""
    task, options, rows = context.task, context.task_params, context.rows("calibration")
    options = options.model_copy(update={"temperature": 0.0, "repeats": 1})
    prompts = task.encode_prompts(options, rows, model.tokenizer)
    before, after = (
        task.answer(options, predictor_of(one, context), prompts, AnswerPlan(_BATCH))[:, 0]
        for one in (model, converted)
    )
    changed = sum(one.text != other.text for one, other in zip(before, after, strict=True))
    share = changed / len(before)
    context.log.update(agreement_rows=len(before), changed_answers=round(share, 4), tolerance=tolerance)
    if tolerance is not None and share > tolerance:
        raise BuildError(
            f"the converted model disagrees with the one it was made from: {changed} of {len(before)} "
            f"answers to calibration rows changed, expected a share of at most {tolerance:g}; give another "
            "`tolerance` if that is meant"
        )
