"""What `slimgate judge --report DIR` writes: what every run writes, and the verdicts as JUnit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from slimgate._system.files import write_atomically
from slimgate.data.log_files.verdicts import LogVerdicts
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.verdict import Verdict
from slimgate.record import RunRecord
from slimgate.report.files import write_reports
from slimgate.run.log_record import write_log_record

JUNIT = "junit.xml"


def write_report(judged: Mapping[str, LogVerdicts], wish: OnInconclusive, folder: Path, command: str) -> Path:
    """Writes the folder and gives it back. Raises DataError where the targets judged other samples."""
    record = write_log_record(judged, wish, folder, suite=f"{folder.resolve().name}.toml", command=command)
    write_atomically(folder / JUNIT, _junit(record))
    write_reports(record, folder, None)
    return folder


def _junit(record: RunRecord) -> str:
    """A test case for each comparison that has a budget, as JUnit."""
    suite = ElementTree.Element("testsuite", name=f"slimgate judge {record.suite.title}")
    for model in record.variants[1:]:
        for name, facts in model.quality.items():
            if facts.verdict is None:
                continue
            case = ElementTree.SubElement(suite, "testcase", classname=model.name, name=name)
            if facts.verdict is not Verdict.PASS:
                ElementTree.SubElement(case, "failure", message=facts.message or "")
    failures = sum(len(case) for case in suite)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
