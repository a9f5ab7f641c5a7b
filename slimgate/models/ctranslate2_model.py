"""An encoder-decoder in CTranslate2's format: saved as its folder and JSON, loaded again the same.

The folder of an artifact of kind ctranslate2:

    ctranslate2/                  model.bin, config.json and vocabulary, as CTranslate2 has them
    config.json  tokenizer files  as transformers has them
    slimgate.json                 the kind, how weights are stored, how many there are

An exported folder has the files of ctranslate2/ at its top, so that `ctranslate2.Translator` opens it, and
the tokenizer's. What slimgate.json says is an entry of CTranslate2's config.json, which that library ignores.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate._system.json_text import read_json
from slimgate.errors import MissingExtra
from slimgate.models.graph import Graph
from slimgate.models.saved_files import DESCRIPTION, load_beside, read_description
from slimgate.protocols import Json

KIND = "ctranslate2"
FOLDER = "ctranslate2"
WEIGHTS = "model.bin"
_CONFIG, _ENTRY = "config.json", "slimgate"
COUNTS = ("parameters", "nonzero_parameters")


def load_package(user: str) -> Any:
    """The package ctranslate2. user: what needs it. Raises MissingExtra."""
    try:
        import ctranslate2
    except ImportError as error:
        raise MissingExtra(f'{user} needs an extra: pip install "slimgate[ctranslate2]"') from error
    return ctranslate2


@dataclass
class CTranslate2Model(Graph):
    """A converted model. written: its folder, only read; counts: parameters and nonzero_parameters.

    quantization: how the weights are stored; forced: ids with which every answer begins.
    """

    written: Path
    counts: Json
    quantization: str
    forced: tuple[int, ...]
    tokenizer: Any
    config: Any
    kind: str = KIND

    def footprint(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes: those of the file of weights."""
        return {**self.counts, "state_bytes": (self.written / WEIGHTS).stat().st_size}

    def write(self, folder: Path) -> None:
        """Copies CTranslate2's own folder. From then on the copy is the model's."""
        shutil.copytree(self.written, folder / FOLDER)
        self.written = folder / FOLDER

    def description(self) -> dict[str, Any]:
        """What slimgate.json says beside the kind."""
        return {"quantization": self.quantization, "forced": list(self.forced), "counts": self.counts}


def load_ctranslate2_model(folder: Path) -> CTranslate2Model:
    """What `CTranslate2Model.save` or `copy_for_export` wrote; of the latter without transformers' config."""
    if (folder / DESCRIPTION).is_file():
        return _model(folder / FOLDER, read_description(folder), load_beside(folder))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    told = read_json(folder / _CONFIG)[_ENTRY]
    return _model(folder, told, {"tokenizer": tokenizer, "config": None})


def _model(written: Path, told: Json, beside: Json) -> CTranslate2Model:
    return CTranslate2Model(written, told["counts"], told["quantization"], tuple(told["forced"]), **beside)


def copy_for_export(artifact: Path, folder: Path) -> None:
    """Writes CTranslate2's files of an artifact into a folder that is there."""
    shutil.copytree(artifact / FOLDER, folder, dirs_exist_ok=True)
    content = read_json(folder / _CONFIG) | {_ENTRY: read_description(artifact)}
    (folder / _CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
