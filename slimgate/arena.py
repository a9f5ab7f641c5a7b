"""Who stands against whom: the teacher, a separately loaded copy of it, and one variant at a time."""

from __future__ import annotations

from slimgate.errors import MeasureError
from slimgate.judge.speed import Speedup, estimate_speedup
from slimgate.measure.duel import Contender, ContenderSpec, duel
from slimgate.protocols import Workload
from slimgate.run import ModelHandle
from slimgate.suite import TEACHER

COPY = "teacher's copy"


class Arena:
    """Holds the processes of a suite's duels. The public fixture `duel` is its `speedup`."""

    def __init__(self, teacher: ModelHandle) -> None:
        self._teacher = teacher
        self._contenders: dict[str, Contender] = {}

    def speedup(self, variant: ModelHandle, workload: Workload) -> Speedup:
        """How many times faster than the teacher a variant predicts a workload, with the noise floor.

        The same gate rows for all, each tokenised as its model wants it. Takes half of the suite's
        max_seconds, and 12 rounds at least. Raises MeasureError for a process that
        dies.
        """
        run = self._teacher.run
        for name in [name for name in self._contenders if name not in (TEACHER, COPY, variant.name)]:
            self._contenders.pop(name).close()
        models = {TEACHER: self._teacher, COPY: self._teacher, variant.name: variant}
        try:
            times = duel(
                [self._contender(name, model) for name, model in models.items()],
                {name: run.workload(model.name, workload).inputs for name, model in models.items()},
                seed=run.suite.seed,
                max_seconds=run.suite.measure.max_seconds / 2,
            )
        except MeasureError:
            self.close()  # the next variant starts with processes of its own
            raise
        return estimate_speedup(
            times.medians[TEACHER],
            times.medians[COPY],
            times.medians[variant.name],
            of_minima=times.fastest[TEACHER] / times.fastest[variant.name],
            seed=run.suite.seed,
        )

    def close(self) -> None:
        """Ends all processes."""
        while self._contenders:
            self._contenders.popitem()[1].close()

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
