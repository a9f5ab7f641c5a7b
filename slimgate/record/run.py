"""The whole record, written as run.json and read again. Schema slimgate.run/2.

It also has the facts without a separate module: which part of a suite a run was, how often its rows have
judged (each further set of models is another chance to PASS by luck), and single rows to follow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from slimgate._system.digests import digest_json
from slimgate.errors import DataError
from slimgate.record.build import ArtifactFacts, ClaimFacts, StageFacts, StepFacts
from slimgate.record.task import Demands, Machine, SuiteFacts, TaskFactsRecord
from slimgate.record.verdicts import (
    AcceptedFacts,
    BaselineFacts,
    CarriedResult,
    RunVerdict,
)
from slimgate.results.base import SwitchedOffBudget
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import (
    BEHAVIOUR,
    FLOPS,
    KL_LOG,
    LATENCY,
    LOAD_TEST,
    MEASUREMENT,
    MEMORY,
    QUALITY,
    SINCE,
    SIZE,
    SPEEDUP,
    Result,
)
from slimgate.results.facts import Facts, JudgedFacts
from slimgate.results.figures import FlopsFacts, MeasurementFacts, MemoryFacts, SizeFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts, SeparationFacts, SinceFacts
from slimgate.results.self_test import SelfTest
from slimgate.results.tool_logs import KlLogFacts, LoadTestFacts

SCHEMA: Literal["slimgate.run/2"] = "slimgate.run/2"
_DIGEST = "digest"
# The fields of a model with results that budgets judge on the gate rows, in the order of reports.
_RESULT_FIELDS = {
    QUALITY: "quality",
    SINCE: "since_baseline",
    BEHAVIOUR: "behaviour",
    SIZE: "size",
    MEMORY: "memory",
    FLOPS: "flops",
    MEASUREMENT: "measurements",
    SPEEDUP: "latency",
    LOAD_TEST: "load_tests",
    KL_LOG: "kl_log",
}


class ShardFacts(Facts):
    """Shard `number` of `of`, and the variants that belong to it; code: digest of slimgate's own source.

    missing: checks of its share that no run has made yet; `verdict.missing` includes them. machine: the
    processor, its cores and the GPU; with the times it distinguishes the shards of a merged record.
    variables: the environment variables that change how libraries compute, if they are set.
    """

    number: int
    of: int
    variants: list[str]
    missing: list[str] = []
    code: str
    machine: str
    created: str
    seconds: float | None = None
    variables: dict[str, str] = {}


class TimingFacts(Facts):
    """A speed budget that was judged several times for the same models; `passed` is how often it held."""

    variant: str
    workload: str
    times: int
    passed: int


class RowUseFacts(Facts):
    """How often these gate rows were used, by the store and the last record, including this run.

    runs: how many judged a model that no earlier run had judged; models: the number of such models. timings:
    the speed budgets that were judged more than once. run: the run of this record; log: by run, the models
    that no earlier run had judged, empty in records from before this field. cuts: how many different gates
    the same data was split into and judged on.
    """

    runs: int
    models: int
    timings: list[TimingFacts] = []
    run: str | None = None
    log: dict[str, list[str]] = {}
    cuts: int = 1


class ConfirmFacts(Facts):
    """The rows of the split confirm, which judged what had passed on the gate.

    digest, n, groups: of these rows; measured: when they last judged. uses, models: like `runs` and `models`
    of RowUseFacts. The verdicts are in `confirm` of each variant.
    """

    digest: str
    n: int
    groups: int | None = None
    uses: int
    models: int
    measured: str


class CodeReads(Facts):
    """What the user's code has read for the results of a record.

    states: by path, and by $NAME for an environment variable (`_system.code_reads.describe_code_reads`).
    """

    states: dict[str, str]


class AnswerFacts(Facts):
    """One model's answer on one row.

    prediction: the class, or the answer in words; right: None if an answer is neither right nor wrong; top:
    the most probable classes with their probabilities; values: the task's other figures of a row (nats, a
    rank).
    """

    model: str
    prediction: str | None = None
    right: bool | None = None
    label_probability: float | None = None
    top: list[tuple[str, float]] = []
    values: dict[str, float] = {}


class FollowedRow(Facts):
    """A gate row with the answers of the teacher and every variant. why: how it was chosen.

    number: its place in the gate, from 0. given: numbers of the row, the same for all models.
    """

    id: str
    number: int
    why: str
    label: str | None = None
    text: str | None = None
    given: dict[str, float] = {}
    answers: list[AnswerFacts]


class TensorFacts(Facts):
    """The output of a part of the network: shape, type of numbers; weights: types of its stored weights."""

    shape: list[int]
    dtype: str
    weights: str | None = None


class RowShapes(Facts):
    """The shapes of one gate row in a network; unknown values are None, and `note` says why.

    next_tokens: for a language model, the most probable tokens after the row's last token.
    """

    id: str
    inputs: dict[str, list[int]] = {}
    embeddings: TensorFacts | None = None
    blocks: list[TensorFacts] = []
    logits: TensorFacts | None = None
    next_tokens: list[tuple[str, float]] = []
    note: str | None = None


class VariantRecord(Facts):
    """One model. error: why it could not be built or measured, if that happened.

    inputs_digests: by kind of result, over the recipe, files, code, rows and settings that it depends on;
    "model" is without settings. A later run carries a result over only while its digest is the same.
    error_log: the file next to the record with more about the error: how far the step was, what failed.
    error_measured: when it happened. carried: its results of earlier runs, whose inputs are unchanged; for
    the teacher also the self-tests. shapes: one gate row in its network, the same row for all models.
    since_baseline: metrics that have a budget against the same variant of the baseline. confirm: metrics with
    a budget, judged again on rows that nothing had read. awaited: what has a budget and was not measured by
    any run yet. switched_off: budgets that its table removes. load_tests, kl_log: from files of other tools,
    by load. measurements: by name. notes: for logs, which differences were allowed, and what was left out or
    could not be compared.
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
    inputs_digests: dict[str, str] = {}
    quality: dict[str, QualityFacts] = {}
    size: SizeFacts | None = None
    behaviour: BehaviourFacts | None = None
    latency: dict[str, LatencyFacts] = {}
    memory: MemoryFacts | None = None
    flops: FlopsFacts | None = None
    measurements: dict[str, MeasurementFacts] = {}
    load_tests: dict[str, LoadTestFacts] = {}
    kl_log: KlLogFacts | None = None
    shapes: RowShapes | None = None
    since_baseline: dict[str, SinceFacts] = {}
    confirm: dict[str, QualityFacts] = {}
    awaited: list[str] = []
    switched_off: list[SwitchedOffBudget] = []
    notes: list[str] = []
    error: str | None = None
    error_log: str | None = None
    error_measured: str | None = None
    carried: list[CarriedResult] = []

    @property
    def is_measured(self) -> bool:
        """Whether it answered the gate rows; then the answers are kept next to the record."""
        return bool(self.quality) or self.behaviour is not None

    def results(self) -> Iterator[Result]:
        """All results that a budget can judge on the gate rows and on this machine, each with its check."""
        for kind, field in _RESULT_FIELDS.items():
            facts = getattr(self, field)
            by_name: dict[str, JudgedFacts | None] = facts if isinstance(facts, dict) else {"": facts}
            for name, result in by_name.items():
                if result is not None:
                    yield Result(kind, name, result)
                if isinstance(result, LatencyFacts) and result.limits is not None:
                    yield Result(LATENCY, name, result.limits)


class RunRecord(Facts):
    """One suite's run. followed: a few gate rows with every model's answer; accepted: for a baseline.

    shards: in a run of one shard, that shard; in a merged record all shards, in order. verdict: the state of
    the whole record. this_run: only what the last run judged, as its exit code shows; its `missing` counts
    the checks that this run did not make. None in a merged record. row_use: how often the gate rows have
    judged; None in a record from before this field. confirm: the rows that judged again what had passed; None
    if no run did that. separation: which gated variants differ; None if fewer than two have a budget on a
    metric. demands: what the suite demands; None for logs, which demand the budgets that were judged.
    code_reads: the states of what the user's code has read (CodeReads). If one of them has changed, a later
    run takes no result from this record. digest: of everything else in the file; without it, or with another
    one, the file was edited after slimgate wrote it.
    """

    schema_: Literal["slimgate.run/2"] = Field(default=SCHEMA, alias="schema")
    slimgate: str
    created: str
    command: str
    seconds: float | None = None
    machine: Machine
    suite: SuiteFacts
    task: TaskFactsRecord
    variants: list[VariantRecord]
    followed: list[FollowedRow] = []
    self_test: SelfTest
    baseline: BaselineFacts | None = None
    verdict: RunVerdict
    this_run: RunVerdict | None = None
    accepted: AcceptedFacts | None = None
    shards: list[ShardFacts] = []
    row_use: RowUseFacts | None = None
    confirm: ConfirmFacts | None = None
    separation: SeparationFacts | None = None
    demands: Demands | None = None
    code_reads: dict[str, str] = {}
    digest: str | None = None

    @property
    def has_suite_file(self) -> bool:
        """Whether a suite was run. `slimgate judge` has none, so `suite.path` is made from its folder."""
        return not (self.task.is_of_files and self.command.startswith("slimgate judge "))

    @property
    def carried_results(self) -> list[CarriedResult]:
        """The results of earlier runs, of all models."""
        return [result for model in self.variants for result in model.carried]

    def variant(self, name: str) -> VariantRecord:
        """The record of a model by its name.

        Args:
            name: of a variant, or "teacher".

        Raises:
            DataError: if the record has no such model.
        """
        by_name = {variant.name: variant for variant in self.variants}
        if name not in by_name:
            raise DataError(f"the record has no model {name}; it has {', '.join(by_name)}")
        return by_name[name]


def format_record_json(record: RunRecord) -> str:
    """The text of run.json: `schema` first, `digest` last; what was not measured is null."""
    content = json.loads(record.model_dump_json(by_alias=True, exclude={_DIGEST}))
    sealed = record.model_copy(update={_DIGEST: digest_json(content)})
    return sealed.model_dump_json(indent=1, by_alias=True) + "\n"


def is_edited(path: Path) -> bool:
    """Whether a run.json has other content than slimgate wrote. Its layout does not count.

    A verdict, a figure or a limit in it may then be any, and a gate that trusts it shows nothing.
    """
    content = json.loads(path.read_bytes())
    try:
        return bool(content.pop(_DIGEST, None) != digest_json(content))
    except ValueError:  # a number that slimgate does not write, such as NaN
        return True


def read_record(path: Path) -> RunRecord:
    """Reads a run.json.

    Args:
        path: the file.

    Raises:
        pydantic.ValidationError: if it is not a record of this schema.
    """
    # a record that is written again gets a digest of its own
    return RunRecord.model_validate_json(path.read_bytes()).model_copy(update={_DIGEST: None})


def read_record_if_valid(path: Path) -> RunRecord | None:
    """Reads a run.json; None if there is none of this schema, or if it was edited."""
    try:
        record = read_record(path)
        return None if is_edited(path) else record
    except (OSError, ValidationError):
        return None
