"""What a step and a task have while a model is built: rows, teacher, device, log, scratch folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slimgate.errors import DataError
from slimgate.plugins.base import Json, Progress, no_progress
from slimgate.plugins.rows import JUDGING, Rows, TaskFacts

Fill = Callable[[Path], Json]
Share = Callable[[str, Json, Fill], tuple[Path, bool]]


def adds_no_rows(_texts: Sequence[str]) -> list[bool]:
    """What a step gets that did not say that it adds rows."""
    raise DataError(
        "a build step asked which texts are held out; a step that adds rows says so by adds_rows(params)"
    )


@dataclass(frozen=True)
class MoreTeacher:
    """A model that a step learns from beside `load_teacher`'s: load gives it, share is a BuildContext's."""

    load: Callable[[], Any]
    share: Share | None = None


@dataclass
class BuildContext:
    """What a step may use. Rows of gate and confirm are not here: reading them while building is an error.

    load_teacher: the model that the step learns from; more_teachers: those that it learns from beside it.
    stands_later: which of the texts (as collapsed_texts of parts.py has them) stand in calibration,
    selection, confirm or gate, so that a step adds no row that is held out. share: how `shared_folder` keeps
    things, where there is a store. kept: files to keep beside the artifact that are no part of it, such as
    the log of another program.
    """

    task: Any
    task_params: Any
    facts: TaskFacts
    splits: Mapping[str, Rows]
    load_teacher: Callable[[], Any]
    seed: int
    device: str
    threads: int
    scratch: Path
    progress: Progress = no_progress
    stands_later: Callable[[Sequence[str]], list[bool]] = adds_no_rows
    share: Share | None = None
    more_teachers: tuple[MoreTeacher, ...] = ()
    log: Json = field(default_factory=dict)
    kept: list[Path] = field(default_factory=list)

    def rows(self, split: str) -> Rows:
        """The rows of train, calibration, selection or unlabelled (which have no label column).

        Raises DataError for gate, for confirm and for empty splits.
        """
        if split in JUDGING:
            raise DataError(
                f"a build step asked for {split} rows: they only judge; use calibration or selection"
            )
        rows = self.splits.get(split)
        if rows is None or not len(rows):
            raise DataError(
                f"a build step needs rows of split {split}, which has none; give [task] splits.{split}"
            )
        return rows

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Adds the block's seconds to `log["seconds"][stage]`, without those of stages inside it.

        Stages: load, tokenise, teacher, train, evaluate, save; a step may have others.
        """
        spent: dict[str, float] = self.log.setdefault("seconds", {})
        start, other_seconds = time.perf_counter(), sum(spent.values())
        try:
            yield
        finally:
            own_seconds = time.perf_counter() - start - (sum(spent.values()) - other_seconds)
            spent[stage] = round(spent.get(stage, 0.0) + max(own_seconds, 0.0), 3)

    def of_more_teachers(self) -> tuple[BuildContext, ...]:
        """For each of more_teachers a context that is this one, but that it is the teacher there."""
        return tuple(
            replace(self, load_teacher=teacher.load, share=teacher.share, more_teachers=())
            for teacher in self.more_teachers
        )

    def shared_folder(self, kind: str, key: Json, fill: Fill) -> tuple[Path, bool]:
        """A folder that fill(folder) has filled, and whether it was there before; its files are only read.

        All steps that learn from the same teacher and give the same key share it; fill gives what its
        manifest says. key: what it depends on beside the teacher, the task, and the code of the module that
        `fill` is in. Without a store it is the step's own.
        """
        if self.share is not None:
            return self.share(kind, key, fill)
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self.scratch))
        fill(folder)
        return folder, False
