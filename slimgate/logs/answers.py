"""Logs of answers as judged files: a result for each comparison, and flips over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from slimgate._system.digests import json_digest
from slimgate._system.timestamps import format_now
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import OnInconclusive, list_actions
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import message
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.logs.answer_columns import ANSWER_METRICS
from slimgate.logs.comparisons import Comparison
from slimgate.logs.judged import JudgedFiles, make_base_record
from slimgate.logs.quotes import QuotedSample, by_name, outcomes_of, quoted_samples
from slimgate.logs.verdicts import LogVerdicts
from slimgate.outcomes import Outcomes
from slimgate.plugins.reader import Log
from slimgate.record import BehaviourFacts, RunVerdict, SelfTest, SplitFacts, TaskFactsRecord, VariantRecord
from slimgate.record.files import TEACHER
from slimgate.record.run_verdict import verdict

_LONGEST = 400


class JudgedAnswers(JudgedFiles):
    """verdicts: by target."""

    def __init__(self, verdicts: Mapping[str, LogVerdicts], on_inconclusive: OnInconclusive) -> None:
        self.verdicts = verdicts
        self._first = next(iter(verdicts.values()))
        self._judged = {
            name: _make_variant_record(name, judged, on_inconclusive) for name, judged in verdicts.items()
        }

    @cached_property
    def targets(self) -> Mapping[str, VariantRecord]:  # type: ignore[override]
        """With the samples that they quote, for which the logs are read again."""
        return {
            name: record.model_copy(update={"behaviour": _make_behaviour(self.verdicts[name])})
            for name, record in self._judged.items()
        }

    def verdict_of(self, name: str) -> RunVerdict:
        return verdict([self._judged[name]], SelfTest(), missing=0)

    @cached_property
    def _base_outcomes(self) -> Outcomes:
        return outcomes_of(self._first, of_base=True)

    @property
    def base_name(self) -> str:
        return self._first.base.model or self._first.base.shown

    @property
    def base_log(self) -> Log:
        return self._first.base

    def base_record(self) -> VariantRecord:
        judged = {comparison.name: comparison.judged for comparison in self._first.everything}
        return make_base_record(judged, self._first.base.model)

    def check_one_report(self) -> None:
        ids = self._base_outcomes.ids
        for name, judged in [*self.verdicts.items()][1:]:
            if not np.array_equal(outcomes_of(judged, of_base=True).ids, ids):
                raise DataError(
                    f"{name} was judged on other tasks, metrics or samples than the first target; "
                    "give each target a separate report"
                )

    def outcomes(self) -> Mapping[str, Outcomes]:
        answers = {name: outcomes_of(judged, of_base=False) for name, judged in self.verdicts.items()}
        return {TEACHER: self._base_outcomes, **answers}

    def _describe_slices(self) -> dict[str, Any]:
        """`slices`: by name of what comparison, field and value each is; nothing where there are none."""
        parts = {part.name: part.slice_of for part in self._first.slices if part.slice_of is not None}
        slices = {
            name: {"of": part.name, "field": part.field, "value": part.value} for name, part in parts.items()
        }
        return {"slices": slices} if slices else {}

    def task_facts(self) -> TaskFactsRecord:
        by_target = [by_name(judged) for judged in self.verdicts.values()]
        comparisons = [
            {
                "name": same[0].name,
                "higher_is_better": same[0].higher_is_better,
                "zero_one": all(comparison.zero_one for comparison in same),
                "range": _to_finite_ends(same[0].score_range),
                "cap": same[0].cap,
                **({} if same[0].corpus is None else {"corpus": same[0].corpus}),
                **({} if same[0].length_in is None else {"length_in": same[0].length_in}),
            }
            for same in zip(*by_target, strict=True)
        ]
        base = self._base_outcomes
        return TaskFactsRecord(
            kind=RECORD_KIND,
            params={"comparisons": comparisons, **self._describe_slices()},
            source={
                "name": self._first.base.tool,
                "base": self._first.base.shown,
                "targets": [judged.target.shown for judged in self.verdicts.values()],
            },
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


def _quality_facts(
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


def _to_finite_ends(score_range: tuple[float, float] | None) -> list[float | None] | None:
    """The ends of the range for JSON; None for an infinite end."""
    return score_range and [end if isfinite(end) else None for end in score_range]


def _make_variant_record(name: str, verdicts: LogVerdicts, on_inconclusive: OnInconclusive) -> VariantRecord:
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": verdicts.target.model,
            "quality": _quality_facts(name, verdicts, on_inconclusive),
            "notes": list(verdicts.notes),
        }
    )


def _make_behaviour(verdicts: LogVerdicts) -> BehaviourFacts | None:
    """Flips over all comparisons of right and wrong; None if there are none."""
    comparisons = [
        comparison
        for comparison in verdicts.comparisons
        if comparison.zero_one and comparison.metric not in ANSWER_METRICS
    ]
    if not comparisons:
        return None
    n = sum(comparison.counts.judged for comparison in comparisons)
    turned = [sum(getattr(comparison, side) for comparison in comparisons) for side in ("worse", "better")]
    changed = max(sum(turned), sum(comparison.changed or 0 for comparison in comparisons))
    facts = {
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
    return BehaviourFacts.model_validate(facts)


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
