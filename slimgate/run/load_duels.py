"""The duels of a suite's servers under load: one for each variant and load, of which all parts are read."""

from __future__ import annotations

from dataclasses import replace

from slimgate.protocols import Load
from slimgate.run.measure.load import LoadTimes, duel_under_load
from slimgate.run.run import ModelHandle
from slimgate.tasks.parts.generation import writing


class LoadDuels:
    """Times of each load, measured when first asked for."""

    def __init__(self, teacher: ModelHandle) -> None:
        self._teacher = teacher
        self._found: dict[tuple[str, Load], LoadTimes] = {}

    def times(self, variant: ModelHandle, load: Load) -> LoadTimes:
        """The teacher, the teacher again and a variant under a load. Raises MeasureError."""
        key = variant.name, replace(load, part="answer")
        if key not in self._found:
            self._found[key] = self._measure(variant, load)
        return self._found[key]

    def _measure(self, variant: ModelHandle, load: Load) -> LoadTimes:
        from slimgate.tasks.parts.asked_prompts import AskedPrompts, requests_of_load

        run = self._teacher.run
        suite = run.suite
        prompts = run.encoder.of(self._teacher.built.artifact)
        assert isinstance(prompts, AskedPrompts)  # as of every endpoint
        how = writing(suite.setup.task.params)
        requests = requests_of_load(prompts, how, load.requests, suite.seed)
        with run.watch.stage(f"{variant.name} · load {replace(load, part='answer').id}", still=True) as told:
            base, other = (one.variant.runtime.params.locate(told) for one in (self._teacher, variant))
            return duel_under_load(base, other, requests, load, seed=suite.seed, progress=told)
