"""The base of all parts of a record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """The base of all parts: frozen, and what was not measured is None."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
