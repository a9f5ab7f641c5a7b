"""The base of all that a record holds."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """The base of all that a record holds: frozen, with None for what was not measured.

    A figure that is not finite is written as a text, "Infinity" or "NaN", and read as a number again. JSON
    has no such number, and null would mean that it was not measured, or would take the place of a required
    number.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        ser_json_inf_nan="strings",
        defer_build=True,  # most commands use few of the classes
    )

    def replace(self, **changes: object) -> Self:
        """Makes a copy in which some fields have other values.

        Args:
            changes: by the names of the fields.

        Raises:
            pydantic.ValidationError: for a name that is no field, and a value of another type.
        """
        return type(self)(**{**dict(self), **changes})
