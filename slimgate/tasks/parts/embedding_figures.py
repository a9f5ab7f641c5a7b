"""What an embedding costs in an index, and how near a variant's are to the teacher's: a task's `compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.models.torch_model import DESCRIPTION
from slimgate.plugins.base import Json, iter_batches
from slimgate.plugins.models import Compared
from slimgate.tasks.parts.retrieval import unit_vectors

# More rows hardly move a mean cosine.
ROWS = 512
FLOAT_BITS = 32
INDEXED = 1_000_000
_MEGABYTE = 1024**2


def embedding_figures(teacher: Compared, variant: Compared) -> dict[str, Any]:
    """The record's `figures`: bytes of an embedding, megabytes of a million, cosine to the teacher's own.

    Queries may have another form than documents; it is documents that an index keeps.
    """
    theirs, mine = document_vectors(teacher), document_vectors(variant)
    sizes = [
        bytes_per_embedding(side, vectors.shape[-1]) for side, vectors in ((teacher, theirs), (variant, mine))
    ]
    figures = {
        "bytes_per_embedding": _figure("bytes of an embedding in an index", *sizes),
        "index_mb_per_million": _figure(
            "MB of an index of 1,000,000 embeddings", *(size * INDEXED / _MEGABYTE for size in sizes)
        ),
    }
    if theirs.shape == mine.shape:
        cosine = float((unit_vectors(theirs) * unit_vectors(mine)).sum(-1).mean())
        figures["cosine_to_teacher"] = _figure("mean cosine of embeddings to the teacher's", None, cosine)
    return {"figures": figures}


def document_vectors(model: Compared, rows: int = ROWS) -> npt.NDArray[np.float32]:
    """(rows, dims) of the first rows' documents: of pairs the second text, else the text."""
    count = min(rows, len(model.encoded.lengths))
    parts = [
        model.predictor.fetch(
            model.predictor.forward(model.predictor.prepare(model.encoded.batch(positions)))
        )
        for positions in iter_batches(range(count), 64)
    ]
    vectors = np.concatenate(parts)
    return vectors[:, 1] if vectors.ndim == 3 else vectors


def bytes_per_embedding(model: Compared, dims: int) -> int:
    """What an index keeps of a vector, by the form that the artifact gives it."""
    return -(-dims * _stored_bits(model.folder) // 8)


def _stored_bits(folder: Path) -> int:
    """By the modules that steps have put into the model; an artifact of another kind gives floats."""
    path = folder / DESCRIPTION
    if not path.is_file():
        return FLOAT_BITS
    description: Json = json.loads(path.read_text("utf-8"))
    forms = [change["spec"].get("modules", {}).get("form") for change in description["modifications"]]
    kinds = [form[0].rpartition(":")[2] for form in forms if form is not None]
    return {"Int8Form": 8, "BinaryForm": 1}[kinds[-1]] if kinds else FLOAT_BITS


def _figure(label: str, teacher: float | None, variant: float) -> dict[str, Any]:
    return {"what": label, "teacher": teacher, "variant": variant}
