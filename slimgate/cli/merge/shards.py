"""Merges the shards of a run into one record, with its verdict, outcomes and reports.

Each variant was judged in its own shard, with the teacher of that machine. No verdict depends on several
variants (Holm's correction is over the slices of one variant; a suite with [budgets] family refuses shards),
so verdicts stay as they are. Everything that covers all variants, such as counts, the recommendation and
plots, is computed again.

It first checks that the records are shards of one run: each exactly once, with the same suite, rows, code and
teacher.
"""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slimgate._system.code_reads import FOLDER, MISSING, read_state
from slimgate._system.files import replacing, write_atomically
from slimgate.errors import DataError
from slimgate.record.answers import read_answers_of_record
from slimgate.record.budgets import list_undecided_failing
from slimgate.record.comparing.separation import separate_variants
from slimgate.record.files import RECORD, StoredRecord, make_model_log_path
from slimgate.record.row_use import merge_row_use
from slimgate.record.run import RunRecord, ShardFacts, VariantRecord, format_record_json
from slimgate.record.run_verdict import judge_record
from slimgate.record.task import Machine
from slimgate.report.files import write_reports
from slimgate.results.base import Verdict
from slimgate.results.checks import TEACHER
from slimgate.results.self_test import SelfTest, SelfTestFacts
from slimgate.run.contents import ARITHMETIC
from slimgate.run.followed_rows import QuoteRows, describe_followed_rows, open_gate_texts
from slimgate.run.result_keys import MODEL, make_separation_key

# Results of a self-test, the worst first: the copy must not FAIL, the planted fault must FAIL.
_COPY = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS, None)
_FAULT = (Verdict.PASS, Verdict.INCONCLUSIVE, None, Verdict.FAIL)
_VARIABLES = "environment variables that change how libraries compute"
# What must be equal in all shards, with its name for messages. The gate's digest is first among the rows,
# because that is the message that helps most.
_ALIKE: tuple[tuple[str, Callable[[RunRecord], Any]], ...] = (
    ("suite", lambda record: record.suite.path),
    ("suite digest", lambda record: record.suite.digest),
    ("number of shards", lambda record: record.shards[0].of),
    ("version of slimgate", lambda record: record.slimgate),
    ("digest of slimgate's code", lambda record: record.shards[0].code),
    ("versions of libraries", lambda record: [record.machine.python, record.machine.libraries]),
    ("device", lambda record: record.machine.device),
    ("gate digest", lambda record: getattr(record.task.splits.get("gate"), "digest", None)),
    ("rows or task", lambda record: record.task.judged),
    ("settings, or a user's files or code", lambda record: record.demands and record.demands.settings),
    ("baseline", lambda record: record.baseline),
    (
        _VARIABLES,
        lambda record: {
            name: value for name, value in record.shards[0].variables.items() if name in ARITHMETIC
        },
    ),
)


def merge(shards: Sequence[StoredRecord], folder: Path) -> StoredRecord:
    """Writes the merged record, outcomes and reports into a folder.

    Raises DataError if the records are not the shards of one run, or if the folder is that of a shard.
    """
    ordered = sort_shards(shards)
    if any(run.file.parent.resolve() == folder.resolve() for run in ordered):
        raise DataError(f"--out {folder} is the folder of a shard, expected another folder")
    texts = open_gate_texts(ordered[0].file.parent)
    _copy_outcomes(ordered, folder)
    _copy_logs(ordered, folder)
    record = _follow_rows(merge_records(ordered), folder, texts)
    record = record.model_copy(
        update={"separation": separate_variants(record, folder, to_key=make_separation_key)}
    )
    write_atomically(folder / RECORD, format_record_json(record))
    write_reports(record, folder, texts)
    return StoredRecord(folder / RECORD, record)


def merge_records(ordered: Sequence[StoredRecord]) -> RunRecord:
    """Merges the records of shards, which are in order. Its `followed` and `separation` are left empty."""
    records = [run.record for run in ordered]
    first, facts = records[0], [get_shard(run) for run in ordered]
    record_of = {name: run.record for run in ordered for name in get_shard(run).variants}
    variants = [
        _join_teachers([record.variant(TEACHER) for record in records]),
        *(record_of[model.name].variant(model.name) for model in first.variants[1:]),
    ]
    self_test = _join_self_tests([record.self_test for record in records])
    missing = {check for shard in facts for check in shard.missing}
    return first.model_copy(
        update={
            "created": max(shard.created for shard in facts),
            "command": _make_whole_command(first.command),
            "seconds": sum(shard.seconds or 0.0 for shard in facts),
            "machine": _join_machines(ordered),
            "variants": variants,
            "followed": [],
            "separation": None,
            "code_reads": {name: state for record in records for name, state in record.code_reads.items()},
            "self_test": self_test,
            "verdict": judge_record(variants, self_test, len(missing)),
            "this_run": None,
            "row_use": merge_row_use([record.row_use for record in records if record.row_use is not None]),
            "shards": facts,
        }
    )


def list_failures(record: RunRecord) -> list[str]:
    """Why a merged record ends with exit code 1; empty if all its budgets hold.

    The reasons are those of a whole run: a budget that FAILs, an error, a budget that is undecided and may
    not be, a gate that demands less than its baseline. In addition: a budget that no shard has judged, and a
    self-test that did not run.
    """
    problems = ["a budget does not hold"] if record.verdict.status == "FAIL" else []
    for model in record.variants:
        if not model.gated:
            continue
        problems += [f"{model.name}: {budget.name} is undecided" for budget in list_undecided_failing(model)]
        if model.awaited and model.error is None:
            problems.append(f"{model.name}: not judged: {', '.join(model.awaited)}")
    if not problems and record.verdict.fails:
        problems.append("no budget is shown to hold")
    if record.self_test.identical is None or record.self_test.planted_fault is None:
        problems.append("the gate's self-test has not run")
    weaker = record.baseline.weaker if record.baseline is not None else ()
    problems += [
        f"the gate demands less than the baseline: {weakening.change}"
        for weakening in weaker
        if weakening.reason is None
    ]
    return problems


def _join_teachers(models: Sequence[VariantRecord]) -> VariantRecord:
    """The teacher of the first shard, completed by the others. Shards without variants lack its metrics."""
    merged: dict[str, Any] = {}
    for model in models:
        for name in VariantRecord.model_fields:
            value = getattr(model, name)
            if isinstance(value, Mapping):
                merged[name] = {**value, **merged.get(name, {})}
            elif merged.get(name) in (None, []):
                merged[name] = value
    # a check that one shard still awaits may have been made in another
    merged["awaited"] = [
        check for check in models[0].awaited if all(check in model.awaited for model in models)
    ]
    merged["carried"] = list(
        {(result.kind, result.name): result for model in models for result in model.carried}.values()
    )
    return models[0].model_copy(update=merged)


def _join_self_tests(self_tests: Sequence[SelfTest]) -> SelfTest:
    """The worst result of each self-test. If the gate failed one in any shard, it failed."""
    delays = [self_test.planted_delay for self_test in self_tests if self_test.planted_delay is not None]
    return SelfTest(
        identical=_find_worst_part([self_test.identical for self_test in self_tests], _COPY),
        planted_fault=_find_worst_part([self_test.planted_fault for self_test in self_tests], _FAULT),
        planted_delay=min(delays, key=lambda delay: (delay.seen, -(delay.clearance or 0)), default=None),
    )


def _find_worst_part(
    parts: Sequence[SelfTestFacts | None], order: Sequence[Verdict | None]
) -> SelfTestFacts | None:
    known = [part for part in parts if part is not None]
    return min(known, key=lambda part: (not part.wrong, order.index(part.verdict)), default=None)


def _join_machines(ordered: Sequence[StoredRecord]) -> Machine:
    """The machine of the first shard, with the warnings of all shards.

    If they ran on several machines, it gets a further warning and no peak rates. Otherwise it has the peak
    rates of the first shard that measured them.
    """
    warnings = list(dict.fromkeys(line for run in ordered for line in run.record.machine.warnings))
    by_machine: dict[str, list[str]] = {}
    for run in ordered:
        by_machine.setdefault(get_shard(run).machine, []).append(str(get_shard(run).number))
    if len(by_machine) > 1:
        machines = "; ".join(f"{name}: {', '.join(numbers)}" for name, numbers in by_machine.items())
        warnings.append(
            f"the shards ran on {len(by_machine)} kinds of machines ({machines}), so do not compare "
            "milliseconds or memory between shards; speed-ups are valid, because both models ran on the "
            "same machine"
        )
    rates = [run.record.machine.peak_rates for run in ordered if run.record.machine.peak_rates is not None]
    own_rates = rates[0] if rates and len(by_machine) == 1 else None
    return ordered[0].record.machine.model_copy(update={"warnings": warnings, "peak_rates": own_rates})


def _make_whole_command(command: str) -> str:
    """The command of a shard without --slimgate-shard: it runs all shards at once."""
    words, words_left = iter(shlex.split(command)), []
    for word in words:
        if word == "--slimgate-shard":
            next(words, None)
        elif not word.startswith("--slimgate-shard="):
            words_left.append(word)
    return shlex.join(words_left)


def _copy_outcomes(ordered: Sequence[StoredRecord], folder: Path) -> None:
    """Copies the answers of each variant from its shard, and the teacher's from the first that has them."""
    sources = [(name, run) for run in ordered for name in get_shard(run).variants]
    teacher = next((run for run in ordered if run.make_outcomes_path(TEACHER).is_file()), None)
    for name, run in [*([(TEACHER, teacher)] if teacher else []), *sources]:
        source = run.make_outcomes_path(name)
        if source.is_file():
            with replacing(folder / source.parent.name / source.name) as new:
                shutil.copyfile(source, new)
        elif run.record.variant(name).is_measured:
            raise DataError(f"{source}: no such file; the outcomes of a shard must be next to its {RECORD}")


def _copy_logs(ordered: Sequence[StoredRecord], folder: Path) -> None:
    """Copies the logs of models that failed; of the teacher the log of the first shard that has one."""
    for run in reversed(ordered):
        for name in (TEACHER, *get_shard(run).variants):
            if run.record.variant(name).error_log is not None and run.make_log_path(name).is_file():
                with replacing(folder / make_model_log_path(name)) as new:
                    shutil.copyfile(run.make_log_path(name), new)


def _follow_rows(record: RunRecord, folder: Path, texts: QuoteRows) -> RunRecord:
    answers = read_answers_of_record(record, folder)
    rows = describe_followed_rows(answers[0], answers[1:], texts) if answers else []
    return record.model_copy(update={"followed": rows})


def sort_shards(shards: Sequence[StoredRecord]) -> list[StoredRecord]:
    """Sorts the shards by number. Raises DataError if they are not the shards of one run."""
    for run in shards:
        if len(run.record.shards) != 1:
            problem = "was merged already" if run.record.shards else "was run without --slimgate-shard"
            raise DataError(f"{run.file}: expected the record of one shard; this one {problem}")
    for name, read_value in _ALIKE:
        _check_equal(shards, name, read_value)
    _check_numbers(shards)
    _check_equal(
        [run for run in shards if run.record.variant(TEACHER).artifact is not None],
        "teacher (digest of its artifact; build it once and share the store, or use machines of one kind)",
        lambda record: getattr(record.variant(TEACHER).artifact, "digest", None),
    )
    # The digests hold the processor, because the answers of some models depend on it. A variable may limit a
    # processor to the instructions of another one.
    for hardware in dict.fromkeys(run.record.machine.hardware for run in shards):
        alike = [run for run in shards if run.record.machine.hardware == hardware]
        _check_equal(alike, _VARIABLES, lambda record: record.shards[0].variables)
        _check_equal(
            alike,
            "steps, model files, a user's code or environment variables that it reads (digests of what each "
            "variant is made from)",
            lambda record: {model.name: model.inputs_digests.get(MODEL) for model in record.variants},
        )
    _check_code_reads(shards)
    _check_variants(shards)
    return sorted(shards, key=lambda run: get_shard(run).number)


def get_shard(run: StoredRecord) -> ShardFacts:
    """Which shard the record is of, and what it judged."""
    return run.record.shards[0]


def _check_equal(
    shards: Sequence[StoredRecord], name: str, read_value: Callable[[RunRecord], object]
) -> None:
    for run in shards[1:]:
        first, other = read_value(shards[0].record), read_value(run.record)
        if first != other:
            values = f": {first} and {other}" if isinstance(first, str | int) else ""
            if isinstance(first, Mapping) and isinstance(other, Mapping) and name == _VARIABLES:
                values = f": {_format_variables(first)} and {_format_variables(other)}"
            raise DataError(
                f"{shards[0].file} and {run.file} are not shards of one run: different {name}{values}"
            )


def _format_variables(variables: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in variables.items()) or "none"


def _check_code_reads(shards: Sequence[StoredRecord]) -> None:
    """Raises DataError if the user's code has read different versions, or a file has changed since.

    This machine may lack files and variables of the shards' machines, so only files that exist are compared.
    """
    states: dict[str, tuple[Path, str]] = {}
    for run in shards:
        for name, state in run.record.code_reads.items():
            file, first = states.setdefault(name, (run.file, state))
            if first != state:
                raise DataError(
                    f"{file} and {run.file} are not shards of one run: {name}, which your code reads, "
                    "changed between them; run all shards again"
                )
            is_file = not name.startswith("$") and not state.startswith(FOLDER)
            if is_file and read_state(name) not in (state, MISSING):
                raise DataError(
                    f"{run.file}: {name}, which your code reads, has changed since; run all shards again"
                )


def _check_numbers(shards: Sequence[StoredRecord]) -> None:
    numbers = [get_shard(run).number for run in shards]
    shard_count = get_shard(shards[0]).of
    for number, times in sorted(Counter(numbers).items()):
        if times > 1:
            files = " and ".join(str(run.file) for run in shards if get_shard(run).number == number)
            raise DataError(
                f"shard {number}/{shard_count} was given {times} times: {files}; expected each once"
            )
    if missing := [number for number in range(1, shard_count + 1) if number not in numbers]:
        noun = "shard" if len(missing) == 1 else "shards"
        raise DataError(
            f"{noun} {', '.join(map(str, missing))} of {shard_count} missing; "
            f"found {', '.join(map(str, sorted(numbers)))}: give the record of every shard"
        )


def _check_variants(shards: Sequence[StoredRecord]) -> None:
    names = [model.name for model in shards[0].record.variants[1:]]
    owned = Counter(name for run in shards for name in get_shard(run).variants)
    if wrong := [name for name in {**dict.fromkeys(names), **owned} if owned[name] != 1 or name not in names]:
        raise DataError(
            f"variants that are not in exactly one shard: {', '.join(wrong)}; run all shards again"
        )
