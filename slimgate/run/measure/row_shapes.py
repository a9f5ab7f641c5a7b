"""Records the shapes of one gate row on its way through an artifact, once, and stores them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.errors import SlimgateError
from slimgate.plugins.base import Json
from slimgate.record.run import RowShapes
from slimgate.run import keys
from slimgate.run.measure.quality import SplitEncoder
from slimgate.run.rows import PreparedRows
from slimgate.store.store import Artifact, Store

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FACTS = "shapes"


def make_row_shapes(
    rows: PreparedRows,
    artifact: Artifact,
    encoder: SplitEncoder,
    store: Store,
    *,
    row: int,
    device: str,
) -> RowShapes | None:
    """The shapes of the gate row at that position; None if the artifact is no torch network.

    They explain and do not judge. If the network cannot be followed, a note says why.
    """
    if artifact.loader is None:
        return None

    def fill(_folder: Path) -> Json:
        return {FACTS: {"id": encoder.rows.ids[row], **_follow_row(artifact, encoder, row, device)}}

    key = keys.make_shapes_key(rows, artifact, encoder.split, row, device)
    return RowShapes.model_validate(store.make("shapes", key, fill).manifest[FACTS])


def _follow_row(artifact: Artifact, encoder: SplitEncoder, row: int, device: str) -> Json:
    import torch

    from slimgate.models.module_outputs import UNKNOWN, follow_row

    try:
        model = artifact.load(device)
        batch = encoder.encode_for(artifact).batch([row])
        inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
        facts = follow_row(model.network, inputs)
    except (SlimgateError, *UNKNOWN) as error:
        return {"note": f"not known: {' '.join(str(error).split())}"}
    facts["next_tokens"] = [
        (_format_token(model.tokenizer, token), share) for token, share in facts["next_tokens"]
    ]
    return facts


def _format_token(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """The token as readers see it; if it is only white space, the tokenizer's name for it."""
    text = str(tokenizer.decode([token])).strip()
    return text or str(tokenizer.convert_ids_to_tokens(token))
