"""Which variants differ in a metric."""

from __future__ import annotations

from slimgate.budgets.base import Unit
from slimgate.results.base import Facts


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
