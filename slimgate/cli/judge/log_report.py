"""What `slimgate judge --report DIR` writes: what every run writes, and the verdicts as JUnit."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from slimgate._system.files import write_atomically
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.verdict import Verdict
from slimgate.logs.record import write_log_record
from slimgate.logs.verdicts import LogVerdicts
from slimgate.record import BehaviourFacts, QualityFacts, RunRecord
from slimgate.report.files import write_reports

JUNIT = "junit.xml"
BEHAVIOUR = "behaviour"


def write_log_report(
    judged: Mapping[str, LogVerdicts],
    on_inconclusive: OnInconclusive,
    folder: Path,
    *,
    command: str,
    seed: int,
) -> None:
    """Writes the folder. Raises DataError where the targets judged other samples."""
    suite = f"{folder.resolve().name}.toml"
    write_report(
        write_log_record(judged, on_inconclusive, folder, suite=suite, command=command, seed=seed), folder
    )


def write_report(record: RunRecord, folder: Path) -> None:
    """Writes the reports beside a record, and says where they are."""
    write_atomically(folder / JUNIT, _junit(record))
    write_reports(record, folder, None)
    sys.stderr.write(f"report: {folder.as_posix()}/report.html\n")


def _junit(record: RunRecord) -> str:
    """A test case for each metric or comparison that has a budget, and for changed answers, as JUnit."""
    suite = ElementTree.Element("testsuite", name=f"slimgate judge {record.suite.title}")
    for model in record.variants[1:]:
        judged: list[tuple[str, QualityFacts | BehaviourFacts]] = [*model.quality.items()]
        judged += [] if model.behaviour is None else [(BEHAVIOUR, model.behaviour)]
        for name, facts in judged:
            if facts.verdict is None:
                continue
            case = ElementTree.SubElement(suite, "testcase", classname=model.name, name=name)
            if facts.verdict is not Verdict.PASS:
                ElementTree.SubElement(case, "failure", message=facts.message or "")
    failures = sum(len(case) for case in suite)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
