"""The verdicts of a run.json, and whether a run from scratch confirms them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASS = "PASS"
# Sections of a variant's record that the truth does not cover: times, memory, and results of other runs.
_NOT_COVERED = frozenset(
    {"latency", "speedup", "memory", "since_baseline", "confirm", "steps", "stages", "inputs_digests", "twin"}
)


@dataclass(frozen=True)
class Judged:
    """A verdict, with the values of the variant and of the teacher if it has some."""

    verdict: str
    value: float | None = None
    teacher: float | None = None

    def __str__(self) -> str:
        figures = (("variant", self.value), ("teacher", self.teacher))
        return self.verdict + "".join(f", {name} {value:.4f}" for name, value in figures if value is not None)

    def has_figures_of(self, other: Judged) -> bool:
        """Whether both figures are the same, up to rounding."""
        pairs = ((self.value, other.value), (self.teacher, other.teacher))
        known = ((figure, fact) for figure, fact in pairs if figure is not None and fact is not None)
        return all(math.isclose(figure, fact, abs_tol=1e-6) for figure, fact in known)


Claims = Mapping[str, Judged]


@dataclass(frozen=True)
class Truth:
    """The results of a state from scratch. code: exit code of a whole run. judged: by place in the record.

    text: the output. partly: whether places may be missing; a claim at a missing place is then not denied.
    """

    code: int
    judged: Claims
    text: str
    partly: bool = False

    def deny(self, place: str, claim: Judged) -> str | None:
        """Why a PASS is not true; None if it is."""
        fact = self.judged.get(place)
        if fact is None:
            return None if self.partly else f"{place}: PASS, and a run from scratch has no such verdict"
        if fact.verdict != PASS:
            return f"{place}: {claim}, and from scratch it is {fact}"
        if not claim.has_figures_of(fact):
            return f"{place}: {claim}, of other figures than from scratch: {fact}"
        return None


def read_record(file: Path) -> dict[str, Any] | None:
    """A run.json; None if there is none that can be read."""
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        return None


def list_claims(record: Mapping[str, Any]) -> dict[str, Judged]:
    """The verdicts of a record's variants, by place: "small/quality/accuracy"."""
    return {
        place: judged
        for variant in record["variants"]
        for section, content in variant.items()
        if section not in _NOT_COVERED
        for place, judged in _walk(f"{variant['name']}/{section}", content)
    }


def _walk(place: str, content: Any) -> Iterator[tuple[str, Judged]]:
    if isinstance(content, Mapping):
        if isinstance(content.get("verdict"), str):
            figures = (_read_number(content, name) for name in ("value", "teacher"))
            yield place, Judged(content["verdict"], *figures)
        for name, item in content.items():
            yield from _walk(f"{place}/{name}", item)
    elif isinstance(content, list):
        for number, item in enumerate(content):
            name = (item.get("kind") or item.get("name")) if isinstance(item, Mapping) else None
            yield from _walk(f"{place}/{name or number}", item)


def _read_number(content: Mapping[str, Any], name: str) -> float | None:
    value = content.get(name)
    return float(value) if isinstance(value, int | float) else None
