"""Which variants can be told apart by a metric."""

from __future__ import annotations

from slimgate.budgets.base import Unit
from slimgate.results.facts import Facts


class PairFacts(Facts):
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


class SeparationFacts(Facts):
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
