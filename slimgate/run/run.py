"""One run of one suite: its rows, its models and their outcomes, each made on first use."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from slimgate._system.code_reads import describe_code_reads
from slimgate.errors import DataError, MeasureError, SlimgateError
from slimgate.models.started_servers import Servers
from slimgate.outcomes import Outcomes
from slimgate.plugins.rows import GATE, JUDGING
from slimgate.plugins.workloads import Workload
from slimgate.record.run import RunRecord
from slimgate.results.checks import TEACHER
from slimgate.run import keys
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.artifact_maker import BuildSettings
from slimgate.run.baseline import Baseline
from slimgate.run.build import Builder, Built
from slimgate.run.environment import PeakProbe
from slimgate.run.measure.memory import MemoryReading, read_memory
from slimgate.run.measure.operations import Operations, count_operations
from slimgate.run.measure.quality import (
    PROCESSOR,
    SplitEncoder,
    StoredAnswers,
    describe_stored_answers,
    make_outcomes,
)
from slimgate.run.model_handle import ModelHandle
from slimgate.run.past_times import PastTimes, Work, digest_model
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.result_keys import list_judging_modules
from slimgate.run.rows import PreparedRows, prepare_rows
from slimgate.run.workload_inputs import WorkloadInputs, make_workload_inputs
from slimgate.runtimes.endpoint import StartedEndpoint
from slimgate.store.store import Artifact, Entry, Store
from slimgate.suite.named_plugin import SuiteRuntime
from slimgate.suite.runtime_choice import find_runtime
from slimgate.suite.suite import Suite, Variant, dump_params


class ModelStage(NamedTuple):
    """An artifact on the way to a model.

    owner: the model whose step made it. step: the name of this step; None for the teacher, and for a model
    that was loaded.
    """

    owner: str
    step: str | None
    artifact: Artifact


def list_stages(run: SuiteRun, name: str) -> Iterator[ModelStage]:
    """The artifacts on the way to a model. The first is the teacher, or the model that was loaded."""
    parent = run.suite.model(name).parent
    if run.suite.model(name).ref is None:
        if parent in (None, TEACHER):
            yield ModelStage(TEACHER, None, run.build(TEACHER).artifact)
        else:
            yield from list_stages(run, str(parent))
    yield from list_own_stages(run, name)


def list_own_stages(run: SuiteRun, name: str) -> Iterator[ModelStage]:
    """The stages of a model's own steps; loading comes first, if it is loaded. The teacher is one stage."""
    variant, built = run.suite.model(name), run.build(name)
    if name == TEACHER:
        yield ModelStage(name, None, built.artifact)
        return
    steps = [step.name for step in variant.steps]
    step_names = steps if variant.ref is None else [None, *steps]
    for step, artifact in zip(step_names, built.steps, strict=True):
        yield ModelStage(name, step, artifact)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run works.

    workers: the number of processes that share the machine; each uses its part of the threads.
    split: the split that models answer and are timed on; the run may read no other judging split.
    time_limit: seconds that a variant's own steps may take.
    server_logs: the folder for the output of servers that the run starts.
    probe: measures the machine before the first model is timed; None: it is not measured.
    """

    workers: int = 1
    watch: Watch = UNWATCHED
    split: str = GATE
    time_limit: float | None = None
    server_logs: Path | None = None
    probe: PeakProbe | None = None


class SuiteRun:
    """The rows, models and measurements that the gates of one suite share."""

    def __init__(
        self,
        suite: Suite,
        store: Store,
        *,
        device: str,
        baseline: Baseline | None = None,
        options: RunOptions = RunOptions(),
    ) -> None:
        """baseline: the release that variants may be compared with."""
        self._servers = Servers(options.server_logs)
        threads = max(1, suite.threads // options.workers)
        self.suite = attach_servers(replace(suite, threads=threads), self._servers)
        self.store, self.device, self._baseline = store.make_view(), device, baseline
        self.watch, self.split, self.time_limit = options.watch, options.split, options.time_limit
        self._probe = options.probe
        self._started = time.perf_counter()
        self._rows: PreparedRows | None = None
        self._builders: dict[int, Builder] = {}
        self._encoders: dict[str, SplitEncoder] = {}
        self._teacher_outcomes: Outcomes | None = None
        self._memory: dict[str, list[MemoryReading]] = {}
        self._built_elsewhere: set[str] = set()
        # Other processes answer for this run too, if it has several workers.
        self._has_answered = options.workers > 1
        # For each model: the processor or server of its stored answers; None if this run computed them.
        self._answered_by: dict[str, str | None] = {}
        # For each model with stored answers of a server that may have changed: that server, and when.
        self.stored_answers: dict[str, str] = {}
        # By model and seed: why another process could not predict the answers.
        self._unanswered: dict[tuple[str, int], SlimgateError] = {}
        self.past = PastTimes(self.store, suite)

    @property
    def baseline(self) -> Baseline:
        """The earlier release. Raises DataError for a run without one."""
        if self._baseline is None:
            raise DataError(f"{self.suite.shown}: this run has no baseline")
        return self._baseline

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._started

    @property
    def rows(self) -> PreparedRows:
        """The splits, cut now or loaded from the store."""
        if self._rows is None:
            with self.watch.stage(f"{self.suite.path.name} · read and split the rows"):
                self._rows = prepare_rows(self.suite, self.store)
        return self._rows

    @property
    def code_reads(self) -> dict[str, str]:
        """What the user's code has read in this process for the entries of the store, and to judge."""
        judging = describe_code_reads(list_judging_modules(self.suite), self.store.root)
        return {**judging, **self.store.code_reads}

    @property
    def has_new_answers(self) -> bool:
        """Whether a model may have answered rows for this run: then the store does not have all answers."""
        return self._has_answered or bool(self._built_elsewhere)

    @property
    def has_rows(self) -> bool:
        """Whether the splits are cut or loaded already."""
        return self._rows is not None

    @property
    def encoder(self) -> SplitEncoder:
        """The rows of the run's split, tokenised once for each tokenizer."""
        return self.get_encoder(self.split)

    def get_encoder(self, split: str) -> SplitEncoder:
        """The rows of a split, tokenised once for each tokenizer.

        Raises DataError for a split that only judges, unless it is the run's own.
        """
        if split in JUDGING and split != self.split:
            raise DataError(f"a run on {self.split} asked for {split} rows, which are for verdicts only")
        if split not in self._encoders:
            self._encoders[split] = SplitEncoder(self.suite, self.rows.splits[split], split)
        return self._encoders[split]

    def build(self, name: str, seed: int | None = None) -> Built:
        """A model of the suite, built now or loaded from the store. seed: default is the first."""
        return self._get_builder(self.suite.seed if seed is None else seed).build(name)

    def is_built(self, name: str) -> bool:
        """Whether this run has built a model, or has read it from the store."""
        return self.suite.seed in self._builders and self._builders[self.suite.seed].has_built(name)

    def _get_builder(self, seed: int) -> Builder:
        """The builder of models with a seed. All builders share the teacher of the first seed."""
        if seed not in self._builders:
            settings = BuildSettings(
                self.device, self.watch, self.past, self._built_elsewhere, self.time_limit
            )
            teacher = None if seed == self.suite.seed else self._get_builder(self.suite.seed)
            self._builders[seed] = Builder(
                self.suite, self.rows, self.store, settings, seed=seed, teacher=teacher
            )
        return self._builders[seed]

    def note_built_elsewhere(self, keys: Iterable[str]) -> None:
        """Notes the artifacts that other processes built for this run: they count as new."""
        self._built_elsewhere.update(keys)

    def note_failed_elsewhere(self, name: str, seed: int, error: SlimgateError, *, built: bool) -> None:
        """Notes a model's failure in another process, so that it is not tried again here.

        built: the model was built, and predicting its answers failed.
        """
        if built:
            self._unanswered[name, seed] = error
        else:
            self._get_builder(seed).note_failure(name, error)

    def measure_rebuilds(self, name: str) -> dict[int, Outcomes]:
        """The answers of a stochastic variant built with each further seed of the suite; else nothing."""
        if not self.suite.is_stochastic(name):
            return {}
        return {seed: self.measure_outcomes(name, seed) for seed in self.suite.seeds[1:]}

    def measure_outcomes(self, name: str, seed: int | None = None) -> Outcomes:
        """A model's answers on the rows of the run's split; the teacher's stay in memory."""
        if name == TEACHER and self._teacher_outcomes is not None:
            return self._teacher_outcomes
        if (error := self._unanswered.get((name, self.suite.seed if seed is None else seed))) is not None:
            raise error
        artifact, runtime = self.build(name, seed).artifact, self.suite.model(name).runtime
        outcomes = self._predict(name, artifact, runtime, self.split)
        compared = self._compare_outcomes(name, outcomes, artifact)
        if name == TEACHER:
            self._teacher_outcomes = compared
        return compared

    def measure_selection(self, name: str, stage: Artifact) -> Outcomes:
        """The answers of a model, or of one of its stages, on the split `selection`."""
        runtime = self.suite.model(name).runtime
        if stage.kind not in runtime.object.kinds:  # a stage from before the step that changed the kind
            runtime = find_runtime(stage.kind)
        outcomes = self._predict(name, stage, runtime, "selection")
        return self._compare_outcomes(name, outcomes, stage, "selection")

    def _compare_outcomes(
        self, name: str, outcomes: Outcomes, artifact: Artifact, split: str | None = None
    ) -> Outcomes:
        """The outcomes compared with the teacher's, if the task compares them.

        The teacher's are compared with the teacher's answers in other batches.
        """
        task, split = self.suite.setup.task, split or self.split
        if task.object.score_pair is None:
            return outcomes
        teacher = self.build(TEACHER).artifact
        runtime = self.suite.model(TEACHER).runtime
        if name == TEACHER and artifact is teacher:
            reference = self._predict(name, artifact, runtime, split, again=True)
        elif split == self.split:
            reference = self.measure_outcomes(TEACHER)
        else:
            reference = self._predict(TEACHER, teacher, runtime, split)
        return task.object.score_pair(task.params, outcomes, reference)

    def _predict(
        self, name: str, artifact: Artifact, runtime: SuiteRuntime, split: str, *, again: bool = False
    ) -> Outcomes:
        """Predicts a split. again: in other batches and with another number of threads than the suite has."""
        is_own = not again and artifact is self.build(name).artifact
        work = self.describe_prediction(name, runtime, split) if is_own else None
        expected = self.past.estimate_prediction(work) if work else None
        with (
            _name_errors(name),
            self.watch.stage(
                f"{name} · {split} rows{' again, for the noise floor' if again else ''}",
                expected=expected.seconds if expected else None,
            ) as progress,
        ):
            suite = change_batches(self.suite) if again else self.suite
            outcomes, entry = make_outcomes(
                AnsweringModel(suite, self.rows, artifact, runtime, self.device),
                self.get_encoder(split),
                self.store,
                progress=progress,
                work=work,
                is_teacher=name == TEACHER,
            )
        self._has_answered |= not entry.from_store
        if again and not entry.from_store:  # models that are loaded already need the suite's threads again
            import torch

            torch.set_num_threads(self.suite.threads)
        if work is not None and split == self.split:  # the first time only: later the store has this run's
            self._answered_by.setdefault(name, entry.manifest.get(PROCESSOR) if entry.from_store else None)
            self._note_stored_answers(name, runtime, entry)
        return outcomes

    def _note_stored_answers(self, name: str, runtime: SuiteRuntime, entry: Entry) -> None:
        """Warns if answers are from the store and their server may have changed since."""
        text = describe_stored_answers(runtime, entry)
        if text is None or name in self.stored_answers:
            return
        self.stored_answers[name] = text
        self._answered_by[name] = text
        warnings.warn(
            f"{name}: the answers are from the store, of {text}; --slimgate-rebuild asks the server again",
            StoredAnswers,
            stacklevel=2,
        )

    def find_processor(self, name: str) -> str | None:
        """The processor or server that gave a model's stored answers; None if this run computed them."""
        if name not in self._answered_by:
            self.measure_outcomes(name)
        return self._answered_by.get(name)

    def read_answer_notes(self, name: str) -> Mapping[str, Any]:
        """What was noted of a cascade or a server while it answered the rows; empty without stored answers.

        The notes are `passed_on` of a cascade, the share of rows that reached each model after the first, and
        `server_settings` of a server.
        """
        variant = self.suite.model(name)
        if variant.cascade is None and not variant.is_endpoint:
            return {}
        artifact = self.build(name).artifact
        model = AnsweringModel(self.suite, self.rows, artifact, variant.runtime, self.device)
        entry = self.store.find("outcomes", keys.make_answers_key(model, self.split))
        return entry.manifest if entry else {}

    def learn_times(self, earlier: RunRecord | None) -> None:
        """Uses the times in an earlier run's record too, in addition to those in the store's manifests."""
        self.past = PastTimes(self.store, self.suite, earlier)

    def describe_prediction(self, name: str, runtime: SuiteRuntime, split: str) -> Work:
        """The prediction of a split as PastTimes looks it up."""
        rows = {split: len(self.rows.splits[split])}
        machine = (self.device.split(":")[0], self.suite.threads)
        return Work(digest_model(self.suite, name), runtime.name, None, rows, machine)

    def make_workload(self, name: str, workload: Workload, *, timed: bool = True) -> WorkloadInputs:
        """The rows of a workload as one model's inputs (`make_workload_inputs`)."""
        return make_workload_inputs(self, name, workload, timed=timed)

    @property
    def largest_workload(self) -> Workload:
        """The workload whose call reads the most numbers, counted in the teacher's inputs."""
        return max(self.suite.list_timed_workloads(TEACHER), key=self._count_numbers)

    def _count_numbers(self, workload: Workload) -> int:
        return max(values.size for values in self.make_workload(TEACHER, workload).inputs.values())

    def measure_memory(self, name: str, readings: int) -> list[MemoryReading]:
        """At least `readings` readings of a model's memory with the largest workload; reuses earlier ones."""
        results = self._memory.setdefault(name, [])
        while len(results) < readings:
            stage = f"{name} · memory in a fresh process, reading {len(results) + 1} of {readings}"
            with self.watch.stage(stage, still=True):
                results.append(self.read_memory(name))
        return list(results)

    def read_memory(self, name: str) -> MemoryReading:
        """One new reading of a model's memory and load time, from a process of its own."""
        runtime = self.suite.model(name).runtime
        inputs = self.make_workload(name, self.largest_workload).inputs
        with _name_errors(name):
            return read_memory(
                self.build(name).artifact.folder,
                runtime.name,
                dump_params(runtime.params),
                inputs,
                device=self.device,
                threads=self.suite.threads,
            )

    def measure_peak_rates(self) -> None:
        """Measures the CPU with the probe, once for each number of threads, if models run on the CPU."""
        threads = self.suite.threads
        if self._probe is None or self.device.partition(":")[0] != "cpu" or self._probe.find(threads):
            return
        with self.watch.stage("what the CPU gives", still=True):
            self._probe.measure(threads, max_seconds=self.suite.measure.max_seconds)

    def count_operations(self, name: str) -> Operations:
        """The operations of one call of a model, on the row with the teacher's median length."""
        runtime = self.suite.model(name).runtime
        inputs = self.make_workload(name, Workload(1), timed=False).inputs
        return count_operations(self.build(name).artifact, runtime, inputs, self.store, device=self.device)

    def make_handle(self, name: str) -> ModelHandle:
        """The light handle that tests get."""
        return ModelHandle(self, self.suite.model(name))

    def stop_servers(self) -> None:
        """Stops the servers that this run has started; they start again when needed."""
        self._servers.stop()


def attach_servers(suite: Suite, servers: Servers) -> Suite:
    """The suite with these servers for the endpoints that slimgate starts.

    It is the same object if there are none: a search adds variants to the suite that it passed in, and a
    copy would not have them.
    """
    models = (suite.teacher, *suite.variants.values())
    if not any(isinstance(model.runtime.params, StartedEndpoint) for model in models):
        return suite

    def attach(variant: Variant) -> Variant:
        params = variant.runtime.params
        if not isinstance(params, StartedEndpoint):
            return variant
        runtime = replace(variant.runtime, params=params.with_servers(servers, variant.name))
        return replace(variant, runtime=runtime)

    variants = {name: attach(variant) for name, variant in suite.variants.items()}
    return replace(suite, teacher=attach(suite.teacher), variants=variants)


def change_batches(suite: Suite) -> Suite:
    """The suite with half the batch size and half the threads; with two in place of one."""

    def change(count: int) -> int:
        return 2 if count == 1 else count // 2

    measure = suite.measure.model_copy(update={"batch_size": change(suite.measure.batch_size)})
    return replace(suite, measure=measure, threads=change(suite.threads))


@contextmanager
def _name_errors(name: str) -> Iterator[None]:
    """Puts the model's name before the message of a MeasureError."""
    try:
        yield
    except MeasureError as error:
        raise MeasureError(f"{name}: {error}") from error
