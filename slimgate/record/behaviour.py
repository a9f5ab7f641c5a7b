"""What a variant answers otherwise than its teacher: flips, calibration, confusion, slices."""

from __future__ import annotations

from slimgate.judge.verdict import Verdict
from slimgate.record.part import Part
from slimgate.record.quality import BudgetFacts


class QuotedRow(Part):
    """A row that turned from right to wrong. confidence: of the model's own answer; text: shortened.

    What a task does not have is None: a label, an answer in words.
    """

    id: str
    label: str | None = None
    teacher: str | None = None
    teacher_confidence: float | None = None
    variant: str | None = None
    variant_confidence: float | None = None
    text: str | None = None


class Flips(Part):
    """changed: other predictions, right or wrong. percent: right_to_wrong of all rows; interval: its 90 %.

    quoted: the rows in whose wrong answer the variant is surest.
    """

    right_to_wrong: int
    wrong_to_right: int
    changed: int
    percent: float | None = None
    interval: tuple[float, float] | None = None
    groups: int | None = None
    design_effect: float | None = None
    quoted: list[QuotedRow] = []


class ReliabilityFacts(Part):
    """Rows whose confidence is in (low, high]: how many, their mean confidence and accuracy."""

    low: float
    high: float
    count: int
    confidence: float | None = None
    accuracy: float | None = None


class TradeoffFacts(Part):
    """coverage: the share of rows answered at a threshold; precision and recall as judge/tradeoff.py says."""

    threshold: float
    coverage: float
    precision: float | None = None
    recall: float | None = None


class SliceFacts(Part):
    """A metric on the rows that share a value of a column. drop_points, interval: points, 90 %.

    p_value: one-sided, of a drop within the budget; p_holm: corrected for all slices of the metric.
    """

    metric: str
    column: str
    value: str
    n: int
    teacher: float
    variant: float
    drop_points: float
    interval: tuple[float, float]
    method: str
    groups: int | None = None
    few_rows: bool = False
    p_value: float | None = None
    p_holm: float | None = None
    verdict: Verdict | None = None


class FigureFacts(Part):
    """A figure that only one kind of task has, such as how varied generated text is. what: it, in words."""

    what: str
    teacher: float | None = None
    variant: float | None = None


class SliceGapFacts(Part):
    """Largest minus smallest value over the slices of a column, in points; see judge/slice_gaps.py."""

    metric: str
    column: str
    slices: int
    few_rows: int
    teacher_points: float
    variant_points: float


class BehaviourFacts(Part):
    """What a variant answers otherwise than its teacher; names with _teacher hold the teacher's own figures.

    kl_to_teacher: nats. confusion: rows by [label][prediction]; of more than 30 classes it is None and
    confusion_cells holds [label, prediction, rows of the teacher, rows of the variant] of cells that are not
    empty in both. slices: of each metric the largest drop first.
    """

    n: int | None = None
    flips: Flips | None = None
    figures: dict[str, FigureFacts] = {}
    agreement: float | None = None
    kl_to_teacher: float | None = None
    ece: float | None = None
    ece_teacher: float | None = None
    brier: float | None = None
    brier_teacher: float | None = None
    reliability: list[ReliabilityFacts] | None = None
    reliability_teacher: list[ReliabilityFacts] | None = None
    tradeoff: list[TradeoffFacts] | None = None
    tradeoff_teacher: list[TradeoffFacts] | None = None
    confusion: list[list[int]] | None = None
    confusion_teacher: list[list[int]] | None = None
    confusion_cells: list[tuple[int, int, int, int]] | None = None
    slices: list[SliceFacts] | None = None
    slice_gaps: list[SliceGapFacts] | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str | None = None
