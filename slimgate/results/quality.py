"""The results on a metric of a model, compared with its teacher's, the baseline's or other variants'."""

from __future__ import annotations

from slimgate.budgets.base import Unit
from slimgate.budgets.registry import is_in_points
from slimgate.results.base import BudgetFacts, OnInconclusive
from slimgate.results.facts import Facts, Interval, JudgedFacts, MainFigure


class PairFacts(Facts):
    """Two variants on the same gate rows. better: the variant with the better figure, or the first if equal.

    by_points: by how much; interval: its 90 % interval, for this pair alone. p_holm: the p-value of the
    two-sided test of no difference, with Holm's correction over all pairs. separable: whether p_holm is at
    most 5 %; else the difference may be chance.
    """

    better: str
    worse: str
    by_points: float
    interval: tuple[float, float]
    p_holm: float
    separable: bool


class SeparationFacts(Facts):
    """All variants compared with each other, by one metric: the builds of the first seed.

    values: of each variant, the best first. groups: the largest sets of variants in which no two are
    separable, in that order; a variant may be in several. Empty if each is compared with the best only.
    left_out: gated variants that are too many to compare; other_answers: variants whose answers are missing,
    or of another run than the record. note: why none is compared, if the metric does not compare them.
    digest: over the metric, the answers and all that made them; a later run keeps a result with the same
    digest. None if the digest is not known.
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


class DropFigures(JudgedFacts):
    """The drop of a metric between two models on the same rows, and the budgets on it; see QualityFacts.

    level: the level of the interval. method: how the interval was computed. n_needed: the number of rows that
    would decide the budgets; None if they are decided, or if no number of rows would decide them.
    """

    named_by = "metric"
    drop_points: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    method: str | None = None
    n_needed: int | None = None
    warnings: list[str] = []
    unit: Unit = "points"

    @property
    def figure(self) -> MainFigure | None:
        return MainFigure("drop_points", self.drop_points, self.interval)

    def find_limited_value(self, budget: BudgetFacts) -> tuple[float | None, Interval | None]:
        """The drop for a budget in points, unless the budget is over builds and has a value of its own."""
        if is_in_points(budget.kind) and budget.value is None:
            return self.drop_points, self.interval
        return super().find_limited_value(budget)


class BuildsFacts(Facts):
    """The drops of a variant that was built with several seeds, in percentage points.

    seeds, drops_points: in the suite's order. The first seed's build is the one that ships. A verdict over
    rows is about that build's drop and interval, whatever other builds lost. A verdict over builds is about
    all builds.
    mean_points: the mean drop of the builds.
    sd_points: the standard deviation between builds (n - 1): what another seed would change, on the same
    rows. More gate rows do not make it smaller. None for a single seed.
    sampling_se_points: the standard error of the first build's drop: what other gate rows would change, for
    the same weights; more gate rows make it smaller. None if there is no interval.
    """

    seeds: list[int]
    drops_points: list[float]
    mean_points: float
    sd_points: float | None
    sampling_se_points: float | None


class QualityFacts(DropFigures):
    """A metric of one model. Drops and intervals are in percentage points, and None for the teacher.

    teacher, value: in the metric's own unit. unit: of drop_points and interval: "points", or "percent" of
    the teacher's value that a perplexity grew.
    n: the number of rows. groups: the number of groups of rows; None if each row is a group. band: a word for
    the size of the drop, such as "negligible". design_effect: the factor by which groups raise the variance
    of the drop, if rows are right or wrong. runs: the numbers of judged runs of teacher and variant; None if
    each has a single run.
    variance: n times the squared standard error of the drop as a fraction; a plan computes rows from it.
    near_chance: why the teacher, or a variant that passes, may have learnt nothing, in words; else None.
    strays: the numbers of rows in which the prediction of the teacher, and of the variant, is no label of the
    task; None if both are 0.
    among: how many variants with a budget on the metric were judged, from which the variant that ships is
    chosen; bound_among: the upper bound of the drop after that choice, by Bonferroni's correction.
    answered_on: the processor that computed the model's answers, if they came from the store.
    """

    teacher: float
    value: float
    n: int
    band: str | None = None
    groups: int | None = None
    design_effect: float | None = None
    variance: float | None = None
    strays: tuple[int, int] | None = None
    runs: tuple[int, int] | None = None
    builds: BuildsFacts | None = None
    among: int | None = None
    bound_among: float | None = None
    near_chance: str | None = None
    answered_on: str | None = None
    measured: str


class WaitingBudget(Facts):
    """A budget that had nothing to compare with yet. The next release may not loosen it without a reason."""

    kind: str
    limit: float
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None


class SinceFacts(DropFigures):
    """One metric then and now, on the same gate rows; as in QualityFacts, with the baseline as the teacher.

    new: the baseline has no answers of the variant, so there is nothing to compare. note: why it is new, or
    why the rows could not be paired, which leaves its budgets undecided. waiting: the budgets of a new
    variant or metric. right_to_wrong, wrong_to_right: rows since the baseline, for metrics of right and wrong
    rows.
    """

    baseline: float | None = None
    value: float | None = None
    n: int | None = None
    right_to_wrong: int | None = None
    wrong_to_right: int | None = None
    new: bool = False
    note: str | None = None
    waiting: list[WaitingBudget] = []
    measured: str
