"""The shards of one run as one record, with verdict, outcomes and reports over all of them.

A variant is that of its own shard, judged there beside the teacher of that machine. Nothing that is judged is
of several variants at once (Holm's correction is over the slices of one), so no verdict changes; what is
counted, chosen and drawn over all variants is made anew.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slimgate._system.atomic_files import replacing, write_atomically
from slimgate.cli.merge_checks import in_order, shard
from slimgate.errors import DataError
from slimgate.judge.verdict import Verdict
from slimgate.record import Machine, RunRecord, SelfTest, SelfTestPart, VariantRecord, to_json
from slimgate.record.answers import answers_beside
from slimgate.record.budgets import undecided_failing
from slimgate.record.files import RECORD, TEACHER, Kept, log_name
from slimgate.record.looks_log import merge_looks
from slimgate.record.run_verdict import verdict
from slimgate.report.files import write_reports
from slimgate.run.followed_rows import Texts, follow
from slimgate.run.kept_texts import kept_texts

# The worse a self-test came out, the earlier: a copy must not FAIL, a fault must FAIL.
_COPY = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS, None)
_FAULT = (Verdict.PASS, Verdict.INCONCLUSIVE, None, Verdict.FAIL)


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
    record = _with_rows_followed(merged(ordered), folder, texts)
    write_atomically(folder / RECORD, to_json(record))
    write_reports(record, folder, texts)
    return Kept(folder / RECORD, record)


def merged(ordered: Sequence[Kept]) -> RunRecord:
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
            found.append(f"{model.name}: not measured: {', '.join(model.awaited)}")
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
        identical=_worst([one.identical for one in found], _COPY),
        planted_fault=_worst([one.planted_fault for one in found], _FAULT),
        planted_delay=min(delays, key=lambda one: (one.seen, -(one.clearance or 0)), default=None),
    )


def _worst(found: Sequence[SelfTestPart | None], order: Sequence[Verdict | None]) -> SelfTestPart | None:
    known = [one for one in found if one is not None]
    return min(known, key=lambda one: (not one.wrong, order.index(one.verdict)), default=None)


def _machine(ordered: Sequence[Kept]) -> Machine:
    """The first shard's, with the warnings of all; and one where they ran on several."""
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
    return ordered[0].record.machine.model_copy(update={"warnings": warnings})


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
        elif one.record.variant(name).measured:
            raise DataError(f"{came}: no such file; a shard's outcomes belong beside its {RECORD}")


def _copy_logs(ordered: Sequence[Kept], folder: Path) -> None:
    """Of what could not be built or measured; of the teacher, the first shard's that has one."""
    for one in reversed(ordered):
        for name in (TEACHER, *shard(one).variants):
            if one.record.variant(name).error_log is not None and one.log(name).is_file():
                with replacing(folder / log_name(name)) as new:
                    shutil.copyfile(one.log(name), new)


def _with_rows_followed(record: RunRecord, folder: Path, texts: Texts) -> RunRecord:
    found = answers_beside(record, folder)
    rows = follow(found[0], found[1:], texts) if found else []
    return record.model_copy(update={"followed": rows})
