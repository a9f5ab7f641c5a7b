"""Runs the load duels of a suite: one for each variant and load. Budgets on parts of an answer share it."""

from __future__ import annotations

from dataclasses import replace

from slimgate.plugins.workloads import Load
from slimgate.run.measure.load import LoadTimes, duel_under_load
from slimgate.run.model_handle import ModelHandle
from slimgate.tasks.parts.generation import writing


class LoadDuels:
    """The times of each variant and load, measured on first use."""

    def __init__(self, teacher: ModelHandle) -> None:
        self._teacher = teacher
        self._times: dict[tuple[str, Load], LoadTimes] = {}

    def times(self, variant: ModelHandle, load: Load) -> LoadTimes:
        """The times of the teacher, the teacher again and a variant under a load. Raises MeasureError."""
        key = variant.name, replace(load, part="answer")
        if key not in self._times:
            self._times[key] = self._measure(variant, load)
        return self._times[key]

    def _measure(self, variant: ModelHandle, load: Load) -> LoadTimes:
        from slimgate.tasks.parts.asked_prompts import AskedPrompts, requests_of_load

        run = self._teacher.run
        suite = run.suite
        prompts = run.encoder.of(self._teacher.built.artifact)
        assert isinstance(prompts, AskedPrompts)  # every endpoint has them
        writing_options = writing(suite.setup.task.params)
        requests = requests_of_load(prompts, writing_options, load.requests, suite.seed)
        with run.watch.stage(
            f"{variant.name} · load {replace(load, part='answer').id}", still=True
        ) as progress:
            base, other = (
                model.variant.runtime.params.locate(progress) for model in (self._teacher, variant)
            )
            return duel_under_load(base, other, requests, load, seed=suite.seed, progress=progress)
