"""Builds a variant, judges it against the teacher on selection, and times it against the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from slimgate.budgets.registry import is_two_sided_kind
from slimgate.cli.tune.clock import Clock
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import QualityBudget, compute_allowed_drop
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.speed import Speedup
from slimgate.judge.verdict import QualityJudgement
from slimgate.plugins.base import Json
from slimgate.plugins.workloads import Workload
from slimgate.results.base import Verdict
from slimgate.results.checks import TEACHER
from slimgate.run import keys
from slimgate.run.duels import Duels
from slimgate.run.environment import describe_machine
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.run import RunOptions, SuiteRun
from slimgate.store.store import Store
from slimgate.suite.suite import Suite, Variant
from slimgate.suite.tune_space import Space, Tier


class State(StrEnum):
    """How a trial ended.

    TIMED: it was built, judged and timed. BEYOND: it exceeds a budget in every `[tune] budget`, so it was not
    timed. FAILED: it could not be built or measured. IMPOSSIBLE: its steps do not fit the model, or each
    other.
    """

    TIMED = "timed"
    BEYOND = "beyond"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Measurements:
    """The measurements of a built variant.

    drops: by metric, teacher and variant on the same selection rows. budget_uses, inside: for each `[tune]
    budget` table (a tier), how much of its budgets the variant uses, and whether it passes. The use is the
    upper bound of the drop / the allowed drop, the largest over the budgets. speedups: by workload, empty if
    the variant was not timed. bytes: of the artifact; compression: teacher bytes / variant bytes. seconds:
    how long the variant's own steps took.
    """

    drops: Mapping[str, QualityJudgement]
    budget_uses: tuple[float, ...]
    inside: tuple[bool, ...]
    speedups: Mapping[str, Speedup]
    bytes: int
    compression: float
    seconds: float
    from_store: bool


@dataclass(frozen=True)
class Trial:
    """One tried step list. steps: as [variants] of a suite has them."""

    number: int
    space: Space
    steps: tuple[Json, ...]
    state: State
    reason: str | None = None
    figures: Measurements | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"trial-{self.number}"

    @property
    def budget_use(self) -> float:
        """The use of the `[tune] budget` that it fits best; infinite if nothing was measured."""
        return min(self.figures.budget_uses) if self.figures else float("inf")

    @property
    def speed(self) -> float:
        """The lower bound of its speed-up on its slowest workload; 0 if it was not timed."""
        if self.figures is None:
            return 0.0
        return min((speedup.claimed_interval[0] for speedup in self.figures.speedups.values()), default=0.0)


SELECTION = "selection"


class Bench:
    """Measures the variants of one search. It has no way to the gate's outcomes or inputs.

    suite: has [tune]. duels: the store of the times; another store than the artifacts' if times must be
    measured again.
    """

    def __init__(
        self,
        suite: Suite,
        store: Store,
        clock: Clock,
        *,
        device: str,
        duels: Store | None = None,
        watch: Watch = UNWATCHED,
    ) -> None:
        assert suite.tuning is not None
        self._tiers, self.clock, self._duels = suite.tuning.tiers, clock, duels or store
        self._variants: dict[str, Variant] = dict(suite.variants)
        # the run looks up variants by name in this same mapping, so it knows the variants of trials
        suite = replace(suite, variants=self._variants)
        options = RunOptions(watch=clock.limit_watch(watch), split=SELECTION)
        self._run = SuiteRun(suite, store, device=device, options=options)
        self._arena = Duels(self._run.make_handle(TEACHER))

    @property
    def rows(self) -> int:
        """How many rows selection has."""
        return len(self._run.rows.splits[SELECTION])

    def prepare(self) -> None:
        """Cuts the rows and builds the teacher. Raises DataError without selection rows."""
        if not self.rows:
            raise DataError(
                "a search chooses variants on the selection rows, and there are none; set [task] "
                "splits.selection"
            )
        self.clock.check()
        self._run.measure_outcomes(TEACHER)

    def close(self) -> None:
        """Ends the processes of the duels."""
        self._arena.close()

    def judge(self, variant: Variant) -> Measurements:
        """The variant's figures without times. Raises BuildError, MeasureError, OutOfTime."""
        self._variants[variant.name] = variant
        built = self._run.build(variant.name)
        self.clock.check()
        teacher, outcomes = (self._run.measure_outcomes(name) for name in (TEACHER, variant.name))
        teacher_bytes = int(self._run.build(TEACHER).artifact.manifest["bytes"])
        size = int(built.artifact.manifest["bytes"])
        compression = teacher_bytes / size
        seed = self._run.suite.seed
        # each tier by itself, as the gate judges it: the budgets of a metric share a cap
        by_tier = [
            {
                name: judge_quality(load_metric(name), teacher, outcomes, budgets, seed=seed)
                for name, budgets in tier.quality.items()
            }
            for tier in self._tiers
        ]
        pairs = list(zip(self._tiers, by_tier, strict=True))
        return Measurements(
            drops=_join_tiers(by_tier),
            budget_uses=tuple(_compute_budget_use(tier, drops, compression) for tier, drops in pairs),
            inside=tuple(_is_inside(tier, drops, compression) for tier, drops in pairs),
            speedups={},
            bytes=size,
            compression=compression,
            seconds=sum(float(step.manifest["seconds"]) for step in built.steps),
            from_store=built.from_store,
        )

    def time(self, variant: Variant, figures: Measurements) -> Measurements:
        """The figures with the speed-up on every workload of the suite. Raises MeasureError, OutOfTime."""
        speedups = {}
        for workload in self._run.suite.list_dueled_workloads(variant.name):
            self.clock.check()
            speedups[workload.id] = self._measure_speedup(variant, workload)
        return replace(figures, speedups=speedups)

    def _measure_speedup(self, variant: Variant, workload: Workload) -> Speedup:
        """The speed-up, from a duel in separate processes, or from an earlier search on this machine.

        A duel that the clock cuts short is not reused: the next search measures again.
        """
        half_seconds = self._run.suite.measure.max_seconds / 2

        def fill(_folder: object) -> dict[str, Any]:
            handle = self._run.make_handle(variant.name)
            return {"speedup": asdict(self._arena.measure_speedup(handle, workload, max_seconds=seconds))}

        key = self._make_key(variant, workload)
        entry, seconds = self._duels.find("duels", key), min(half_seconds, self.clock.seconds_left)
        if entry is None and seconds < half_seconds:
            return self._arena.measure_speedup(
                self._run.make_handle(variant.name), workload, max_seconds=seconds
            )
        entry = entry or self._duels.make("duels", key, fill)
        stored = entry.manifest["speedup"]
        return Speedup(**{**stored, "interval": tuple(stored["interval"])})

    def _make_key(self, variant: Variant, workload: Workload) -> str:
        run, models = self._run, (self._run.suite.teacher, variant)
        machine = describe_machine(threads=run.suite.threads, device=run.device)
        return keys.make_duel_key(
            run.suite,
            run.rows,
            [(model, run.build(model.name).artifact) for model in models],
            workload,
            SELECTION,
            machine.model_dump(mode="json", exclude={"warnings", "peak_rates"}),
        )


def _join_tiers(by_tier: Sequence[Mapping[str, QualityJudgement]]) -> dict[str, QualityJudgement]:
    """The judgement of each metric in the first tier that has it, with the budgets of all tiers."""
    joined: dict[str, QualityJudgement] = {}
    for drops in by_tier:
        for name, judged in drops.items():
            first = joined.setdefault(name, judged)
            budgets = tuple(dict.fromkeys((*first.budgets, *judged.budgets)))
            joined[name] = replace(first, budgets=budgets)
    return joined


def _compute_budget_use(tier: Tier, drops: Mapping[str, QualityJudgement], compression: float) -> float:
    shares = [
        _compute_share(drops[name], budget) for name, budgets in tier.quality.items() for budget in budgets
    ]
    if tier.size is not None:
        shares.append(tier.size.compression_min / compression)
    return max(shares)


def _compute_share(judged: QualityJudgement, budget: QualityBudget) -> float:
    """The upper bound of the drop / the drop that the budget allows; infinite if it allows none.

    For a two-sided budget it uses the bound that is farther from 0.
    """
    assert judged.interval is not None, "a budget is on a metric that is resampled"
    allowed = 100 * compute_allowed_drop(budget, judged.teacher)
    if judged.unit == "percent":  # of the teacher's value
        allowed /= judged.teacher
    low, high = judged.interval
    bound = max(high, -low) if is_two_sided_kind(budget.kind) else high
    return bound / allowed if allowed > 0 else float("inf")


def _is_inside(tier: Tier, drops: Mapping[str, QualityJudgement], compression: float) -> bool:
    """Whether the judge passes every budget of the tier."""
    verdicts = [budget.verdict for judged in drops.values() for budget in judged.budgets]
    small_enough = tier.size is None or compression >= tier.size.compression_min
    return small_enough and all(verdict is Verdict.PASS for verdict in verdicts)
