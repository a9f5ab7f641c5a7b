"""llama.cpp's converter, from the copy in the package auto-round, and what it knows.

    convert = load_converter()
    convert.get_model_class("LlamaForCausalLM")(folder, file_type, file, eager=True).write()

It knows the tensor names, the metadata and the tokenizers of some hundred architectures. Only a worker
process loads it; this process reads the names of architectures and tokenizers from its source without an
import. The environment variable LLAMA_CPP_ROOT can name a checkout of llama.cpp to use instead. If neither is
there, nothing is known, and the conversion itself says what it lacks.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from slimgate._system.digests import digest_folder, list_files_below
from slimgate.errors import BuildError, SuiteError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from slimgate.plugins.base import Json

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_ROOT, _PACKAGE = "LLAMA_CPP_ROOT", "conversion"
GPT2 = "gpt-2"


class KnownTokenizers(NamedTuple):
    """The data by which the converter recognizes a released byte-level BPE.

    text: the text that it encodes. digests: SHA-256 of the list of the tokens.
    """

    text: str
    digests: frozenset[str]

    def has(self, tokens: list[int]) -> bool:
        """Whether the tokens of `text` are those of a released tokenizer."""
        return hashlib.sha256(str(tokens).encode()).hexdigest() in self.digests


def find_unknown_architecture(names: list[str]) -> str | None:
    """Why none of these causal language models can be converted; None if one can, or nothing is known.

    names: `architectures` of a config.json. Other architectures are not looked at, because a task may give
    such a model another head.
    """
    causal = [name for name in names if name.endswith(_CAUSAL)]
    known = read_architectures()
    if not causal or not known or {name.lower() for name in causal} & {name.lower() for name in known}:
        return None
    return describe_unknown(causal[0], known)


def describe_unknown(name: str, known: frozenset[str]) -> str:
    """The refusal of an architecture."""
    number = sum(1 for other in known if other.endswith("ForCausalLM"))
    return (
        f"llama.cpp's converter does not know {name}; it knows {number} causal language models, such as "
        "LlamaForCausalLM, MistralForCausalLM, Qwen3ForCausalLM, Gemma3ForCausalLM"
    )


@cache
def read_architectures() -> frozenset[str]:
    """The architectures of the converter; empty if its source cannot be read."""
    source = _read_source("__init__.py")
    if source is None:
        return frozenset()
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TEXT_MODEL_MAP":
            return frozenset(ast.literal_eval(node.value)) if node.value else frozenset()
    return frozenset()


@cache
def read_tokenizers() -> KnownTokenizers | None:
    """The released tokenizers of the converter; None if its source cannot be read."""
    source = _read_source("base.py")
    text = None if source is None else re.search(r"^ *chktxt = (.+)$", source, re.MULTILINE)
    digests = [] if source is None else re.findall(r'chkhsh == "([0-9a-f]{64})"', source)
    if text is None or not digests:
        return None
    return KnownTokenizers(ast.literal_eval(text[1]), frozenset(digests))


def digest_checkout() -> dict[str, str]:
    """The digest of the checkout's converter; empty if LLAMA_CPP_ROOT names none.

    Without a checkout, the version of auto-round identifies the converter.
    """
    root = os.environ.get(_ROOT)
    folder = Path(root).expanduser() / _PACKAGE if root else None
    if folder is None or not folder.is_dir():
        return {}
    return {"llama.cpp": digest_folder(folder, list_files_below(folder, leave_out=("__pycache__",)))}


def _read_source(name: str) -> str | None:
    """A module of the converter's package `conversion`."""
    folder = _find_converter()
    file = None if folder is None else folder / _PACKAGE / name
    return file.read_text("utf-8") if file is not None and file.is_file() else None


def _find_converter() -> Path | None:
    if root := os.environ.get(_ROOT):
        return Path(root).expanduser()
    spec = find_spec("auto_round")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "export" / "export_to_gguf"


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
