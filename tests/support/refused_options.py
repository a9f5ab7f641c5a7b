"""What the table of options of a step, task or runtime refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError


def read_refusal(table: type[BaseModel], options: Mapping[str, Any]) -> str:
    """The first error, as "key: message". Without its key if the error is about several keys."""
    with pytest.raises(ValidationError) as caught:
        table(**options)
    error = caught.value.errors()[0]
    return ": ".join([*map(str, error["loc"][:1]), error["msg"].removeprefix("Value error, ")])
