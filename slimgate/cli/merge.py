"""`slimgate merge RECORD… --out DIR`: the shards of one run as one.

The shards of one run as one record, with verdict, outcomes and reports over all of them.

A variant is that of its own shard, judged there beside the teacher of that machine. Nothing that is judged is
of several variants at once (Holm's correction is over the slices of one), so no verdict changes; what is
counted, chosen and drawn over all variants is made anew.

Whether records are the shards of one run: each once, of the same suite, rows, code and teacher.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slimgate._system.files import replacing, write_atomically
from slimgate.errors import DataError
from slimgate.judge.verdict import Verdict
from slimgate.record import Machine, RunRecord, SelfTest, SelfTestPart, ShardFacts, VariantRecord, to_json
from slimgate.record.answers import answers_beside
from slimgate.record.budgets import undecided_failing
from slimgate.record.comparing.separation import separate_variants
from slimgate.record.files import RECORD, TEACHER, Kept, log_name
from slimgate.record.looks_log import merge_looks
from slimgate.record.run_verdict import verdict
from slimgate.report.files import write_reports
from slimgate.run.followed_rows import Texts, follow, kept_texts
from slimgate.run.keys import separation_key

# The worse a self-test came out, the earlier: a copy must not FAIL, a fault must FAIL.
_COPY = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS, None)
_FAULT = (Verdict.PASS, Verdict.INCONCLUSIVE, None, Verdict.FAIL)
# What must be equal in all shards, and how it is called; the gate's digest goes before all else of the rows.
_ALIKE: tuple[tuple[str, Callable[[RunRecord], Any]], ...] = (
    ("suite", lambda record: record.suite.path),
    ("suite digest", lambda record: record.suite.digest),
    ("number of shards", lambda record: record.shards[0].of),
    ("version of slimgate", lambda record: record.slimgate),
    ("digest of slimgate's code", lambda record: record.shards[0].code),
    ("versions of libraries", lambda record: [record.machine.python, record.machine.libraries]),
    ("device", lambda record: record.machine.device),
    ("gate digest", lambda record: getattr(record.task.splits.get("gate"), "digest", None)),
    ("rows or task", lambda record: record.task),
    ("baseline", lambda record: record.baseline),
)
DESCRIPTION = """\
Joins the records that `pytest --slimgate-shard 1/N`, `2/N` … left: one record with its outcomes, verdict and
reports, as a run without shards leaves it. All shards are wanted, each once, of one suite, its rows and code.
Exit codes: 0 all budgets hold, 1 one does not, is undecided (unless told to warn) or was not judged,
4 wrong usage or input.
"""


def merge(shards: Sequence[Kept], folder: Path) -> Kept:
    """Writes record, outcomes and reports of all shards into a folder.

    Raises DataError where the records are not the shards of one run, or the folder is one of theirs.
    """
    ordered = in_order(shards)
    if any(one.file.parent.resolve() == folder.resolve() for one in ordered):
        raise DataError(f"--out {folder} is the folder of a shard, expected another")
    texts = kept_texts(ordered[0].file.parent)
    _copy_outcomes(ordered, folder)
    _copy_logs(ordered, folder)
    record = _follow_rows(merge_records(ordered), folder, texts)
    record = record.model_copy(
        update={"separation": separate_variants(record, folder, to_key=separation_key)}
    )
    write_atomically(folder / RECORD, to_json(record))
    write_reports(record, folder, texts)
    return Kept(folder / RECORD, record)


def merge_records(ordered: Sequence[Kept]) -> RunRecord:
    """One record of the shards of one run, in their order. Rows followed through all models are not in it."""
    records = [one.record for one in ordered]
    first, facts = records[0], [shard(one) for one in ordered]
    owner = {name: one.record for one in ordered for name in shard(one).variants}
    variants = [
        _teacher([record.variant(TEACHER) for record in records]),
        *(owner[model.name].variant(model.name) for model in first.variants[1:]),
    ]
    self_test = _self_test([record.self_test for record in records])
    missing = {check for one in facts for check in one.missing}
    return first.model_copy(
        update={
            "created": max(one.created for one in facts),
            "command": _whole_command(first.command),
            "seconds": sum(one.seconds or 0.0 for one in facts),
            "machine": _machine(ordered),
            "variants": variants,
            "followed": [],
            "separation": None,
            "self_test": self_test,
            "verdict": verdict(variants, self_test, len(missing)),
            "this_run": None,
            "looks": merge_looks([one.looks for one in records if one.looks is not None]),
            "shards": facts,
        }
    )


def fails(record: RunRecord) -> list[str]:
    """Why a merged record is to end in exit code 1; nothing where all its budgets hold.

    As the tests of a whole run would: what FAILs, an error, what is undecided and may not be. A budget that
    no shard has judged, and a self-test that did not run, have not held either.
    """
    found = ["a budget does not hold"] if record.verdict.status == "FAIL" else []
    for model in record.variants:
        if not model.gated:
            continue
        found += [f"{model.name}: {one.name} is undecided" for one in undecided_failing(model)]
        if model.awaited and model.error is None:
            found.append(f"{model.name}: not judged: {', '.join(model.awaited)}")
    if not found and record.verdict.fails:
        found.append("no budget is shown to hold")
    if record.self_test.identical is None or record.self_test.planted_fault is None:
        found.append("the gate's self-test has not run")
    return found


def _teacher(models: Sequence[VariantRecord]) -> VariantRecord:
    """The teacher as the first shard has it, filled up by the others: one without variants has no metrics."""
    whole: dict[str, Any] = {}
    for model in models:
        for name in VariantRecord.model_fields:
            value = getattr(model, name)
            if isinstance(value, Mapping):
                whole[name] = {**value, **whole.get(name, {})}
            elif whole.get(name) in (None, []):
                whole[name] = value
    # what one shard lacks another may have judged
    whole["awaited"] = [what for what in models[0].awaited if all(what in one.awaited for one in models)]
    whole["carried"] = list({(one.kind, one.name): one for model in models for one in model.carried}.values())
    return models[0].model_copy(update=whole)


def _self_test(found: Sequence[SelfTest]) -> SelfTest:
    """The worst of each: a gate that failed its test in one shard is not made good by another."""
    delays = [one.planted_delay for one in found if one.planted_delay is not None]
    return SelfTest(
        identical=_worst_part([one.identical for one in found], _COPY),
        planted_fault=_worst_part([one.planted_fault for one in found], _FAULT),
        planted_delay=min(delays, key=lambda one: (one.seen, -(one.clearance or 0)), default=None),
    )


def _worst_part(found: Sequence[SelfTestPart | None], order: Sequence[Verdict | None]) -> SelfTestPart | None:
    known = [one for one in found if one is not None]
    return min(known, key=lambda one: (not one.wrong, order.index(one.verdict)), default=None)


def _machine(ordered: Sequence[Kept]) -> Machine:
    """The first shard's, with the warnings of all; and one where they ran on several.

    Peak rates are those of the first shard that has some, and of none where they ran on several.
    """
    warnings = list(dict.fromkeys(line for one in ordered for line in one.record.machine.warnings))
    by_machine: dict[str, list[str]] = {}
    for one in ordered:
        by_machine.setdefault(shard(one).machine, []).append(str(shard(one).number))
    if len(by_machine) > 1:
        told = "; ".join(f"{name}: {', '.join(numbers)}" for name, numbers in by_machine.items())
        warnings.append(
            f"the shards ran on {len(by_machine)} kinds of machines ({told}), so milliseconds and memory of "
            "one shard do not compare with another's; a speed-up is of two models on one machine"
        )
    rates = [one.record.machine.peak_rates for one in ordered if one.record.machine.peak_rates is not None]
    own = rates[0] if rates and len(by_machine) == 1 else None
    return ordered[0].record.machine.model_copy(update={"warnings": warnings, "peak_rates": own})


def _whole_command(command: str) -> str:
    """The command that would run all shards at once."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word == "--slimgate-shard":
            next(words, None)
        elif not word.startswith("--slimgate-shard="):
            kept.append(word)
    return shlex.join(kept)


def _copy_outcomes(ordered: Sequence[Kept], folder: Path) -> None:
    """Each variant's answers from its own shard; the teacher's from the first that has them."""
    sources = [(name, one) for one in ordered for name in shard(one).variants]
    teacher = next((one for one in ordered if one.outcomes(TEACHER).is_file()), None)
    for name, one in [*([(TEACHER, teacher)] if teacher else []), *sources]:
        came = one.outcomes(name)
        if came.is_file():
            with replacing(folder / came.parent.name / came.name) as new:
                shutil.copyfile(came, new)
        elif one.record.variant(name).is_measured:
            raise DataError(f"{came}: no such file; a shard's outcomes belong beside its {RECORD}")


def _copy_logs(ordered: Sequence[Kept], folder: Path) -> None:
    """Of what could not be built or measured; of the teacher, the first shard's that has one."""
    for one in reversed(ordered):
        for name in (TEACHER, *shard(one).variants):
            if one.record.variant(name).error_log is not None and one.log(name).is_file():
                with replacing(folder / log_name(name)) as new:
                    shutil.copyfile(one.log(name), new)


def _follow_rows(record: RunRecord, folder: Path, texts: Texts) -> RunRecord:
    found = answers_beside(record, folder)
    rows = follow(found[0], found[1:], texts) if found else []
    return record.model_copy(update={"followed": rows})


def in_order(shards: Sequence[Kept]) -> list[Kept]:
    """The shards by their numbers. Raises DataError, in one line, where they are not those of one run."""
    for one in shards:
        if len(one.record.shards) != 1:
            what = "was merged already" if one.record.shards else "was run without --slimgate-shard"
            raise DataError(f"{one.file}: expected the record of one shard; this one {what}")
    for what, of in _ALIKE:
        _check_equal(shards, what, of)
    _each_once(shards)
    _check_equal(
        [one for one in shards if one.record.variant(TEACHER).artifact is not None],
        "teacher (digest of its artifact; build it once and share the store, or use machines of one kind)",
        lambda record: getattr(record.variant(TEACHER).artifact, "digest", None),
    )
    _check_shards(shards)
    return sorted(shards, key=lambda one: shard(one).number)


def shard(one: Kept) -> ShardFacts:
    """Which shard a record is."""
    return one.record.shards[0]


def _check_equal(shards: Sequence[Kept], what: str, of: Callable[[RunRecord], Any]) -> None:
    for one in shards[1:]:
        before, after = of(shards[0].record), of(one.record)
        if before != after:
            said = f": {before} and {after}" if isinstance(before, str | int) else ""
            raise DataError(
                f"{shards[0].file} and {one.file} are not shards of one run: another {what}{said}"
            )


def _each_once(shards: Sequence[Kept]) -> None:
    numbers = [shard(one).number for one in shards]
    of = shard(shards[0]).of
    for number, times in sorted(Counter(numbers).items()):
        if times > 1:
            files = " and ".join(str(one.file) for one in shards if shard(one).number == number)
            raise DataError(f"shard {number}/{of} came {times} times: {files}; expected each once")
    if missing := [number for number in range(1, of + 1) if number not in numbers]:
        which = "shard" if len(missing) == 1 else "shards"
        raise DataError(
            f"{which} {_join(missing)} of {of} missing; came {_join(sorted(numbers))}: "
            "give the record of every shard"
        )


def _check_shards(shards: Sequence[Kept]) -> None:
    names = [model.name for model in shards[0].record.variants[1:]]
    owned = Counter(name for one in shards for name in shard(one).variants)
    if wrong := [name for name in {**dict.fromkeys(names), **owned} if owned[name] != 1 or name not in names]:
        raise DataError(f"variants that are not in exactly one shard: {_join(wrong)}; run all shards again")


def _join(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("merge", help="join the shards of one run", description=DESCRIPTION)
    parser.add_argument(
        "records",
        type=Path,
        nargs="+",
        metavar="RECORD",
        help="a shard's run.json, or its folder, such as shard-2/support",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="where run.json, outcomes/ and reports go, such as reports/latest/support",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Merges and prints what pytest prints at the end of a run. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import visible
    from slimgate.record.files import read_record_file
    from slimgate.report.terminal.summary import summary_lines, to_text

    kept = merge([read_record_file(path) for path in options.records], options.out)
    lines = summary_lines(kept.record, (options.out / "report.md").as_posix())
    why = fails(kept.record)
    sys.stdout.writelines(f"{to_text(line)}\n" for line in lines)
    if why and kept.record.verdict.status != "FAIL":
        sys.stdout.write(f"does not pass: {visible('; '.join(why))}\n")
    return int(bool(why))
