"""The run record: what one suite's run found, as run.json has it. Schema slimgate.run/1."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from slimgate.judge.verdict import Verdict
from slimgate.metrics.base import Unit

SCHEMA: Literal["slimgate.run/1"] = "slimgate.run/1"
Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "partial"]


class Part(BaseModel):
    """The base of all parts: frozen, and what was not measured is None."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Machine(Part):
    """What ran. warnings: what made its times less steady than they could be, as the run began."""

    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    device: str
    os: str
    python: str
    libraries: dict[str, str | None]
    warnings: list[str] = []


class SuiteFacts(Part):
    """reference: published figures as markdown, shown beside those of this run."""

    path: str
    title: str
    digest: str
    seeds: list[int]
    reference: str | None = None


class SplitFacts(Part):
    """n rows; how many rows of it stood in a later split and were dropped, and how many repeat another."""

    n: int
    digest: str
    dropped_overlap: int
    repeats: int
    groups: int | None = None
    label_counts: dict[str, int] = {}
    label_deviation_points: float | None = None


class TaskFactsRecord(Part):
    kind: str
    source: dict[str, Any]
    real: bool
    classes: list[str]
    splits: dict[str, SplitFacts]


class StepFacts(Part):
    """One step as it was built; seconds and log are those of the build, also where it came from the store.

    given: the params without those that equal the method's defaults; None where that is not known.
    """

    method: str
    params: Any
    given: Any = None
    seconds: float
    log: dict[str, Any]


class StageFacts(Part):
    """The model after one step on the way to a variant; the first stage is what the way starts from.

    step: None for the start. selection: values of metrics on the `selection` rows, empty where they could
    not be taken, which `note` explains.
    """

    variant: str
    step: str | None
    kind: str
    bytes: int
    parameters: int
    nonzero_parameters: int
    seconds: float | None = None
    selection: dict[str, float] = {}
    note: str | None = None


class ArtifactFacts(Part):
    """bytes: the files needed to predict; state_bytes: the state saved in memory."""

    kind: str
    digest: str
    bytes: int
    parameters: int
    nonzero_parameters: int
    state_bytes: int | None = None
    runtime: str
    load_seconds: float | None = None


class BudgetFacts(Part):
    """A judged budget. value, interval: what it limits and its 90 % interval, in the unit of the limit.

    None where they stand beside it already: a drop, a speed-up, a compression.
    """

    kind: str
    limit: float
    verdict: Verdict
    reason: str | None = None
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
    unit: of drop_points and interval: "points", or "percent" of the teacher's value that a perplexity grew.
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
    message: str | None = None
    unit: Unit = "points"
    measured: str


class FootprintFacts(Part):
    """compression: teacher bytes / variant bytes."""

    compression: float | None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str


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


class LatencyFacts(Part):
    """Times of one forward call on prepared tensors, in milliseconds, and the duel with the teacher.

    A percentile is None where the rounds are too few for it (p90 wants 29, p95 59, p99 299).
    speedup: teacher / variant; its interval is 95 %, widened by the noise floor, which is on the log scale
    (0.03: 3 % up or down may be noise).
    """

    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    std_ms: float | None = None
    min_ms: float | None = None
    rounds: int | None = None
    warmup: int | None = None
    threads: int | None = None
    throughput_per_s: float | None = None
    tokens: int | None = None
    tokenize_ms: float | None = None
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None
    speedup_of_minima: float | None = None
    noise_floor: float | None = None
    duel_rounds: int | None = None
    duel_threads: int | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str


class MemoryFacts(Part):
    peak_bytes: int | None = None
    resident_after_load_bytes: int | None = None


class ClaimFacts(Part):
    """What a step promised, and whether it held; None where that is not known (yet), or cannot be told."""

    step: str
    claim: str
    held: bool | None
    message: str


class VariantRecord(Part):
    """One model. error: why it could not be built or measured, where that happened.

    awaited: what has a budget and no run has measured yet.
    """

    name: str
    parent: str | None
    twin: str | None = None
    gated: bool = True
    reason: str | None = None
    from_store: bool | None = None
    steps: list[StepFacts] = []
    stages: list[StageFacts] = []
    claims: list[ClaimFacts] = []
    artifact: ArtifactFacts | None = None
    quality: dict[str, QualityFacts] = {}
    footprint: FootprintFacts | None = None
    behaviour: BehaviourFacts | None = None
    latency: dict[str, LatencyFacts] = {}
    memory: MemoryFacts | None = None
    awaited: list[str] = []
    error: str | None = None


class SelfTestPart(Part):
    verdict: Verdict | None
    changed: int | None = None
    drop_points: float | None = None
    message: str
    measured: str


class PlantedDelay(Part):
    """The teacher with a busy wait of a tenth of its call, against itself.

    seen: the speed-up's interval, widened by the noise floor, lies wholly below 1.
    """

    seen: bool
    speedup_interval: tuple[float, float]
    message: str
    workload: str
    measured: str


class SelfTest(Part):
    """identical must not FAIL; planted_fault must not PASS; an unseen delay leaves speed-ups undecided."""

    identical: SelfTestPart | None = None
    planted_fault: SelfTestPart | None = None
    planted_delay: PlantedDelay | None = None


class LoosenedBudget(Part):
    """A budget that allows more than in the baseline. limit: None where it is gone or gates no more."""

    variant: str
    budget: str
    kind: str
    before: float
    limit: float | None
    reason: str | None


class BaselineFacts(Part):
    """The earlier run that this one's budgets were held against."""

    path: str
    created: str
    loosened: list[LoosenedBudget] = []


class RunVerdict(Part):
    """Counts of budgets by verdict; a variant with an error has none.

    not_gated: what was measured without a budget that gates. missing: checks of the suite that no run has
    made yet. messages: one line for each budget that does not hold, each variant that could not be built,
    each failed self-test, a planted delay that was not seen.
    """

    status: Status
    passed: int
    failed: int
    inconclusive: int
    not_gated: int
    missing: int = 0
    messages: list[str] = []


class RunRecord(Part):
    schema_: Literal["slimgate.run/1"] = Field(default=SCHEMA, alias="schema")
    slimgate: str
    created: str
    command: str
    seconds: float | None = None
    machine: Machine
    suite: SuiteFacts
    task: TaskFactsRecord
    variants: list[VariantRecord]
    self_test: SelfTest
    baseline: BaselineFacts | None = None
    verdict: RunVerdict

    def variant(self, name: str) -> VariantRecord:
        """The variant of that name; "teacher" is the first."""
        return next(variant for variant in self.variants if variant.name == name)


def to_json(record: RunRecord) -> str:
    """The text of run.json: `schema` first; what was not measured is null."""
    return record.model_dump_json(indent=1, by_alias=True) + "\n"


def read_record(path: Path) -> RunRecord:
    """The record of a run.json. Raises pydantic's ValidationError where it is not one of this schema."""
    return RunRecord.model_validate_json(path.read_bytes())
