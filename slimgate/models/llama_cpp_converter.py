"""llama.cpp's converter, from the copy in the package auto-round. Only a worker process loads it.

    convert = load_converter()
    convert.get_model_class("LlamaForCausalLM")(folder, file_type, file, eager=True).write()

It knows the tensor names, the metadata and the tokenizers of some hundred architectures. The environment
variable LLAMA_CPP_ROOT can name a checkout of llama.cpp to use instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, SuiteError
from slimgate.models.llama_cpp_names import read_tokenizers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from slimgate.plugins.base import Json

GPT2 = "gpt-2"


def load_converter() -> Any:
    """Loads the package `conversion`. The export of auto-round then uses this one too."""
    from auto_round.export.export_to_gguf.llama_cpp_conversion import get_conversion

    module: Any = get_conversion().module
    _accept_trained_tokenizers_(module)
    return module


def _accept_trained_tokenizers_(module: ModuleType) -> None:
    """Makes the converter accept tokenizers that users have trained.

    The converter looks up how a tokenizer splits words by a digest of its output, and knows the digests of
    released tokenizers only. The conversion raises BuildError if llama.cpp cannot split words in that way.
    """
    name_released = module.TextModel.get_vocab_base_pre

    def name_or_derive(self: object, tokenizer: PreTrainedTokenizerFast) -> str:
        try:
            return str(name_released(self, tokenizer))
        except NotImplementedError:
            return name_pre_tokenizer(json.loads(tokenizer.backend_tokenizer.to_str()))

    module.TextModel.get_vocab_base_pre = name_or_derive


def check_tokenizer(folder: Path) -> None:
    """Raises SuiteError for a tokenizer.json that llama.cpp cannot read, whatever the model is.

    A byte-level BPE that does not split words as GPT-2 does must be that of a released model. Without the
    converter this cannot be checked, and every byte-level BPE is accepted.
    """
    file = folder / "tokenizer.json"
    if (folder / "tokenizer.model").is_file() or not file.is_file():
        return
    try:
        tokenizer = json.loads(file.read_bytes())
        model = tokenizer["model"]
    except (ValueError, TypeError, KeyError):  # not a tokenizer: loading it raises a better error
        return
    is_byte_level = "ByteLevel" in json.dumps(tokenizer.get("pre_tokenizer")) or model.get("byte_fallback")
    if model.get("type") == "WordLevel" or (model.get("type") == "BPE" and not is_byte_level):
        raise SuiteError(_describe_refusal(tokenizer))
    if model.get("type") == "BPE" and not _is_split_as_gpt2(tokenizer) and not _may_be_released(folder):
        raise SuiteError(_describe_refusal(tokenizer))


def _may_be_released(folder: Path) -> bool:
    """Whether the converter may know the tokenizer of a folder; True if that cannot be decided."""
    known = read_tokenizers()
    if known is None:
        return True
    from transformers import AutoTokenizer

    try:
        tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False).encode(
            known.text
        )
    except (OSError, ValueError):  # no loadable tokenizer: loading the model raises a better error
        return True
    return known.has(list(tokens))


def _describe_refusal(tokenizer: Json) -> str:
    kind, pre_tokenizer = tokenizer["model"].get("type"), tokenizer.get("pre_tokenizer") or {}
    return (
        f"llama.cpp cannot read this tokenizer ({kind} with the pre-tokenizer {pre_tokenizer.get('type')}), "
        "expected SentencePiece, WordPiece, byte-level BPE, or one of a released model"
    )


def name_pre_tokenizer(tokenizer: Json) -> str:
    """llama.cpp's name for the pre-tokenizer of a tokenizer.json. Raises BuildError if it has none.

    It knows byte-level BPE with the pattern of GPT-2, and WordPiece, which splits words itself.
    """
    kind = tokenizer["model"].get("type")
    if kind == "WordPiece":
        return "default"
    if kind == "BPE" and _is_split_as_gpt2(tokenizer):
        return GPT2
    raise BuildError(_describe_refusal(tokenizer))


def _is_split_as_gpt2(tokenizer: Json) -> bool:
    pre_tokenizer = tokenizer.get("pre_tokenizer") or {}
    return bool(
        pre_tokenizer.get("type") == "ByteLevel"
        and pre_tokenizer.get("use_regex", True)
        and not pre_tokenizer.get("add_prefix_space")
        and tokenizer.get("normalizer") is None
    )
