"""The parts of a comparison, as `slimgate compare --json` prints them. Schema slimgate.compare/1.

A drop is positive if the new release is worse than the old one, whatever the metric.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.budgets.base import Unit
from slimgate.record.verdicts import LoosenedBudget, UndecidedChange, Weakening
from slimgate.results.base import Verdict
from slimgate.results.counts import Status
from slimgate.results.facts import Facts
from slimgate.results.quality import SeparationFacts

SCHEMA: Literal["slimgate.compare/1"] = "slimgate.compare/1"
# The outcome of a budget: its verdict, or that its variant failed, or that the run did not judge it.
Outcome = Verdict | Literal["error", "not measured"]
# What the gate rows show of a change, at the level of its interval.
ChangeVerdict = Literal["worse", "better", "no change shown"]
# Without a test, a change of this many points is called worse or better.
_NOTABLE_POINTS = 0.5


class Release(Facts):
    """One of the two records. name: of the baseline, or the file; reason: given when it was accepted.

    suite: the path of the suite; None for files that `slimgate judge` judged.
    """

    name: str
    file: str
    created: str
    suite: str | None
    slimgate: str
    status: Status
    reason: str | None = None


class Moved(Facts):
    """A value in both releases. drop_points: None if it is not known which way is better.

    interval, shown, method, n: of a paired test of the two releases' answers; None if there was none.
    right_to_wrong, wrong_to_right: rows between the releases, of metrics of right and wrong rows.
    """

    old: float
    new: float
    drop_points: float | None = None
    unit: Unit = "points"
    interval: tuple[float, float] | None = None
    method: str | None = None
    n: int | None = None
    right_to_wrong: int | None = None
    wrong_to_right: int | None = None

    @property
    def shown(self) -> ChangeVerdict | None:
        """What the interval shows; None without an interval."""
        if self.interval is None:
            return None
        low, high = self.interval
        return "worse" if low > 0 else "better" if high < 0 else "no change shown"

    @property
    def direction(self) -> Literal["worse", "better"] | None:
        """What the test shows; without a test, the direction if the values differ by half a point or more."""
        if self.shown is not None:
            return None if self.shown == "no change shown" else self.shown
        points = self.drop_points or 0.0
        return "worse" if points >= _NOTABLE_POINTS else "better" if points <= -_NOTABLE_POINTS else None


class MetricChange(Moved):
    """A metric of one model. old_drop, new_drop: of a variant from its own teacher in each release.

    reading: in words, whether the variant moved, or its teacher, or both. of_log_slice: it is a slice of
    logs, of which the record has no answers, so the two drops are compared by their intervals.
    """

    metric: str
    of_log_slice: bool = False
    old_drop: float | None = None
    old_drop_interval: tuple[float, float] | None = None
    new_drop: float | None = None
    new_drop_interval: tuple[float, float] | None = None
    reading: str | None = None

    @property
    def direction(self) -> Literal["worse", "better"] | None:
        """What the test shows. Without a test, what the values show; for a slice of logs, the intervals."""
        old, new = self.old_drop_interval, self.new_drop_interval
        if not self.of_log_slice or self.shown is not None or old is None or new is None:
            return super().direction
        return "worse" if new[0] > old[1] else "better" if new[1] < old[0] else None


class SliceChange(Moved):
    """A metric on one slice. p_holm: one-sided, of no loss, corrected over the model's tested slices."""

    metric: str
    column: str
    value: str
    rows: int
    old_drop: float | None = None
    new_drop: float | None = None
    p_holm: float | None = None


class SizeChange(Facts):
    """Bytes of the files needed to predict, and teacher bytes / variant bytes."""

    old_bytes: int
    new_bytes: int
    old_compression: float | None = None
    new_compression: float | None = None


class LatencyChange(Facts):
    """A workload. Speed-ups are teacher time / variant time of each release's own duel, with 95 % intervals.

    change: None if the machines differ, or if a release has no duel of the workload.
    """

    workload: str
    old_p50_ms: float | None = None
    new_p50_ms: float | None = None
    old_speedup: float | None = None
    old_interval: tuple[float, float] | None = None
    new_speedup: float | None = None
    new_interval: tuple[float, float] | None = None
    change: Literal["faster", "slower", "no change shown"] | None = None


class MeasurementChange(Facts):
    """A figure of a measurement in both releases; None in a release that did not measure it.

    Ratios are variant / teacher of each release, with the 95 % intervals of rounds. unit: of the values.
    change: by the ratios. None if the machines differ, or if a release has no interval.
    """

    name: str
    unit: str = ""
    old_value: float | None = None
    new_value: float | None = None
    old_ratio: float | None = None
    old_interval: tuple[float, float] | None = None
    new_ratio: float | None = None
    new_interval: tuple[float, float] | None = None
    change: Literal["smaller", "larger", "no change shown"] | None = None


class ModelChange(Facts):
    """One model in both releases; same_artifact: its files are the same, byte by byte."""

    name: str
    same_artifact: bool | None = None
    metrics: list[MetricChange] = Field(default_factory=list)
    slices: list[SliceChange] = Field(default_factory=list)
    size: SizeChange | None = None
    latency: list[LatencyChange] = Field(default_factory=list)
    measurements: list[MeasurementChange] = Field(default_factory=list)


class BudgetChange(Facts):
    """A budget whose limit changed. before: None if it is new; after: None if it was removed.

    gates_no_more: the variant is still shown but no longer gated. reason: None if no reason was given.
    under_before: for a looser limit, the verdict of the former limit on the new release's figures. undecided:
    what INCONCLUSIVE did for the budget and does now, if that changed. options: the other keys of its table
    before and now, if they differ.
    """

    variant: str
    budget: str
    kind: str
    before: float | None
    after: float | None
    looser: bool
    gates_no_more: bool = False
    reason: str | None = None
    under_before: Verdict | None = None
    undecided: UndecidedChange | None = None
    options: tuple[dict[str, Any], dict[str, Any]] | None = None

    def to_loosened(self, reason: str | None = None) -> LoosenedBudget:
        """The change as a record has it. reason: of the whole run, if the budget states none."""
        return LoosenedBudget(
            variant=self.variant,
            budget=self.budget,
            kind=self.kind,
            before=self.before or 0.0,
            limit=self.after,
            reason=self.reason or reason,
            undecided=self.undecided,
        )


class VerdictChange(Facts):
    """A budget whose verdict changed.

    regressed: it held and does not, or was undecided and fails now, by the former limit too. limits: before
    and now, if they differ.
    """

    variant: str
    budget: str
    kind: str
    before: Outcome | None
    after: Outcome | None
    regressed: bool
    limits: tuple[float, float] | None = None
    message: str | None = None


class Comparison(Facts):
    """The changes between two releases. notes: why something could not be compared, in words.

    gates_gone: those models of `removed` that gated; their budgets were removed too. weaker: every way in
    which the new gate demands less. separation: of the new release's variants; first_builds: whether they
    have several builds, of which the first is compared. original, other: the names of both sides in the text,
    "base" and "target" for logs.
    """

    schema_: Literal["slimgate.compare/1"] = Field(default=SCHEMA, alias="schema")
    old: Release
    new: Release
    same_rows: bool
    same_machine: bool
    notes: list[str] = Field(default_factory=list)
    verdicts: list[VerdictChange] = Field(default_factory=list)
    budgets: list[BudgetChange] = Field(default_factory=list)
    added: list[str] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list)
    gates_gone: list[str] = Field(default_factory=list)
    weaker: list[Weakening] = Field(default_factory=list)
    teacher: ModelChange | None = None
    variants: list[ModelChange] = Field(default_factory=list)
    separation: SeparationFacts | None = None
    first_builds: bool = False
    original: str = "teacher"
    other: str = "variant"

    @property
    def regressed(self) -> list[VerdictChange]:
        """Budgets that held in the old release and do not in the new one, or were undecided and fail now."""
        return [change for change in self.verdicts if change.regressed]

    @property
    def fell(self) -> list[tuple[str, MetricChange]]:
        """The metrics that got worse, each with its model, also the teacher's; whatever the budgets say."""
        models = [self.teacher, *self.variants] if self.teacher else self.variants
        return [
            (model.name, metric)
            for model in models
            for metric in model.metrics
            if metric.direction == "worse"
        ]

    @property
    def loosened(self) -> list[BudgetChange]:
        """Budgets that allow more than they did."""
        return [change for change in self.budgets if change.looser]

    @property
    def unaccepted(self) -> list[Weakening]:
        """The ways in which the gate is weaker without a reason."""
        return [weakening for weakening in self.weaker if weakening.reason is None]

    @property
    def unexplained(self) -> list[BudgetChange]:
        """The loosened budgets without a reason."""
        return [change for change in self.loosened if change.reason is None]
