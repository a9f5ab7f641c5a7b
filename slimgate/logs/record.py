"""Writes the record of judged files: run.json, outcomes, and a copy of the base's log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from slimgate import __version__
from slimgate._system.digests import digest_json
from slimgate._system.files import replacing, write_atomically
from slimgate._system.git import describe_commit
from slimgate._system.timestamps import format_now
from slimgate.judge.score_metric import CONTENTS
from slimgate.logs.base_log import write_base_log
from slimgate.logs.judged import JudgedFiles
from slimgate.plugins.reader import BASE_LOG, FURTHER_BASE_LOGS, Log
from slimgate.record.budgets import list_judged_budgets
from slimgate.record.comparing.demands import read_judged_demands
from slimgate.record.comparing.separation import separate_variants
from slimgate.record.files import BASE_LOGS, OUTCOMES, RECORD, digest_base_logs
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run import RunRecord, VariantRecord, format_record_json
from slimgate.record.run_verdict import judge_record, judge_this_run
from slimgate.record.task import SuiteFacts
from slimgate.record.verdicts import BaselineFacts
from slimgate.results.checks import BEHAVIOUR, LOAD_TEST, QUALITY, Result
from slimgate.results.self_test import SelfTest
from slimgate.run.environment import describe_machine
from slimgate.run.result_keys import make_separation_key

# The field of VariantRecord with several results, by their kind. Another kind has one result, in the field of
# its name.
_BY_NAME = {QUALITY: "quality", LOAD_TEST: "load_tests"}
_FLIPS_AND_SLICES = "flips and slices"


@dataclass(frozen=True)
class RecordHead:
    """What a record says of its run.

    seed: of the random weights. suite: the path of the suite. title: None for the names of the targets and
    the base.
    """

    command: str
    seed: int
    suite: str
    title: str | None = None


def write_record(
    judged: JudgedFiles,
    folder: Path,
    head: RecordHead,
    *,
    chosen: Mapping[str, Collection[str]] | None = None,
    baseline: BaselineFacts | None = None,
) -> RunRecord:
    """Writes the record into a folder. Reports are made from it.

    Raises DataError if the targets do not fit into one report.

    Args:
        judged: the base and the targets.
        folder: the folder of the record.
        head: what the record says of the run.
        chosen: target -> titles of the results that the run should judge; None: all. Other results with a
            budget are left out, and the record is partial.
        baseline: the earlier run whose gate was compared with this one.
    """
    judged.check_one_report()
    record = make_record(judged, head, chosen)
    (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    for name, outcomes in judged.collect_outcomes().items():
        write_outcomes(outcomes, folder / OUTCOMES / f"{name}.parquet")
    _replace_base_logs(judged.base_log, folder)
    source = {**record.task.source, BASE_LOGS: digest_base_logs(folder)}
    task = record.task.model_copy(update={"source": source})
    record = record.model_copy(update={"baseline": baseline, "task": task})
    separation = separate_variants(record, folder, to_key=make_separation_key)
    record = record.model_copy(update={"separation": separation})
    # last: a run that is interrupted leaves no record next to the base of an earlier run
    write_atomically(folder / RECORD, format_record_json(record))
    return record


def _replace_base_logs(base: Log | None, folder: Path) -> None:
    """Writes the logs of a base and of its further runs, and removes those of an earlier record.

    The base may be read from these files, so all are written before any is replaced or removed.
    """
    runs = {} if base is None else {BASE_LOG: base}
    for number, run in enumerate([] if base is None else base.further, 2):
        runs[FURTHER_BASE_LOGS.replace("*", f"{number:04}")] = run
    with ExitStack() as stack:
        for name, run in runs.items():
            write_base_log(run, stack.enter_context(replacing(folder / name)))
    for file in (folder / BASE_LOG, *folder.glob(FURTHER_BASE_LOGS)):
        if file.name not in runs:
            file.unlink(missing_ok=True)


def make_record(
    judged: JudgedFiles, head: RecordHead, chosen: Mapping[str, Collection[str]] | None = None
) -> RunRecord:
    """The record of judged files, as `write_record` writes it."""
    task = judged.build_task_facts()
    targets, missing = list(judged.targets.values()), 0
    if chosen is not None:
        pairs = [drop_unchosen(target, chosen.get(target.name, ())) for target in targets]
        targets, missing = [target for target, _ in pairs], sum(dropped for _, dropped in pairs)
    base = judged.build_base_record()
    variants = [base, *targets]
    record = RunRecord(
        slimgate=__version__,
        created=format_now(),
        command=head.command,
        machine=describe_machine(threads=1, device="cpu", loads_models=False),
        suite=SuiteFacts(
            path=head.suite,
            title=head.title or f"{', '.join(judged.targets)} against {judged.base_name}",
            digest=digest_json(
                {name: value for name, value in (task.params or {}).items() if name != CONTENTS}
            ),
            seeds=[head.seed],
            commit=describe_commit(Path.cwd()),
        ),
        task=task,
        variants=variants,
        self_test=SelfTest(),
        verdict=judge_record(variants, SelfTest(), missing),
        this_run=judge_this_run(variants, SelfTest(), missing),
    )
    # results that this run was not asked for are demanded too
    everything = record.model_copy(update={"variants": [base, *judged.targets.values()]})
    return record.model_copy(update={"demands": read_judged_demands(everything)})


def drop_unchosen(target: VariantRecord, titles: Collection[str]) -> tuple[VariantRecord, int]:
    """The record without the results with a budget whose title is not in `titles`; and their number.

    They were not requested, so they have no verdict: the record lists them as awaited.
    """
    dropped = [result for result in target.results() if result.facts.budgets and result.title not in titles]
    record = target
    for result in dropped:
        record = _drop_result(record, result)
    names = {judged.name: None for judged in list_judged_budgets(target)}
    remaining = {judged.name for judged in list_judged_budgets(record)}
    awaited = [name for name in names if name not in remaining]
    if any(result.kind == BEHAVIOUR for result in dropped):
        awaited.append(_FLIPS_AND_SLICES)
    return record.model_copy(update={"awaited": awaited}), len(dropped)


def _drop_result(target: VariantRecord, result: Result) -> VariantRecord:
    field = _BY_NAME.get(result.kind)
    if field is None:
        return target.model_copy(update={result.kind: None})
    results = {name: facts for name, facts in getattr(target, field).items() if name != result.name}
    return target.model_copy(update={field: results})
