"""Who stands against whom: the teacher, a separately loaded copy of it, and one variant at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from slimgate.errors import MeasureError
from slimgate.judge import speed
from slimgate.judge.speed import Speedup, estimate_speedup, is_settled, visible_delay
from slimgate.protocols import Workload
from slimgate.run.gate_results import now
from slimgate.run.measure.duel import Contender, ContenderSpec, Floats, duel, seconds_of_a_call
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import TEACHER

COPY = "teacher's copy"
DELAYED = "teacher with a delay"
# times max_seconds: what a duel that has something to decide may take
PATIENCE = 3
# Calls whose median the delay is a share of: one alone may have met a moment when the machine stood still.
_CALLS = 5


@dataclass(frozen=True)
class PlantedDelay:
    """What the duel makes of the teacher with a delay of `share` of its own call: the last one planted."""

    workload: Workload
    share: float
    found: Speedup
    measured: str

    @property
    def visible(self) -> float | None:
        """The smallest delay that was seen, None where none was."""
        return visible_delay(self.found, self.share)


class Arena:
    """Holds the processes of a suite's duels. The public fixture `duel` is its `speedup`."""

    def __init__(self, teacher: ModelHandle) -> None:
        self._teacher = teacher
        self._contenders: dict[str, Contender] = {}
        self._planted_delay: PlantedDelay | None = None

    def speedup(
        self, variant: ModelHandle, workload: Workload, *, max_seconds: float | None = None
    ) -> Speedup:
        """How many times faster than the teacher a variant predicts a workload, with the noise floor.

        The same gate rows for all, each tokenised as its model wants it. Takes half of the suite's
        max_seconds, three times max_seconds where a budget is to be decided, or the time given, and 12 rounds
        at least; less where the budget is decided before, or the interval narrow. Raises MeasureError for a
        process that dies.
        """
        if variant.name == TEACHER:
            raise MeasureError("duel(teacher, …): variants are timed against the teacher; give a variant")
        suite = self._teacher.run.suite
        own = suite.budgets.get(variant.name)
        budget = own.speed_of(workload) if own else None
        minimum = budget.limit if budget else None
        models = {TEACHER: self._teacher, COPY: self._teacher, variant.name: variant}
        share = 0.5 if minimum is None else PATIENCE
        seconds = share * suite.measure.max_seconds if max_seconds is None else max_seconds
        planted = self._planted_delay
        visible = planted.visible if planted else speed.FINE
        return self._duel(models, workload, minimum=minimum, max_seconds=seconds, visible=visible)

    def planted_delay(self) -> PlantedDelay:
        """The duel of the teacher against itself with a busy wait after each call; once a suite's run.

        Takes the workload with the longest call, and up to three times the suite's max_seconds; it ends
        early as other duels do. Where the delay is not seen, larger ones are looked for, max_seconds each;
        where none is seen, no speed-up of the run is decided.
        """
        if self._planted_delay is None:
            planted = self._plant_delay(0, patience=PATIENCE)
            for number in range(1, len(speed.PLANTED_DELAYS)):
                if planted.visible is None:
                    planted = self._plant_delay(number)
            self._contenders.pop(DELAYED).close()
            self._planted_delay = planted
        return self._planted_delay

    def close(self) -> None:
        """Ends all processes; they start again when they are needed."""
        while self._contenders:
            self._contenders.popitem()[1].close()

    def _plant_delay(self, number: int, *, patience: int = 1) -> PlantedDelay:
        """One duel against a delay. number: its place in PLANTED_DELAYS; patience: times max_seconds."""
        run, share = self._teacher.run, speed.PLANTED_DELAYS[number]
        told = f"teacher with a delay of {100 * share:g} %, try {number + 1} of {len(speed.PLANTED_DELAYS)}"
        workload = run.largest_workload
        models = dict.fromkeys((TEACHER, COPY, DELAYED), self._teacher)
        self._plant(workload, share)
        seconds = patience * run.suite.measure.max_seconds
        found = self._duel(models, workload, minimum=1.0, max_seconds=seconds, told=told)
        return PlantedDelay(workload, share, found, now())

    def _plant(self, workload: Workload, share: float) -> None:
        """Has a contender, loaded once, take longer for a call than the teacher does by this share of it."""
        inputs = self._teacher.run.workload(TEACHER, workload).timed
        try:
            teacher, delayed = (self._contender(name, self._teacher) for name in (TEACHER, DELAYED))
            teacher.prepare(inputs, workload.part)
            delayed.delay(share * median(seconds_of_a_call(teacher) for _ in range(_CALLS)))
        except MeasureError:
            self.close()
            raise

    def _duel(
        self,
        models: Mapping[str, ModelHandle],
        workload: Workload,
        *,
        minimum: float | None,
        max_seconds: float,
        visible: float | None = speed.FINE,
        told: str | None = None,
    ) -> Speedup:
        """The last model against the first; the second is the first's copy. told: the last one's name."""
        run, (first, copy, last) = self._teacher.run, models
        for name in self._contenders.keys() - models.keys():
            self._contenders.pop(name).close()

        def enough(times: Mapping[str, Floats]) -> bool:
            so_far = times[first], times[copy], times[last]
            return is_settled(*so_far, minimum=minimum, visible=visible)

        inputs = {name: run.workload(model.name, workload).timed for name, model in models.items()}
        try:
            contenders = [self._contender(name, model) for name, model in models.items()]
            with run.watch.stage(f"{told or last} · duel on {workload.id}", still=True):
                times = duel(
                    contenders,
                    inputs,
                    seed=run.suite.seed,
                    max_seconds=max_seconds,
                    enough=enough,
                    part=workload.part,
                )
        except MeasureError:
            self.close()  # the next variant starts with processes of its own
            raise
        return estimate_speedup(
            times.blocks[first],
            times.blocks[copy],
            times.blocks[last],
            of_minima=times.fastest[first] / times.fastest[last],
            threads=contenders[-1].threads,
        )

    def _contender(self, name: str, model: ModelHandle) -> Contender:
        if name not in self._contenders:
            runtime, run = model.variant.runtime, model.run
            self._contenders[name] = Contender(
                ContenderSpec(
                    name=name,
                    folder=model.built.artifact.folder,
                    runtime=runtime.name,
                    params=runtime.params.model_dump(),
                    device=run.device,
                    threads=run.suite.threads,
                )
            )
        return self._contenders[name]
