"""Outcomes of an artifact on the rows of a split, taken once and stored."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.data.parts import text_codes
from slimgate.data.same_texts import join_groups
from slimgate.errors import DataError, MeasureError, SlimgateError, in_one_line
from slimgate.models.predict import predict_scores
from slimgate.outcomes import Ints, Outcomes
from slimgate.protocols import AnswerPlan, Encoded, Predictor, Progress, Rows, no_progress
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.run import contents, keys
from slimgate.run.measure.row_encoders import row_encoder
from slimgate.run.past_times import Work
from slimgate.run.rows import PreparedRows
from slimgate.runtimes.cascade import CascadePredictor
from slimgate.runtimes.endpoint import served_files
from slimgate.store.artifact import Artifact
from slimgate.store.store import Entry, Json, Store
from slimgate.suite.suite import Suite, SuiteRuntime, SuiteTask
from slimgate.tasks.parts.encoding import EncodedTexts

FILE = "outcomes.parquet"
PROCESSOR = "processor"
PASSED_ON = "passed_on"


class StoredAnswers(UserWarning):
    """Answers of a server that slimgate did not start came from the store: it may be another one now."""


# A row counts as unreadable where its tokenizer does not know one token in five; so many rows are looked at.
UNREADABLE, LOOKED_AT = 0.2, 2000


class Encoder:
    """Tokenises the rows of a split once for all artifacts that carry the same tokenizer."""

    def __init__(self, suite: Suite, rows: Rows, split: str = "gate") -> None:
        self._task, self.rows, self.split = suite.setup.task, rows, split
        self._encoded: dict[str, Encoded] = {}
        self._unreadable: dict[str, float | None] = {}

    @cached_property
    def texts(self) -> Ints:
        """(rows,) codes, equal for rows of one text."""
        return text_codes(self.rows.table, self._task.object.text_columns(self._task.params))

    def of(self, artifact: Artifact) -> Encoded:
        """The rows as this artifact's inputs."""
        key = self._key(artifact)
        if key not in self._encoded:
            self._encoded[key] = self._row_encoder(artifact)(self.rows)
        return self._encoded[key]

    def unreadable(self, artifact: Artifact) -> float | None:
        """The share of the first rows of which the artifact's tokenizer does not know a fifth of the tokens.

        The rows lie in random order. None of rows that are not text alone.
        """
        key = self._key(artifact)
        if key not in self._unreadable:
            encode, table = self._row_encoder(artifact), self.rows.table
            found: float | None = None
            if isinstance(encode(Rows(table.slice(0, 1))), EncodedTexts):
                shares = encode(Rows(table.slice(0, LOOKED_AT))).unknown_shares()
                found = float(np.mean(shares >= UNREADABLE))
            self._unreadable[key] = found
        return self._unreadable[key]

    def _row_encoder(self, artifact: Artifact) -> Any:
        return row_encoder(self._task, artifact.folder)

    def _key(self, artifact: Artifact) -> str:
        """The same for artifacts that carry the same tokenizer."""
        return keys.tokenizer_key(artifact.folder)


def outcomes_of(
    suite: Suite,
    rows: PreparedRows,
    artifact: Artifact,
    runtime: SuiteRuntime,
    encoder: Encoder,
    store: Store,
    *,
    device: str,
    progress: Progress = no_progress,
    work: Work | None = None,
) -> tuple[Outcomes, Entry]:
    """What the artifact answers on every row of the encoder, and the store's entry that holds it.

    work: as which the time that it took is noted.
    """

    def fill(folder: Path) -> Json:
        start = time.perf_counter()
        kept = store.unfinished_file("outcomes", key)
        if keys.is_unknown_server(runtime.params) and kept.is_file():
            since = datetime.fromtimestamp(kept.stat().st_mtime, UTC).isoformat(timespec="minutes")
            warnings.warn(
                f"answers until {since} of {runtime.params.shown} are kept of a run that stopped; if the "
                "server has changed since, use --slimgate-rebuild",
                StoredAnswers,
                stacklevel=2,
            )
        noted: Json = {}
        found = predict(
            suite, rows, artifact, runtime, encoder, device=device, progress=progress, kept=kept, noted=noted
        )
        seconds = round(time.perf_counter() - start, 3)
        try:
            contents.check_server(runtime.params, suite.path.parent, served_files(artifact.folder))
            keys.check_task(suite.setup.task, rows.task)
        except DataError as error:
            kept.unlink(missing_ok=True)  # nobody knows of which version those answers are
            raise MeasureError(str(error)) from error
        write_outcomes(found, folder / FILE)
        kept.unlink(missing_ok=True)
        told = {
            "artifact": artifact.digest,
            "rows": len(found),
            PROCESSOR: keys.processor(suite, device),
            **noted,
        }
        return (
            {**told, "seconds": seconds, "runtime": runtime.name, "made": work.to_manifest} if work else told
        )

    key = keys.answers_key(suite, rows, artifact, runtime, encoder.split, device)
    entry = store.make("outcomes", key, fill)
    return read_outcomes(entry.folder / FILE), entry


def describe_stored_answers(runtime: SuiteRuntime, entry: Entry) -> str | None:
    """What a reader must know of answers from the store whose server may have changed; else None."""
    if not entry.from_store or not keys.is_unknown_server(runtime.params):
        return None
    return (
        f"{runtime.params.shown} on {str(entry.manifest['created'])[:16]} UTC, which was not asked in this "
        "run: slimgate cannot see whether it has changed"
    )


def share_passed_on(
    suite: Suite,
    rows: PreparedRows,
    artifact: Artifact,
    runtime: SuiteRuntime,
    split: str,
    store: Store,
    *,
    device: str,
) -> list[float] | None:
    """Of a cascade with stored outcomes on a split, the shares that reached each model after the first."""
    entry = store.find("outcomes", keys.answers_key(suite, rows, artifact, runtime, split, device))
    return entry.manifest.get(PASSED_ON) if entry else None


def has_answers(
    suite: Suite,
    rows: PreparedRows,
    artifact: Artifact,
    runtime: SuiteRuntime,
    split: str,
    store: Store,
    *,
    device: str,
) -> bool:
    """Whether the store has the artifact's outcomes on a split."""
    return store.find("outcomes", keys.answers_key(suite, rows, artifact, runtime, split, device)) is not None


def predict(
    suite: Suite,
    rows: PreparedRows,
    artifact: Artifact,
    runtime: SuiteRuntime,
    encoder: Encoder,
    *,
    device: str,
    order: npt.NDArray[np.int64] | None = None,
    progress: Progress = no_progress,
    kept: Path | None = None,
    noted: Json | None = None,
) -> Outcomes:
    """Outcomes of the encoder's rows, predicted now. Rows of one text are of one group.

    kept: a file in which a server's answers are kept as they come. noted: gets `passed_on` of a cascade, the
    shares of the rows that reached each model after the first. Raises MeasureError where scores are
    not finite.
    """
    task = suite.setup.task
    predictor = runtime.object.load(artifact.folder, runtime.params, device=device, threads=suite.threads)
    plan = AnswerPlan(suite.measure.batch_size, suite.measure.batch_tokens, order, progress, kept)
    try:
        scores = _scores(task, predictor, encoder.of(artifact), plan)
        if noted is not None and isinstance(predictor, CascadePredictor):
            noted[PASSED_ON] = predictor.passed_on
    except SlimgateError:
        raise
    except (RuntimeError, MemoryError) as error:
        raise MeasureError(f"predicting failed: {in_one_line(error)}") from error
    finally:
        predictor.close()
    numbers = scores if scores.dtype != object else np.zeros(len(scores))
    bad = np.flatnonzero(~np.isfinite(numbers).reshape(len(scores), -1).all(axis=1))
    if len(bad):
        raise MeasureError(
            f"{len(bad)} of {len(scores)} {encoder.split} rows got a score that is NaN or infinite: "
            "the model is broken"
        )
    found: Outcomes = task.object.outcomes(rows.facts, encoder.rows, scores, task.params, suite.setup.group)
    if not np.array_equal(found.ids, np.asarray(encoder.rows.ids, dtype=np.str_)):
        raise MeasureError(
            f"task {task.name} gave {len(found)} outcomes for the {len(encoder.rows)} {encoder.split} rows, "
            "expected one for each row, with its id, in their order"
        )
    return replace(found, groups=join_groups(found.groups, encoder.texts))


def _scores(task: SuiteTask, predictor: Predictor, encoded: Encoded, plan: AnswerPlan) -> npt.NDArray[Any]:
    if task.object.answer is not None:
        return np.asarray(task.object.answer(task.params, predictor, encoded, plan))
    return predict_scores(
        predictor,
        encoded,
        batch_size=plan.batch_size,
        batch_tokens=plan.batch_tokens,
        order=plan.order,
        progress=plan.progress,
        read=lambda output, batch: task.object.read_output(task.params, output, batch),
    )
