"""The record of `slimgate judge --report DIR`: run.json, reports and outcomes, as every run has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from slimgate import __version__
from slimgate._system.digests import json_digest
from slimgate._system.files import write_atomically
from slimgate.cli.judge.log_output import facts_of
from slimgate.data.log_files.verdicts import LogVerdicts, QuotedSample, by_name, outcomes_of, quoted_samples
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.judge.verdict import Verdict
from slimgate.outcomes import Outcomes
from slimgate.record import (
    RunRecord,
    SelfTest,
    SplitFacts,
    SuiteFacts,
    TaskFactsRecord,
    VariantRecord,
    to_json,
)
from slimgate.record.files import OUTCOMES, RECORD, TEACHER
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run_verdict import verdict
from slimgate.report.files import write_reports
from slimgate.run.environment import describe_machine
from slimgate.run.gate_results import now

JUNIT = "junit.xml"
_LONGEST = 400


def write_record(judged: Mapping[str, LogVerdicts], wish: OnInconclusive, folder: Path, command: str) -> Path:
    """Writes the folder and gives it back. Raises DataError where the targets judged other samples."""
    first = next(iter(judged.values()))
    answers = {TEACHER: outcomes_of(first, of_base=True)}
    for name, one in judged.items():
        if not np.array_equal(outcomes_of(one, of_base=True).ids, answers[TEACHER].ids):
            raise DataError(
                f"--report: {name} was judged on other tasks, metrics or samples than the first target; "
                "judge each target into a folder of its own"
            )
        answers[name] = outcomes_of(one, of_base=False)
    record = _record(judged, wish, folder, command, answers[TEACHER])
    (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    for name, outcomes in answers.items():
        write_outcomes(outcomes, folder / OUTCOMES / f"{name}.parquet")
    write_atomically(folder / RECORD, to_json(record))
    write_atomically(folder / JUNIT, _junit(record))
    write_reports(record, folder, None)
    return folder


def _record(
    judged: Mapping[str, LogVerdicts], wish: OnInconclusive, folder: Path, command: str, base: Outcomes
) -> RunRecord:
    first = next(iter(judged.values()))
    variants = [_teacher(first), *(_variant(name, one, wish) for name, one in judged.items())]
    found = verdict(variants, SelfTest(), missing=0)
    title = f"{first.base.model or first.base.shown} and {', '.join(judged)}"
    by_target = [by_name(one) for one in judged.values()]
    tasks = [
        {
            "name": same[0].name,
            "higher_is_better": same[0].higher_is_better,
            "zero_one": all(one.zero_one for one in same),
        }
        for same in zip(*by_target, strict=True)
    ]
    task = TaskFactsRecord(
        kind=RECORD_KIND,
        params={"comparisons": tasks},
        source={"name": first.base.tool, "base": first.base.shown},
        real=True,
        classes=[],
        splits={
            "gate": SplitFacts(
                n=len(base),
                digest=json_digest([base.ids.tolist()]),
                dropped_overlap=0,
                repeats=0,
                groups=None if base.groups is None else len(np.unique(base.groups)),
            )
        },
    )
    return RunRecord(
        slimgate=__version__,
        created=now(),
        command=command,
        machine=describe_machine(threads=1, device="cpu"),
        suite=SuiteFacts(
            path=f"{folder.resolve().name}.toml", title=title, digest=json_digest(tasks), seeds=[0]
        ),
        task=task,
        variants=variants,
        self_test=SelfTest(),
        verdict=found,
        this_run=found,
    )


def _teacher(first: LogVerdicts) -> VariantRecord:
    quality = {
        one.name: {
            "teacher": one.judged.teacher,
            "value": one.judged.teacher,
            "n": one.judged.n,
            "measured": now(),
        }
        for one in first.everything
    }
    return VariantRecord.model_validate({"name": TEACHER, "parent": first.base.model, "quality": quality})


def _variant(name: str, verdicts: LogVerdicts, wish: OnInconclusive) -> VariantRecord:
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": verdicts.target.model,
            "quality": facts_of(name, verdicts, wish),
            "behaviour": _behaviour(verdicts),
        }
    )


def _behaviour(verdicts: LogVerdicts) -> dict[str, Any] | None:
    """Flips over all comparisons of right and wrong; None where there are none."""
    found = [one for one in verdicts.comparisons if one.zero_one]
    if not found:
        return None
    n = sum(one.counts.judged for one in found)
    turned = [sum(getattr(one, side) for one in found) for side in ("worse", "better")]
    changed = max(sum(turned), sum(one.changed or 0 for one in found))
    return {
        "n": n,
        "flips": {
            "right_to_wrong": turned[0],
            "wrong_to_right": turned[1],
            "changed": changed,
            "quoted": [_quote_sample(one) for one in quoted_samples(verdicts)],
        },
        "agreement": 1 - changed / n,
        "measured": now(),
    }


def _quote_sample(one: QuotedSample) -> dict[str, Any]:
    return {
        "id": f"{one.comparison}: {one.id}",
        "label": _cut(one.base.target),
        "teacher": _cut(one.base.answer),
        "variant": _cut(one.target.answer),
        "text": _cut(one.base.prompt),
    }


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


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
