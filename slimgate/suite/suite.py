"""The classes of a suite: the content of a TOML file, validated and frozen, with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from slimgate.data.splits import SplitSizes
from slimgate.models.quantized_files import CHECKPOINT, SERVED, read_weight_format
from slimgate.plugins.models import ModelRef
from slimgate.plugins.workloads import Load, Workload
from slimgate.results.checks import TEACHER
from slimgate.runtimes.endpoint import KIND as ENDPOINT
from slimgate.suite.cascade_table import CascadeTable
from slimgate.suite.named_plugin import SuiteRuntime, SuiteSource, SuiteStep, SuiteTask
from slimgate.suite.tables import MeasureTable, SuiteFile
from slimgate.suite.tune_space import Tuning
from slimgate.suite.variant_budgets import Family, VariantBudgets

SELF = "self"


@dataclass(frozen=True)
class TaskSetup:
    """The task, the source of its rows, and the sizes of the splits.

    group: the column whose values make rows dependent; None without one. slices: the columns to slice results
    by.
    """

    task: SuiteTask
    source: SuiteSource
    group: str | None
    sizes: SplitSizes
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """A model of a suite. It starts from `ref` (weights) or from `parent`, and its steps follow.

    twin: a variant that is built without the teacher's answers, which the report compares with this one.
    gated: whether its verdicts can fail the run; if not, reason says why. cascade: the models that it
    consists of; None if it is no cascade.
    """

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
        """Whether a server gives this model's answers."""
        return self.ref is not None and self.ref.kind == ENDPOINT

    @property
    def assistants(self) -> tuple[str, ...]:
        """The variants that its steps learn from, and the models of its cascade."""
        names = dict.fromkeys(name for step in self.steps for name in step.teachers)
        names |= dict.fromkeys(self.cascade.models if self.cascade else ())
        return tuple(name for name in names if name not in (TEACHER, SELF))


@dataclass(frozen=True)
class Suite:
    """The content of a suite file, with every name resolved.

    shown: its path as messages print it. reference: published figures in markdown, which reports show too.
    seeds: every stochastic variant is built with each seed; all else uses the first seed.
    tuning: what `slimgate tune` searches; None if the suite has no [tune].
    teacher_budgets: the budgets on the teacher's values, and on their drops since the baseline.
    loads: the loads that servers are timed under, each with its parts.
    family: how budgets on metrics are corrected over all gated variants; None if each is judged alone.
    baseline: a run.json, its folder, or a folder of baselines, if the suite names one.
    tables: the tables of the file. weaker_reason: why the gate demands less than the baseline's gate.
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

    @cached_property
    def models(self) -> Mapping[str, Variant]:
        """The teacher and the variants, by name, the teacher first."""
        return {TEACHER: self.teacher, **self.variants}

    def model(self, name: str) -> Variant:
        """A variant, or the teacher, by name.

        Args:
            name: of a variant, or "teacher".

        Raises:
            KeyError: if the suite has no such variant.
        """
        return self.teacher if name == TEACHER else self.variants[name]

    def find_budgets(self, name: str) -> VariantBudgets:
        """The budgets of a variant, or of the teacher, by name.

        Args:
            name: of a variant, or "teacher".

        Raises:
            KeyError: if the suite has no such variant.
        """
        return self.teacher_budgets if name == TEACHER else self.budgets[name]

    def find_weight_format(self, name: str) -> str | None:
        """The format of a model's quantized weights, as libraries that serve models call it.

        If the model has steps, the last step states it. The format of a hub model is known once it is
        fetched.

        Args:
            name: of a variant, or "teacher".

        Returns:
            `gguf`, or a quant_method of transformers; None for all other weights.

        Raises:
            KeyError: if the suite has no such variant.
        """
        variant = self.model(name)
        if variant.steps:
            last = variant.steps[-1]
            is_quantized = find_kind(variant, self.models) in (CHECKPOINT, SERVED)
            return last.object.weight_format(last.params) if is_quantized else None
        if variant.ref is not None:
            return None if variant.ref.stored is None else read_weight_format(variant.ref.stored)
        return self.find_weight_format(variant.parent or TEACHER)

    def is_unpacked(self, name: str) -> bool:
        """Whether a model's runtime unpacks its quantized weights to floating point.

        The times of such a model are not those of its format, so they are not measured.

        Args:
            name: of a variant, or "teacher". A cascade is unpacked if one of its models is.

        Raises:
            KeyError: if the suite has no such variant.
        """
        variant = self.model(name)
        if variant.cascade is not None:
            return any(self.is_unpacked(model) for model in variant.cascade.models)
        weights = self.find_weight_format(name)
        return weights is not None and weights not in variant.runtime.object.formats

    @property
    def has_cascade(self) -> bool:
        """Whether the suite has a cascade.

        The time of a cascade depends on the row, so all models are then timed on many rows.
        """
        return any(variant.cascade is not None for variant in self.variants.values())

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The models whose answers come from servers, the teacher included."""
        return tuple(name for name, model in self.models.items() if model.is_endpoint)

    @property
    def timed(self) -> tuple[str, ...]:
        """The models whose latency is measured, the teacher included."""
        return tuple(filter(self.is_timed, self.models))

    def is_timed(self, name: str) -> bool:
        """Whether a model's latency is measured. That of a server or of unpacked weights is not.

        Args:
            name: of a variant, or "teacher".

        Raises:
            KeyError: if the suite has no such variant.
        """
        return not (self.model(name).is_endpoint or self.is_unpacked(name))

    def list_timed_workloads(self, name: str) -> tuple[Workload, ...]:
        """The workloads that a model is timed on.

        Args:
            name: of a variant, or "teacher".

        Returns:
            The suite's workloads, in order. Those that write answers are left out if the runtime cannot time
            them. Empty if the model is not timed.

        Raises:
            KeyError: if the suite has no such variant.
        """
        if not self.is_timed(name):
            return ()
        writes = self.model(name).runtime.object.times_writing
        return tuple(workload for workload in self.workloads if writes or not workload.writes)

    def list_dueled_workloads(self, name: str) -> tuple[Workload, ...]:
        """The workloads on which a variant's times are compared with the teacher's.

        Args:
            name: of a variant.

        Returns:
            The workloads that both are timed on, in order. Empty for the teacher, and if one of them is not
            timed.

        Raises:
            KeyError: if the suite has no such variant.
        """
        if not self.is_dueled(name):
            return ()
        of_teacher = self.list_timed_workloads(TEACHER)
        return tuple(workload for workload in self.list_timed_workloads(name) if workload in of_teacher)

    @property
    def loaded(self) -> tuple[str, ...]:
        """The variants whose servers are load-tested against the teacher's server."""
        return tuple(filter(self.is_loaded, self.variants))

    def is_loaded(self, name: str) -> bool:
        """Whether a model's server is load-tested against the teacher's server.

        Args:
            name: of a variant, or "teacher".

        Returns:
            True if the suite has loads, and both models are servers; False for the teacher itself.

        Raises:
            KeyError: if the suite has no such variant.
        """
        are_servers = self.model(name).is_endpoint and self.teacher.is_endpoint
        return bool(self.loads) and name != TEACHER and are_servers

    @property
    def sized(self) -> tuple[str, ...]:
        """The variants whose files are compared with the teacher's."""
        return tuple(filter(self.is_sized, self.variants))

    def is_sized(self, name: str) -> bool:
        """Whether a model's files are compared with the teacher's.

        Args:
            name: of a variant, or "teacher".

        Returns:
            True if neither the model nor the teacher is a server; False for the teacher itself.

        Raises:
            KeyError: if the suite has no such variant.
        """
        return name != TEACHER and not (self.model(name).is_endpoint or self.teacher.is_endpoint)

    @property
    def dueled(self) -> tuple[str, ...]:
        """The variants whose times and memory are compared with the teacher's."""
        return tuple(filter(self.is_dueled, self.variants))

    def is_dueled(self, name: str) -> bool:
        """Whether a variant's times and memory are compared with the teacher's.

        Args:
            name: of a variant, or "teacher".

        Returns:
            True if the variant and the teacher are timed; False for the teacher itself.

        Raises:
            KeyError: if the suite has no such variant.
        """
        return name != TEACHER and self.is_timed(name) and self.is_timed(TEACHER)

    @property
    def variants_with_memory(self) -> tuple[str, ...]:
        """The variants whose memory is measured: all with [measure] memory, else those with a budget."""
        return tuple(filter(self.has_memory, self.variants))

    def has_memory(self, name: str) -> bool:
        """Whether a variant's memory is measured.

        Args:
            name: of a variant, or "teacher".

        Returns:
            True if the variant is timed against the teacher, and [measure] memory or its budget asks for it.

        Raises:
            KeyError: if the suite has no such variant.
        """
        is_requested = self.measure.memory or self.find_budgets(name).memory is not None
        return is_requested and self.is_dueled(name)

    @property
    def measurements(self) -> tuple[tuple[str, str], ...]:
        """The (variant, measurement) pairs with a budget, on models whose times are compared."""
        return tuple((name, key) for name in self.variants for key in self.list_measurements(name))

    def list_measurements(self, name: str) -> tuple[str, ...]:
        """The measurements that are taken of a model.

        Args:
            name: of a variant, or "teacher".

        Returns:
            Those with a budget, if the variant is timed against the teacher.

        Raises:
            KeyError: if the suite has no such variant.
        """
        return tuple(self.find_budgets(name).measurements) if self.is_dueled(name) else ()

    @property
    def since_baseline(self) -> tuple[tuple[str, str], ...]:
        """The (model, metric) pairs with a budget since the baseline, the teacher first."""
        return tuple((name, metric) for name in self.models for metric in self.find_budgets(name).baseline)

    @property
    def judged_metrics(self) -> tuple[tuple[str, str], ...]:
        """The (model, metric) pairs that are judged: those of the teacher with a budget, all of variants."""
        return tuple((name, metric) for name in self.models for metric in self.list_judged_metrics(name))

    def list_judged_metrics(self, name: str) -> tuple[str, ...]:
        """The judged metrics of a model, in order.

        Args:
            name: of a variant, or "teacher".

        Returns:
            All of the suite's for a variant; for the teacher those with a budget.
        """
        return tuple(self.teacher_budgets.quality) if name == TEACHER else tuple(self.metrics)

    def find_dependents(self, name: str) -> tuple[str, ...]:
        """The variants that are built from a model or learn from it, directly or through other variants.

        Args:
            name: of a variant, or "teacher".

        Returns:
            Their names, each once. A cascade depends on its models.
        """
        dependents: dict[str, None] = {}
        for dependent, variant in self.variants.items():
            if name in (variant.parent, *variant.assistants):
                dependents |= dict.fromkeys((dependent, *self.find_dependents(dependent)))
        return tuple(dependents)

    def is_stochastic(self, name: str) -> bool:
        """Whether another seed gives another model.

        That is so if one of its steps is stochastic, or a step of a model that it is built from or learns
        from.

        Args:
            name: of a variant, or "teacher".

        Returns:
            False for the teacher, which is built once, with the first seed.
        """
        variant = self.variants.get(name)
        if variant is None:
            return False
        has_stochastic_step = any(step.object.stochastic for step in variant.steps)
        sources = [source for source in (variant.parent, *variant.assistants) if source is not None]
        return has_stochastic_step or any(map(self.is_stochastic, sources))


def find_kind(variant: Variant, models: Mapping[str, Variant]) -> str:
    """The kind of artifact that a variant is after its last step."""
    for step in reversed(variant.steps):
        if step.object.gives is not None:
            return str(step.object.gives)
    if variant.ref is not None:
        return variant.ref.kind
    return find_kind(models[variant.parent or TEACHER], models)


def dump_params(params: BaseModel, *, exclude_defaults: bool = False) -> Any:
    """Params as JSON values, for keys and records."""
    return params.model_dump(mode="json", exclude_defaults=exclude_defaults)
