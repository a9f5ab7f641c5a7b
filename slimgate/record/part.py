"""The base of all parts of a record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """The base of all parts: frozen, and what was not measured is None.

    A figure that is not finite is written as a text, "Infinity" or "NaN", and read as a number again: JSON
    has none for it, and null would say that it was not measured, or stand where a number must be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")
