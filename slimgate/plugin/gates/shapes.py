"""Shapes: the way of one gate row through a model, the same row for the teacher and every variant."""

from __future__ import annotations

from typing import Any

from slimgate.run.followed_rows import find_least_sure
from slimgate.run.measure.row_shapes import make_row_shapes
from slimgate.run.run import ModelHandle


def shape_facts(model: ModelHandle, teacher: ModelHandle) -> dict[str, Any] | None:
    """The facts on the row of which the teacher is least sure; None for a model that is no torch network."""
    run = model.run
    row, _ = find_least_sure(getattr(teacher.outcomes, "probabilities", None))
    return make_row_shapes(
        run.rows,
        model.built.artifact,
        run.encoder,
        run.store,
        row=row,
        device=run.device,
    )
