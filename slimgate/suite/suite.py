"""A suite: what a TOML file says, validated and frozen, with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from slimgate.data.splits import SplitSizes
from slimgate.protocols import ModelRef, Workload
from slimgate.suite.tables import MeasureTable
from slimgate.suite.tune_space import Tuning
from slimgate.suite.variant_budgets import Family, VariantBudgets

TEACHER = "teacher"
SELF = "self"


@dataclass(frozen=True)
class Plugin:
    """A plug-in as a suite uses it: its name, the object, and its validated Params."""

    name: str
    object: Any
    params: Any

    @property
    def teacher(self) -> str | None:
        """The model that a step learns from: "teacher", "self", a variant; None where it learns from none."""
        if not getattr(self.object, "uses_teacher", False):
            return None
        learns_from = getattr(self.object, "learns_from", None)
        return TEACHER if learns_from is None else str(learns_from(self.params))

    def answers_by_processor(self, kind: str) -> bool:
        """Whether the answers that this runtime gives of an artifact depend on the processor."""
        return kind not in getattr(self.object, "any_processor", ())

    @property
    def builds_by_processor(self) -> bool:
        """Whether what a step makes depends on the processor that it runs on."""
        by_processor = getattr(self.object, "by_processor", None)
        return by_processor is not None and bool(by_processor(self.params))

    @property
    def teachers(self) -> tuple[str, ...]:
        """All models that a step learns from, `teacher` first; none where it learns from none."""
        if self.teacher is None:
            return ()
        also = getattr(self.object, "also_learns_from", None)
        return (self.teacher, *(() if also is None else also(self.params)))

    @property
    def reads(self) -> tuple[str, ...]:
        """The splits that a step reads."""
        also = getattr(self.object, "also_reads", None)
        return (*self.object.reads, *(() if also is None else also(self.params)))

    @property
    def needs(self) -> tuple[str, ...]:
        """Those of them that these options of the step cannot do without."""
        does_without = getattr(self.object, "does_without", None)
        spared = () if does_without is None else does_without(self.params)
        return tuple(split for split in self.reads if split not in spared)

    @property
    def functions(self) -> tuple[str, ...]:
        """A user's own functions that a step calls, by dotted path."""
        functions = getattr(self.object, "functions", None)
        return () if functions is None else tuple(functions(self.params))

    @property
    def row_files(self) -> tuple[Path, ...]:
        """Files of rows that a step reads beside the splits."""
        row_files = getattr(self.object, "row_files", None)
        return () if row_files is None else tuple(row_files(self.params))

    @property
    def adds_rows(self) -> bool:
        """Whether a step trains on rows that are not of the splits."""
        adds_rows = getattr(self.object, "adds_rows", None)
        return adds_rows is not None and bool(adds_rows(self.params))


@dataclass(frozen=True)
class TaskSetup:
    """The task, where its rows come from, how they are split, and by which columns results are sliced."""

    task: Plugin
    source: Plugin
    group: str | None
    sizes: SplitSizes
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One model of a suite. `ref` where it starts from weights, else `parent`; then steps."""

    name: str
    parent: str | None
    ref: ModelRef | None
    steps: tuple[Plugin, ...]
    runtime: Plugin
    twin: str | None = None
    gated: bool = True
    reason: str | None = None

    @property
    def assistants(self) -> tuple[str, ...]:
        """The variants that its steps learn from."""
        names = dict.fromkeys(name for step in self.steps for name in step.teachers)
        return tuple(name for name in names if name not in (TEACHER, SELF))


@dataclass(frozen=True)
class Suite:
    """What a suite file says, with every name resolved.

    shown: its path as messages print it; reference: published figures as markdown, to show beside ours.
    seeds: stochastic variants are built for each; all else goes by the first.
    tuning: what `slimgate tune` searches; None where the suite has no such table.
    teacher_budgets: on the teacher's own values, and since the baseline.
    family: how budgets on metrics are corrected over all gated variants; None where each is judged alone.
    baseline: a run.json, its folder, or a folder of baselines, where the suite names one.
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
    reference: str | None = None
    tuning: Tuning | None = None
    baseline: Path | None = None
    teacher_budgets: VariantBudgets = field(default_factory=VariantBudgets)
    family: Family | None = None

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

    @property
    def weighed(self) -> tuple[str, ...]:
        """The variants whose memory is measured: all where [measure] says so, else those with a budget."""
        return tuple(
            name for name in self.variants if self.measure.memory or self.budgets[name].memory is not None
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

    def made_from(self, name: str) -> tuple[str, ...]:
        """The variants whose steps start or learn from a model, at any remove."""
        found: dict[str, None] = {}
        for other, variant in self.variants.items():
            if name in (variant.parent, *variant.assistants):
                found |= dict.fromkeys((other, *self.made_from(other)))
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
