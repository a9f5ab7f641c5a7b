"""Does the written folder answer the gate rows like the judged model?

The judged model answers in the runtime and with the options that it was judged with. The folder is loaded
from its files, and computes as the lines of its README.md do. A folder for servers answers in the judged
runtime, because its files are copies. Both models answer the same rows in the same batches, each with its own
tokenizer. Rounding alone sometimes changes a prediction. So the judged model answers twice, the second time
in batches of another order. The folder may change as much as that plus EXACT, or plus ROUNDED if layers
compute in integers. An answer that is no class counts as changed if one of its values differs by more than
the form's tolerance.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.number_text import format_count, format_int, format_significant
from slimgate.cli.export.forms import TOLERANCE, TRANSFORMERS, Written
from slimgate.cli.export.stored import GateRows, describe_runtime
from slimgate.errors import BuildError
from slimgate.models.saved_files import DESCRIPTION, load_tokenizer
from slimgate.models.served import copy_served
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.plugins.models import Predictor
from slimgate.plugins.runtime import Runtime
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.measure.quality import SplitEncoder, predict_outcomes
from slimgate.store.store import Artifact, Entry
from slimgate.suite.named_plugin import Plugin, SuiteRuntime

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.plugins.base import Arrays

# The share of predictions that may change, and the largest change of a probability: by the last digits of
# float32, and by the levels of int8. An int8 export changed 4 of 1,800 predictions, and moved one by 0.097.
EXACT, ROUNDED = (0.002, 0.01), (0.01, 0.25)
# The part of a value by which sums of float32 numbers in another order may change it.
FLOAT_ROUNDING = 1e-5
# The share of the rows, those furthest from the median, that does not count for a standard deviation.
EXTREME = 0.01


class OtherAnswers(BuildError):
    """The answers of the written folder differ from the judged model's."""


@dataclass(frozen=True)
class RowCheck:
    """The result of the comparison.

    rows: how many were compared; changed: predictions, or values beyond rounding, that differ from the judged
    model's; largest: difference of a probability, or of a value; of_classes: whether predictions are classes.
    """

    rows: int
    changed: int
    largest: float
    of_classes: bool

    @property
    def message(self) -> str:
        """The result in words.

        Example: `500 gate rows: 0 predictions differ, largest probability difference 0.004`.
        """
        noun, number = ("prediction", "probability") if self.of_classes else ("answer", "value")
        differ = (
            f"{format_count(self.changed, noun, f'{noun}s')} {'differs' if self.changed == 1 else 'differ'}"
        )
        near = format_significant(self.largest, 2) if self.largest else "0"
        rows = format_count(self.rows, "gate row", "gate rows")
        return f"{rows}: {differ}, largest {number} difference {near}"


def check_rows(
    artifact: Artifact,
    judged: SuiteRuntime,
    written: Written,
    folder: Path,
    gate: GateRows,
    scratch: Path,
) -> RowCheck:
    """Compares both on some gate rows. judged: the runtime of the judged model. Raises OtherAnswers."""
    exported = _compute_artifact_answers(
        gate,
        _make_artifact(written, folder, scratch, artifact),
        written.runtime if written.layout is None else judged,
        texts=_find_text_count(written),
    )
    return require_same_answers(
        compute_compared_answers(gate, artifact, judged),
        compute_compared_answers(gate, artifact, judged, turned=True),
        exported,
        tolerance=written.compared.get("tolerance", TOLERANCE),
        runtime=describe_runtime(written, judged),
    )


def compute_compared_answers(
    gate: GateRows, artifact: Artifact, judged: SuiteRuntime, *, turned: bool = False
) -> Outcomes:
    """The judged model's answers to the compared rows. turned: in batches of another order."""
    order = np.arange(len(gate.compared))[::-1].copy() if turned else None
    return _compute_artifact_answers(gate, artifact, judged, order=order)


def require_same_answers(
    judged: Outcomes, again: Outcomes, exported: Outcomes, *, tolerance: float, runtime: str | None = None
) -> RowCheck:
    """Compares the written folder's answers with those of the judged model, which answered twice.

    runtime: how the judged runtime differs from the folder's. Raises OtherAnswers if the answers differ by
    more than rounding.
    """
    difference, own_difference = _compare(judged, exported), _compare(judged, again)
    share, apart = ROUNDED if tolerance > TOLERANCE else EXACT
    if difference.of_classes:
        changed, own_changed = difference.changed, own_difference.changed
        is_far = difference.largest > max(2 * own_difference.largest, apart)
    else:
        changed, own_changed = (_count_far(judged, each, tolerance) for each in (exported, again))
        is_far = False
        difference = replace(difference, changed=changed)
    if is_far or changed > own_changed + math.ceil(share * difference.rows):
        raise OtherAnswers(
            "the answers of the written folder differ from the judged model's, so the folder was deleted: "
            f"{difference.message} (when asked twice, the judged model changes "
            f"{format_int(own_changed)}){f'; {runtime}' if runtime else ''}"
        )
    return difference


def _count_far(outcomes: Outcomes, other: Outcomes, tolerance: float) -> int:
    """The number of rows with a value that differs by more than the tolerance and the rounding of float32.

    tolerance: in standard deviations of the value.
    """
    far = np.zeros(len(outcomes), dtype=np.bool_)
    theirs = _list_values(other)
    for name, column in _list_values(outcomes).items():
        allowed = tolerance * _estimate_deviation(column) + FLOAT_ROUNDING * np.abs(column)
        far |= np.abs(column - theirs[name]) > allowed
    return int(far.sum())


def _estimate_deviation(column: npt.NDArray[np.float64]) -> float:
    """The standard deviation without the most extreme rows.

    One such row could make it so large that any difference of the others is small beside it.
    """
    distances = np.abs(column - np.median(column))
    return float(np.std(column[distances <= np.quantile(distances, 1 - EXTREME)]))


def _compute_artifact_answers(
    gate: GateRows,
    artifact: Artifact,
    runtime: SuiteRuntime,
    *,
    order: npt.NDArray[np.int64] | None = None,
    texts: int | None = None,
) -> Outcomes:
    """The answers of an artifact. texts: how many texts per row it takes, if the task's rows differ."""
    columns = gate.suite.setup.task.object.text_columns(gate.suite.setup.task.params)
    if texts == 1 and len(columns) == 2:
        runtime = Plugin(runtime.name, _PairedRuntime(runtime.object), runtime.params)
    model = AnsweringModel(gate.suite, gate.rows, artifact, runtime, device="cpu")
    return predict_outcomes(model, SplitEncoder(gate.suite, gate.compared), order=order)


def _make_artifact(written: Written, folder: Path, scratch: Path, judged: Artifact) -> Artifact:
    """The written folder as a runtime opens it; a folder of transformers is first saved as an artifact."""
    if written.form != TRANSFORMERS:
        return Artifact(Entry(folder, {"kind": written.form, "digest": str(folder)}, from_store=False))
    if written.layout is not None:
        return _make_served_artifact(folder, scratch, judged)
    from slimgate.models.pretrained import load_weights
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.models import ModelRef

    network = load_weights(str(written.auto), ModelRef(str(folder), folder)).network
    tokenizer = load_tokenizer(folder)
    loaded = scratch / "loaded"
    loaded.mkdir()
    TorchModel(network.eval(), tokenizer, f"transformers:{written.auto}").save(loaded)
    return Artifact(Entry(loaded, {"kind": "torch", "digest": str(folder)}, from_store=False))


def _make_served_artifact(folder: Path, scratch: Path, judged: Artifact) -> Artifact:
    """The files of the folder, loaded in the way that the artifact states."""
    loaded = scratch / "loaded"
    copy_served(folder, loaded)
    shutil.copyfile(judged.folder / DESCRIPTION, loaded / DESCRIPTION)
    return Artifact(Entry(loaded, {"kind": judged.kind, "digest": str(folder)}, from_store=False))


def _find_text_count(written: Written) -> int | None:
    sentence = getattr(written.config, "sentence", None)
    return None if sentence is None else int(sentence.get("texts", 1))


def _compare(outcomes: Outcomes, other: Outcomes) -> RowCheck:
    changed, classes = int(outcomes.changed_rows(other).sum()), isinstance(outcomes, ClassOutcomes)
    mine, theirs = _list_values(outcomes), _list_values(other)
    largest = max((float(np.abs(mine[name] - theirs[name]).max()) for name in mine), default=0.0)
    return RowCheck(len(outcomes), changed, largest, classes)


def _list_values(outcomes: Outcomes) -> Mapping[str, npt.NDArray[np.float64]]:
    """The model's numeric answers: probabilities, or the values that do not belong to the rows."""
    if isinstance(outcomes, ClassOutcomes) and outcomes.probabilities is not None:
        return {"probabilities": outcomes.probabilities}
    return {name: column for name, column in outcomes.values.items() if name not in outcomes.given}


class _PairedRuntime(Runtime[Any]):
    def __init__(self, inner: Runtime[Any]) -> None:
        self.inner, self.kinds = inner, inner.kinds

    def load(self, folder: Path, params: BaseModel, *, device: str, threads: int) -> _Paired:
        return _Paired(self.inner.load(folder, params, device=device, threads=threads))


@dataclass
class _Paired:
    """A Predictor that turns the scores of 2 · rows texts into those of rows of two: (rows, 2, features)."""

    inner: Predictor

    def prepare(self, batch: Arrays) -> object:
        return self.inner.prepare(batch)

    def forward(self, prepared: object) -> object:
        return self.inner.forward(prepared)

    def fetch(self, output: object) -> npt.NDArray[np.float32]:
        scores = self.inner.fetch(output)
        return scores.reshape(2, -1, scores.shape[-1]).transpose(1, 0, 2)

    def close(self) -> None:
        self.inner.close()
