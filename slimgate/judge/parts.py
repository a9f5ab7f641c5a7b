"""The base of all parts of a record, and the parts that the judge fills in."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.decision import Verdict
from slimgate.judge.metrics.base import Unit


class Part(BaseModel):
    """The base of all parts: frozen, and what was not measured is None.

    A figure that is not finite is written as a text, "Infinity" or "NaN", and read as a number again: JSON
    has none for it, and null would say that it was not measured, or stand where a number must be.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        ser_json_inf_nan="strings",
        defer_build=True,  # most commands use few of the parts
    )


class CappedFacts(Part):
    """Of a budget on a mean without a bound: the share of rows above the cap, which is judged too.

    cap: the most that a row counts for in the mean, such as nats a token. uncapped: the mean without it, in
    the unit of the budget's value. above: the share of rows (of documents by their tokens) that lost more,
    with its 90 % interval and its limit. derived: the limit is derived from the budget, not the user's.
    """

    cap: float
    uncapped: float
    above: float
    above_interval: tuple[float, float]
    above_max: float
    derived: bool


class BudgetFacts(Part):
    """A judged budget. value, interval: what it limits and its 90 % interval, in the unit of the limit.

    None where they stand beside it already: a drop, a speed-up, a compression.
    fail_interval: the 95 % interval of the drop, by which a budget on both sides FAILs; None of other kinds.
    on_inconclusive: whether the budget fails the run where it is undecided; None where it never is, and in
    records from before it was kept.
    builds: of a budget over builds, how many were judged, 1 where all are equal; None of one build.
    n_needed: the rows that would decide it; builds_needed: the builds that would, on these rows. needs_both:
    neither would alone, and the numbers are of both together. runs_needed: the runs of each side that would.
    capped: of a mean of values without a bound.
    """

    kind: str
    limit: float
    verdict: Verdict
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None
    n_needed: int | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None
    fail_interval: tuple[float, float] | None = None
    builds: int | None = None
    builds_needed: int | None = None
    needs_both: bool = False
    runs_needed: int | None = None
    capped: CappedFacts | None = None


class DropFigures(Part):
    """What a metric lost between two models on the same rows, and the budgets on that; see QualityFacts."""

    drop_points: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    method: str | None = None
    n_needed: int | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    warnings: list[str] = []
    unit: Unit = "points"


class QualityFigures(DropFigures):
    """What the judge says of a metric of two models; see QualityFacts."""

    teacher: float
    value: float
    n: int
    band: str | None = None
    groups: int | None = None
    design_effect: float | None = None
    variance: float | None = None
    strays: tuple[int, int] | None = None
    runs: tuple[int, int] | None = None


class BuildsFacts(Part):
    """The drops of a variant that was built with each of several seeds. All in percentage points.

    seeds, drops_points: in the suite's order. The first seed's build is the one that ships. A verdict is
    about its own drop and interval, whatever the others lost; that of a budget over builds is about all.
    mean_points: the mean drop, what such a build loses on average.
    sd_points: the standard deviation between builds (n - 1): what another seed would change, on these same
    rows; more gate rows do not make it smaller. None of a single seed.
    sampling_se_points: the standard error of the first build's drop: what other gate rows would change, for
    the same weights; more gate rows make it smaller. None where there is no interval.
    """

    seeds: list[int]
    drops_points: list[float]
    mean_points: float
    sd_points: float | None
    sampling_se_points: float | None


class PairFacts(Part):
    """Two variants on the same gate rows. better: the one with the better figure, or the first of equal ones.

    by_points: by how much; interval: its 90 % interval, of this pair alone. p_holm: two-sided, of no
    difference, corrected over all pairs. separable: whether it is at most 5 %; else it may be chance.
    """

    better: str
    worse: str
    by_points: float
    interval: tuple[float, float]
    p_holm: float
    separable: bool


class SeparationFacts(Part):
    """Variants against each other, by one metric: of the builds of the first seed.

    values: of each variant, the best first. groups: the largest sets of variants of which no two are
    separable, in that order; a variant may be in several. Empty where each is compared with the best only.
    left_out: gated variants that are too many to compare; other_answers: those whose answers are missing, or
    of another run than the record. note: why none is compared, where the metric does not compare them.
    digest: over the metric, the answers and all that made them; a later run keeps what has the same. None
    where that is not known.
    """

    metric: str
    unit: Unit = "points"
    n: int
    values: dict[str, float] = {}
    pairs: list[PairFacts] = []
    groups: list[list[str]] = []
    left_out: list[str] = []
    other_answers: list[str] = []
    note: str | None = None
    digest: str | None = None
