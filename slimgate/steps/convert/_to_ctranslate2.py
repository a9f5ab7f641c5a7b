"""Converts a model to CTranslate2's format with its own converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate._system.json_text import read_json
from slimgate._system.quiet import silent
from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError, format_error
from slimgate.models.config import count_blocks, count_decoder_blocks, read_max_positions
from slimgate.models.ctranslate2_model import CONFIG, COUNTS, FOLDER, KIND, AnswerSettings, CTranslate2Model
from slimgate.models.generate import can_write
from slimgate.models.served import save_plain
from slimgate.models.special_tokens import list_end_tokens
from slimgate.models.write_answers import is_encoder_decoder
from slimgate.models.write_by_length import check_length
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.agreement import make_calibration_batches

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.torch_model import TorchModel

_SPECIAL_TOKENS = ("unk_token", "bos_token", "eos_token")


def convert(model: TorchModel, quantization: str, context: BuildContext) -> CTranslate2Model:
    """Converts the model. Raises BuildError if it writes no text, or if CTranslate2 cannot convert it."""
    converters = import_extra("ctranslate2.converters", KIND, "to_ctranslate2")
    _check_can_write(model.network, context)
    answers = _find_answer_facts(model)
    if answers.decoder:
        # before the conversion, which takes long
        for batch in make_calibration_batches(model.tokenizer, context):
            check_length(batch["input_ids"].shape[1], 0, answers.longest, answers.limit)
    plain, written = context.scratch / "plain", context.scratch / FOLDER
    save_plain(model, plain)
    _add_norm_settings(plain / CONFIG)
    try:
        with silent():
            converters.TransformersConverter(str(plain)).convert(str(written), quantization=quantization)
    except Exception as error:  # if a part of the model is missing, any error may come
        raise BuildError(f"CTranslate2 cannot convert the model: {format_error(error)}") from error
    _complete_config(written / CONFIG, model)
    counts = model.measure_size()
    if answers.decoder:
        context.log["longest_text"] = answers.longest
    return CTranslate2Model(
        written,
        {name: counts[name] for name in COUNTS},
        quantization,
        answers,
        model.tokenizer,
        model.config,
    )


def _check_can_write(network: nn.Module, context: BuildContext) -> None:
    if is_encoder_decoder(network):
        if context.task.encode_prompts is None:
            raise BuildError(
                "CTranslate2 writes answers, but models of this task do not; expected the task text_to_text"
            )
    elif not can_write(network):
        raise BuildError(f"{type(network).__name__} is not a causal language model, which CTranslate2 runs")


def _add_norm_settings(file: Path) -> None:
    """Adds the positions of BART's norms to config.json, for the converter. transformers omits them."""
    config = read_json(file)
    if config["model_type"] == "bart":
        file.write_text(
            json.dumps({"normalize_before": False, "normalize_embedding": True, **config}), "utf-8"
        )


def _complete_config(file: Path, model: TorchModel) -> None:
    """Adds entries to config.json that CTranslate2 reads and that its converter leaves out.

    CTranslate2 opens only models with special tokens, which a tokenizer of bytes does not have. It never uses
    them here: texts come as tokens of the vocabulary, and each call names its end tokens. So the padding
    token takes their place. The converter also leaves out the epsilon of GPT-2's norms.
    """
    config, tokenizer = read_json(file), model.tokenizer
    placeholder = tokenizer.pad_token or tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    config |= {name: placeholder for name in _SPECIAL_TOKENS if not config.get(name)}
    if config.get("layer_norm_epsilon") is None and hasattr(model.config, "layer_norm_epsilon"):
        config["layer_norm_epsilon"] = model.config.layer_norm_epsilon
    file.write_text(json.dumps(config, indent=2), "utf-8")


def _find_answer_facts(model: TorchModel) -> AnswerSettings:
    network, config = model.network, model.config.to_dict()
    if is_encoder_decoder(network):
        forced = getattr(network.generation_config, "forced_bos_token_id", None)
        width = config["num_heads"] * config["d_kv"] if "d_kv" in config else config["d_model"]
        numbers = 2 * (count_decoder_blocks(config) or 0) * width
        return AnswerSettings(False, numbers, forced=() if forced is None else (int(forced),))
    heads = model.config.num_attention_heads  # CTranslate2 stores shared keys and values once for each head
    size = getattr(model.config, "head_dim", None) or model.config.hidden_size // heads
    longest, by_window = _find_longest_text(config)
    return AnswerSettings(
        True,
        2 * (count_blocks(config) or 0) * heads * size,
        ends=tuple(sorted(list_end_tokens(model.tokenizer, network))),
        longest=longest,
        by_window=by_window,
    )


def _find_longest_text(config: Json) -> tuple[int | None, bool]:
    """The longest text in tokens, and whether a sliding window limits it. Longer texts give wrong answers."""
    positions, window = read_max_positions(config), config.get("sliding_window")
    if "sliding_attention" not in (config.get("layer_types") or ("sliding_attention",)):
        window = None
    if window and (positions is None or window < positions):
        return int(window), True
    return positions, False
