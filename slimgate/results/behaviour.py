"""How a variant's answers differ from its teacher's: flips, calibration, confusion, slices."""

from __future__ import annotations

from slimgate.budgets.answers import FLIPS_MAX_PERCENT
from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict
from slimgate.results.facts import Facts, Interval, JudgedFacts, MainFigure


class QuotedRow(Facts):
    """A row that turned from right to wrong, or from wrong to right.

    teacher_confidence, variant_confidence: of each model's answer. text: shortened. A field that the task
    does not have, such as a label, is None.
    """

    id: str
    label: str | None = None
    teacher: str | None = None
    teacher_confidence: float | None = None
    variant: str | None = None
    variant_confidence: float | None = None
    text: str | None = None


class Flips(Facts):
    """The rows that turned from right to wrong, or from wrong to right.

    changed: rows with another prediction, right or wrong. percent: the share of right_to_wrong in all rows;
    interval: its 90 % interval. quoted: the rows with the variant's most confident wrong answers.
    quoted_better: rows that turned from wrong to right, if a budget limits a gain too.
    """

    right_to_wrong: int
    wrong_to_right: int
    changed: int
    percent: float | None = None
    interval: tuple[float, float] | None = None
    groups: int | None = None
    quoted: list[QuotedRow] = []
    quoted_better: list[QuotedRow] = []


class ReliabilityFacts(Facts):
    """The rows whose confidence is in (low, high]. confidence, accuracy: their means; None without rows."""

    low: float
    high: float
    count: int
    confidence: float | None = None
    accuracy: float | None = None


class TradeoffFacts(Facts):
    """One threshold of the confidence.

    coverage: the share of rows answered. precision: None if no row is answered. recall: None if no row has
    the class.

    Two classes: a row is answered if the positive class has at least that probability; precision and recall
    are those of the positive class, or of the second class if none is known to be positive. More classes: a
    row is answered if the prediction has at least that probability; precision is the share of right rows
    among the answered, recall among all rows.
    """

    threshold: float
    coverage: float
    precision: float | None = None
    recall: float | None = None


class SliceFacts(Facts):
    """A metric on a slice: the rows that have a value in a column. drop_points: in points; interval: 90 %.

    teacher, variant: in the unit of the metric. p_value: one-sided, of the hypothesis that the true drop is
    within the budget on all slices; p_holm: the same, corrected for all slices of the metric. verdict: FAIL
    if p_holm is at most 5 %, PASS if the interval is below the budget, else INCONCLUSIVE; n_needed: the rows
    of the slice that would decide it. All four are None without a budget. own_verdict, own_n_needed: the same
    for a budget that names the slice.
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
    n_needed: int | None = None
    own_verdict: Verdict | None = None
    own_n_needed: int | None = None

    @property
    def worst(self) -> Verdict | None:
        """The worse of the two verdicts; None if no budget limits the slice."""
        return find_worst_verdict(
            [verdict for verdict in (self.verdict, self.own_verdict) if verdict is not None]
        )


class FigureFacts(Facts):
    """A figure of one kind of task, such as how varied generated text is. what: its meaning."""

    what: str
    teacher: float | None = None
    variant: float | None = None


class KlFacts(Facts):
    """KL(teacher || variant) of the next token in nats, at every predicted gate token. Intervals: 90 %.

    documents: the number of rows. groups: the number of groups of rows, which are the units of the intervals;
    None if each row is a unit.
    mean: a document counts for at most `cap` nats a token; uncapped_mean: the mean without the cap.
    above_cap: the share of the tokens that are in documents above the cap. Old records have no cap, so these
    are None. same_top1: the share of tokens with the same likeliest next token. log_perplexity_ratio:
    ln(variant's / teacher's). rest: the mean probability of the tokens beyond the teacher's likeliest, whose
    part of KL is estimated from a sample of them.
    """

    tokens: int
    documents: int
    groups: int | None = None
    mean: float
    mean_interval: tuple[float, float]
    cap: float | None = None
    uncapped_mean: float | None = None
    above_cap: float | None = None
    above_cap_interval: tuple[float, float] | None = None
    median: float
    p99: float
    p99_interval: tuple[float, float]
    p999: float
    p999_interval: tuple[float, float]
    maximum: float
    same_top1: float
    same_top1_interval: tuple[float, float]
    log_perplexity_ratio: float | None = None
    log_perplexity_ratio_interval: tuple[float, float] | None = None
    rest: float | None = None


class BlockErrorFacts(Facts):
    """Where the hidden states of a variant depart from the teacher's, on some gate rows.

    own: the error of the part's output on the teacher's hidden states, relative to what the teacher's part
    adds to them. after: the relative error of the hidden states after the part as the variant computes them,
    with all errors before it.
    """

    name: str
    own: float
    after: float


class FaultLocationFacts(Facts):
    """The errors of the parts of a network, in their order. worst: the part with the largest `own` error.

    rows: the gate rows that were read. ratio: the worst error divided by the median error of the blocks; None
    if the median is 0. stands_out: whether the worst is far above the rest, so that a fault is in that part
    and not spread over all. note: why there are no figures.
    """

    parts: list[BlockErrorFacts] = []
    rows: int | None = None
    worst: str | None = None
    ratio: float | None = None
    stands_out: bool = False
    note: str | None = None


class SliceGapFacts(Facts):
    """The largest minus the smallest value of a metric over the slices of a column, in points.

    slices: how many are compared. few_rows: how many are left out, because they have few rows and their
    values are mostly chance. The gap is a description, not a verdict: by chance it is above 0 in both models
    too.
    """

    metric: str
    column: str
    slices: int
    few_rows: int
    teacher_points: float
    variant_points: float


class BehaviourFacts(JudgedFacts):
    """How a variant's answers differ from its teacher's; fields with _teacher hold the teacher's own figures.

    findings: what is wrong with the prompts of a model, in sentences. changed_answers: some rows that are
    neither right nor wrong, with both answers. kl_to_teacher: nats. kl: for language models, with intervals;
    fault_location: if a KL budget failed, in which block. confusion: rows by [label][prediction]; with more
    than 30 classes it is None, and confusion_cells holds [label, prediction, rows of the teacher, rows of the
    variant] of cells that are not empty in both. slices: for each metric the largest drop first.
    """

    n: int | None = None
    flips: Flips | None = None
    figures: dict[str, FigureFacts] = {}
    findings: list[str] = []
    changed_answers: list[QuotedRow] = []
    agreement: float | None = None
    kl_to_teacher: float | None = None
    kl: KlFacts | None = None
    fault_location: FaultLocationFacts | None = None
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
    measured: str | None = None

    @property
    def figure(self) -> MainFigure | None:
        if self.flips is None:
            return None
        return MainFigure("flips_percent", self.flips.percent, self.flips.interval)

    def find_limited_value(self, budget: BudgetFacts) -> tuple[float | None, Interval | None]:
        if budget.kind == FLIPS_MAX_PERCENT and self.flips is not None:
            return self.flips.percent, self.flips.interval
        return super().find_limited_value(budget)
