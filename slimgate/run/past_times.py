"""How long steps and predictions took before: from the manifests of a store, and from an earlier record.

How a model comes about, as a digest a step: what it starts from and the steps on the way, without data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from slimgate._system.digests import json_digest
from slimgate.record import RunRecord
from slimgate.store.seal import MANIFEST
from slimgate.store.store import Json, Store
from slimgate.suite.suite import SELF, TEACHER, Suite, Variant, params_json

LOAD, CASCADE = "load_model", "cascade"
# Of many times the last ones: the machine and the code were most like now.
LAST = 3


def recipes(suite: Suite, variant: Variant) -> list[str]:
    """Of each of a variant's own steps; loading its model comes first where it names one."""
    if variant.cascade is not None:
        parts = [recipe(suite, name) for name in variant.cascade.models]
        return [json_digest([CASCADE, params_json(variant.cascade), *parts])]
    if variant.ref is None:
        found = [recipe(suite, variant.parent or TEACHER)]
    else:
        found = [json_digest([LOAD, variant.ref.text, *(["new_head"] if variant.ref.new_head else [])])]
    for step in variant.steps:
        learns = [name if name == SELF else recipe(suite, name) for name in step.teachers]
        found.append(json_digest([found[-1], step.name, params_json(step.params), *(learns or (None,))]))
    return found if variant.ref is not None else found[1:]


def recipe(suite: Suite, name: str) -> str:
    """Of a whole model."""
    variant = suite.model(name)
    return (recipes(suite, variant) or [recipe(suite, variant.parent or TEACHER)])[-1]


@dataclass(frozen=True)
class Estimate:
    """seconds: the median of what was measured. alike: of the same step, but not of the same model."""

    seconds: float
    alike: bool = False

    def __str__(self) -> str:
        shown = f"{self.seconds:.1f}" if self.seconds < 10 else f"{self.seconds:,.0f}"
        return f"~{shown}" if self.alike else shown


@dataclass(frozen=True)
class Work:
    """A step, or predicting a split. rows: of each split that it reads; None where that was not noted.

    recipe: how the model comes about; None where that was not noted. params: JSON.
    """

    recipe: str | None
    method: str
    params: Any
    rows: Mapping[str, int] | None
    machine: tuple[str, int] | None = None

    @property
    def to_manifest(self) -> Json:
        """What a manifest says of it, so that later runs find its time."""
        device, threads = self.machine or (None, None)
        return {"recipe": self.recipe, "rows": self.rows, "device": device, "threads": threads}


@dataclass(frozen=True)
class _Past:
    work: Work
    seconds: float
    created: str


class PastTimes:
    """What a store and a record say; they are read when it is first asked for."""

    def __init__(self, store: Store, suite: Suite, earlier: RunRecord | None = None) -> None:
        self._store, self._suite, self._earlier = store, suite, earlier

    def step(self, work: Work) -> Estimate | None:
        """By the same step of a model that came about alike; else by the same step of others; else None."""
        return _estimate(self._steps, work, lambda past: past.params == work.params)

    def prediction(self, work: Work) -> Estimate | None:
        """By the time a row takes of a model that came about alike, through the same runtime; else None."""
        found = [one for one in self._predictions if one.work.recipe == work.recipe and _fits(one.work, work)]
        counts = [(one, sum((one.work.rows or {}).values())) for one in found]
        each = [one.seconds / rows for one, rows in counts[-LAST:] if rows]
        return Estimate(median(each) * sum((work.rows or {}).values())) if each else None

    @cached_property
    def _steps(self) -> list[_Past]:
        return sorted(
            [*_steps_in(self._store), *_steps_of(self._suite, self._earlier)], key=lambda one: one.created
        )

    @cached_property
    def _predictions(self) -> list[_Past]:
        return sorted(_predictions_in(self._store), key=lambda one: one.created)


def _estimate(past: list[_Past], work: Work, same: Callable[[Work], bool]) -> Estimate | None:
    like = [
        one
        for one in past
        if _fits(one.work, work) and same(one.work) and _same_rows(one.work.rows, work.rows)
    ]
    exact = [one for one in like if one.work.recipe == work.recipe]
    chosen = (exact or like)[-LAST:]
    return Estimate(median(one.seconds for one in chosen), alike=not exact) if chosen else None


def _fits(past: Work, work: Work) -> bool:
    """The same method (or runtime), on the same device and threads where those were noted."""
    return past.method == work.method and past.machine in (None, work.machine)


def _same_rows(past: Mapping[str, int] | None, rows: Mapping[str, int] | None) -> bool:
    """Whether as many rows were read, of the splits that were noted; with nothing noted, whether none are."""
    rows = rows or {}
    return not rows if not past else all(rows.get(split) == n for split, n in past.items())


def _steps_in(store: Store) -> Iterator[_Past]:
    for manifest in _manifests(store, "artifacts"):
        log = manifest.get("log") or {}
        # before the rows were noted, a training step's log told those of train
        noted = {"train": log["rows"]} if isinstance(log.get("rows"), int) else {}
        yield _past(manifest, str(manifest["method"]), manifest.get("params"), noted)


def _predictions_in(store: Store) -> Iterator[_Past]:
    for manifest in _manifests(store, "outcomes"):
        if "seconds" in manifest:
            yield _past(manifest, str(manifest.get("runtime")), None, None)


def _past(manifest: Json, method: str, params: Any, rows: Mapping[str, int] | None) -> _Past:
    made = manifest.get("made") or {}
    machine = (str(made["device"]), int(made["threads"])) if made.get("device") else None
    work = Work(made.get("recipe"), method, params, made.get("rows", rows), machine)
    return _Past(work, float(manifest["seconds"]), str(manifest["created"]))


def _steps_of(suite: Suite, record: RunRecord | None) -> Iterator[_Past]:
    """The steps of an earlier record that the suite still has, each of the model that it was of."""
    if record is None:
        return
    machine = (record.machine.device.split(":")[0], record.machine.threads)
    for model in record.variants:
        if model.name not in ("teacher", *suite.variants) or model.error is not None:
            continue
        own = recipes(suite, suite.model(model.name))
        if len(own) != len(model.steps):
            continue
        for recipe, step in zip(own, model.steps, strict=True):
            rows = {"train": record.task.splits["train"].n} if step.method == LOAD else step.reads
            work = Work(recipe, step.method, step.params, rows, machine)
            yield _Past(work, step.seconds, record.created)


def _manifests(store: Store, kind: str) -> Iterator[Json]:
    for path in sorted((store.root / kind).glob(f"*/{MANIFEST}")):
        try:
            found = json.loads(path.read_text("utf-8"))
            float(found["seconds"] if kind == "artifacts" else 0), found["created"]
        except (OSError, ValueError, KeyError, TypeError):  # being removed, or damaged: not known
            continue
        yield found
