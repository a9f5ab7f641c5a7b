"""A model in CTranslate2's format: saved as its folder and JSON, loaded again the same.

The folder of an artifact of kind ctranslate2:

    ctranslate2/                  model.bin, config.json and vocabulary, as CTranslate2 writes them
    config.json  tokenizer files  as transformers writes them
    slimgate.json                 kind, storage of weights and their number, what answers need

An exported folder has the files of ctranslate2/ at its top, so that `ctranslate2.Translator` opens an
encoder-decoder and `ctranslate2.Generator` a decoder, and also the tokenizer's files. The content of
slimgate.json is an entry of CTranslate2's config.json, which that library ignores.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.json_text import read_json
from slimgate.models.graph import Graph
from slimgate.models.saved_files import DESCRIPTION, load_companions, load_tokenizer, read_description
from slimgate.models.write_by_length import POSITIONS
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

KIND = "ctranslate2"  # also the name of the package, of its extra, and of the folder in an artifact
FOLDER = KIND
WEIGHTS = "model.bin"
CONFIG, VOCABULARY = "config.json", "vocabulary.json"
_ENTRY = "slimgate"
COUNTS = ("parameters", "nonzero_parameters")
WINDOW = "CTranslate2 computes texts up to the model's sliding window of {} tokens"


@dataclass(frozen=True)
class AnswerSettings:
    """Facts for writing answers that the library's files do not have.

    decoder: whether there is no encoder, so that an answer follows its prompt; forced: ids with which
    every answer of an encoder-decoder begins; ends: ids of a decoder's end tokens; longest: the longest text
    that a decoder computes correctly, in tokens, or None; by_window: whether that is its sliding window;
    cache_numbers: how many numbers the key-value cache holds for a token of a text or an answer.
    """

    decoder: bool
    cache_numbers: int
    forced: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    longest: int | None = None
    by_window: bool = False

    @property
    def limit(self) -> str:
        """The reason for the longest text, for error messages."""
        return WINDOW if self.by_window else POSITIONS


@dataclass
class CTranslate2Model(Graph):
    """A converted model. written: its folder, which is only read; counts: parameters, nonzero_parameters.

    quantization: how the weights are stored.
    """

    written: Path
    counts: Json
    quantization: str
    answers: AnswerSettings
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes. The last counts the file of weights."""
        return {**self.counts, "state_bytes": (self.written / WEIGHTS).stat().st_size}

    def write(self, folder: Path) -> None:
        """Copies CTranslate2's files. The model then uses the copy."""
        shutil.copytree(self.written, folder / FOLDER)
        self.written = folder / FOLDER

    def description(self) -> dict[str, Any]:
        """The entries of slimgate.json in addition to the kind."""
        return {"quantization": self.quantization, **asdict(self.answers), "counts": self.counts}


def load_ctranslate2_model(folder: Path) -> CTranslate2Model:
    """Loads what `CTranslate2Model.save` wrote, or `copy_for_export`, then without transformers' config."""
    if (folder / DESCRIPTION).is_file():
        return _make_written_model(folder / FOLDER, read_description(folder), load_companions(folder))
    tokenizer = load_tokenizer(folder)
    entry = read_json(folder / CONFIG)[_ENTRY]
    return _make_written_model(folder, entry, {"tokenizer": tokenizer, "config": None})


def _make_written_model(written: Path, entry: Json, other_settings: Json) -> CTranslate2Model:
    answers = AnswerSettings(
        entry["decoder"],
        entry["cache_numbers"],
        tuple(entry["forced"]),
        tuple(entry["ends"]),
        entry["longest"],
        entry.get("by_window", False),
    )
    return CTranslate2Model(written, entry["counts"], entry["quantization"], answers, **other_settings)


def copy_for_export(artifact: Path, folder: Path) -> None:
    """Writes CTranslate2's files of an artifact into an existing folder."""
    shutil.copytree(artifact / FOLDER, folder, dirs_exist_ok=True)
    content = read_json(folder / CONFIG) | {_ENTRY: read_description(artifact)}
    (folder / CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
