"""The object that gates and tests get for a model of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

from slimgate.outcomes import Outcomes
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import ComparedModel, Predictor
from slimgate.plugins.workloads import TimedPart
from slimgate.run.build import Built
from slimgate.run.measure.memory import MemoryReading
from slimgate.run.measure.operations import Operations
from slimgate.run.measure.quality import PASSED_ON, SERVER_SETTINGS
from slimgate.run.measure.timed_call import (
    CallInputs,
    TimedCall,
    check_forward,
    make_timed_call,
    prepare_inputs,
)
from slimgate.suite.suite import Variant

if TYPE_CHECKING:
    from slimgate.run.run import SuiteRun


@dataclass
class ModelHandle:
    """The teacher or a variant. Its answers and the model itself are loaded on first use.

    >>> def test_no_row_of_class_3_is_lost(teacher, variant): ...
    """

    run: SuiteRun
    variant: Variant
    _outcomes: Outcomes | None = None
    _predictor: Predictor | None = None
    load_seconds: float | None = None

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def built(self) -> Built:
        """The artifact and the steps that led to it."""
        return self.run.build(self.name)

    @property
    def outcomes(self) -> Outcomes:
        """The answers of the model on every gate row."""
        if self._outcomes is None:
            self._outcomes = self.run.measure_outcomes(self.name)
        return self._outcomes

    @property
    def processor(self) -> str | None:
        """The processor that computed the answers, if they came from the store."""
        return self.run.find_processor(self.name)

    @property
    def predictor(self) -> Predictor:
        """The loaded model, with the methods `prepare`, `forward` and `fetch`."""
        if self._predictor is None:
            runtime, folder = self.variant.runtime, self.built.artifact.folder
            start = time.perf_counter()
            self._predictor = runtime.object.load(
                folder, runtime.params, device=self.run.device, threads=self.run.suite.threads
            )
            self.load_seconds = time.perf_counter() - start
        return self._predictor

    @property
    def compile_facts(self) -> dict[str, Any]:
        """The seconds and graphs of compilation so far; empty if the runtime does not compile in calls."""
        seconds = getattr(self._predictor, "compile_seconds", None)
        if seconds is None:
            return {}
        return {"compile_seconds": seconds, "compiled_graphs": getattr(self._predictor, "graphs", None)}

    @property
    def operations(self) -> Operations:
        """The operations of one call with one row, counted once and stored."""
        return self.run.count_operations(self.name)

    def measure_memory(self, readings: int = 1) -> list[MemoryReading]:
        """Readings of the memory, each from a new process that takes seconds. Earlier readings are reused."""
        return self.run.measure_memory(self.name, readings)

    @property
    def compared(self) -> ComparedModel:
        """The model as a task's `compare` gets it."""
        artifact = self.built.artifact
        return ComparedModel(
            self.predictor,
            self.run.encoder.encode_for(artifact),
            artifact.folder,
            self.run.device,
            self.outcomes,
        )

    def prepare_call(self, *inputs: CallInputs, part: TimedPart = "forward") -> TimedCall:
        """Prepares inputs, and returns the call of the model that is timed.

        inputs: arrays, or Texts for the part e2e. Calls use several inputs in turn. A workload that writes an
        answer has only one input.
        """
        prepared = prepare_inputs(self.predictor, inputs)
        if part == "forward" and self.run.device == "cpu":
            check_forward(self.predictor, inputs[0])
        call = make_timed_call(self.predictor, prepared[0], part)
        if len(prepared) == 1:
            return call
        turns = cycle(prepared)
        return TimedCall(lambda: next(turns), call.call)

    @property
    def passed_on(self) -> list[float] | None:
        """For a cascade with answers, the share of rows that reached each model after the first."""
        shares: list[float] | None = self.run.read_answer_notes(self.name).get(PASSED_ON)
        return shares

    @property
    def server_settings(self) -> dict[str, dict[str, Any]]:
        """For a server with answers, the settings that it states, by area; else empty."""
        if not self.variant.is_endpoint:
            return {}
        return dict(self.run.read_answer_notes(self.name).get(SERVER_SETTINGS, {}))

    def cache_bytes(self, inputs: Arrays) -> int:
        """Bytes of the key-value cache after a complete answer. inputs: of a workload that writes."""
        predictor: Any = self.predictor
        state = predictor.prefill(predictor.prepare(inputs))
        predictor.decode(state)
        return int(predictor.cache_bytes(state))

    def close(self) -> None:
        """Frees the model and the outcomes."""
        if self._predictor is not None:
            self._predictor.close()
        self._predictor = self._outcomes = None
