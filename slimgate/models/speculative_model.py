"""A decoder with the draft model that proposes its tokens: one artifact of kind speculative.

The folder is that of the main model (slimgate/models/torch_model.py), and also has:

    draft/            the files of the draft, without a tokenizer: both models have the same
    slimgate.json     also "draft": {"folder": "draft", "tokens": 4}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from slimgate.models.saved_files import DESCRIPTION, SPECULATIVE, read_description
from slimgate.models.speculative import Draft
from slimgate.models.torch_model import TorchModel, load_torch_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NOTE = FOLDER = "draft"


@dataclass
class SpeculativeModel(TorchModel):
    """The main model, and its draft. draft_tokens: how many the draft proposes for each pass."""

    draft: TorchModel = field(kw_only=True)
    draft_tokens: int = field(kw_only=True)

    def code_modules(self) -> list[str]:
        """The modules of both models."""
        return sorted({*super().code_modules(), *self.draft.code_modules()})

    def measure_size(self) -> dict[str, int]:
        """The sums over both models."""
        main, draft = super().measure_size(), self.draft.measure_size()
        return {name: main[name] + draft[name] for name in main}

    def save(self, folder: Path) -> None:
        """Writes the files of both models.

        Args:
            folder: a folder that exists.

        Raises:
            BuildError: if weights are NaN or infinite.
        """
        super().save(folder)
        (folder / FOLDER).mkdir()
        self.draft.save_network(folder / FOLDER)
        description = {**read_description(folder), NOTE: {"folder": FOLDER, "tokens": self.draft_tokens}}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def load_speculative(folder: Path, *, device: str) -> SpeculativeModel:
    """Loads what `SpeculativeModel.save` wrote, in evaluation mode.

    Args:
        folder: the artifact's folder.
        device: to load both models on.
    """
    note = read_description(folder)[NOTE]
    main = load_torch_model(folder, device=device)
    draft = load_torch_model(folder / note["folder"], device=device, tokenizer=main.tokenizer)
    return add_draft(main, draft, note["tokens"])


def add_draft(main: TorchModel, draft: TorchModel, tokens: int) -> SpeculativeModel:
    """A main model with its draft. tokens: how many the draft proposes for each pass."""
    return SpeculativeModel(
        main.network,
        main.tokenizer,
        main.architecture,
        SPECULATIVE,
        main.modifications,
        draft=draft,
        draft_tokens=tokens,
    )


def find_draft(model: object) -> Draft | None:
    """The model that proposes tokens; None if the model writes alone."""
    if not isinstance(model, SpeculativeModel):
        return None
    return Draft(cast("PreTrainedModel", model.draft.network), model.draft_tokens)
