"""Writes the record of verdicts on logs: run.json and outcomes, as for every run, and the log of the base."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from slimgate import __version__
from slimgate._system.digests import json_digest
from slimgate._system.files import write_atomically
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import OnInconclusive, list_actions
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import message
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.logs.base_log import write_base_log
from slimgate.logs.verdicts import (
    Comparison,
    LogVerdicts,
    QuotedSample,
    by_name,
    outcomes_of,
    quoted_samples,
)
from slimgate.outcomes import Outcomes
from slimgate.plugins.reader import BASE_LOG
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
from slimgate.run.gate_results import format_now

_LONGEST = 400


def write_log_record(
    judged: Mapping[str, LogVerdicts],
    on_inconclusive: OnInconclusive,
    folder: Path,
    *,
    suite: str,
    command: str,
    seed: int,
    title: str | None = None,
) -> RunRecord:
    """Writes the record from which reports are made into a folder. suite: its path in the record.

    seed: of the bootstrap. title: default is the names of targets and base.

    Raises DataError if the targets were judged on different samples.
    """
    first = next(iter(judged.values()))
    answers = {TEACHER: outcomes_of(first, of_base=True)}
    for name, verdicts in judged.items():
        if not np.array_equal(outcomes_of(verdicts, of_base=True).ids, answers[TEACHER].ids):
            raise DataError(
                f"{name} was judged on other tasks, metrics or samples than the first target; "
                "give each target a report of its own"
            )
        answers[name] = outcomes_of(verdicts, of_base=False)
    record = _make_record(judged, on_inconclusive, suite, command, seed, answers[TEACHER], title)
    (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    for name, outcomes in answers.items():
        write_outcomes(outcomes, folder / OUTCOMES / f"{name}.parquet")
    write_atomically(folder / RECORD, to_json(record))
    write_base_log(first.base, folder / BASE_LOG)
    return record


def make_quality_facts(
    name: str, verdicts: LogVerdicts, on_inconclusive: OnInconclusive
) -> dict[str, dict[str, Any]]:
    """The record's facts of each comparison, the largest drop first."""
    measured = format_now()
    return {
        comparison.name: {
            **quality_facts(
                comparison.judged,
                format_comparison(name, comparison),
                list_actions(comparison.budgets, on_inconclusive),
            ),
            "measured": measured,
        }
        for comparison in verdicts.everything
    }


def make_run_verdict(name: str, verdicts: LogVerdicts, on_inconclusive: OnInconclusive) -> RunVerdict:
    """The verdict, counted as in a run with one variant."""
    quality = {
        key: QualityFacts.model_validate(facts)
        for key, facts in make_quality_facts(name, verdicts, on_inconclusive).items()
    }
    return verdict([VariantRecord(name=name, parent=None, quality=quality)], SelfTest(), missing=0)


def format_comparison(name: str, comparison: Comparison) -> str:
    """The verdict's line, with a comparison to the base's own noise."""
    line = message(name, comparison.judged)
    if comparison.counts.missing:
        line += f" ({comparison.counts.missing:,} samples have no score in one log or both: --missing)"
    noise = comparison.noise
    if noise is None:
        return line
    own_share, other = (f"{100 * share:.1f} %" for share in (noise.psi, comparison.flips_share))
    share = f"the base changes {own_share} of samples by itself, this one {other}"
    change = "drop" if comparison.judged.drop_points >= 0 else "gain"
    within = (
        f"; the {change} is within the base's own noise"
        if noise.covers(comparison.judged.drop_points)
        else ""
    )
    return f"{line} ({share}{within})"


def _make_record(
    judged: Mapping[str, LogVerdicts],
    on_inconclusive: OnInconclusive,
    suite: str,
    command: str,
    seed: int,
    base: Outcomes,
    title: str | None,
) -> RunRecord:
    first = next(iter(judged.values()))
    variants = [
        _make_teacher_record(first),
        *(_make_variant_record(name, verdicts, on_inconclusive) for name, verdicts in judged.items()),
    ]
    run_verdict = verdict(variants, SelfTest(), missing=0)
    title = title or f"{', '.join(judged)} against {first.base.model or first.base.shown}"
    by_target = [by_name(verdicts) for verdicts in judged.values()]
    tasks = [
        {
            "name": same[0].name,
            "higher_is_better": same[0].higher_is_better,
            "zero_one": all(comparison.zero_one for comparison in same),
            "range": _to_finite_ends(same[0].score_range),
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
        created=format_now(),
        command=command,
        machine=describe_machine(threads=1, device="cpu"),
        suite=SuiteFacts(path=suite, title=title, digest=json_digest(tasks), seeds=[seed]),
        task=task,
        variants=variants,
        self_test=SelfTest(),
        verdict=run_verdict,
        this_run=run_verdict,
    )


def _to_finite_ends(score_range: tuple[float, float] | None) -> list[float | None] | None:
    """The ends of the range for JSON; None for an infinite end."""
    return score_range and [end if isfinite(end) else None for end in score_range]


def _make_teacher_record(first: LogVerdicts) -> VariantRecord:
    quality = {
        comparison.name: {
            "teacher": comparison.judged.teacher,
            "value": comparison.judged.teacher,
            "n": comparison.judged.n,
            "measured": format_now(),
        }
        for comparison in first.everything
    }
    return VariantRecord.model_validate({"name": TEACHER, "parent": first.base.model, "quality": quality})


def _make_variant_record(name: str, verdicts: LogVerdicts, on_inconclusive: OnInconclusive) -> VariantRecord:
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": verdicts.target.model,
            "quality": make_quality_facts(name, verdicts, on_inconclusive),
            "behaviour": _make_behaviour(verdicts),
            "notes": list(verdicts.notes),
        }
    )


def _make_behaviour(verdicts: LogVerdicts) -> dict[str, Any] | None:
    """Flips over all comparisons of right and wrong; None if there are none."""
    comparisons = [comparison for comparison in verdicts.comparisons if comparison.zero_one]
    if not comparisons:
        return None
    n = sum(comparison.counts.judged for comparison in comparisons)
    turned = [sum(getattr(comparison, side) for comparison in comparisons) for side in ("worse", "better")]
    changed = max(sum(turned), sum(comparison.changed or 0 for comparison in comparisons))
    return {
        "n": n,
        "flips": {
            "right_to_wrong": turned[0],
            "wrong_to_right": turned[1],
            "changed": changed,
            "quoted": [_quote_sample(sample) for sample in quoted_samples(verdicts)],
            "quoted_better": [_quote_sample(sample) for sample in quoted_samples(verdicts, better=True)],
        },
        "agreement": 1 - changed / n,
        "measured": format_now(),
    }


def _quote_sample(sample: QuotedSample) -> dict[str, Any]:
    return {
        "id": f"{sample.comparison}: {sample.id}",
        "label": _cut_text(sample.base.target),
        "teacher": _cut_text(sample.base.answer),
        "variant": _cut_text(sample.target.answer),
        "text": _cut_text(sample.base.prompt, from_end=True),
    }


def _cut_text(text: str | None, *, from_end: bool = False) -> str | None:
    """The text cut to 400 characters; from_end keeps the end, which says most of a prompt."""
    if text is None or len(text) <= _LONGEST:
        return text
    return f"…{text[-_LONGEST:]}" if from_end else f"{text[:_LONGEST]}…"
