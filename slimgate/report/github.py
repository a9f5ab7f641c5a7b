"""Output for GitHub Actions: annotations on the lines of a log, and the summary of a step.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from slimgate._system.escape import escape_invisible
from slimgate.record.budgets import list_judged_budgets
from slimgate.record.earlier_results import date_carried_messages
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.results.base import Verdict

_LEVELS = {Verdict.FAIL: "error", Verdict.INCONCLUSIVE: "warning"}
_WORST_FIRST = ("error", "warning")
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


class Finding(NamedTuple):
    """An annotation. level: "error" or "warning"."""

    level: str
    title: str
    message: str


def is_in_actions(environment: Mapping[str, str]) -> bool:
    """Whether a workflow of GitHub runs this process."""
    return environment.get("GITHUB_ACTIONS") == "true"


def list_budget_annotations(record: RunRecord, file: str) -> list[str]:
    """A command for each budget that does not hold, and each variant that failed: errors first.

    file: the suite's path from the root of the repository. An undecided budget is a warning, also if the
    suite lets it fail the run. The title of a result that was carried over from an earlier run has its date.
    """
    findings, dates = list(_iter_findings(record)), date_carried_messages(record)
    ages = {message: f" (carried over, measured {date})" for message, date in dates.items()}
    return [
        f"::{level} file={_escape(file, _PROPERTY)},"
        f"title={_escape(finding.title + ages.get(finding.message, ''), _PROPERTY)}::"
        f"{_escape(_make_visible(finding.message), _DATA)}"
        for level in _WORST_FIRST
        for finding in findings
        if finding.level == level
    ]


def append_summary(path: Path, text: str) -> None:
    """Adds markdown to the summary of the running step."""
    with path.open("a", encoding="utf-8") as summary:
        summary.write(text + "\n")


def _iter_findings(record: RunRecord) -> Iterator[Finding]:
    for model in record.variants:
        if model.error is not None:
            yield Finding("error", f"slimgate: {model.name}", model.error)
        if model.gated:
            yield from _list_variant_findings(model)
    for part in record.self_test.failures.values():
        yield Finding("error", "slimgate: the gate itself", part.message)


def _list_variant_findings(model: VariantRecord) -> Iterator[Finding]:
    """The findings of a variant. Budgets that share a line, such as two on a metric, give the worst only."""
    by_message: dict[str, Finding] = {}
    for judged in list_judged_budgets(model):
        if judged.facts.verdict is Verdict.PASS:
            continue
        message = judged.message or f"{judged.facts.kind} {judged.facts.limit:g}: {judged.facts.verdict}"
        title = f"slimgate: {model.name}, {judged.name}"
        finding = Finding(_LEVELS[judged.facts.verdict], title, message)
        earlier = by_message.setdefault(message, finding)
        by_message[message] = min(earlier, finding, key=lambda known: _WORST_FIRST.index(known.level))
    for name, facts in model.confirm.items():
        if facts.verdict is not None and facts.verdict is not Verdict.PASS:
            message = facts.message or f"confirm: {name}: {facts.verdict}"
            title = f"slimgate: {model.name}, confirm {name}"
            by_message[message] = Finding(_LEVELS[facts.verdict], title, message)
    yield from by_message.values()


def _make_visible(message: str) -> str:
    """Escapes characters that would act on a reader's screen; line ends stay."""
    return re.sub(r"[^\r\n]+", lambda line: escape_invisible(line.group()), message)


def _escape(text: str, by: Mapping[str, str]) -> str:
    return "".join(by.get(character, character) for character in text)
