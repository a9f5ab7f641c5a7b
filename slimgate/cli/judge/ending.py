"""Ends `slimgate judge` for every kind of file: text or JSON, the report, the exit code."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.escape import escape_invisible
from slimgate._system.files import write_atomically
from slimgate.errors import SuiteError
from slimgate.results.base import Verdict, has_run_ending_budget
from slimgate.results.counts import NOTHING_GATED, has_judged_budget, is_failed_run

if TYPE_CHECKING:
    from slimgate.logs.judged import JudgedFiles
    from slimgate.record.run import RunRecord

JUNIT = "junit.xml"
_SHOWN = {"quality", "behaviour", "load_tests", "kl_log", "notes"}


def finish(
    options: argparse.Namespace,
    judged: JudgedFiles,
    text: Callable[[], str],
    details: Mapping[str, Mapping[str, Any]] | None = None,
) -> int:
    """Prints the result, writes the report if --report is set, and returns the exit code.

    text: makes the output without --json. details: target -> further keys of the JSON.
    """
    sys.stdout.write((format_judged_json(judged, details or {}) if options.json else text()) + "\n")
    if not options.json and len(options.variants) > 1:  # `targets` imports what composes a record
        statuses = (f"{escape_invisible(name)} {judged.judge_target(name).status}" for name in judged.targets)
        sys.stdout.write(f"\n{len(judged.targets)} targets: {', '.join(statuses)}\n")
    if options.report is not None:
        from slimgate.logs.record import RecordHead, write_record

        command = shlex.join(["slimgate", *sys.argv[1:]])
        head = RecordHead(command, options.seed, suite=f"{options.report.resolve().name}.toml")
        write_report(write_record(judged, options.report, head), options.report)
    return _compute_exit_code(judged, require_budget=options.require_budget)


def format_judged_json(judged: JudgedFiles, details: Mapping[str, Mapping[str, Any]]) -> str:
    """By target: the judged results in the form of run.json, `notes` and `verdict`."""
    content = {
        name: {
            **{
                key: value
                for key, value in json.loads(target.model_dump_json(include=_SHOWN)).items()
                if value or key == "notes"
            },
            **details.get(name, {}),
            "verdict": judged.judge_target(name).model_dump(mode="json", exclude={"missing"}),
        }
        for name, target in judged.targets.items()
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _compute_exit_code(judged: JudgedFiles, *, require_budget: bool) -> int:
    """1 if a budget of a target does not hold, else 0.

    Raises SuiteError, which is exit code 4, if --require-budget is set and a target has no budget.
    """
    counts = {name: judged.count_verdicts(name) for name in judged.names}
    ungated = [name for name, counted in counts.items() if not has_judged_budget(counted)]
    if ungated and require_budget:
        raise SuiteError(
            f"--require-budget: {NOTHING_GATED} for {', '.join(ungated)}; give --drop-points X, or --budgets "
            "FILE.toml with a budget on what is judged"
        )
    return int(any(map(is_failed_run, counts.values())))


def write_report(record: RunRecord, folder: Path) -> None:
    """Writes the reports and the JUnit file of a record into a folder, and prints where the report is."""
    from slimgate.report.files import write_reports

    write_atomically(folder / JUNIT, _format_junit(record))
    write_reports(record, folder, None)
    sys.stderr.write(f"report: {folder.as_posix()}/report.html\n")


def _format_junit(record: RunRecord) -> str:
    """A test case for each result that has a budget, as JUnit, with the properties of a suite's test.

    A result that only warns has no failure, as in pytest's JUnit file. Its message is the case's output.
    """
    from xml.etree import ElementTree

    from slimgate.report.gate_properties import list_gate_properties

    suite = ElementTree.Element("testsuite", name=escape_invisible(f"slimgate judge {record.suite.title}"))
    failures = 0
    for model in record.variants[1:]:
        for result in model.results():
            facts = result.facts
            if facts.verdict is None:
                continue
            names = {"classname": escape_invisible(model.name), "name": escape_invisible(result.title)}
            case = ElementTree.SubElement(suite, "testcase", names)
            properties = ElementTree.SubElement(case, "properties")
            for name, value in list_gate_properties(model.name, *result):
                shown = {"name": escape_invisible(name), "value": escape_invisible(str(value))}
                ElementTree.SubElement(properties, "property", shown)
            message = escape_invisible(facts.message or "")
            if has_run_ending_budget(facts.budgets):
                ElementTree.SubElement(case, "failure", message=message)
                failures += 1
            elif facts.verdict is not Verdict.PASS:
                ElementTree.SubElement(case, "system-out").text = message
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
