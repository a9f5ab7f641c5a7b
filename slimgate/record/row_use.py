"""How often rows were used: which models were judged on which rows. The store keeps it after reports/latest.

Each further model that is judged on the same rows makes a lucky PASS more likely.

    .slimgate/row_use/DIGEST.jsonl      a line for each addition by a run; DIGEST: of the rows

A line holds the run, the models that it judged, and the speed budgets that it judged. A model is one variant
with one teacher. A line that a killed process left unfinished is skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from slimgate.record.run import RowUseFacts, TimingFacts
from slimgate.store.store import reading, writing

FOLDER = "row_use"


@dataclass(frozen=True)
class Timing:
    """A budget on time of one model that was judged.

    workload: its id, with " ms" of the model's own times. passed: whether it held.
    """

    model: str
    workload: str
    passed: bool


@dataclass(frozen=True)
class RowUse:
    """What is known about the use of some rows.

    models: by run, from the earliest to the latest, the models that it judged. timings: of all runs.
    """

    models: Mapping[str, frozenset[str]] = field(default_factory=dict)
    timings: tuple[Timing, ...] = ()

    @property
    def log(self) -> dict[str, list[str]]:
        """By run, the models that no earlier run had judged; runs without such models are left out."""
        seen: set[str] = set()
        new_models: dict[str, list[str]] = {}
        for run, models in self.models.items():
            if new := sorted(models - seen):
                new_models[run] = new
            seen |= models
        return new_models

    @property
    def runs(self) -> int:
        """How many runs judged a model that no earlier run had judged."""
        return len(self.log)

    @property
    def count(self) -> int:
        """How many models were judged."""
        return len(frozenset[str]().union(*self.models.values()))

    def with_log(self, log: Mapping[str, Iterable[str]]) -> RowUse:
        """This use and the runs of a record: if the store was deleted, the record still knows them."""
        merged = {
            run: self.models.get(run, frozenset()) | frozenset(log.get(run, ()))
            for run in sorted({**self.models, **log})
        }
        return replace(self, models=merged)


@dataclass
class RowUseLog:
    """Notes what one run judges on some rows.

    root: the folder of the store. digest: of the rows. run: what identifies the run, such as when it began.
    """

    root: Path
    digest: str
    run: str
    _noted_models: set[str] = field(default_factory=set)
    _noted_timing_count: int = 0

    def note(self, models: Iterable[str], timings: Sequence[Timing] = ()) -> None:
        """Adds what this run has not noted yet. timings: all of the run so far, in their order."""
        new_models, new_timings = set(models) - self._noted_models, timings[self._noted_timing_count :]
        if not new_models and not new_timings:
            return
        line = {
            "run": self.run,
            "models": sorted(new_models),
            "timings": [[timing.model, timing.workload, timing.passed] for timing in new_timings],
        }
        with writing(self.root):
            _append_line(self.root, self.digest, json.dumps(line))
        self._noted_models |= new_models
        self._noted_timing_count = len(timings)


def read_row_use(root: Path, digest: str) -> RowUse:
    """What the store knows about the use of rows with this digest."""
    models: dict[str, frozenset[str]] = {}
    timings: list[Timing] = []
    for line in _read_log_lines(root, digest):
        models[line.run] = models.get(line.run, frozenset()) | line.models
        timings += line.timings
    return RowUse(models, tuple(timings))


def make_model_id(teacher: str, variant: str) -> str:
    """A variant with its teacher, by the digests of their artifacts."""
    return f"{teacher[:16]}/{variant[:16]}"


class _LogLine(NamedTuple):
    run: str
    models: frozenset[str]
    timings: list[Timing]


def _read_log_lines(root: Path, digest: str) -> Iterator[_LogLine]:
    """The lines of a log, without unfinished and damaged lines."""
    file = _make_log_path(root, digest)
    with reading(root, f"{FOLDER}/{file.name}"):
        text = file.read_text("utf-8", errors="replace") if file.is_file() else ""
    for json_text in text.splitlines():
        try:
            fields = json.loads(json_text)
            timings = [Timing(*row) for row in fields["timings"]]
            line = _LogLine(str(fields["run"]), frozenset(map(str, fields["models"])), timings)
        except (ValueError, TypeError, KeyError):
            continue
        yield line


def _append_line(root: Path, digest: str, line: str) -> None:
    """Adds a line to a log, which may end with an unfinished line."""
    file = _make_log_path(root, digest)
    file.parent.mkdir(exist_ok=True)
    with file.open("ab+") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - 1, 0))
        end = "" if stream.read(1) in (b"", b"\n") else "\n"
        stream.write(f"{end}{line}\n".encode())


def _make_log_path(root: Path, digest: str) -> Path:
    return root / FOLDER / f"{digest}.jsonl"


def make_row_use_facts(use: RowUse, models: Mapping[str, str], *, run: str, cuts: int = 1) -> RowUseFacts:
    """The use of rows in the form of the record, with the timings that several runs judged.

    models: variant -> its model, as `make_model_id` names it. run: of the record. cuts: the number of gates
    that were cut from the same data and judged.
    """
    timings: list[TimingFacts] = []
    for variant, model in models.items():
        passed_by_workload: dict[str, list[bool]] = {}
        for timing in use.timings:
            if timing.model == model:
                passed_by_workload.setdefault(timing.workload, []).append(timing.passed)
        timings += [
            TimingFacts(variant=variant, workload=workload, times=len(passed), passed=sum(passed))
            for workload, passed in passed_by_workload.items()
            if len(passed) > 1
        ]
    return RowUseFacts(runs=use.runs, models=use.count, timings=timings, run=run, log=use.log, cuts=cuts)


def merge_row_use(shards: Sequence[RowUseFacts]) -> RowUseFacts | None:
    """The use of rows by all shards of one run, which counts as one run; None if no shard knows any."""
    if not shards:
        return None
    shard_runs = {shard.run for shard in shards if shard.run is not None}
    merged_run = max(shard_runs, default="")
    models: dict[str, frozenset[str]] = {}
    for shard in shards:
        for run, new_models in shard.log.items():
            name = merged_run if run in shard_runs else run
            models[name] = models.get(name, frozenset()) | frozenset(new_models)
    use = RowUse(dict(sorted(models.items())))
    return RowUseFacts(
        runs=max([use.runs, *(shard.runs for shard in shards if not shard.log)]),
        models=max([use.count, *(shard.models for shard in shards if not shard.log)]),
        timings=_select_most_judged([timing for shard in shards for timing in shard.timings]),
        run=merged_run or None,
        log=use.log,
        cuts=max(shard.cuts for shard in shards),
    )


def _select_most_judged(timings: Sequence[TimingFacts]) -> list[TimingFacts]:
    """For each variant and workload, the facts of the store in which it was judged most often."""
    by_key: dict[tuple[str, str], TimingFacts] = {}
    for timing in sorted(timings, key=lambda timing: timing.times):
        by_key[timing.variant, timing.workload] = timing
    return list(by_key.values())
