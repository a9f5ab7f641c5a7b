"""The architectures and tokenizers that llama.cpp's converter knows, read from its source without import.

auto-round carries the converter; the environment variable LLAMA_CPP_ROOT can name a checkout instead. If
neither is there, nothing is known, and the conversion itself says what it lacks.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from slimgate._system.digests import digest_folder, list_files_below

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_ROOT, _PACKAGE = "LLAMA_CPP_ROOT", "conversion"


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
