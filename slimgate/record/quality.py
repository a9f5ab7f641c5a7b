"""The metrics of a model."""

from __future__ import annotations

from slimgate.judge.parts import BuildsFacts, QualityFigures


class QualityFacts(QualityFigures):
    """A metric of one model; drops and intervals in percentage points, None for the teacher.

    teacher, value: in the metric's own unit. unit: of drop_points and interval: "points", or "percent" of
    the teacher's value that a perplexity grew.
    variance: n times the squared standard error of the drop as a fraction, from which a plan counts rows.
    near_chance: why the teacher may have learnt nothing, in words; None where it has, or it is not known.
    strays: rows whose prediction is no label of the task, of teacher and variant; None where there are none.
    among: how many variants with a budget on it were judged, from which the one that ships is chosen;
    bound_among: the upper bound of the drop after that choice, by Bonferroni's correction.
    answered_on: the processor that computed the model's answers, where they came from the store.
    """

    builds: BuildsFacts | None = None
    among: int | None = None
    bound_among: float | None = None
    message: str | None = None
    near_chance: str | None = None
    answered_on: str | None = None
    measured: str
