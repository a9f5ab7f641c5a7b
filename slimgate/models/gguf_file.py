"""GGUF files of llama.cpp: what their headers say of the model and of how its weights are stored.

Read by the `gguf` package. transformers loads such a file by unpacking its blocks to floating point, so a
model of it is judged by its weights and not timed.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from slimgate._system.requirements import describe_too_low
from slimgate.errors import MissingExtra, SuiteError, format_suggestion
from slimgate.models.quantized_files import Quantized, without_numbers

SUFFIX = ".gguf"
# Architectures that transformers calls otherwise than the files do.
_OTHER_NAMES = {
    "gpt-oss": "gpt_oss",
    "minimax-m2": "minimax_m2",
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "t5encoder": "t5",
}
# Sections of transformers' table that are no architectures.
_NO_ARCHITECTURE = frozenset({"general", "tokenizer"})
_PLAIN = frozenset({"F32", "F16", "BF16", "F64"})


def gguf_files(folder: Path) -> list[Path]:
    """The GGUF files of a folder, in the order of their names."""
    return sorted(file for file in folder.glob(f"*{SUFFIX}") if file.is_file())


def read_gguf(file: Path, text: str) -> tuple[dict[str, Any], Quantized]:
    """What config.json would say of the model, as far as a suite is checked by it, and its format.

    text: the model, as the suite names it. Raises SuiteError for a file that is damaged, or of an
    architecture that transformers does not read from GGUF; MissingExtra without the package.
    """
    architecture, config, stored = _read_stored(file, text)
    known = _architectures()
    if _OTHER_NAMES.get(architecture, architecture) not in known:
        raise SuiteError(
            f'"{text}": {file.name} is of the architecture {architecture!r}, which transformers does not '
            f"read from GGUF{format_suggestion(architecture, known)}; known: {', '.join(sorted(known))}"
        )
    return config, stored


def read_gguf_format(file: Path, text: str) -> Quantized:
    """How a file of any architecture stores its weights. Raises as read_gguf does."""
    return _read_stored(file, text)[2]


def _read_stored(file: Path, text: str) -> tuple[str, dict[str, Any], Quantized]:
    """Architecture, configuration, format."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra(f'"{text}": reading a GGUF file needs gguf: pip install "slimgate[llm]"')
    if problem := describe_too_low(f'"{text}": reading a GGUF file', ("transformers>=5.18",)):
        raise MissingExtra(problem)
    stat = file.stat()
    try:
        return _read(file, stat.st_mtime_ns, stat.st_size)
    except SuiteError as error:
        raise SuiteError(f'"{text}": {error}') from error.__cause__


@lru_cache(maxsize=16)
def _read(file: Path, _changed: int, _size: int) -> tuple[str, dict[str, Any], Quantized]:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())[:80]
        raise SuiteError(
            f"{file.name} is no whole GGUF file ({problem}); copy or download it again"
        ) from error
    if not reader.tensors:
        raise SuiteError(f"{file.name} holds no weights; expected a model, not a vocabulary alone")
    architecture = str(_value(reader, "general.architecture") or "")
    return architecture, _config(reader, architecture), _describe(reader)


def _architectures() -> frozenset[str]:
    """Those of transformers' own tables, which load without torch."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

    return frozenset({*GGUF_CONFIG_MAPPING, *GGUF_CONFIG_ARCHS}) - _NO_ARCHITECTURE


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _config(reader: Any, architecture: str) -> dict[str, Any]:
    stated = {
        "max_position_embeddings": _value(reader, f"{architecture}.context_length"),
        "num_hidden_layers": _value(reader, f"{architecture}.block_count"),
        "hidden_size": _value(reader, f"{architecture}.embedding_length"),
    }
    return {
        "model_type": _OTHER_NAMES.get(architecture, architecture),
        **{key: int(value) for key, value in stated.items() if isinstance(value, int)},
    }


def _describe(reader: Any) -> Quantized:
    from gguf import GGML_QUANT_SIZES, LlamaFileType

    sizes: Counter[Any] = Counter()
    for tensor in reader.tensors:
        if len(tensor.shape) > 1:
            sizes[tensor.tensor_type] += int(tensor.n_elements)
    packed = Counter({kind: size for kind, size in sizes.items() if kind.name not in _PLAIN})
    commonest = (packed or sizes).most_common(1)[0][0] if sizes else reader.tensors[0].tensor_type
    stated = _value(reader, "general.file_type")
    known = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    plain = [
        tensor.name.removesuffix(".weight")
        for tensor in reader.tensors
        if len(tensor.shape) > 1 and tensor.tensor_type.name in _PLAIN
    ]
    name = known.get(stated, commonest.name) if isinstance(stated, int) else commonest.name
    return Quantized(
        format="gguf",
        # general.file_type is what most weights are, by the program that wrote the file; older files lack it
        scheme=name if name.startswith(commonest.name.partition("_")[0]) else commonest.name,
        group_size=GGML_QUANT_SIZES[commonest][0] if packed else None,
        left_out=without_numbers(tuple(plain)) if packed else (),
    )
