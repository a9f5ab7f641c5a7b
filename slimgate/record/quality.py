"""The metrics of a model, and the budgets on them."""

from __future__ import annotations

from slimgate.judge.metrics.base import Unit
from slimgate.judge.parts import BudgetFacts, BuildsFacts, Part
from slimgate.judge.verdict import Verdict


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
