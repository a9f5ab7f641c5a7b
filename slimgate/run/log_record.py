"""The record of verdicts on logs: run.json and outcomes, as every run has them, and the log of the base."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from slimgate import __version__
from slimgate._system.digests import json_digest
from slimgate._system.files import write_atomically
from slimgate.data.log_files.kept import write_base_log
from slimgate.data.log_files.verdicts import (
    Comparison,
    LogVerdicts,
    QuotedSample,
    by_name,
    outcomes_of,
    quoted_samples,
)
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import OnInconclusive, wishes
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import message
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.outcomes import Outcomes
from slimgate.record import (
    QualityFacts,
    RunRecord,
    RunVerdict,
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
from slimgate.run.environment import describe_machine
from slimgate.run.gate_results import now
from slimgate.samples import BASE_LOG

_LONGEST = 400


def write_log_record(
    judged: Mapping[str, LogVerdicts],
    wish: OnInconclusive,
    folder: Path,
    *,
    suite: str,
    command: str,
    seed: int,
    title: str | None = None,
) -> RunRecord:
    """Writes what the reports are made of into a folder. suite: the path that the record has of it.

    seed: of the bootstrap. title: default the names of targets and base.

    Raises DataError where the targets judged other samples.
    """
    first = next(iter(judged.values()))
    answers = {TEACHER: outcomes_of(first, of_base=True)}
    for name, one in judged.items():
        if not np.array_equal(outcomes_of(one, of_base=True).ids, answers[TEACHER].ids):
            raise DataError(
                f"{name} was judged on other tasks, metrics or samples than the first target; "
                "give each target a report of its own"
            )
        answers[name] = outcomes_of(one, of_base=False)
    record = _record(judged, wish, suite, command, seed, answers[TEACHER], title)
    (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    for name, outcomes in answers.items():
        write_outcomes(outcomes, folder / OUTCOMES / f"{name}.parquet")
    write_atomically(folder / RECORD, to_json(record))
    write_base_log(first.base, folder / BASE_LOG)
    return record


def facts_of(name: str, verdicts: LogVerdicts, wish: OnInconclusive) -> dict[str, dict[str, Any]]:
    """By comparison what the record has of it, the largest drop first."""
    measured = now()
    return {
        one.name: {
            **quality_facts(one.judged, comparison_line(name, one), wishes(one.budgets, wish)),
            "measured": measured,
        }
        for one in verdicts.everything
    }


def verdict_of(name: str, verdicts: LogVerdicts, wish: OnInconclusive) -> RunVerdict:
    """Counted as in a run of one variant."""
    quality = {key: QualityFacts.model_validate(one) for key, one in facts_of(name, verdicts, wish).items()}
    return verdict([VariantRecord(name=name, parent=None, quality=quality)], SelfTest(), missing=0)


def comparison_line(name: str, one: Comparison) -> str:
    """The verdict's line, with what the base's own noise says of it."""
    line = message(name, one.judged)
    if one.counts.missing:
        line += f" ({one.counts.missing:,} samples have no score in one log or both: --missing)"
    noise = one.noise
    if noise is None:
        return line
    own, other = (f"{100 * share:.1f} %" for share in (noise.psi, one.flips_share))
    share = f"the base changes {own} of samples by itself, this one {other}"
    change = "drop" if one.judged.drop_points >= 0 else "gain"
    within = f"; the {change} is within the base's own noise" if noise.covers(one.judged.drop_points) else ""
    return f"{line} ({share}{within})"


def _record(
    judged: Mapping[str, LogVerdicts],
    wish: OnInconclusive,
    suite: str,
    command: str,
    seed: int,
    base: Outcomes,
    title: str | None,
) -> RunRecord:
    first = next(iter(judged.values()))
    variants = [_teacher(first), *(_variant(name, one, wish) for name, one in judged.items())]
    found = verdict(variants, SelfTest(), missing=0)
    title = title or f"{', '.join(judged)} against {first.base.model or first.base.shown}"
    by_target = [by_name(one) for one in judged.values()]
    tasks = [
        {
            "name": same[0].name,
            "higher_is_better": same[0].higher_is_better,
            "zero_one": all(one.zero_one for one in same),
            "range": _finite_ends(same[0].score_range),
            "cap": same[0].cap,
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
        suite=SuiteFacts(path=suite, title=title, digest=json_digest(tasks), seeds=[seed]),
        task=task,
        variants=variants,
        self_test=SelfTest(),
        verdict=found,
        this_run=found,
    )


def _finite_ends(score_range: tuple[float, float] | None) -> list[float | None] | None:
    """The ends as JSON has them; None for one that is infinite."""
    return score_range and [end if isfinite(end) else None for end in score_range]


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
            "notes": list(verdicts.notes),
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
            "quoted_better": [_quote_sample(one) for one in quoted_samples(verdicts, better=True)],
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
        "text": _cut(one.base.prompt, from_end=True),
    }


def _cut(text: str | None, *, from_end: bool = False) -> str | None:
    """At most 400 characters; of a prompt its end says most."""
    if text is None or len(text) <= _LONGEST:
        return text
    return f"…{text[-_LONGEST:]}" if from_end else f"{text[:_LONGEST]}…"
