"""Two GGUF files for llama.cpp: a decoder, and the draft model that proposes its tokens.

An artifact of kind speculative_gguf has the files of the decoder (slimgate/models/gguf_model.py), and also:

    draft/NAME.gguf   the file of the draft, unchanged
    slimgate.json     also "draft": {"file": "draft/NAME.gguf", "tokens": 4}
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from slimgate.models.gguf_model import GgufModel
from slimgate.models.saved_files import DESCRIPTION, SPECULATIVE_GGUF, read_description

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
