"""A model in CTranslate2's format: saved as its folder and JSON, loaded again the same.

The folder of an artifact of kind ctranslate2:

    ctranslate2/                  model.bin, config.json and vocabulary, as CTranslate2 has them
    config.json  tokenizer files  as transformers has them
    slimgate.json                 the kind, how weights are stored, how many there are, what answers need

An exported folder has the files of ctranslate2/ at its top, so that `ctranslate2.Translator` opens an
encoder-decoder and `ctranslate2.Generator` a decoder, and the tokenizer's. What slimgate.json says is an
entry of CTranslate2's config.json, which that library ignores.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.json_text import read_json
from slimgate.models.graph import Graph
from slimgate.models.saved_files import DESCRIPTION, load_beside, read_description
from slimgate.models.write_by_length import POSITIONS
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

KIND = "ctranslate2"  # and the package, its extra, and the folder in an artifact
FOLDER = KIND
WEIGHTS = "model.bin"
CONFIG, VOCABULARY = "config.json", "vocabulary.json"
_ENTRY = "slimgate"
COUNTS = ("parameters", "nonzero_parameters")
WINDOW = "CTranslate2 computes texts up to the model's sliding window of {} tokens"


@dataclass(frozen=True)
class AnswerFacts:
    """What the library's files do not say of answers.

    decoder: whether there is no encoder, so that an answer stands behind its prompt; forced: ids with which
    every answer of an encoder-decoder begins; ends: ids of a decoder's end tokens; longest: the longest text
    that a decoder computes rightly, in tokens, or None; by_window: whether that is its sliding window;
    cache_numbers: of a token of a text or an answer in the key-value cache.
    """

    decoder: bool
    cache_numbers: int
    forced: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    longest: int | None = None
    by_window: bool = False

    @property
    def limit(self) -> str:
        """What the longest text comes of, for errors."""
        return WINDOW if self.by_window else POSITIONS


@dataclass
class CTranslate2Model(Graph):
    """A converted model. written: its folder, only read; counts: parameters and nonzero_parameters.

    quantization: how the weights are stored.
    """

    written: Path
    counts: Json
    quantization: str
    answers: AnswerFacts
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes: those of the file of weights."""
        return {**self.counts, "state_bytes": (self.written / WEIGHTS).stat().st_size}

    def write(self, folder: Path) -> None:
        """Copies CTranslate2's own folder. From then on the copy is the model's."""
        shutil.copytree(self.written, folder / FOLDER)
        self.written = folder / FOLDER

    def description(self) -> dict[str, Any]:
        """What slimgate.json says beside the kind."""
        return {"quantization": self.quantization, **asdict(self.answers), "counts": self.counts}


def load_ctranslate2_model(folder: Path) -> CTranslate2Model:
    """What `CTranslate2Model.save` or `copy_for_export` wrote; of the latter without transformers' config."""
    if (folder / DESCRIPTION).is_file():
        return _model(folder / FOLDER, read_description(folder), load_beside(folder))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    entry = read_json(folder / CONFIG)[_ENTRY]
    return _model(folder, entry, {"tokenizer": tokenizer, "config": None})


def _model(written: Path, entry: Json, other_settings: Json) -> CTranslate2Model:
    answers = AnswerFacts(
        entry["decoder"],
        entry["cache_numbers"],
        tuple(entry["forced"]),
        tuple(entry["ends"]),
        entry["longest"],
        entry.get("by_window", False),
    )
    return CTranslate2Model(written, entry["counts"], entry["quantization"], answers, **other_settings)


def copy_for_export(artifact: Path, folder: Path) -> None:
    """Writes CTranslate2's files of an artifact into a folder that is there."""
    shutil.copytree(artifact / FOLDER, folder, dirs_exist_ok=True)
    content = read_json(folder / CONFIG) | {_ENTRY: read_description(artifact)}
    (folder / CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
