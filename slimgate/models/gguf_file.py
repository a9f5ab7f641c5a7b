"""GGUF files of llama.cpp: facts in their headers about the model and the storage of its weights.

The `gguf` package reads them. transformers loads such a file by unpacking its blocks to floating point, so
such a model is judged by its weights and not timed. The runtime llama_cpp computes with the blocks directly,
also for architectures that transformers does not read.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slimgate._system.requirements import describe_too_low
from slimgate.errors import MissingExtra, SuiteError, did_you_mean, to_one_line
from slimgate.models.quantized_files import Quantized, replace_numbers

if TYPE_CHECKING:
    from gguf import GGUFReader

SUFFIX = ".gguf"
# Architectures to which transformers gives other names than the files.
_OTHER_NAMES = {
    "gpt-oss": "gpt_oss",
    "minimax-m2": "minimax_m2",
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "t5encoder": "t5",
}
# Sections of transformers' table that are not architectures.
_NO_ARCHITECTURE = frozenset({"general", "tokenizer"})
_PLAIN = frozenset({"F32", "F16", "BF16", "F64"})


@dataclass(frozen=True)
class GgufHeader:
    """Facts of a file about its model. config: a config.json with the entries that check a suite.

    parameters: how many numbers its tensors represent; pooling: how an encoder's vectors are pooled, "" for a
    model that predicts tokens.
    """

    architecture: str
    config: dict[str, Any]
    stored: Quantized
    parameters: int
    pooling: str

    @property
    def is_of_transformers(self) -> bool:
        """Whether transformers reads the architecture from GGUF."""
        return _OTHER_NAMES.get(self.architecture, self.architecture) in _list_architectures()


def read_file_type(reader: GGUFReader) -> str:
    """The type of most weights as the file states it, such as Q4_K_M; "" for an older file without it."""
    from gguf import LlamaFileType

    stated = _read_field(reader, "general.file_type")
    known = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    return known.get(stated, "") if isinstance(stated, int) else ""


def list_gguf_files(folder: Path) -> list[Path]:
    """The GGUF files of a folder, in the order of their names."""
    return sorted(file for file in folder.glob(f"*{SUFFIX}") if file.is_file())


@contextmanager
def link_alone(file: Path) -> Iterator[Path]:
    """A folder that holds only a link to the file.

    If a tokenizer.json lies next to a file, transformers' tokenizer of the file has no special tokens.
    """
    with TemporaryDirectory(prefix="slimgate-gguf-") as folder:
        (Path(folder) / file.name).symlink_to(file.resolve())
        yield Path(folder)


def read_gguf(file: Path, text: str) -> tuple[dict[str, Any], Quantized]:
    """A config.json for the model, with the entries that check a suite, and its format.

    text: the model, as the suite names it. Raises SuiteError for a file that is damaged, or of an
    architecture that transformers does not read from GGUF; MissingExtra without the package.
    """
    header = read_gguf_header(file, text)
    if not header.is_of_transformers:
        known = _list_architectures()
        raise SuiteError(
            f'"{text}": {file.name} is of the architecture {header.architecture!r}, which transformers does '
            f"not read from GGUF; known: {', '.join(sorted(known))}; llama.cpp runs others: "
            f'pip install "slimgate[llama-cpp]"{did_you_mean(header.architecture, known)}'
        )
    return header.config, header.stored


def read_gguf_format(file: Path, text: str) -> Quantized:
    """How a file of any architecture stores its weights. Raises errors as read_gguf does."""
    return read_gguf_header(file, text).stored


def read_gguf_header(file: Path, text: str) -> GgufHeader:
    """The header's facts for any architecture. Raises SuiteError for a damaged file; MissingExtra."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra(f'"{text}": reading a GGUF file needs gguf: pip install "slimgate[llm]"')
    if problem := describe_too_low(f'"{text}": reading a GGUF file', ("transformers>=5.18",)):
        raise MissingExtra(problem)
    stat = file.stat()
    try:
        return _read_header(file, stat.st_mtime_ns, stat.st_size)
    except SuiteError as error:
        raise SuiteError(f'"{text}": {error}') from error.__cause__


@lru_cache(maxsize=16)
def _read_header(file: Path, _changed: int, _size: int) -> GgufHeader:
    """The header's facts. _changed, _size: of the file, so that the cache has no facts of an older file."""
    from gguf import GGUFReader, PoolingType

    try:
        reader = GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        problem = to_one_line(error)[:80]
        raise SuiteError(
            f"{file.name} is not a complete GGUF file ({problem}); copy or download it again"
        ) from error
    _check_readable(reader, file)
    architecture = str(_read_field(reader, "general.architecture") or "")
    pooling = _read_field(reader, f"{architecture}.pooling_type")
    return GgufHeader(
        architecture,
        _make_config(reader, architecture),
        _describe_storage(reader),
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        pooling=PoolingType(pooling).name.lower() if pooling else "",
    )


def _check_readable(reader: GGUFReader, file: Path) -> None:
    """Raises SuiteError for a file that needs another machine, or further files."""
    if reader.byte_order == "S":
        raise SuiteError(
            f"{file.name} stores its numbers in big-endian byte order, which neither llama.cpp nor "
            "transformers reads on this machine; convert it with `gguf-convert-endian FILE little`"
        )
    parts = _read_field(reader, "split.count")
    if parts and int(parts) > 1:
        raise SuiteError(
            f"{file.name} is one of {int(parts)} parts of a split model, expected one file; "
            "`llama-gguf-split --merge FIRST_PART WHOLE.gguf` joins them"
        )
    if not reader.tensors:
        raise SuiteError(f"{file.name} contains no weights; expected a model, not only a vocabulary")


def _list_architectures() -> frozenset[str]:
    """The architectures in transformers' own tables, which load without torch."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

    return frozenset({*GGUF_CONFIG_MAPPING, *GGUF_CONFIG_ARCHS}) - _NO_ARCHITECTURE


def _read_field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _make_config(reader: GGUFReader, architecture: str) -> dict[str, Any]:
    stated = {
        "max_position_embeddings": _read_field(reader, f"{architecture}.context_length"),
        "num_hidden_layers": _read_field(reader, f"{architecture}.block_count"),
        "hidden_size": _read_field(reader, f"{architecture}.embedding_length"),
    }
    return {
        "model_type": _OTHER_NAMES.get(architecture, architecture),
        **{key: int(value) for key, value in stated.items() if isinstance(value, int)},
    }


def _describe_storage(reader: GGUFReader) -> Quantized:
    from gguf import GGML_QUANT_SIZES

    matrices = [tensor for tensor in reader.tensors if len(tensor.shape) > 1]
    sizes: Counter[Any] = Counter()
    for tensor in matrices:
        sizes[tensor.tensor_type] += int(tensor.n_elements)
    packed = Counter({kind: size for kind, size in sizes.items() if kind.name not in _PLAIN})
    commonest = (packed or sizes).most_common(1)[0][0] if sizes else reader.tensors[0].tensor_type
    plain = [tensor.name.removesuffix(".weight") for tensor in matrices if tensor.tensor_type.name in _PLAIN]
    name = read_file_type(reader) or commonest.name
    return Quantized(
        format="gguf",
        # general.file_type is the type of most weights, from the program that wrote the file; older files
        # lack it.
        scheme=name if name.startswith(commonest.name.partition("_")[0]) else commonest.name,
        group_size=GGML_QUANT_SIZES[commonest][0] if packed else None,
        left_out=replace_numbers(tuple(plain)) if packed else (),
    )
