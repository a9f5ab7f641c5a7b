"""The subject of a run: the suite with its demands, the task, its rows, and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slimgate.judge.score_metric import RECORD_KIND
from slimgate.results.base import OnInconclusive, SwitchedOffBudget
from slimgate.results.facts import Facts

# A field of Rates -> its name in texts, and its unit.
RATE_WORDS = {
    "float32_gflop_per_s": ("float32", "GFLOP/s"),
    "bfloat16_gflop_per_s": ("bfloat16", "GFLOP/s"),
    "int8_gop_per_s": ("int8", "GOP/s"),
    "memory_gb_per_s": ("memory", "GB/s"),
}


class Rates(Facts):
    """The peak rates of the CPU with a number of threads; None if a rate was not measured.

    Products of square matrices are in billions (10⁹) of operations a second, two for each multiply-add.
    Memory is in 10⁹ bytes a second that a copy of an array larger than the caches reads and writes.
    """

    threads: int
    float32_gflop_per_s: float | None = None
    bfloat16_gflop_per_s: float | None = None
    int8_gop_per_s: float | None = None
    memory_gb_per_s: float | None = None


class PeakRates(Facts):
    """The peak rates of the CPU, from a probe of about two seconds before the first model was timed.

    one_thread, all_threads: with one thread and with the suite's. int8_by: the library that multiplied int8.
    notes: why a figure is missing. seconds: the duration of the probe.
    """

    one_thread: Rates | None = None
    all_threads: Rates | None = None
    int8_by: str | None = None
    notes: list[str] = []
    seconds: float
    measured: str


class Machine(Facts):
    """The machine of a run.

    instructions: of the processor, those by which libraries choose kernels, such as avx512_vnni; warnings:
    what made its times less steady than possible, at the start of the run. gpu: of the device; None on the
    CPU, and in a record from before this field. peak_rates: of the CPU; None if no model was timed on it.
    """

    cpu: str
    instructions: list[str] = []
    cores: int
    threads: int
    memory_bytes: int
    device: str
    gpu: str | None = None
    os: str
    python: str
    libraries: dict[str, str | None]
    warnings: list[str] = []
    peak_rates: PeakRates | None = None

    @property
    def hardware(self) -> tuple[str, tuple[str, ...], int, int, str, str | None]:
        """What identifies a machine if times are compared. Memory is not included: it changes no time."""
        return (self.cpu, tuple(self.instructions), self.cores, self.threads, self.device, self.gpu)

    @property
    def device_and_gpu(self) -> str:
        """`cpu`, `cuda (NVIDIA H200 (compute capability 9.0))`."""
        return self.device if self.gpu is None else f"{self.device} ({self.gpu})"

    @property
    def kind(self) -> str:
        """The processor, its cores and the GPU: `AMD EPYC 9654, 96 cores, NVIDIA H200 …`."""
        return ", ".join([self.cpu, f"{self.cores} cores", *([self.gpu] if self.gpu else [])])


class DemandedBudget(Facts):
    """A budget of one model. budget: the metric or table in [budgets]; for latency, without its workloads.

    on_inconclusive: None if it is never undecided, or not recorded. options: the other keys of its table that
    differ from the default.
    """

    variant: str
    budget: str
    kind: str
    limit: float
    on_inconclusive: OnInconclusive | None = None
    options: dict[str, Any] = {}
    reason: str | None = None


class DemandedRows(Facts):
    """A split that judges, or that the teacher is trained on."""

    n: int
    digest: str


class Demands(Facts):
    """What a gate demands.

    budgets: of the teacher and the variants. gated: by variant; False if its verdicts fail no run.

    switched_off: by variant, the common budgets that it does not have. settings: by dotted key of the suite,
    such as measure.rounds; the user's files and code by their digests. rows: by split; none before they are
    known. teacher: digest of its artifact; None before it is known, and if the teacher or its head is trained
    (then the settings and the rows count). self_tests: those that have run; None before that is known.
    unjudged: by variant, the budgets whose limit is not known. reason: of [budgets.baseline], why less is
    demanded.
    """

    budgets: list[DemandedBudget] = []
    gated: dict[str, bool] = {}
    switched_off: dict[str, list[SwitchedOffBudget]] = {}
    settings: dict[str, Any] = {}
    rows: dict[str, DemandedRows] = {}
    teacher: str | None = None
    self_tests: list[str] | None = None
    unjudged: dict[str, list[str]] = {}
    reason: str | None = None


# The kinds of task of records made of other tools' files, in addition to logs of answers.
PREDICTIONS = "predictions"
LOAD_TESTS = "load tests"
KL_LOGS = "KL logs"


class Sides(NamedTuple):
    """The name in reports of the model that all others are compared with, and of the others."""

    original: str
    other: str


class SuiteFacts(Facts):
    """The facts about a suite in a record.

    reference: published figures as markdown, shown next to those of this run.

    commit: the git commit of the suite's folder, with "+" if tracked files differed from it; None outside
    of git.
    """

    path: str
    title: str
    digest: str
    seeds: list[int]
    commit: str | None = None
    reference: str | None = None


class SplitFacts(Facts):
    """The rows of one split. n: their number.

    dropped_overlap: rows that were left out because a later split has their texts. near_repeats: those of
    them that differ only in case, punctuation or the order of a pair. repeats: rows whose text occurs earlier
    in the split. groups: the number of groups; rows with the same text are one group.
    """

    n: int
    digest: str
    dropped_overlap: int
    near_repeats: int = 0
    repeats: int
    groups: int | None = None
    label_counts: dict[str, int] = {}
    label_deviation_points: float | None = None


class TaskFactsRecord(Facts):
    """The facts about a task in a record.

    params: [task] as the task has it; None for a record of an earlier slimgate. classes: the labels; for
    prediction files, then the predictions that are no label.
    """

    kind: str
    params: dict[str, Any] | None = None
    source: dict[str, Any]
    real: bool
    classes: list[str]
    splits: dict[str, SplitFacts]

    @property
    def judged(self) -> TaskFactsRecord:
        """The task and its rows, without the options, which hold paths of one machine.

        Digests of the rows and of the settings stand for the options.
        """
        return self.model_copy(update={"params": None, "source": {}})

    @property
    def is_of_files(self) -> bool:
        """Whether files of other tools were judged: slimgate has built no model of them."""
        return self.kind in (RECORD_KIND, PREDICTIONS) or not self.has_rows

    @property
    def labels(self) -> list[str]:
        """The classes that a row can have as its label."""
        stated = (self.params or {}).get("labels") if self.kind == PREDICTIONS else None
        return self.classes if stated is None else list(stated)

    @property
    def sides(self) -> Sides:
        """`base` and `target` for logs, as in their command; else `teacher` and `variant`."""
        of_logs = self.kind in (RECORD_KIND, LOAD_TESTS, KL_LOGS)
        return Sides("base", "target") if of_logs else Sides("teacher", "variant")

    @property
    def log_slices(self) -> Mapping[str, Mapping[str, str]]:
        """For logs: the name of each slice -> the comparison (`of`), the field and the value; else empty."""
        slices: Mapping[str, Mapping[str, str]] = (self.params or {}).get("slices", {})
        return slices

    def find_digest(self, split: str) -> str | None:
        """The digest of the rows of a split; None if the record has no such split."""
        facts = self.splits.get(split)
        return None if facts is None else facts.digest

    @property
    def has_rows(self) -> bool:
        """Whether answers on rows were judged, and not the figures of load tests or KL logs."""
        return self.kind not in (LOAD_TESTS, KL_LOGS)
