"""The resources that a task needs: `cpus=2,gpus=1,memory=8G`, or for one model `distilled:cpus=4`."""

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
    """The resources of a task. cpus, gpus: as in Ray, whole or below 1; memory: bytes, 0 if not stated."""

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    @property
    def resources(self) -> dict[str, float]:
        """The amounts by Ray's names, without amounts of 0."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        return {name: amount for name, amount in named.items() if amount}

    def __str__(self) -> str:
        amounts = {"cpus": self.cpus, "gpus": self.gpus, "memory": self.memory}
        return ",".join(f"{name}={amount:.15g}" for name, amount in amounts.items() if amount) or "nothing"


@dataclass(frozen=True)
class RequestedNeeds:
    """The resources on the command line: by a model's name, or None for all, the stated amounts."""

    by_model: tuple[tuple[str | None, dict[str, float]], ...] = ()

    def find_needs(self, name: str, *, threads: int, device: str) -> Needs:
        """The needs of one model; by default one CPU for each thread, and a GPU if the run uses one."""
        amounts: dict[str, float] = {"cpus": threads, "gpus": 0 if device == "cpu" else 1}
        for whose in (None, name):
            for model, model_amounts in self.by_model:
                amounts |= model_amounts if model == whose else {}
        return Needs(amounts["cpus"], amounts["gpus"], int(amounts.get("memory", 0)))


def parse_needs(texts: Iterable[str], models: Collection[str]) -> RequestedNeeds:
    """Parses the option's values. models: all valid names. Raises SuiteError."""
    return RequestedNeeds(tuple(_parse_entry(text, models) for text in texts))


def _parse_entry(text: str, models: Collection[str]) -> tuple[str | None, dict[str, float]]:
    model, colon, amounts = text.rpartition(":")
    if colon and model not in models:
        raise SuiteError(f'{OPTION} "{text}": no model is named {model}{format_suggestion(model, models)}')
    return model if colon else None, dict(_parse_amount(text, part) for part in amounts.split(","))


def _parse_amount(text: str, part: str) -> tuple[str, float]:
    name, _, amount = (word.strip() for word in part.partition("="))
    if name not in ("cpus", "gpus", "memory"):
        near = format_suggestion(name, ("cpus", "gpus", "memory"))
        raise SuiteError(f'{OPTION} "{text}": "{name}" is not a resource{near}')
    number = _parse_bytes(amount) if name == "memory" else _parse_count(amount)
    if number is None:
        expected = "bytes such as 8G or 500M" if name == "memory" else "a whole number, or one below 1"
        raise SuiteError(f'{OPTION} "{text}": {name} is "{amount}", expected {expected}')
    return name, number


def _parse_bytes(amount: str) -> float | None:
    match = _MEMORY.fullmatch(amount.upper())
    return float(int(float(match[1]) * _UNITS[match[2]])) if match else None


def _parse_count(amount: str) -> float | None:
    """Parses a whole number, or one below 1, as Ray accepts them."""
    try:
        number = float(amount)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 and (number < 1 or number.is_integer()) else None
