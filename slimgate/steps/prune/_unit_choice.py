"""Units of blocks (heads, neurons): what their pruning steps share, and which units stay by their scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.config import check_numbers, count_blocks
from slimgate.plugins.base import Json

Scores = npt.NDArray[np.float64]
Scope = Literal["global", "layer"]


class UnitParams(Protocol):
    """The options of a step that prunes units of blocks."""

    @property
    def importance(self) -> Literal["gradient", "magnitude"]: ...
    @property
    def blocks(self) -> tuple[int, ...]: ...


class PrunesUnits:
    """What the steps that prune units of blocks have in common."""

    reads: tuple[str, ...] = ("calibration",)
    claims: tuple[str, ...] = ("smaller", "fewer_parameters", "faster")

    def check(self, params: UnitParams, config: Json) -> dict[str, Any]:
        """Returns the configuration. Raises SuiteError for a block that the model does not have."""
        check_numbers(params.blocks, count_blocks(config), "blocks")
        return config

    def does_without(self, params: UnitParams) -> tuple[str, ...]:
        """The calibration rows, if only the weights are used."""
        return ("calibration",) if params.importance == "magnitude" else ()


def choose_units(
    scores: Mapping[str, Scores], pruning_ratio: float, scope: Scope, *, multiple_of: int = 1
) -> dict[str, list[int]]:
    """Layer -> the units that stay, ascending; at least one a layer, or one run of `multiple_of`.

    scores: layer -> (units,), higher is better; of equal ones the earlier unit stays. "global" ranks the
    units of all layers together, except each layer's best, which stay. Raises BuildError if the ratio
    would leave a layer empty.
    """
    counts = {name: len(values) - round(pruning_ratio * len(values)) for name, values in scores.items()}
    if scope == "global":
        counts = _count_kept_units(scores, pruning_ratio)
    elif min(counts.values()) < 1:
        raise BuildError(
            _describe_excess(pruning_ratio, "of a layer", 1 - 1 / min(map(len, scores.values())))
        )
    return {
        name: select_best_units(scores[name], _round_count(count, multiple_of, len(scores[name])))
        for name, count in counts.items()
    }


def check_some_go(kept_units: Mapping[str, list[int]], scores: Mapping[str, Scores], setting: str) -> None:
    """Raises BuildError if every unit stays, because the step would do nothing. setting: of the suite."""
    total = sum(map(len, scores.values()))
    if sum(map(len, kept_units.values())) == total:
        raise BuildError(f"{setting} was given, which would keep all {total} units; prune more")


def select_best_units(scores: Scores, count: int) -> list[int]:
    """The `count` units of highest score, ascending; of equal ones the earlier."""
    return sorted(np.argsort(-scores, kind="stable")[:count].tolist())


def _count_kept_units(scores: Mapping[str, Scores], pruning_ratio: float) -> dict[str, int]:
    total = sum(map(len, scores.values()))
    remaining = total - round(pruning_ratio * total)
    if remaining < len(scores):
        raise BuildError(_describe_excess(pruning_ratio, "of the model", 1 - len(scores) / total))
    names = [name for name, values in scores.items() for _ in values]
    ranked = np.concatenate([_raise_best_score(values) for values in scores.values()])
    stay = np.argsort(-ranked, kind="stable")[:remaining]
    return {name: sum(names[unit] == name for unit in stay) for name in scores}


def _raise_best_score(values: Scores) -> Scores:
    """The scores, with the layer's best above all others, because it always stays."""
    ranked = values.astype(np.float64)
    ranked[np.argmax(ranked)] = np.inf
    return ranked


def _round_count(count: int, multiple_of: int, units: int) -> int:
    nearest = multiple_of * int(count / multiple_of + 0.5)
    return min(max(nearest, multiple_of), units)


def _describe_excess(pruning_ratio: float, of: str, limit: float) -> str:
    return (
        f"pruning_ratio = {pruning_ratio} {of} would leave a layer without units, and every layer must "
        f"keep one; give at most {limit:.4g}"
    )
