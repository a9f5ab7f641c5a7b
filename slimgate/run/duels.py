"""Runs a suite's duels: the teacher, a separately loaded copy of it, and one or several variants.

A variant usually takes a small part of the teacher's time, so variants that share a duel cost little more
than one. Models that servers run have duels under load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from slimgate._system.timestamps import format_now
from slimgate.errors import MeasureError
from slimgate.judge import speed
from slimgate.judge.speed import Speedup, compute_visible_delay, estimate_speedup, is_settled
from slimgate.outcomes import Floats
from slimgate.plugins.workloads import Load, Workload
from slimgate.results.checks import TEACHER
from slimgate.run.measure.duel import Contender, ContenderSpec, DuelTimes, run_duel, time_call
from slimgate.run.measure.load import LoadTimes, duel_under_load
from slimgate.run.model_handle import ModelHandle
from slimgate.tasks.parts.generation import make_sampling_params

COPY = "teacher's copy"
DELAYED = "teacher with a delay"
# A duel with a budget to decide may take this many times max_seconds.
TIMES_FOR_BUDGET = 3
# The processes of a duel have at most this many bytes of models, if each model is as large as the largest
# one. A duel of one variant has no limit. The most variants of a duel: with more of them, the times of a
# round that are compared lie farther apart.
MOST_BYTES, MOST_VARIANTS = 2 << 30, 8
# The delay is a share of the median of these calls: a single call may hit a moment when the machine stalls.
_CALLS_FOR_MEDIAN = 5


@dataclass(frozen=True)
class PlantedDelay:
    """The duel's result for the teacher with a delay of `share` of its call: the last delay planted."""

    workload: Workload
    share: float
    speedup: Speedup
    measured: str

    @property
    def visible(self) -> float | None:
        """The smallest delay that was detected; None if none was."""
        return compute_visible_delay(self.speedup, self.share)


class Duels:
    """Holds the processes of a suite's duels. The public fixture `duel` is its `measure_speedup`."""

    def __init__(self, teacher: ModelHandle) -> None:
        self._teacher = teacher
        self._contenders: dict[str, Contender] = {}
        self._planted_delay: PlantedDelay | None = None
        # By variant and workload: results of a duel that another variant asked for, until they are used.
        self._measured: dict[tuple[str, Workload], Speedup] = {}
        # On a GPU, each process would have a context and activations in the memory of the device.
        self._shares_duels = teacher.run.device == "cpu"

    def measure_speedup(
        self,
        variant: ModelHandle,
        workload: Workload,
        *,
        companions: Sequence[ModelHandle] = (),
        max_seconds: float | None = None,
    ) -> Speedup:
        """How many times faster than the teacher a variant predicts a workload, with the noise floor.

        All models get the same gate rows, each tokenised for its model. A duel takes half of the suite's
        max_seconds, three times max_seconds if there is a budget to decide, or the `max_seconds` passed in,
        but at least 12 rounds. It ends earlier if the budget is decided or the interval is narrow.

        companions: variants whose speed-ups on the workload are needed later. If they share the duel, it may
        take the sum of their times, and their own calls return its results. If a shared duel fails, each
        variant gets a duel of its own from then on, so that only the variant at fault has an error.

        Raises MeasureError if a process dies.
        """
        if variant.name == TEACHER:
            raise MeasureError("duel(teacher, …): variants are timed against the teacher; give a variant")
        if (variant.name, workload) in self._measured:
            return self._measured.pop((variant.name, workload))
        waiting = [model for model in companions if (model.name, workload) not in self._measured]
        variants = self._choose_variants(variant, waiting)
        try:
            speedups = self._time_variants(variants, workload, max_seconds)
        except Exception:  # a user's tokenizer may raise anything for a companion
            if len(variants) == 1:
                raise
            self._shares_duels = False
            speedups = self._time_variants([variant], workload, max_seconds)
        self._measured |= {(name, workload): speedup for name, speedup in speedups.items()}
        return self._measured.pop((variant.name, workload))

    def _choose_variants(self, variant: ModelHandle, companions: Sequence[ModelHandle]) -> list[ModelHandle]:
        """The variants of a duel: as many companions as MOST_BYTES and MOST_VARIANTS allow."""
        variants = [variant]
        for companion in companions if self._shares_duels else ():
            models = [self._teacher, self._teacher, *variants, companion]
            largest = max(int(model.built.artifact.manifest["bytes"]) for model in models)
            if len(models) * largest <= MOST_BYTES and len(variants) < MOST_VARIANTS:
                variants.append(companion)
        return variants

    def _time_variants(
        self, variants: Sequence[ModelHandle], workload: Workload, max_seconds: float | None
    ) -> dict[str, Speedup]:
        """The speed-ups of variants that share a duel, by name."""
        suite = self._teacher.run.suite
        minimums: dict[str, float | None] = {}
        for variant in variants:
            budgets = suite.budgets.get(variant.name)
            budget = budgets.find_speed_budget(workload) if budgets else None
            minimums[variant.name] = budget.limit if budget else None
        models = {TEACHER: self._teacher, COPY: self._teacher}
        models |= {variant.name: variant for variant in variants}
        if max_seconds is None:
            shares = [0.5 if minimum is None else TIMES_FOR_BUDGET for minimum in minimums.values()]
            # as many rounds as the variant with the longest time would have in a duel of three models
            share = max(sum(shares), max(shares) * len(models) / 3)
            max_seconds = share * suite.measure.max_seconds
        planted = self._planted_delay
        visible = planted.visible if planted else speed.FINE
        return self._run_duel(models, workload, minimums, max_seconds=max_seconds, visible=visible)

    def plant_delay(self) -> PlantedDelay:
        """The duel of the teacher against itself with a busy wait after each call; once a suite's run.

        It uses the workload with the longest call and takes up to three times the suite's max_seconds; it
        ends early as other duels do. If the delay is not detected, larger delays are tried, max_seconds each.
        If none is detected, no speed-up of the run is decided.
        """
        if self._planted_delay is None:
            planted = self._plant_delay(0, patience=TIMES_FOR_BUDGET)
            for number in range(1, len(speed.PLANTED_DELAYS)):
                if planted.visible is None:
                    planted = self._plant_delay(number)
            self._contenders.pop(DELAYED).close()
            self._planted_delay = planted
        return self._planted_delay

    def close(self) -> None:
        """Ends all processes; they start again when needed."""
        while self._contenders:
            self._contenders.popitem()[1].close()

    def _plant_delay(self, number: int, *, patience: int = 1) -> PlantedDelay:
        """One duel against a delay. number: its place in PLANTED_DELAYS; patience: times max_seconds."""
        run, share = self._teacher.run, speed.PLANTED_DELAYS[number]
        label = f"teacher with a delay of {100 * share:g} %, try {number + 1} of {len(speed.PLANTED_DELAYS)}"
        workload = run.largest_workload
        models = dict.fromkeys((TEACHER, COPY, DELAYED), self._teacher)
        inputs = self._teacher.run.make_workload(TEACHER, workload).timed
        try:
            contenders = self._get_contenders(models)
            teacher = contenders[TEACHER]
            teacher.prepare(inputs, workload.part)
            contenders[DELAYED].delay(share * median(time_call(teacher) for _ in range(_CALLS_FOR_MEDIAN)))
        except MeasureError:
            self.close()
            raise
        seconds = patience * run.suite.measure.max_seconds
        speedups = self._run_duel(models, workload, {DELAYED: 1.0}, max_seconds=seconds, label=label)
        return PlantedDelay(workload, share, speedups[DELAYED], format_now())

    def _run_duel(
        self,
        models: Mapping[str, ModelHandle],
        workload: Workload,
        minimums: Mapping[str, float | None],
        *,
        max_seconds: float,
        visible: float | None = speed.FINE,
        label: str | None = None,
    ) -> dict[str, Speedup]:
        """Times models against the first one; the second is a copy of the first.

        minimums: the budget of each timed model, None without a budget. label: what the progress shows in
        place of their names.
        """
        run, (first, copy, *_) = self._teacher.run, models
        for name in self._contenders.keys() - models.keys():
            self._contenders.pop(name).close()

        def enough(times: Mapping[str, Floats]) -> bool:
            return all(
                is_settled(times[first], times[copy], times[name], minimum=minimum, visible=visible)
                for name, minimum in minimums.items()
            )

        inputs = {name: run.make_workload(model.name, workload).timed for name, model in models.items()}
        try:
            contenders = self._get_contenders(models)
            with run.watch.stage(f"{label or ', '.join(minimums)} · duel on {workload.id}", still=True):
                times = run_duel(
                    list(contenders.values()),
                    inputs,
                    seed=run.suite.seed,
                    max_seconds=max_seconds,
                    enough=enough,
                    part=workload.part,
                )
        except MeasureError:
            self.close()  # the next variant starts with processes of its own
            raise
        return {
            name: estimate_speedup(
                times.blocks[first],
                times.blocks[copy],
                times.blocks[name],
                of_minima=times.fastest[first] / times.fastest[name],
                threads=contenders[name].threads,
                queued_threads=_count_most_queued([contenders[key] for key in (first, copy, name)], times),
            )
            for name in minimums
        }

    def _get_contenders(self, models: Mapping[str, ModelHandle]) -> dict[str, Contender]:
        """The contenders of a duel, by name. Those that do not run yet load their models at the same time."""
        started = {
            name: Contender(_make_spec(name, model), wait=False)
            for name, model in models.items()
            if name not in self._contenders
        }
        try:
            for contender in started.values():
                contender.wait_until_loaded()
        except MeasureError:  # the others may still load, and a later duel starts all of them again
            for contender in started.values():
                contender.close()
            raise
        self._contenders.update(started)
        return {name: self._contenders[name] for name in models}


def _make_spec(name: str, model: ModelHandle) -> ContenderSpec:
    runtime, run = model.variant.runtime, model.run
    return ContenderSpec(
        name=name,
        folder=model.built.artifact.folder,
        runtime=runtime.name,
        params=runtime.params.model_dump(),
        device=run.device,
        threads=run.suite.threads,
    )


def _count_most_queued(contenders: Sequence[Contender], times: DuelTimes) -> float:
    """The number of threads without a core, of the contender that had the most of them.

    Contenders with one thread are left out: the time in which another process had their core is subtracted.
    Threads that wait for each other lose more than that.
    """
    queued = (times.queued_threads[model.spec.name] for model in contenders if model.threads > 1)
    return max(queued, default=0.0)


class LoadDuels:
    """The times of each variant and load, measured on first use. Budgets on parts of an answer share them."""

    def __init__(self, teacher: ModelHandle) -> None:
        self._teacher = teacher
        self._times: dict[tuple[str, Load], LoadTimes] = {}

    def measure_times(self, variant: ModelHandle, load: Load) -> LoadTimes:
        """The times of the teacher, the teacher again and a variant under a load. Raises MeasureError."""
        key = variant.name, replace(load, part="answer")
        if key not in self._times:
            self._times[key] = self._measure(variant, load)
        return self._times[key]

    def _measure(self, variant: ModelHandle, load: Load) -> LoadTimes:
        from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts, make_load_requests

        run = self._teacher.run
        suite = run.suite
        prompts = run.encoder.encode_for(self._teacher.built.artifact)
        assert isinstance(prompts, EndpointPrompts)  # every endpoint has them
        sampling = make_sampling_params(suite.setup.task.params)
        requests = make_load_requests(prompts, sampling, load.requests, suite.seed)
        with run.watch.stage(
            f"{variant.name} · load {replace(load, part='answer').id}", still=True
        ) as progress:
            base, other = (
                model.variant.runtime.params.locate(progress) for model in (self._teacher, variant)
            )
            return duel_under_load(base, other, requests, load, seed=suite.seed, progress=progress)
