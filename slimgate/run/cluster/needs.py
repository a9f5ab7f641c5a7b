"""What a task needs of a machine: `cpus=2,gpus=1,memory=8G`, or for one model `distilled:cpus=4`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from slimgate.errors import SuiteError, format_suggestion

OPTION = "--slimgate-ray-needs"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")


@dataclass(frozen=True)
class Needs:
    """cpus, gpus: as Ray counts them, whole or below 1; memory: bytes, 0 where nothing is said."""

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    @property
    def resources(self) -> dict[str, float]:
        """By the names that Ray gives them; what is not needed is left out."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        return {name: amount for name, amount in named.items() if amount}

    def __str__(self) -> str:
        told = {"cpus": self.cpus, "gpus": self.gpus, "memory": self.memory}
        return ",".join(f"{name}={amount:.15g}" for name, amount in told.items() if amount) or "nothing"


@dataclass(frozen=True)
class AskedNeeds:
    """What the command line asks for: a model's name, or None for all, with the amounts that are given."""

    given: tuple[tuple[str | None, dict[str, float]], ...] = ()

    def of(self, name: str, *, threads: int, device: str) -> Needs:
        """Of one model; where nothing is asked, a CPU a thread and a GPU where the run is on one."""
        amounts: dict[str, float] = {"cpus": threads, "gpus": 0 if device == "cpu" else 1}
        for whose in (None, name):
            for model, given in self.given:
                amounts |= given if model == whose else {}
        return Needs(amounts["cpus"], amounts["gpus"], int(amounts.get("memory", 0)))


def asked_needs(texts: Iterable[str], models: Collection[str]) -> AskedNeeds:
    """The option's values. models: every name that may be given. Raises SuiteError."""
    return AskedNeeds(tuple(_one(text, models) for text in texts))


def _one(text: str, models: Collection[str]) -> tuple[str | None, dict[str, float]]:
    model, colon, amounts = text.rpartition(":")
    if colon and model not in models:
        raise SuiteError(f'{OPTION} "{text}": no model is named {model}{format_suggestion(model, models)}')
    return model if colon else None, dict(_amount(text, part) for part in amounts.split(","))


def _amount(text: str, part: str) -> tuple[str, float]:
    name, _, amount = (word.strip() for word in part.partition("="))
    if name not in ("cpus", "gpus", "memory"):
        near = format_suggestion(name, ("cpus", "gpus", "memory"))
        raise SuiteError(f'{OPTION} "{text}": "{name}" is nothing that can be needed{near}')
    found = _bytes(amount) if name == "memory" else _count(amount)
    if found is None:
        expected = "bytes such as 8G or 500M" if name == "memory" else "a whole number, or one below 1"
        raise SuiteError(f'{OPTION} "{text}": {name} is "{amount}", expected {expected}')
    return name, found


def _bytes(amount: str) -> float | None:
    found = _MEMORY.fullmatch(amount.upper())
    return float(int(float(found[1]) * _UNITS[found[2]])) if found else None


def _count(amount: str) -> float | None:
    """Ray takes whole numbers, and parts of one."""
    try:
        found = float(amount)
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 and (found < 1 or found.is_integer()) else None
