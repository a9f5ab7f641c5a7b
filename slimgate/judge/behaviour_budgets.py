"""The budgets on how a variant's behaviour differs from its teacher's: flips, slices and predicted tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from slimgate.judge.budget_tables import FlipsBudget, LimitBudget, SliceBudget

LABEL = "label"
SLICED = "accuracy"  # the metric of slices if no budget names another
NOT_PER_ROW = "is not 0 or 1 per row as accuracy is; budgets of such metrics on slices are not supported yet"


class SliceName(NamedTuple):
    """A slice that has a budget by itself, on a metric."""

    column: str
    value: str
    metric: str


@dataclass(frozen=True)
class BehaviourBudgets:
    """The budgets on the behaviour of a variant.

    flips: on the share of rows that turn from right to wrong; slices: by metric, on every slice.
    tokens: on the tokens of a language model, by the table's name (TOKEN_TABLES). named_slices: on one slice.
    """

    flips: FlipsBudget | None = None
    slices: Mapping[str, SliceBudget] = field(default_factory=dict)
    tokens: Mapping[str, tuple[LimitBudget, ...]] = field(default_factory=dict)
    named_slices: Mapping[SliceName, SliceBudget] = field(default_factory=dict)

    @property
    def sliced_metrics(self) -> tuple[str, ...]:
        """The metrics that have a budget on slices."""
        return tuple(dict.fromkeys([*self.slices, *(name.metric for name in self.named_slices)]))


def make_slices_kind(metric: str, column: str | None = None, value: str | None = None) -> str:
    """The kind of a budget on slices in the record: on all slices, or on the named slice."""
    kind = f"slices.{metric}"
    return kind if column is None else f"{kind}[{column}={value}]"


def is_slices_kind(kind: str) -> bool:
    """Whether a budget of this kind is on slices."""
    return kind.startswith(make_slices_kind(""))


def is_named_slice_kind(kind: str) -> bool:
    """Whether a budget on slices of this kind names one slice."""
    return kind.endswith("]")
