"""A folder that only a user's runtime can read. slimgate keeps its files and does not load it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimgate.models.saved_files import DESCRIPTION


@dataclass
class FolderModel:
    """A model whose runtime has no `load_model`. No step can start from it.

    kind: of its artifacts. folder: of the user, only read. files: those that count, relative to it.
    """

    kind: str
    folder: Path
    files: Sequence[str]

    def measure_size(self) -> dict[str, int | None]:
        """No parameters are known; the record has the bytes of the files."""
        return dict.fromkeys(("parameters", "nonzero_parameters", "state_bytes"))

    def code_modules(self) -> list[str]:
        """None: the key of its answers has the code of the runtime."""
        return []

    def save(self, folder: Path) -> None:
        """Copies the files, and writes slimgate.json."""
        for name in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, folder / name)
        (folder / DESCRIPTION).write_text(json.dumps({"kind": self.kind}, indent=1), "utf-8")
