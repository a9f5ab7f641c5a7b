"""Predicts an artifact's outcomes on the rows of a split, once, and stores them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.error_places import format_user_error
from slimgate._system.number_text import format_percent
from slimgate.data.parts import number_texts
from slimgate.data.same_texts import join_groups
from slimgate.errors import DataError, MeasureError, SlimgateError
from slimgate.models.predict import predict_by_plan
from slimgate.outcomes import FAILED, Ints, Outcomes
from slimgate.plugins.base import Json, Progress, no_progress
from slimgate.plugins.loading import list_code_modules
from slimgate.plugins.models import Predictor
from slimgate.plugins.rows import Encoded, Rows
from slimgate.plugins.task import AnswerPlan
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.run import contents, keys
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.contents import describe_suite_processor
from slimgate.run.measure.row_encoders import make_row_encoder
from slimgate.run.past_times import Work
from slimgate.run.process_state import guard_process_state
from slimgate.run.rows import check_task
from slimgate.runtimes.cascade import CascadePredictor
from slimgate.runtimes.endpoint import EndpointPredictor, read_served_files
from slimgate.store.store import Artifact, Entry, Store
from slimgate.suite.named_plugin import SuiteRuntime, SuiteTask
from slimgate.suite.suite import Suite
from slimgate.tasks.parts.encoding import EncodedTexts

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "outcomes.parquet"
PROCESSOR = "processor"
PASSED_ON = "passed_on"
SERVER_SETTINGS = "server_settings"
# The largest share of failed requests of a teacher.
MAX_FAILED_SHARE = 0.01
# A row is unreadable if the tokenizer does not know one token in five. Only the first rows are checked.
UNREADABLE_SHARE, CHECKED_ROWS = 0.2, 2000


class StoredAnswers(UserWarning):
    """Answers of a server that slimgate did not start came from the store: it may be another one now."""


class SplitEncoder:
    """Tokenises the rows of a split once for all artifacts with the same tokenizer."""

    def __init__(self, suite: Suite, rows: Rows, split: str = "gate") -> None:
        self._task, self.rows, self.split = suite.setup.task, rows, split
        self._tokenizers: dict[str, str] = {}
        self._row_encoders: dict[str, Callable[[Rows], Encoded]] = {}
        self._encoded: dict[str, Encoded] = {}
        self._unreadable: dict[str, float | None] = {}

    @cached_property
    def texts(self) -> Ints:
        """(rows,) codes, equal for rows with the same text."""
        return number_texts(self.rows.table, self._task.object.text_columns(self._task.params))

    def encode_for(self, artifact: Artifact) -> Encoded:
        """The rows as this artifact's inputs."""
        key = self._digest_tokenizer(artifact)
        if key not in self._encoded:
            self._encoded[key] = self._get_row_encoder(artifact)(self.rows)
        return self._encoded[key]

    def measure_unreadable(self, artifact: Artifact) -> float | None:
        """The share of rows of which the artifact's tokenizer does not know a fifth of the tokens.

        Only the first rows are checked; rows are in random order. None if the rows are not text alone.
        """
        key = self._digest_tokenizer(artifact)
        if key not in self._unreadable:
            encode, table = self._get_row_encoder(artifact), self.rows.table
            share: float | None = None
            if isinstance(encode(Rows(table.slice(0, 1))), EncodedTexts):
                encoded = encode(Rows(table.slice(0, CHECKED_ROWS)))
                assert isinstance(encoded, EncodedTexts)
                share = float(np.mean(encoded.compute_unknown_shares() >= UNREADABLE_SHARE))
            self._unreadable[key] = share
        return self._unreadable[key]

    def _get_row_encoder(self, artifact: Artifact) -> Callable[[Rows], Encoded]:
        """The function that encodes rows. It loads a tokenizer in a tenth of a second, so it is kept."""
        key = self._digest_tokenizer(artifact)
        if key not in self._row_encoders:
            self._row_encoders[key] = make_row_encoder(self._task, artifact.folder)
        return self._row_encoders[key]

    def _digest_tokenizer(self, artifact: Artifact) -> str:
        """The digest of the tokenizer, computed once: each test of a variant asks for it."""
        if artifact.digest not in self._tokenizers:
            self._tokenizers[artifact.digest] = contents.digest_tokenizer(artifact.folder)
        return self._tokenizers[artifact.digest]


def make_outcomes(
    model: AnsweringModel,
    encoder: SplitEncoder,
    store: Store,
    *,
    progress: Progress = no_progress,
    work: Work | None = None,
    is_teacher: bool = False,
) -> tuple[Outcomes, Entry]:
    """The model's outcomes on every row of the encoder, and the store's entry that contains them.

    work: what later runs look up the time by; None: the time is not noted. Raises MeasureError for a teacher
    whose server failed on too many rows.
    """
    suite, artifact, runtime = model.suite, model.artifact, model.runtime
    key = keys.make_answers_key(model, encoder.split)
    partial_file = store.make_unfinished_path("outcomes", key)

    def fill(folder: Path) -> Json:
        _warn_of_partial_answers(runtime, partial_file)
        start = time.perf_counter()
        noted: Json = {}
        with guard_process_state():
            outcomes = predict_outcomes(
                model, encoder, progress=progress, partial_file=partial_file, noted=noted
            )
        seconds = round(time.perf_counter() - start, 3)
        if is_teacher:  # before anything is stored, so that the next run sends the failed requests again
            check_answered(outcomes)
        _check_unchanged(model, partial_file)
        write_outcomes(outcomes, folder / FILE)
        partial_file.unlink(missing_ok=True)
        facts: Json = {
            "artifact": artifact.digest,
            "rows": len(outcomes),
            PROCESSOR: describe_suite_processor(suite, model.device),
            **noted,
        }
        if work is None:
            return facts
        return {**facts, "seconds": seconds, "runtime": runtime.name, "made": work.to_manifest()}

    entry = store.make("outcomes", key, fill, modules=list_answering_modules(model))
    outcomes = read_outcomes(entry.folder / FILE)
    if is_teacher:
        check_answered(outcomes)
    return outcomes, entry


def _check_unchanged(model: AnsweringModel, partial_file: Path) -> None:
    """Raises MeasureError if files of the server or of the task changed while the model answered."""
    suite = model.suite
    try:
        contents.check_server(
            model.runtime.params, suite.path.parent, read_served_files(model.artifact.folder)
        )
        check_task(suite.setup.task, model.rows.task)
    except DataError as error:
        partial_file.unlink(missing_ok=True)  # the version of these answers is unknown
        raise MeasureError(str(error)) from error


def list_answering_modules(model: AnsweringModel) -> tuple[str, ...]:
    """The modules of a model's task and runtime: what a user's code in them reads is noted in the store."""
    runtime = model.runtime
    return (*model.rows.task["code"], *list_code_modules("runtime", runtime.name, runtime.object))


def _warn_of_partial_answers(runtime: SuiteRuntime, partial_file: Path) -> None:
    """Warns if a run that stopped left answers of a server that slimgate did not start."""
    if contents.is_unknown_server(runtime.params) and partial_file.is_file():
        since = datetime.fromtimestamp(partial_file.stat().st_mtime, UTC).isoformat(timespec="minutes")
        warnings.warn(
            f"answers of {runtime.params.shown} until {since} are kept from a run that stopped; if "
            "the server has changed since, use --slimgate-rebuild",
            StoredAnswers,
            stacklevel=3,
        )


def check_answered(outcomes: Outcomes) -> None:
    """Raises MeasureError if too many requests to the teacher failed: each would hide a loss of a variant."""
    if FAILED not in outcomes.values:
        return
    failed_shares = outcomes.values[FAILED]  # (rows,) the share of failed answers to each row
    if float(failed_shares.sum()) > max(1.0, MAX_FAILED_SHARE * len(outcomes)):
        named = ", ".join(map(str, outcomes.ids[failed_shares > 0][:3].tolist()))
        share = format_percent(float(failed_shares.mean()))
        raise MeasureError(
            f"{share} of its requests failed, such as of the rows {named}; expected at most "
            f"{format_percent(MAX_FAILED_SHARE)}, or one: an answer that the teacher lacks counts as wrong, "
            "so variants would look better than they are; run again (if the answers are stored, with "
            "--slimgate-rebuild), or remove the rows that the server refuses"
        )


def describe_stored_answers(runtime: SuiteRuntime, entry: Entry) -> str | None:
    """A note for readers if the answers are from the store and their server may have changed; else None."""
    if not entry.from_store or not contents.is_unknown_server(runtime.params):
        return None
    return (
        f"{runtime.params.shown} on {str(entry.manifest['created'])[:16]} UTC, which was not asked in this "
        "run: slimgate cannot see whether it has changed"
    )


def has_answers(model: AnsweringModel, split: str, store: Store) -> bool:
    """Whether the store has the model's outcomes on a split."""
    return store.find("outcomes", keys.make_answers_key(model, split)) is not None


def predict_outcomes(
    model: AnsweringModel,
    encoder: SplitEncoder,
    *,
    order: npt.NDArray[np.int64] | None = None,
    progress: Progress = no_progress,
    partial_file: Path | None = None,
    noted: Json | None = None,
) -> Outcomes:
    """Predicts the outcomes of the encoder's rows. Rows with the same text are in one group.

    order: the positions of the rows in the order in which they are predicted; default: the longest first.
    partial_file: the file to which a server's answers are written as they arrive.
    noted: a dict for notes on the answers. A cascade adds `passed_on`, the shares of the rows that reached
        each model after the first. A server adds `server_settings`.

    Raises MeasureError if scores are not finite.
    """
    suite, artifact, runtime = model.suite, model.artifact, model.runtime
    task = suite.setup.task
    runtime.object.check_rows(artifact.folder, list_texts(encoder.rows.table, task))
    predictor = runtime.object.load(
        artifact.folder, runtime.params, device=model.device, threads=suite.threads
    )
    _check_predictor(predictor, runtime.name)
    plan = AnswerPlan(suite.measure.batch_size, suite.measure.batch_tokens, order, progress, partial_file)
    try:
        with _errors_in_one_line(runtime.name, task.name):
            scores = _predict_scores(task, predictor, encoder.encode_for(artifact), plan)
        if noted is not None and isinstance(predictor, CascadePredictor):
            noted[PASSED_ON] = predictor.passed_on
        if noted is not None and isinstance(predictor, EndpointPredictor):
            noted[SERVER_SETTINGS] = predictor.server_settings
    finally:
        predictor.close()
    _check_finite(scores, encoder.split)
    with _errors_in_one_line(runtime.name, task.name):
        outcomes: Outcomes = task.object.outcomes(
            model.rows.facts, encoder.rows, scores, task.params, suite.setup.group
        )
    _check_rows(outcomes, task.name, encoder)
    return replace(outcomes, groups=join_groups(outcomes.groups, encoder.texts))


def _check_predictor(predictor: object, runtime: str) -> None:
    """Raises MeasureError if a runtime loaded something else than a predictor."""
    methods = ("prepare", "forward", "fetch", "close")
    missing = [name for name in methods if not callable(getattr(predictor, name, None))]
    if missing:
        raise MeasureError(
            f"runtime {runtime}: its load gave {type(predictor).__name__} without {', '.join(missing)}; "
            "see Predictor in slimgate/plugins/models.py"
        )


def _check_finite(scores: npt.NDArray[Any], split: str) -> None:
    """Raises MeasureError for scores that are NaN, infinite or texts. Objects are checked by the task."""
    if scores.dtype == object:
        return
    if scores.dtype.kind in "SU":
        raise MeasureError(f"scores are texts, such as {str(scores.flat[0])!r}, expected numbers")
    bad = np.flatnonzero(~np.isfinite(scores).reshape(len(scores), -1).all(axis=1))
    if len(bad):
        raise MeasureError(
            f"{len(bad)} of {len(scores)} {split} rows got a score that is NaN or infinite: the numbers of "
            "the model overflow, as float16 does above 65,504"
        )


def _check_rows(outcomes: object, task: str, encoder: SplitEncoder) -> None:
    """Raises MeasureError unless a task's outcomes are one for each row, in the order of the rows."""
    if not isinstance(outcomes, Outcomes):
        raise MeasureError(
            f"task {task}: its outcomes returned {type(outcomes).__name__}, expected Outcomes or "
            "ClassOutcomes"
        )
    if not np.array_equal(outcomes.ids, np.asarray(encoder.rows.ids, dtype=np.str_)):
        raise MeasureError(
            f"task {task} gave {len(outcomes)} outcomes for the {len(encoder.rows)} {encoder.split} "
            "rows, expected one for each row, with its id, in their order"
        )


@contextmanager
def _errors_in_one_line(*plugins: str) -> Iterator[None]:
    """Raises MeasureError in place of an error of a library, or of the code of a user's plug-in."""
    try:
        yield
    except SlimgateError:
        raise
    except Exception as error:  # a user's plug-in may raise anything
        user_plugins = [name for name in plugins if ":" in name]
        if not user_plugins and not isinstance(error, (RuntimeError, MemoryError)):
            raise
        names = f"; plug-ins: {', '.join(user_plugins)}" if user_plugins else ""
        raise MeasureError(f"predicting failed: {format_user_error(error)}{names}") from error


def list_texts(table: pa.Table, task: SuiteTask) -> list[str]:
    """The texts of a table of rows, column by column."""
    names = [name for name in task.object.text_columns(task.params) if name in table.column_names]
    values = (value for name in names for value in table[name].to_pylist())
    return [value for value in values if isinstance(value, str)]


def _predict_scores(
    task: SuiteTask, predictor: Predictor, encoded: Encoded, plan: AnswerPlan
) -> npt.NDArray[Any]:
    if task.object.answer is not None:
        return np.asarray(task.object.answer(task.params, predictor, encoded, plan))
    return predict_by_plan(predictor, encoded, plan, partial(task.object.read_output, task.params))
