"""Budgets, and the metrics of a model that they limit."""

from __future__ import annotations

from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.metrics.base import Unit
from slimgate.judge.verdict import Verdict
from slimgate.record.part import Part


class BudgetFacts(Part):
    """A judged budget. value, interval: what it limits and its 90 % interval, in the unit of the limit.

    None where they stand beside it already: a drop, a speed-up, a compression.
    on_inconclusive: whether the budget fails the run where it is undecided; None where it never is, and in
    records from before it was kept.
    """

    kind: str
    limit: float
    verdict: Verdict
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None
    n_needed: int | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None


class BuildsFacts(Part):
    """The builds of a variant by each seed; see BuildSpread in judge/spread.py."""

    seeds: list[int]
    drops_points: list[float]
    mean_points: float
    sd_points: float | None
    sampling_se_points: float | None


class QualityFacts(Part):
    """A metric of one model; drops and intervals in percentage points, None for the teacher.

    variance: n times the squared standard error of the drop as a fraction, from which a plan counts rows.
    near_chance: why the teacher may have learnt nothing, in words; None where it has, or it is not known.
    among: how many variants with a budget on it were judged, from which the one that ships is chosen;
    bound_among: the upper bound of the drop after that choice, by Bonferroni's correction.
    unit: of drop_points and interval: "points", or "percent" of the teacher's value that a perplexity grew.
    answered_on: the processor that computed the model's answers, where they came from the store.
    """

    teacher: float
    value: float
    drop_points: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    method: str | None = None
    n: int
    n_needed: int | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    band: str | None = None
    groups: int | None = None
    design_effect: float | None = None
    variance: float | None = None
    builds: BuildsFacts | None = None
    warnings: list[str] = []
    among: int | None = None
    bound_among: float | None = None
    message: str | None = None
    near_chance: str | None = None
    unit: Unit = "points"
    answered_on: str | None = None
    measured: str
