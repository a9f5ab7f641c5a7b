"""The way of one gate row through an artifact, taken once and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slimgate.errors import SlimgateError
from slimgate.run import keys
from slimgate.run.measure.quality import Encoder
from slimgate.run.rows import PreparedRows
from slimgate.store.artifact import Artifact
from slimgate.store.store import Json, Store

FACTS = "shapes"


def row_shapes(
    rows: PreparedRows,
    artifact: Artifact,
    encoder: Encoder,
    store: Store,
    *,
    row: int,
    device: str,
) -> Json | None:
    """The facts of RowShapes for the gate row in that place; None for an artifact that is no torch network.

    They explain and judge nothing: where the network cannot be followed, a note says why.
    """
    if artifact.loader is None:
        return None

    def fill(_folder: Path) -> Json:
        return {FACTS: {"id": encoder.rows.ids[row], **_follow_row(artifact, encoder, row, device)}}

    key = keys.shapes_key(rows, artifact, encoder.split, row, device)
    facts: Json = store.make("shapes", key, fill).manifest[FACTS]
    return facts


def _follow_row(artifact: Artifact, encoder: Encoder, row: int, device: str) -> Json:
    import torch

    from slimgate.models.module_outputs import UNKNOWN, follow_row

    try:
        model = artifact.load(device)
        batch = encoder.of(artifact).batch([row])
        inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
        found = follow_row(model.network, inputs)
    except (SlimgateError, *UNKNOWN) as error:
        return {"note": f"not known: {' '.join(str(error).split())}"}
    found["next_tokens"] = [(_token(model.tokenizer, token), share) for token, share in found["next_tokens"]]
    return found


def _token(tokenizer: Any, token: int) -> str:
    """The token as it would be read; where it is only white space, as the tokenizer names it."""
    text = str(tokenizer.decode([token])).strip()
    return text or str(tokenizer.convert_ids_to_tokens(token))
