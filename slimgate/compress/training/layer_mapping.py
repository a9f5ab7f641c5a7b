"""Which block of the teacher each block of the student learns from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slimgate.errors import BuildError

LayerMapping = Literal["even", "last"] | tuple[Annotated[int, Field(ge=0, strict=True)], ...]


def map_layers(student: int, teacher: int, mapping: LayerMapping = "even") -> list[int]:
    """For each student block, the number of the teacher block it learns from.

    "even": spread evenly, the last from the last (Jiao et al. 2020); "last": the teacher's last ones (Sun et
    al. 2019, PKD-Last); a list says it block by block. Raises BuildError for a list that does not fit.
    """
    if mapping == "even":
        return [max(0, (2 * (i + 1) * teacher + student) // (2 * student) - 1) for i in range(student)]
    if mapping == "last":
        return [max(0, teacher - student + i) for i in range(student)]
    if len(mapping) != student or max(mapping) >= teacher:
        raise BuildError(
            f"layer_mapping {list(mapping)} came, expected for each of the student's {student} blocks one "
            f"of the teacher's, 0 to {teacher - 1}"
        )
    return [int(number) for number in mapping]
