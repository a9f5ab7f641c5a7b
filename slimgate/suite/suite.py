"""A suite: what a TOML file says, validated and frozen, with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from slimgate.data.splits import SplitSizes
from slimgate.models.quantized_files import DEQUANTIZED, SERVED
from slimgate.protocols import Load, ModelRef, Runtime, Source, Step, Task, WithParams, Workload
from slimgate.runtimes.endpoint import KIND as ENDPOINT
from slimgate.suite.tables import CascadeTable, MeasureTable, SuiteFile
from slimgate.suite.tune_space import Tuning
from slimgate.suite.variant_budgets import Family, VariantBudgets

TEACHER = "teacher"
SELF = "self"


T = TypeVar("T", bound=WithParams[Any])


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A plug-in as a suite uses it: its name, the object, and its validated Params."""

    name: str
    object: T
    params: Any

    @property
    def teacher(self: SuiteStep) -> str | None:
        """The model that a step learns from: "teacher", "self", a variant; None where it learns from none."""
        return str(self.object.learns_from(self.params)) if self.object.uses_teacher else None

    def answers_by_processor(self: SuiteRuntime, kind: str) -> bool:
        """Whether the answers that this runtime gives of an artifact depend on the processor."""
        return kind not in self.object.any_processor

    @property
    def builds_by_processor(self: SuiteStep) -> bool:
        """Whether what a step makes depends on the processor that it runs on."""
        return bool(self.object.by_processor(self.params))

    @property
    def teachers(self: SuiteStep) -> tuple[str, ...]:
        """All models that a step learns from, `teacher` first; none where it learns from none."""
        if self.teacher is None:
            return ()
        return (self.teacher, *self.object.also_learns_from(self.params))

    @property
    def reads(self: SuiteStep) -> tuple[str, ...]:
        """The splits that a step reads."""
        return (*self.object.reads, *self.object.also_reads(self.params))

    @property
    def needs(self: SuiteStep) -> tuple[str, ...]:
        """Those of them that these options of the step cannot do without."""
        spared = self.object.does_without(self.params)
        return tuple(split for split in self.reads if split not in spared)

    @property
    def functions(self: SuiteStep) -> tuple[str, ...]:
        """A user's own functions that a step calls, by dotted path."""
        return tuple(self.object.functions(self.params))

    @property
    def row_files(self: SuiteStep) -> tuple[Path, ...]:
        """Files of rows that a step reads beside the splits."""
        return tuple(self.object.row_files(self.params))

    @property
    def adds_rows(self: SuiteStep) -> bool:
        """Whether a step trains on rows that are not of the splits."""
        return bool(self.object.adds_rows(self.params))


SuiteStep = Plugin[Step[Any]]
SuiteTask = Plugin[Task[Any]]
SuiteSource = Plugin[Source[Any]]
SuiteRuntime = Plugin[Runtime[Any]]


@dataclass(frozen=True)
class TaskSetup:
    """The task, where its rows come from, how they are split, and by which columns results are sliced."""

    task: SuiteTask
    source: SuiteSource
    group: str | None
    sizes: SplitSizes
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One model of a suite. `ref` where it starts from weights, else `parent`; then steps."""

    name: str
    parent: str | None
    ref: ModelRef | None
    steps: tuple[SuiteStep, ...]
    runtime: SuiteRuntime
    twin: str | None = None
    gated: bool = True
    reason: str | None = None
    cascade: CascadeTable | None = None

    @property
    def is_endpoint(self) -> bool:
        """Whether a server answers for it."""
        return self.ref is not None and self.ref.kind == ENDPOINT

    @property
    def assistants(self) -> tuple[str, ...]:
        """The variants that its steps learn from, or that it is a cascade of."""
        names = dict.fromkeys(name for step in self.steps for name in step.teachers)
        names |= dict.fromkeys(self.cascade.models if self.cascade else ())
        return tuple(name for name in names if name not in (TEACHER, SELF))


@dataclass(frozen=True)
class Suite:
    """What a suite file says, with every name resolved.

    shown: its path as messages print it; reference: published figures as markdown, to show beside ours.
    seeds: stochastic variants are built for each; all else goes by the first.
    tuning: what `slimgate tune` searches; None where the suite has no such table.
    teacher_budgets: on the teacher's own values, and since the baseline.
    loads: what servers are timed under, each with its parts.
    family: how budgets on metrics are corrected over all gated variants; None where each is judged alone.
    baseline: a run.json, its folder, or a folder of baselines, where the suite names one.
    tables: what the file says. weaker_reason: why the gate demands less than the baseline's.
    """

    path: Path
    shown: str
    digest: str
    title: str
    seeds: tuple[int, ...]
    opt_in: bool
    threads: int
    setup: TaskSetup
    teacher: Variant
    variants: Mapping[str, Variant]
    budgets: Mapping[str, VariantBudgets]
    metrics: tuple[str, ...]
    workloads: tuple[Workload, ...]
    measure: MeasureTable
    tables: SuiteFile = field(repr=False)
    loads: tuple[Load, ...] = ()
    reference: str | None = None
    tuning: Tuning | None = None
    baseline: Path | None = None
    teacher_budgets: VariantBudgets = field(default_factory=VariantBudgets)
    family: Family | None = None
    weaker_reason: str | None = None

    @property
    def seed(self) -> int:
        """The seed of the splits, the teacher, and the builds that are judged."""
        return self.seeds[0]

    def model(self, name: str) -> Variant:
        """A variant, or the teacher, by name."""
        return self.teacher if name == TEACHER else self.variants[name]

    def budgets_of(self, name: str) -> VariantBudgets:
        """The budgets of a variant, or of the teacher, by name."""
        return self.teacher_budgets if name == TEACHER else self.budgets[name]

    def is_dequantized(self, name: str) -> bool:
        """Whether its weights are quantized in a format of servers, and unpacked to be judged: its times are
        not those of its format. What a model of the hub is, is known when it is fetched.
        """
        variant = self.model(name)
        if variant.cascade is not None:
            return any(self.is_dequantized(one) for one in variant.cascade.models)
        if variant.steps:
            return variant.steps[-1].object.gives == SERVED
        if variant.ref is not None:
            return variant.ref.kind == DEQUANTIZED
        return self.is_dequantized(variant.parent or TEACHER)

    @property
    def has_cascade(self) -> bool:
        """Whether the time of some variant depends on the row, so that all are timed on many rows."""
        return any(variant.cascade is not None for variant in self.variants.values())

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The teacher and the variants that servers answer for."""
        return tuple(name for name in (TEACHER, *self.variants) if self.model(name).is_endpoint)

    @property
    def timed(self) -> tuple[str, ...]:
        """The teacher and the variants whose latency is measured."""
        names = (name for name in (TEACHER, *self.variants) if not self.model(name).is_endpoint)
        return tuple(name for name in names if not self.is_dequantized(name))

    def timed_on(self, name: str) -> tuple[Workload, ...]:
        """The workloads of a model: those that write only where its runtime times them."""
        if name not in self.timed:
            return ()
        writes = self.model(name).runtime.object.times_writing
        return tuple(one for one in self.workloads if writes or not one.writes)

    def dueled_on(self, name: str) -> tuple[Workload, ...]:
        """The workloads on which a variant's times are compared with the teacher's."""
        if name not in self.dueled:
            return ()
        of_teacher = self.timed_on(TEACHER)
        return tuple(one for one in self.timed_on(name) if one in of_teacher)

    @property
    def loaded(self) -> tuple[str, ...]:
        """The variants whose servers are timed beside the teacher's."""
        if not self.loads or not self.teacher.is_endpoint:
            return ()
        return tuple(name for name in self.endpoints if name != TEACHER)

    @property
    def sized(self) -> tuple[str, ...]:
        """The variants whose files are compared with the teacher's."""
        without = () if self.teacher.is_endpoint else self.variants
        return tuple(name for name in without if not self.variants[name].is_endpoint)

    @property
    def dueled(self) -> tuple[str, ...]:
        """The variants whose times and memory are compared with the teacher's."""
        return tuple(name for name in self.timed if name != TEACHER) if TEACHER in self.timed else ()

    @property
    def variants_with_memory(self) -> tuple[str, ...]:
        """The variants whose memory is measured: all where [measure] says so, else those with a budget."""
        return tuple(
            name for name in self.dueled if self.measure.memory or self.budgets[name].memory is not None
        )

    @property
    def since_baseline(self) -> tuple[tuple[str, str], ...]:
        """The models and metrics that have a budget against the baseline, the teacher first."""
        names = (TEACHER, *self.variants)
        return tuple((name, metric) for name in names for metric in self.budgets_of(name).baseline)

    @property
    def judged_metrics(self) -> tuple[tuple[str, str], ...]:
        """The models and metrics that are judged: of the teacher those with a budget, of variants all."""
        of_teacher = [(TEACHER, metric) for metric in self.teacher_budgets.quality]
        return (*of_teacher, *((name, metric) for name in self.variants for metric in self.metrics))

    def dependents_of(self, name: str) -> tuple[str, ...]:
        """The variants whose steps start or learn from a model, at any remove."""
        found: dict[str, None] = {}
        for other, variant in self.variants.items():
            if name in (variant.parent, *variant.assistants):
                found |= dict.fromkeys((other, *self.dependents_of(other)))
        return tuple(found)

    def is_stochastic(self, name: str) -> bool:
        """Whether another seed builds another variant. The teacher is built once, by the first seed."""
        variant = self.variants.get(name)
        if variant is None:
            return False
        own = any(step.object.stochastic for step in variant.steps)
        from_others = [name for name in (variant.parent, *variant.assistants) if name is not None]
        return own or any(self.is_stochastic(name) for name in from_others)


def params_json(params: BaseModel, *, exclude_defaults: bool = False) -> Any:
    """Params as JSON values, for keys and records."""
    return params.model_dump(mode="json", exclude_defaults=exclude_defaults)
