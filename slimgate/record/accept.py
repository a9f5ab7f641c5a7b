"""A run becomes a baseline: its record and outcomes are kept under a release's name.

    reports/baselines/v1.2/library_docs/run.json, outcomes/*.parquet; for logs also base.parquet

Each suite has a folder, so one release may hold several. A folder is complete or does not exist.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from slimgate._system.files import replacing_folder
from slimgate.errors import DataError
from slimgate.plugins.reader import BASE_LOG, FURTHER_BASE_LOGS
from slimgate.record.budgets import clean_reason, is_ended_by_undecided
from slimgate.record.comparing.budgets import find_budget_changes, find_weaker
from slimgate.record.comparing.facts import BudgetChange
from slimgate.record.comparing.metrics import find_wrong_answers
from slimgate.record.earlier_results import describe_state
from slimgate.record.files import (
    EDITED,
    OUTCOMES,
    RECORD,
    StoredRecord,
    check_base_logs,
    read_run,
    read_suite_baselines,
)
from slimgate.record.run import RunRecord, format_record_json
from slimgate.record.verdicts import AcceptedFacts, Weakening

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class WeakerThan(NamedTuple):
    """A way in which the gate demands less than a baseline. baseline: its name."""

    baseline: str
    weakening: Weakening


def accept(
    run: StoredRecord, baselines: Path, name: str, *, reason: str | None, at: str, force: bool = False
) -> StoredRecord:
    """Keeps a run as the baseline of that name. at: the time, in ISO format.

    Raises DataError for an invalid name, a name that is taken (without `force`), outcomes that are not next
    to the record or are of another run, and a clock that is behind the newest baseline. It is also raised if
    a reason is needed and not given. A reason is needed for a run.json that was edited, and for a run that is
    FAIL, that an undecided budget failed, or in which checks have not run or results are of an earlier run.
    It is needed too for a gate that demands less than the newest baseline of the suite, or than the replaced
    one, if the budgets do not state a reason.
    """
    if NAME.fullmatch(name) is None:
        raise DataError(f'--name "{name}": expected letters, digits, ".", "_", "-", and no path')
    stem = PurePosixPath(run.record.suite.path).stem
    folder = baselines / name / stem
    _check_free(folder, run, force=force)
    earlier = _list_earlier(run, baselines, folder)
    _check_clock(earlier, folder, at)
    loosened = _find_loosened(earlier, run.record)
    weaker = _find_weaker(earlier, run.record)
    cleaned_reason = clean_reason(reason)
    if cleaned_reason is None:
        _check_needs_no_reason(run, weaker)
    facts = AcceptedFacts(
        name=name,
        at=at,
        reason=cleaned_reason,
        against=earlier[0].name if earlier else None,
        loosened=[budget.to_loosened(cleaned_reason) for budget in loosened],
        weaker=[
            weakening.model_copy(update={"reason": weakening.reason or cleaned_reason})
            for _name, weakening in weaker
        ],
    )
    _write_baseline(folder, run, run.record.model_copy(update={"accepted": facts}), _list_outcome_files(run))
    return StoredRecord(folder / RECORD, read_run(folder / RECORD))


def _check_free(folder: Path, run: StoredRecord, *, force: bool) -> None:
    """Raises DataError if the folder has a baseline of another suite or, without `force`, any baseline."""
    if not (folder / RECORD).is_file():
        return
    earlier = read_run(folder / RECORD)
    if earlier.suite.path != run.record.suite.path:
        raise DataError(
            f"{folder}: it has a baseline of {earlier.suite.path}, but this run is of "
            f"{run.record.suite.path}; give the suite another file name, or choose another --name"
        )
    if not force:
        raise DataError(
            f"{folder}: this baseline already exists, from {earlier.created}; replace it with --force"
        )


def _list_earlier(run: StoredRecord, baselines: Path, folder: Path) -> list[StoredRecord]:
    """The newest of the other baselines, and the replaced baseline, because its budgets are given up too."""
    accepted = read_suite_baselines(baselines, run.record.suite.path) if baselines.is_dir() else []
    others_before = [entry for entry in accepted if entry.file.parent != folder]
    return [*others_before[-1:], *(entry for entry in accepted if entry.file.parent == folder)]


def _check_clock(earlier: Sequence[StoredRecord], folder: Path, at: str) -> None:
    """Raises DataError if another baseline would stay the newest: later gates would be compared with it."""
    is_replaced_late = any(entry.file.parent == folder and entry.at > at for entry in earlier)
    # If several baselines are late, the first one that is accepted again stays behind the others.
    if earlier and earlier[0].file.parent != folder and earlier[0].at > at and not is_replaced_late:
        raise DataError(
            f"{earlier[0].file}: it was accepted at {earlier[0].at}, which is after the time of this machine "
            f"({at}), so it would stay the newest baseline; set the clock, or accept that baseline again "
            "with --force"
        )


def _find_loosened(earlier: Sequence[StoredRecord], record: RunRecord) -> list[BudgetChange]:
    """Each budget that is looser than in one of the earlier baselines, once."""
    loosened: dict[tuple[str, str, str], BudgetChange] = {}
    for baseline in earlier:
        for change in find_budget_changes(baseline.record, _without_acceptance(record)):
            if change.looser:
                loosened.setdefault((change.variant, change.budget, change.kind), change)
    return list(loosened.values())


def _find_weaker(earlier: Sequence[StoredRecord], record: RunRecord) -> list[WeakerThan]:
    """Each way in which the gate demands less than one of the earlier baselines, once."""
    by_change: dict[str, WeakerThan] = {}
    for baseline in earlier:
        for weakening in find_weaker(baseline.record, _without_acceptance(record)):
            by_change.setdefault(weakening.change, WeakerThan(baseline.name, weakening))
    return list(by_change.values())


def _without_acceptance(record: RunRecord) -> RunRecord:
    """The record, without the reason that was given when it was accepted before: that one does not count."""
    return record.model_copy(update={"accepted": None})


def explain_needed_reason(run: StoredRecord) -> str | None:
    """Why a run needs a reason to be kept: it was edited, fails, or is partial; None if it needs none."""
    if run.is_edited:
        return f"the file {EDITED}"
    verdict = run.record.verdict
    if verdict.status == "FAIL" or is_ended_by_undecided(run.record):
        message = verdict.messages[0] if verdict.messages else "it has no message"
        return f"the run is {verdict.status} ({message})"
    if state := describe_state(run.record):
        return f"the run is {state}"
    return None


def _check_needs_no_reason(run: StoredRecord, weaker: Sequence[WeakerThan]) -> None:
    if why := explain_needed_reason(run):
        raise DataError(f'{run.file}: {why}; say why it is kept: --reason "…"')
    unexplained = [entry for entry in weaker if entry.weakening.reason is None]
    if unexplained:
        baseline, weakening = unexplained[0]
        more = f" (and {len(unexplained) - 1} more)" if len(unexplained) > 1 else ""
        raise DataError(
            f"{run.file}: the gate demands less than the baseline {baseline}: {weakening.change}{more}; "
            'say why: --reason "…"'
        )


def _list_outcome_files(run: StoredRecord) -> list[Path]:
    """The outcomes of every model that was measured.

    Raises DataError if one is missing, or if one or a log of the base is of another run.
    """
    models = [model for model in run.record.variants if model.is_measured]
    files = [run.make_outcomes_path(model.name) for model in models]
    missing = [file.as_posix() for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{missing[0]}{more}: no such file; a baseline needs the outcomes, because later releases are "
            "compared with them"
        )
    for model, file in zip(models, files, strict=True):
        if problem := find_wrong_answers(run.record, model, file):
            raise DataError(f"{file}: {problem}; run again, and accept the whole folder of that run")
    check_base_logs(run)
    return files


def _write_baseline(folder: Path, run: StoredRecord, record: RunRecord, outcomes: Sequence[Path]) -> None:
    """Copies outcomes and the logs of the base next to the record. An existing baseline is replaced."""
    try:
        with replacing_folder(folder) as copy:
            (copy / OUTCOMES).mkdir()
            for file in outcomes:
                shutil.copyfile(file, copy / OUTCOMES / file.name)
            if (base := run.file.with_name(BASE_LOG)).is_file():
                for log in (base, *base.parent.glob(FURTHER_BASE_LOGS)):
                    shutil.copyfile(log, copy / log.name)
            (copy / RECORD).write_text(format_record_json(record), "utf-8")
    except OSError as error:
        raise DataError(f"{folder}: {run.file} could not be kept there: {error.strerror}") from error
