"""The tables of [budgets], as a suite writes them and as gates judge by them.

A table of limits on a metric makes a QualityBudget of each kind. A table of several limits on other figures
makes a LimitBudget of each. Other tables are a Budget with one limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import Field, ValidationInfo, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from slimgate.budgets.registry import list_metric_kinds
from slimgate.judge.budget_kinds import KINDS, Over, QualityBudget
from slimgate.plugins.params import Table
from slimgate.results.base import OnInconclusive

# Teacher bytes / variant bytes if the variant is in float32 and the teacher in 16 bits: about the least
# ratio that a conversion gives.
LEAST_COMPRESSION = 0.5


class _WithReason(Table):
    """Base of all tables of budgets."""

    reason: str | None = None
    """Reason for the budget, which the report shows. A budget that is looser than the baseline's budget needs
    a reason."""


class _MayBeUndecided(_WithReason):
    """Base of the tables of budgets that may be INCONCLUSIVE."""

    on_inconclusive: OnInconclusive | None = None
    """What happens if the verdict is INCONCLUSIVE: "fail", or "warn" and pass; default: on_inconclusive of
    [measure]."""


class MetricLimitsTable(_MayBeUndecided):
    """Base of the tables of limits on a metric: one kind of budget a key, and at least one of them."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if not self.make_budgets():
            kinds = [kind for kind in KINDS if kind in type(self).model_fields]
            example = "drop_points = 2.0" if "drop_points" in kinds else "floor = 0.85"
            raise ValueError(f"expected at least one of {', '.join(kinds)}, as in {{ {example} }}")
        return self

    def make_budgets(self) -> tuple[QualityBudget, ...]:
        """A budget for each kind that is set."""
        limits: dict[str, float | None] = {kind: getattr(self, kind, None) for kind in KINDS}
        over: Over = getattr(self, "over", "rows")
        cap: float | None = getattr(self, "cap", None)
        above: float | None = getattr(self, "above_cap_max", None)
        return tuple(
            QualityBudget(kind, limit, self.reason, self.on_inconclusive, over, cap, above)
            for kind, limit in limits.items()
            if limit is not None
        )


class _CappedLimits(MetricLimitsTable):
    """Base of the tables of limits on a metric that may have a cap: the limits, and the cap."""

    cap: float | None = Field(default=None, gt=0)
    """For a metric whose values have no bound: the largest loss with which one row counts in the mean, in the
    metric's unit (for perplexity, nats per token)."""
    above_cap_max: float | None = Field(default=None, gt=0, lt=1)
    """For a metric whose values have no bound: the largest share of rows that may lose more than `cap`;
    default: the budget / (8 · cap)."""

    @field_validator("*")
    @classmethod
    def _check_share(cls, limit: float, info: ValidationInfo) -> Any:
        """Refuses a fraction above its range: 3 is more often meant as 3 % than as four times the loss."""
        if info.field_name != "increase_relative":
            return limit
        if limit is not None and limit >= 1 and not info.data.get("reason"):
            raise PydanticCustomError(
                "unit",
                "{actual} was given, which allows growth by {percent} %; expected a share "
                "under 1: for {actual} % "
                'write {meant}, and if {actual} is meant, add reason = "…"',
                {"actual": f"{limit:g}", "percent": f"{100 * limit:g}", "meant": f"{limit / 100:g}"},
            )
        return limit


class _OverBuilds(_CappedLimits):
    over: Over = "rows"
    """What the verdict is about: "rows" judges the first build; "builds" judges the mean over the builds of
    all [suite] seeds, so that one lucky build does not pass."""


def _make_limit_fields(descriptions: Mapping[str, str | None]) -> dict[str, Any]:
    """A field for each kind of budget on a metric. descriptions: by kind; None leaves the kind out."""
    return {
        name: (
            float | None,
            Field(
                default=None, gt=kind.above, lt=kind.below, le=kind.at_most, description=descriptions[name]
            ),
        )
        for name, kind in list_metric_kinds().items()
        if descriptions[name] is not None
    }


_DESCRIPTIONS = {name: kind.description for name, kind in list_metric_kinds().items()}
BaselineBudgetTable: type[_CappedLimits] = create_model(
    "BaselineBudgetTable",
    __base__=_CappedLimits,
    __doc__="Budgets on what a metric lost since the baseline, which takes the teacher's place in the "
    "comparison.",
    **_make_limit_fields(
        {
            name: None if list_metric_kinds()[name].question == "own value" else description
            for name, description in _DESCRIPTIONS.items()
        }
    ),
)
TeacherBudgetTable: type[MetricLimitsTable] = create_model(
    "TeacherBudgetTable",
    __base__=MetricLimitsTable,
    __doc__="Budgets on a metric of the teacher itself, by its own interval.",
    **_make_limit_fields({name: kind.teacher_description for name, kind in list_metric_kinds().items()}),
)
QualityBudgetTable: type[_CappedLimits] = create_model(
    "QualityBudgetTable",
    __base__=_OverBuilds,
    __doc__="Budgets on a metric, all of which must hold; slimgate/budgets/ says what each kind means.",
    **_make_limit_fields(_DESCRIPTIONS),
)


class Budget(_WithReason):
    """A table of one limit. kind: its key in the table, and its kind in the record."""

    kind: ClassVar[str]

    @property
    def limit(self) -> float:
        """The limit, in the unit of its kind."""
        return float(getattr(self, self.kind))


class SizeBudget(Budget):
    """A budget on the artifact's bytes: teacher / variant must reach this."""

    kind = "compression_min"
    compression_min: float = Field(gt=0)
    """Least value of teacher bytes / variant bytes."""


class QuantizedBudget(Budget):
    """A budget on precision: this share of the weights in a variant's blocks has fewer than 16 bits."""

    kind = "quantized_share_min"
    quantized_share_min: float = Field(gt=0, le=1)
    """Least share of the weights in the blocks' matrices that is stored in fewer than 16 bits."""


class FlopsBudget(Budget):
    """A budget on floating-point operations of one row: variant / teacher may reach at most this."""

    kind = "ratio_max"
    ratio_max: float = Field(gt=0)
    """Largest value of the variant's operations / the teacher's operations; slimgate counts matrix products,
    convolutions and attention."""


class MeasuredBudget(Budget, _MayBeUndecided):
    """A table of one limit on a measured figure. Budgets on exact figures are never undecided."""


class MemoryBudget(MeasuredBudget):
    """A budget on peak memory of loading and predicting: variant / teacher may reach at most this."""

    kind = "memory_ratio_max"
    memory_ratio_max: float = Field(gt=0)
    """Largest value of the variant's peak memory / the teacher's peak memory."""


class FlipsBudget(MeasuredBudget):
    """A budget on behaviour: at most this percentage of the gate rows may turn from right to wrong."""

    kind = "flips_max_percent"
    flips_max_percent: float = Field(gt=0, lt=100)
    """Largest percentage of the gate rows that may turn from right to wrong."""


class SliceBudget(MeasuredBudget):
    """A budget on a metric of 0/1 per row: what no slice may lose, or one slice that is named."""

    not_yet: ClassVar[frozenset[str]] = frozenset(list_metric_kinds()) - {"drop_points"}
    kind = "drop_points"
    drop_points: float = Field(gt=0, lt=100)
    """Percentage points that each slice may lose. A PASS needs proof for every slice."""


@dataclass(frozen=True)
class LimitBudget:
    """One limit of a table that may hold several. kind: its key in the table, and its kind in the record.

    cap, above_cap_max: of a mean without a bound, as in QualityBudget.
    """

    kind: str
    limit: float
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None
    cap: float | None = None
    above_cap_max: float | None = None


class SizeBudgetTable(_WithReason):
    """Budgets on a variant's files, all of which must hold."""

    compression_min: float | None = Field(default=None, gt=0)
    """Least value of teacher bytes / variant bytes: 4 is a quarter of the size. A value under 0.5 needs a
    reason."""
    quantized_share_min: float | None = Field(default=None, gt=0, le=1)
    """Least share of the weights in the blocks' matrices (attention, mlp, experts) that the files store in
    fewer than 16 bits: 0.95 is 95 %."""

    @field_validator("compression_min")
    @classmethod
    def _check_not_share(cls, limit: float | None, info: ValidationInfo) -> float | None:
        """Refuses a fraction: 0.25 more often means a quarter of the size than four times the size."""
        if limit is not None and limit < LEAST_COMPRESSION and not info.data.get("reason"):
            raise PydanticCustomError(
                "unit",
                "{actual} was given, which lets the variant be {times} times as large "
                "as the teacher; expected teacher bytes / variant bytes: for {percent} % of the size write "
                "{times}, and if {actual} is "
                'meant, add reason = "…"',
                {"actual": f"{limit:g}", "percent": f"{100 * limit:g}", "times": f"{1 / limit:.3g}"},
            )
        return limit

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.compression is None and self.quantized is None:
            kinds = f"{SizeBudget.kind}, {QuantizedBudget.kind}"
            raise ValueError(f"expected at least one of {kinds}, as in {{ compression_min = 1.5 }}")
        return self

    @property
    def compression(self) -> SizeBudget | None:
        """The budget on bytes."""
        limit = self.compression_min
        return None if limit is None else SizeBudget(compression_min=limit, reason=self.reason)

    @property
    def quantized(self) -> QuantizedBudget | None:
        """The budget on precision."""
        limit = self.quantized_share_min
        return None if limit is None else QuantizedBudget(quantized_share_min=limit, reason=self.reason)


class SeveralLimitsTable(_MayBeUndecided):
    """Base of the tables of several limits, of which at least one is set."""

    kinds: ClassVar[tuple[str, ...]]
    example: ClassVar[str]

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if not self.make_budgets():
            raise ValueError(f"expected at least one of {', '.join(self.kinds)}, as in {self.example}")
        return self

    def make_budgets(self) -> tuple[LimitBudget, ...]:
        """A budget for each limit that is set."""
        limits = {kind: getattr(self, kind) for kind in self.kinds}
        return tuple(
            LimitBudget(kind, limit, self.reason, self.on_inconclusive)
            for kind, limit in limits.items()
            if limit is not None
        )


class KlBudgetTable(SeveralLimitsTable):
    """Budgets on KL(teacher || variant) of the next token, in nats, all of which must hold."""

    kinds: ClassVar = ("mean_max", "p99_max", "p999_max")
    example: ClassVar = "{ mean_max = 0.02 }"
    mean_max: float | None = Field(default=None, gt=0)
    """Largest mean KL of a token, in nats, over all tokens; a document counts with at most `cap` nats per
    token."""
    cap: float | None = Field(default=None, gt=0)
    """For mean_max: the largest value, in nats per token, with which a document counts; default: 1, or twice
    mean_max if that is larger."""
    above_cap_max: float | None = Field(default=None, gt=0, lt=1)
    """For mean_max: the largest share of the tokens that may be in documents above `cap`; default: mean_max /
    (8 · cap)."""
    p99_max: float | None = Field(default=None, gt=0)
    """Value in nats; less than 1 % of the tokens may have a larger KL. A PASS needs about 300 documents."""
    p999_max: float | None = Field(default=None, gt=0)
    """Value in nats; less than 0.1 % of the tokens may have a larger KL. A PASS needs about 3,000
    documents."""

    @model_validator(mode="after")
    def _check_cap(self) -> Self:
        for name in ("cap", "above_cap_max"):
            if getattr(self, name) is not None and self.mean_max is None:
                raise ValueError(f"{name} needs mean_max; add mean_max, or leave {name} out")
        if self.cap is not None and self.mean_max is not None and self.cap <= self.mean_max:
            raise ValueError(
                f"cap is {self.cap:g}, not above mean_max: the budget on the mean would always hold"
            )
        if self.cap is not None and self.cap < 1 and self.above_cap_max is None:
            raise ValueError(
                f"cap is {self.cap:g}, under 1 nat: also give above_cap_max, the largest share of the "
                "tokens in documents above the cap"
            )
        return self

    def make_budgets(self) -> tuple[LimitBudget, ...]:
        """A budget for each limit that is set; only the mean has the cap."""
        return tuple(
            replace(budget, cap=self.cap, above_cap_max=self.above_cap_max)
            if budget.kind == "mean_max"
            else budget
            for budget in super().make_budgets()
        )


# The kinds of budgets on a figure of a measurement.
VALUE_RATIO, VALUE = "value_ratio_max", "value_max"


class MeasurementBudgetTable(SeveralLimitsTable):
    """Budgets on a figure that a measurement gives, all of which must hold. A smaller figure is better."""

    kinds: ClassVar = (VALUE_RATIO, VALUE)
    example: ClassVar = "{ value_ratio_max = 0.8 }"
    value_ratio_max: float | None = Field(default=None, gt=0)
    """Largest value of the variant's figure / the teacher's figure."""
    value_max: float | None = Field(default=None, gt=0)
    """Largest value of the variant's figure, in the unit of the measurement."""


class Top1BudgetTable(SeveralLimitsTable):
    """A budget on the share of tokens for which variant and teacher have the same most likely next token."""

    kinds: ClassVar = ("floor",)
    example: ClassVar = "{ floor = 0.98 }"
    floor: float | None = Field(default=None, gt=0, lt=1)
    """Least share of tokens for which variant and teacher have the same most likely next token."""


# The tables of limits on tokens, by their names in [budgets].
TOKEN_TABLES: Mapping[str, type[KlBudgetTable | Top1BudgetTable]] = {
    "kl": KlBudgetTable,
    "top1_agreement": Top1BudgetTable,
}

# The kinds of their budgets.
TOKEN_KINDS = frozenset(kind for table in TOKEN_TABLES.values() for kind in table.kinds)


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
