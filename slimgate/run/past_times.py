"""Looks up how long steps and predictions took before, in a store's manifests and an earlier record.

Steps are matched by a recipe: a digest of what the model starts from and of its steps so far, without data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from slimgate._system.digests import digest_json
from slimgate.plugins.base import Json
from slimgate.record.run import RunRecord
from slimgate.results.checks import TEACHER
from slimgate.store.seal import MANIFEST
from slimgate.store.store import Store
from slimgate.suite.suite import SELF, Suite, Variant, dump_params

LOAD, CASCADE = "load_model", "cascade"
# Only the last times are used: the machine and the code were most similar then.
LAST = 3


def digest_steps(suite: Suite, variant: Variant) -> list[str]:
    """The recipe after each of a variant's own steps; loading comes first if the variant names a model."""
    if variant.cascade is not None:
        parts = [digest_model(suite, name) for name in variant.cascade.models]
        return [digest_json([CASCADE, dump_params(variant.cascade), *parts])]
    if variant.ref is None:
        digests = [digest_model(suite, variant.parent or TEACHER)]
    else:
        digests = [digest_json([LOAD, variant.ref.text, *(["new_head"] if variant.ref.new_head else [])])]
    for step in variant.steps:
        learns = [name if name == SELF else digest_model(suite, name) for name in step.teachers]
        digests.append(digest_json([digests[-1], step.name, dump_params(step.params), *(learns or (None,))]))
    return digests if variant.ref is not None else digests[1:]


def digest_model(suite: Suite, name: str) -> str:
    """The recipe of a finished model."""
    variant = suite.model(name)
    return (digest_steps(suite, variant) or [digest_model(suite, variant.parent or TEACHER)])[-1]


@dataclass(frozen=True)
class Estimate:
    """An estimate of a time. seconds: the median of past times.

    of_other_model: whether these are times of the same step in other models.
    """

    seconds: float
    of_other_model: bool = False

    def __str__(self) -> str:
        shown = f"{self.seconds:.1f}" if self.seconds < 10 else f"{self.seconds:,.0f}"
        return f"~{shown}" if self.of_other_model else shown


@dataclass(frozen=True)
class Work:
    """A step, or the prediction of a split.

    recipe: the digest of the model's steps so far; None if not noted. params: JSON.
    rows: the number of rows of each split that it reads; None if not noted.
    machine: the kind of device, such as "cpu", and the number of threads; None if not noted.
    """

    recipe: str | None
    name: str
    params: Any
    rows: Mapping[str, int] | None
    machine: tuple[str, int] | None = None

    def to_manifest(self) -> Json:
        """The entries for a manifest by which later runs find its time."""
        device, threads = self.machine or (None, None)
        return {"recipe": self.recipe, "rows": self.rows, "device": device, "threads": threads}


@dataclass(frozen=True)
class _PastWork:
    """Work of an earlier run, and how many seconds it took. created: when, as an ISO time."""

    work: Work
    seconds: float
    created: str


class PastTimes:
    """The past times in a store and an earlier record, read on first use."""

    def __init__(self, store: Store, suite: Suite, earlier: RunRecord | None = None) -> None:
        self._store, self._suite, self._earlier = store, suite, earlier

    def estimate_step(self, work: Work) -> Estimate | None:
        """By the same step in models of the same recipe, else by the same step in others; else None."""
        similar = [
            past
            for past in self._steps
            if _is_same_work(past.work, work)
            and past.work.params == work.params
            and _has_same_rows(past.work.rows, work.rows)
        ]
        exact = [past for past in similar if past.work.recipe == work.recipe]
        used = (exact or similar)[-LAST:]
        return Estimate(median(past.seconds for past in used), of_other_model=not exact) if used else None

    def estimate_prediction(self, work: Work) -> Estimate | None:
        """By the time for a row of a model with the same recipe in the same runtime; else None."""
        counted = [
            (past, sum((past.work.rows or {}).values()))
            for past in self._predictions
            if past.work.recipe == work.recipe and _is_same_work(past.work, work)
        ]
        seconds_per_row = [past.seconds / rows for past, rows in counted[-LAST:] if rows]
        if not seconds_per_row:
            return None
        return Estimate(median(seconds_per_row) * sum((work.rows or {}).values()))

    @cached_property
    def _steps(self) -> list[_PastWork]:
        return sorted(
            [*_read_stored_steps(self._store), *_read_recorded_steps(self._suite, self._earlier)],
            key=lambda past: past.created,
        )

    @cached_property
    def _predictions(self) -> list[_PastWork]:
        return sorted(
            (
                _make_past_work(manifest, str(manifest.get("runtime")))
                for manifest in _read_manifests(self._store, "outcomes")
                if "seconds" in manifest
            ),
            key=lambda past: past.created,
        )


def _is_same_work(past: Work, work: Work) -> bool:
    """Whether it is the same step (or runtime), on the same device and threads if those were noted."""
    return past.name == work.name and past.machine in (None, work.machine)


def _has_same_rows(past: Mapping[str, int] | None, rows: Mapping[str, int] | None) -> bool:
    """Whether as many rows were read of each noted split; if none is noted, whether no rows are read."""
    rows = rows or {}
    return not rows if not past else all(rows.get(split) == n for split, n in past.items())


def _read_stored_steps(store: Store) -> Iterator[_PastWork]:
    for manifest in _read_manifests(store, "artifacts"):
        log = manifest.get("log") or {}
        # older manifests have no rows; a training step's log has those of train
        noted = {"train": log["rows"]} if isinstance(log.get("rows"), int) else {}
        yield _make_past_work(manifest, str(manifest["step"]), manifest.get("params"), noted)


def _make_past_work(
    manifest: Json, name: str, params: object = None, rows: Mapping[str, int] | None = None
) -> _PastWork:
    """The work that made an entry. rows: those of each split, if the manifest does not have them."""
    work_facts = manifest.get("made") or {}
    machine = (str(work_facts["device"]), int(work_facts["threads"])) if work_facts.get("device") else None
    work = Work(work_facts.get("recipe"), name, params, work_facts.get("rows", rows), machine)
    return _PastWork(work, float(manifest["seconds"]), str(manifest["created"]))


def _read_recorded_steps(suite: Suite, record: RunRecord | None) -> Iterator[_PastWork]:
    """The steps in an earlier record of models that the suite still has."""
    if record is None:
        return
    machine = (record.machine.device.split(":")[0], record.machine.threads)
    for model in record.variants:
        if model.name not in ("teacher", *suite.variants) or model.error is not None:
            continue
        variant = suite.model(model.name)
        digests = digest_steps(suite, variant)
        if len(digests) != len(model.steps):
            continue
        # Loading, and the answers of a cascade, are no steps of the suite.
        planned = [None] * (len(digests) - len(variant.steps)) + [*variant.steps]
        is_same = True
        for digest, plan, step in zip(digests, planned, model.steps, strict=True):
            is_same &= plan is None or (plan.name, dump_params(plan.params)) == (step.name, step.params)
            recipe = digest if is_same else None
            rows = {"train": record.task.splits["train"].n} if step.name == LOAD else step.reads
            work = Work(recipe, step.name, step.params, rows, machine)
            yield _PastWork(work, step.seconds, record.created)


def _read_manifests(store: Store, kind: str) -> Iterator[Json]:
    """The manifests of all entries of a kind, without damaged ones, and without those being removed."""
    for path in sorted((store.root / kind).glob(f"*/{MANIFEST}")):
        try:
            manifest = json.loads(path.read_text("utf-8"))
            if kind == "artifacts":
                float(manifest["seconds"])
            str(manifest["created"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        yield manifest
