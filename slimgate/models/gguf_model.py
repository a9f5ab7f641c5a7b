"""A GGUF file for llama.cpp, which computes with its blocks directly, for any architecture that it knows.

The folder of an artifact of kind gguf:

    NAME.gguf                     the file, unchanged
    config.json  tokenizer files  the file's lengths and vocabulary
    slimgate.json                 the kind, how the weights are stored, how many there are

transformers makes the tokenizer from the file's vocabulary. It encodes the rows, and llama.cpp's own
tokenizer must give the same tokens: `check_tokens` compares them, text by text.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

from slimgate._system.worker import ask_worker
from slimgate.errors import BuildError, MeasureError, to_one_line
from slimgate.models import _gguf_check_worker as worker
from slimgate.models.divergence import count_common_prefix
from slimgate.models.gguf_file import link_alone, read_gguf_header
from slimgate.models.graph import Graph
from slimgate.models.llama_cpp_library import LlamaModel
from slimgate.models.saved_files import (
    DESCRIPTION,
    SPECULATIVE_GGUF,
    has_tokenizer,
    load_tokenizer,
    read_description,
    save_tokenizer,
)
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


KIND = "gguf"
LIMIT_SECONDS = 3600.0
# How many characters of a text an error shows.
_SHOWN = 60


@dataclass
class GgufModel(Graph):
    """A GGUF file. config: has the entries of config.json that rows and vectors need.

    stored: Quantized.list_facts().
    """

    file: Path
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    stored: Json
    counts: Json
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes. Zeros in blocks are not counted: none is unpacked."""
        return {**self.counts, "state_bytes": self.file.stat().st_size}

    def select_counted_files(self, _names: list[str]) -> list[str]:
        """Only the GGUF file, because it already contains what the others hold."""
        return [self.file.name]

    def write(self, folder: Path) -> None:
        """Copies the file. The model then uses the copy."""
        shutil.copyfile(self.file, folder / self.file.name)
        self.file = folder / self.file.name

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact."""
        self.write(folder)
        (folder / "config.json").write_text(json.dumps(vars(self.config), indent=1), "utf-8")
        save_tokenizer(self.tokenizer, folder)
        description = {"kind": self.kind, "counts": self.counts, "stored": self.stored}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def open_gguf_model(file: Path, scratch: Path) -> GgufModel:
    """The model of a file of any architecture that llama.cpp has. scratch: a folder for the worker's files.

    Raises BuildError in one line if llama.cpp cannot run it, or no tokenizer can be made.
    """
    header = read_gguf_header(file, file.name)
    check_opens(file, scratch, embeddings=bool(header.pooling))
    config = SimpleNamespace(**{**header.config, "model_type": _find_model_type(header.architecture)})
    if header.pooling:
        config.sentence = {"pooling": header.pooling, "normalize": True, "texts": None, "dense": []}
    counts = {"parameters": header.parameters, "nonzero_parameters": header.parameters}
    stored = {**header.stored.list_facts(), "dtype": "float32"}
    return GgufModel(file, load_gguf_tokenizer(file), config, stored, counts)


def _find_model_type(architecture: str) -> str:
    """The model_type of transformers if it has the family, so that tokenizers load without a warning."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return architecture if architecture in CONFIG_MAPPING_NAMES else ""


def check_opens(file: Path, scratch: Path, *, embeddings: bool) -> None:
    """Has llama.cpp load and run a file in a separate process, because its own checks may end the process.

    Raises BuildError in one line.
    """
    folder = scratch / "gguf_check"
    folder.mkdir()
    request = {"file": str(file.resolve()), "embeddings": embeddings}
    failure = f"llama.cpp cannot run {file.name}"
    ask_worker(worker.__name__, folder, request, limit=LIMIT_SECONDS, failure=failure)


def load_gguf_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a file's vocabulary, or the tokenizer next to the file. Raises BuildError."""
    from transformers import PreTrainedTokenizerFast

    try:
        with link_alone(file) as folder:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, gguf_file=file.name)
    except (ValueError, KeyError, IndexError, TypeError, OSError, RuntimeError, NotImplementedError) as error:
        if not has_tokenizer(file.parent):
            problem = to_one_line(error)[:120]
            raise BuildError(
                f"transformers cannot make a tokenizer from the vocabulary in {file.name} "
                f"({type(error).__name__}: {problem}); put the tokenizer's files (tokenizer.json, "
                "tokenizer_config.json) next to it"
            ) from error
        tokenizer = load_tokenizer(file.parent)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_tokens(model: LlamaModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    """Raises MeasureError if llama.cpp reads a text as other tokens than the tokenizer of the rows."""
    ids = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    for text, row in zip(texts, ids, strict=True):
        read = model.tokenize(text)
        if read == row:
            continue
        place = count_common_prefix(read, row)
        shown = [tokens[place : place + 3] for tokens in (read, row)]
        read_pieces, row_pieces = (f"{tokens} {tokenizer.convert_ids_to_tokens(tokens)}" for tokens in shown)
        raise MeasureError(
            f"llama.cpp and the tokenizer of the rows give different tokens: token {place} of "
            f"{text[:_SHOWN]!r} is {read_pieces} for llama.cpp, and {row_pieces} for the rows, so its scores "
            "would be for a different text; convert the file again with the model's own tokenizer"
        )


NOTE = FOLDER = "draft"


class DraftFile(NamedTuple):
    """The file of a draft model. tokens: the number that it proposes for each pass of the decoder."""

    file: Path
    tokens: int


@dataclass
class SpeculativeGguf(GgufModel):
    """A decoder and its draft model. draft_tokens: the number of tokens that it proposes for each pass."""

    draft: GgufModel = field(kw_only=True)
    draft_tokens: int = field(kw_only=True)
    kind: str = SPECULATIVE_GGUF

    def measure_size(self) -> dict[str, int]:
        """The sizes of both models together."""
        main, draft = super().measure_size(), self.draft.measure_size()
        return {name: main[name] + draft[name] for name in main}

    def select_counted_files(self, names: list[str]) -> list[str]:
        """Both GGUF files."""
        return [*super().select_counted_files(names), f"{FOLDER}/{self.draft.file.name}"]

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact."""
        super().save(folder)
        (folder / FOLDER).mkdir()
        copy = folder / FOLDER / self.draft.file.name
        shutil.copyfile(self.draft.file, copy)
        self.draft.file = copy
        note = {"file": copy.relative_to(folder).as_posix(), "tokens": self.draft_tokens}
        description = {**read_description(folder), NOTE: note}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def find_draft_file(folder: Path) -> DraftFile | None:
    """The draft in an artifact's folder; None if it has none."""
    note = read_description(folder).get(NOTE)
    return None if note is None else DraftFile(folder / note["file"], note["tokens"])
