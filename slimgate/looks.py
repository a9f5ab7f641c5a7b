"""What has been judged on which rows, kept in the store: it outlives reports/latest.

    .slimgate/looks/DIGEST.jsonl        a line each time that a run adds something; DIGEST is of the rows

A line holds the run, the models that it judged, and the speed budgets that it judged. A model is one variant
beside one teacher. What a killed process left half written is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimgate.record import LookFacts, TimingFacts
from slimgate.store_refusals import reading, writing

FOLDER = "looks"


@dataclass(frozen=True)
class Timing:
    """A speed budget of one model that was judged. workload: its id; passed: whether it held."""

    model: str
    workload: str
    passed: bool


@dataclass(frozen=True)
class Looks:
    """All that is known of some rows. models: of each run, in their order; timings: of all runs."""

    models: tuple[frozenset[str], ...] = ()
    timings: tuple[Timing, ...] = ()

    @property
    def runs(self) -> int:
        """How many runs judged a model that no run before them had judged."""
        seen: set[str] = set()
        count = 0
        for models in self.models:
            count += not models <= seen
            seen |= models
        return count

    @property
    def count(self) -> int:
        """How many models were judged."""
        return len(frozenset[str]().union(*self.models))

    def timed(self, model: str, workload: str) -> list[Timing]:
        """Every time that this speed budget was judged."""
        return [one for one in self.timings if (one.model, one.workload) == (model, workload)]


@dataclass
class LookLog:
    """Notes what one run judges on some rows. run: what tells it from other runs, such as when it began."""

    root: Path
    digest: str
    run: str
    _models: set[str] = field(default_factory=set)
    _timings: int = 0

    def note(self, models: Iterable[str], timings: Sequence[Timing] = ()) -> None:
        """Adds what this run has not noted yet. timings: all of the run so far, in their order."""
        new, timed = set(models) - self._models, timings[self._timings :]
        if not new and not timed:
            return
        line = {
            "run": self.run,
            "models": sorted(new),
            "timings": [[one.model, one.workload, one.passed] for one in timed],
        }
        with writing(self.root), _file(self.root, self.digest).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._models |= new
        self._timings = len(timings)


def looks_at(root: Path, digest: str) -> Looks:
    """What the store knows of rows with this digest."""
    models: dict[str, frozenset[str]] = {}
    timings: list[Timing] = []
    for line in _lines(root, digest):
        models[line["run"]] = models.get(line["run"], frozenset()) | set(line["models"])
        timings += [Timing(*one) for one in line["timings"]]
    return Looks(tuple(models.values()), tuple(timings))


def model_id(teacher: str, variant: str) -> str:
    """A variant beside its teacher, by the digests of their artifacts."""
    return f"{teacher[:16]}/{variant[:16]}"


def _lines(root: Path, digest: str) -> Iterator[dict[str, Any]]:
    file = root / FOLDER / f"{digest}.jsonl"
    with reading(root, f"{FOLDER}/{file.name}"):
        text = file.read_text("utf-8") if file.is_file() else ""
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _file(root: Path, digest: str) -> Path:
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    return folder / f"{digest}.jsonl"


def look_facts(looks: Looks, models: Mapping[str, str]) -> LookFacts:
    """As the record has it. models: of each variant of the record."""
    timings = []
    for variant, model in models.items():
        for workload in dict.fromkeys(one.workload for one in looks.timings if one.model == model):
            times = looks.timed(model, workload)
            if len(times) > 1:
                passed = sum(one.passed for one in times)
                timings.append(
                    TimingFacts(variant=variant, workload=workload, times=len(times), passed=passed)
                )
    return LookFacts(runs=looks.runs, models=looks.count, timings=timings)
