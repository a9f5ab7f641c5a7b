"""Reads a JUnit file as a CI reads it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree


class Case(NamedTuple):
    """A test case. failure: its message; None if it has no failure. output: the text of system-out."""

    failure: str | None
    output: str | None
    properties: dict[str, str]


def read_junit(path: Path, *, key: str = "name") -> tuple[int, dict[str, Case]]:
    """The number of failures that the file states, and its cases.

    key: the attribute by which the cases are returned, "name" or "classname".
    """
    [suite] = ElementTree.parse(path).getroot().iter("testsuite")
    cases = {case.attrib[key]: _read_case(case) for case in suite.iter("testcase")}
    assert int(suite.attrib["tests"]) == len(cases)
    return int(suite.attrib["failures"]), cases


def _read_case(case: ElementTree.Element) -> Case:
    failure = case.find("failure")
    return Case(
        failure=None if failure is None else failure.attrib["message"],
        output=case.findtext("system-out"),
        properties={part.attrib["name"]: part.attrib["value"] for part in case.iter("property")},
    )
