"""The context of a build, which steps and tasks get: rows, teacher, device, log, scratch folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, DataError
from slimgate.plugins.base import Json, Progress, no_progress
from slimgate.plugins.rows import JUDGING, Rows, TaskFacts

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.task import Task

# The types of BuildContext.shared_folder and of its argument `fill`.
Fill = Callable[[Path], Json]
Share = Callable[[str, Json, Fill], tuple[Path, bool]]


def refuse_held_out(_texts: Sequence[str]) -> list[bool]:
    """Refuses to say which texts are held out: the `are_held_out` of a step that does not add rows.

    Args:
        _texts: the texts that the step asked about.

    Raises:
        DataError: always.
    """
    raise DataError(
        "a build step asked which texts are held out; a step that adds rows must declare this with "
        "adds_rows(params)"
    )


def refuse_teacher() -> Any:
    """Refuses to load the teacher: the `load_teacher` of a step that does not use one.

    Raises:
        BuildError: always.
    """
    raise BuildError("the step asked for the teacher; set uses_teacher = True in its class")


@dataclass(frozen=True)
class FurtherTeacher:
    """A further model that a step learns from. load: loads it. share: as in BuildContext."""

    load: Callable[[], TorchModel]
    share: Share | None = None


@dataclass
class BuildContext:
    """What a step may use. It has no rows of gate and confirm: reading them while building is an error.

    load_teacher: loads the model that the step learns from. more_teachers: further such models.
    are_held_out(texts): for each text (as `data.parts.collapse_texts` gives it) whether calibration,
        selection, confirm or gate has it. A step that adds rows must skip those.
    share: keeps the folders of `shared_folder` in the store; None without a store, or without a teacher.
    log: what the step reports about itself; it goes into the record.
    extra_files: files to store next to the artifact, such as the log of another program.
    """

    task: Task[Any]
    task_params: Any
    facts: TaskFacts
    splits: Mapping[str, Rows]
    load_teacher: Callable[[], TorchModel]
    seed: int
    device: str
    threads: int
    scratch: Path
    progress: Progress = no_progress
    are_held_out: Callable[[Sequence[str]], list[bool]] = refuse_held_out
    share: Share | None = None
    more_teachers: tuple[FurtherTeacher, ...] = ()
    log: Json = field(default_factory=dict)
    extra_files: list[Path] = field(default_factory=list)

    def rows(self, split: str) -> Rows:
        """The rows of a split: a column `id` and the columns of the source, in random order.

        A step gets the splits in its `reads` and `also_reads`. While `Task.load_model` runs, these are the
        splits in its `load_reads`, and `train` if the model starts from random weights.

        Args:
            split: train, calibration, selection or unlabelled.

        Returns:
            The rows. Those of `unlabelled` have no label column, and of the columns in `Task.columns` only
            the texts.

        Raises:
            DataError: for gate and confirm, which no step may read; for a split that is empty or is not read.
        """
        if split in JUDGING:
            raise DataError(
                f"a build step asked for {split} rows, which are for verdicts only; use calibration or "
                "selection"
            )
        rows = self.splits.get(split)
        if rows is None or not len(rows):
            raise DataError(
                f"a build step needs rows of the split {split}, which has none; set [task] "
                f'splits.{split}, or give the source this part; a step of your own also names "{split}" '
                "in its `reads`"
            )
        return rows

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Times a block of code: adds its seconds to `log["seconds"][stage]`.

        The seconds of a stage inside the block count for that stage only. slimgate's own stages are load,
        tokenise, teacher, train, evaluate and save. A step may have others.

        Args:
            stage: its name in the log.
        """
        spent: dict[str, float] = self.log.setdefault("seconds", {})
        start, spent_before = time.perf_counter(), sum(spent.values())
        try:
            yield
        finally:
            inner_seconds = sum(spent.values()) - spent_before
            seconds = max(time.perf_counter() - start - inner_seconds, 0.0)
            spent[stage] = round(spent.get(stage, 0.0) + seconds, 3)

    def of_more_teachers(self) -> tuple[BuildContext, ...]:
        """A context for each model of `more_teachers`, in which it is the teacher."""
        return tuple(
            replace(self, load_teacher=teacher.load, share=teacher.share, more_teachers=())
            for teacher in self.more_teachers
        )

    def shared_folder(self, kind: str, key: Json, fill: Fill) -> tuple[Path, bool]:
        """A folder of files that all steps with the same teacher share, such as the teacher's answers.

        The store calls `fill` only if it has no folder for this key. Later steps and later runs get the same
        folder. Read its files, but do not change them. Without a store, and for a step without a teacher,
        each call fills a new folder in `scratch`.

        Args:
            kind: the kind of files. It names the store's folder for all of them.
            key: JSON values that the files depend on. The store adds the teacher, the task, the device, the
                versions of libraries, and the code of the module that defines `fill`.
            fill: writes the files into an empty folder. It returns JSON values for the manifest of the
                folder.

        Returns:
            The folder, and whether the store already had it.
        """
        if self.share is not None:
            return self.share(kind, key, fill)
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self.scratch))
        fill(folder)
        return folder, False
