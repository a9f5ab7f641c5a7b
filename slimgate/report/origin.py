"""What was judged, on which machine, with which baseline, and whether the gate passed its self-test."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count, format_int
from slimgate._system.timestamps import format_moment
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.record.run import RunRecord
from slimgate.report.since_baseline import name_baseline
from slimgate.report.status import find_teacher
from slimgate.report.trust import describe_delay, describe_files
from slimgate.results.self_test import SelfTest

_DIGITS = 12


def format_origin(record: RunRecord) -> str:
    """Suite, rows, time and commit; for files, what was compared, and their digests."""
    gate = record.task.splits.get("gate")
    commit = [] if record.suite.commit is None else [f"commit {escape(record.suite.commit)}"]
    if record.task.is_of_files:
        if not record.task.has_rows:
            return " · ".join(
                [escape(str(record.task.source["name"])), format_moment(record.created), *commit]
            )
        noun = "scores" if record.task.kind == RECORD_KIND else "rows"
        counted = [] if gate is None else [f"{format_int(gate.n)} {noun}"]
        suite = [f"Suite {escape(record.suite.path)}"] if record.has_suite_file else []
        return " · ".join([*suite, *counted, format_moment(record.created), *commit])
    rows = [] if gate is None else [f"{format_int(gate.n)} gate rows"]
    return " · ".join([f"Suite {escape(record.suite.path)}", *rows, format_moment(record.created), *commit])


def describe_run(record: RunRecord) -> str:
    """Teacher, machine, baseline and self-test of a suite of models; for files, their paths and digests."""
    if not record.task.is_of_files:
        return " · ".join(_describe_run(record))
    return " · ".join(describe_files(record))


def _describe_run(record: RunRecord) -> Iterator[str]:
    original = find_teacher(record)
    if original is not None:
        digest = f", digest {original.artifact.digest[:_DIGITS]}" if original.artifact else ""
        source = f" {escape(original.parent)}" if original.parent else ""
        yield f"Teacher{source}{digest}"
    machine = record.machine
    cores = format_count(machine.cores, "core", "cores")
    device = "" if machine.device == "cpu" else f", device {escape(machine.device_and_gpu)}"
    yield f"{escape(machine.cpu)}, {cores}{device}"
    yield f"baseline {name_baseline(record) or 'none'}"
    yield f"self-test {_count_self_tests(record.self_test)}"


def _count_self_tests(self_test: SelfTest) -> str:
    """`3 of 3 as expected`, and the names of the others."""
    fault, delay = self_test.planted_fault, self_test.planted_delay
    fault_failed = "planted_fault" in self_test.failures or self_test.undecided_fault is not None
    outcomes = {
        "identical copy": None if self_test.identical is None else "identical" not in self_test.failures,
        "planted fault": None if fault is None else not fault_failed,
        "planted delay": None if delay is None else delay.seen and not describe_delay(delay),
    }
    known = {name: passed for name, passed in outcomes.items() if passed is not None}
    if not known:
        return "not run"
    missed = [name for name, passed in known.items() if not passed]
    note = f" (not the {' and the '.join(missed)})" if missed else ""
    return f"{len(known) - len(missed)} of {len(known)} as expected{note}"
