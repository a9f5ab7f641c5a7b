"""The tokenizer files of a model folder: whether they are there, and how they are saved.

It also saves and loads the files next to a graph in its artifact: configuration, tokenizer, slimgate.json.
"""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slimgate._system.json_text import read_json
from slimgate.errors import SuiteError
from slimgate.plugins.base import Json
from slimgate.plugins.models import ModelRef

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from slimgate.models.graph import Graph


Shapes = dict[str, tuple[int, ...]]
# The headers' names of the floating-point formats that a model may be computed in.
FLOATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
# safetensors itself reads no longer header.
LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"
_SHOWN = 3  # names in a message


class Stored(NamedTuple):
    """A tensor of a file. dtype: the header's name for it, such as BF16 or I32."""

    dtype: str
    shape: tuple[int, ...]


def list_safetensors(folder: Path) -> list[Path]:
    """The safetensors files of a model; none if transformers reads a .bin in their place."""
    files = sorted(folder.glob("*.safetensors"))
    has_model = any(file.name.startswith("model") for file in files)
    return files if has_model or not any(folder.glob("pytorch_model*.bin")) else []


def read_weight_shapes(folder: Path) -> Shapes | None:
    """Name -> shape of all weights; None without safetensors files, or if one of them cannot be read."""
    tensors = read_stored_tensors(folder)
    return None if tensors is None else {name: tensor.shape for name, tensor in tensors.items()}


def read_stored_tensors(folder: Path) -> dict[str, Stored] | None:
    """Name -> dtype and shape of all weights; None as for read_weight_shapes."""
    files = list_safetensors(folder)
    stored: dict[str, Stored] = {}
    for file in files:
        tensors = _read_header(file)
        if tensors is None:
            return None
        stored |= tensors
    return stored if files else None


def find_main_dtype(folder: Path) -> str | None:
    """The floating-point format of most numbers of a folder; None if it has no floating-point weights."""
    sizes: Counter[str] = Counter()
    for tensor in (read_stored_tensors(folder) or {}).values():
        if tensor.dtype in FLOATS:
            sizes[FLOATS[tensor.dtype]] += prod(tensor.shape)
    return sizes.most_common(1)[0][0] if sizes else None


def _read_header(file: Path) -> dict[str, Stored] | None:
    """None if the file is no safetensors file: loading it raises a clearer error than its header can give."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, file.stat().st_size):
            return None
        header = stream.read(length)
    try:
        entries = json.loads(header)
        return {
            name: Stored(entry["dtype"], tuple(entry["shape"]))
            for name, entry in entries.items()
            if name != _METADATA
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def describe_names(names: list[str]) -> str:
    """`4 (a, b, c, …)`: the number of names, and the first ones."""
    shown = ", ".join(names[:_SHOWN])
    return f"{len(names):,} ({shown}{', …' if len(names) > _SHOWN else ''})"


# Names of vocabulary files of transformers' tokenizers (its vocab_files_names). A folder must have one.
VOCABULARIES = (
    "tokenizer.json",
    "vocab*.txt",
    "vocab*.json",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
    "byte_maps.json",
    "tekken.json",
)
# Tokenizers of transformers that read bytes or characters, and have no vocabulary to save.
WITHOUT_VOCABULARY = frozenset({"ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"})
SETTINGS = "tokenizer_config.json"
DESCRIPTION = "slimgate.json"
# The entry of slimgate.json about a copied checkpoint of quantized weights (checkpoint.py).
COPIED = "checkpoint"
# The kinds of artifacts that also hold a draft model (speculative.py, gguf_model.py).
SPECULATIVE = "speculative"
SPECULATIVE_GGUF = "speculative_gguf"


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a vocabulary, or names a tokenizer that needs none."""
    if any(file.is_file() for pattern in VOCABULARIES for file in folder.glob(pattern)):
        return True
    return _read_tokenizer_class(folder / SETTINGS) in WITHOUT_VOCABULARY


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, as transformers loads it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def check_language_model(ref: ModelRef, config: Json) -> None:
    """Raises SuiteError if config.json is for another kind of model, or the folder has no tokenizer."""
    check_tokenizer(ref)
    for name in config.get("architectures") or ():
        if "For" in name and not name.endswith("ForCausalLM"):
            raise SuiteError(f"{ref.text} is a {name}, expected a causal language model (…ForCausalLM)")


def check_text_to_text(ref: ModelRef, config: Json) -> None:
    """Raises SuiteError if config.json is for no encoder-decoder, or the folder has no tokenizer."""
    check_tokenizer(ref)
    names = config.get("architectures") or ()
    if config.get("is_encoder_decoder") is False or (names and not config.get("is_encoder_decoder")):
        raise SuiteError(
            f"{ref.text} is a {next(iter(names), 'model with only an encoder or only a decoder')}, "
            "expected an encoder-decoder such as T5, BART or Marian; for a decoder, use the task "
            "text_generation"
        )


def check_tokenizer(ref: ModelRef) -> None:
    """Raises SuiteError for a folder without a tokenizer.

    transformers would make a tokenizer of the special tokens alone, which reads every word as unknown. The
    tokenizer of a fresh model is trained on the rows, and that of a GGUF model is in the file. The files of a
    hub model are known only after their download.
    """
    if ref.folder is None or ref.fresh or ref.file is not None or has_tokenizer(ref.folder):
        return
    raise SuiteError(
        f'"{ref.text}": {ref.folder} has no tokenizer, expected tokenizer.json, vocab.txt or another '
        "vocabulary next to the weights; copy the files of the tokenizer that the model was trained with "
        '(tokenizer.save_pretrained("FOLDER") writes them)'
    )


def _read_tokenizer_class(file: Path) -> str | None:
    if not file.is_file():
        return None
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise SuiteError(f"{file}: cannot be read as a tokenizer's settings: {error}") from error
    name = config.get("tokenizer_class") if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes the tokenizer's files without JSON indentation, which is a third of a vocabulary's bytes."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    if file.exists():
        content = json.loads(file.read_text("utf-8"))
        file.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), "utf-8")


def save_config(config: PreTrainedConfig, folder: Path) -> None:
    """Writes config.json so that transformers reads the same again.

    transformers reads T5's scale_decoder_outputs from tie_word_embeddings, but always saves the latter as
    true.
    """
    config.save_pretrained(folder)
    if getattr(config, "scale_decoder_outputs", True) is False:
        file = folder / "config.json"
        content = json.loads(file.read_text("utf-8")) | {"tie_word_embeddings": False}
        file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def save_companions(folder: Path, model: Graph, **more: object) -> None:
    """Writes config, tokenizer and slimgate.json. more: further entries of slimgate.json."""
    save_config(model.config, folder)
    save_tokenizer(model.tokenizer, folder)
    description = {"kind": model.kind, **more}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def load_companions(folder: Path) -> Json:
    """Loads the tokenizer and the config that `Graph.save` wrote.

    Args:
        folder: an artifact's folder, or an exported folder.

    Returns:
        "tokenizer" and "config", as transformers loads them: keyword arguments for the graph's class.
    """
    from transformers import AutoConfig

    return {
        "tokenizer": load_tokenizer(folder),
        "config": AutoConfig.from_pretrained(folder, trust_remote_code=False),
    }


def read_description(folder: Path) -> Json:
    """The content of slimgate.json."""
    description: Json = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    return description
