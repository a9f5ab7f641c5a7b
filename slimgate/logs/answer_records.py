"""Judged logs of answers in the record's own types. A command that prints a table needs none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from slimgate._system.digests import digest_json
from slimgate._system.timestamps import format_now
from slimgate.judge.budget_kinds import list_actions
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.score_metric import ANSWER, CONTENTS, RECORD_KIND, RULES, SEVERAL_RUNS
from slimgate.logs.answer_columns import ANSWER_METRICS
from slimgate.logs.columns import digest_column
from slimgate.logs.comparison_lines import format_comparison
from slimgate.logs.comparisons import Comparison
from slimgate.logs.judge_noise import is_scored_by_judge
from slimgate.logs.judged import digest_logs
from slimgate.logs.pair_notes import ALL_SAMPLES, format_place
from slimgate.logs.quotes import QuotedSample, list_quoted_samples, sort_by_name
from slimgate.logs.verdicts import LogVerdicts
from slimgate.outcomes import Outcomes
from slimgate.plugins.reader import SETTINGS
from slimgate.record.run import VariantRecord
from slimgate.record.task import SplitFacts, TaskFactsRecord
from slimgate.results.base import OnInconclusive
from slimgate.results.behaviour import BehaviourFacts

if TYPE_CHECKING:
    from slimgate.results.base import SwitchedOffBudget

_LONGEST = 400


def make_variant_record(
    name: str,
    verdicts: LogVerdicts,
    on_inconclusive: OnInconclusive,
    choices: Mapping[str, int | None],
    switched_off: Sequence[SwitchedOffBudget],
) -> VariantRecord:
    """A target with its comparisons and notes, without the samples that it quotes.

    choices: as `count_choices` makes them. switched_off: the common budgets that the target does not have.
    """
    measured = format_now()
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": verdicts.target.model,
            "quality": {
                comparison.name: make_quality_facts(
                    comparison.judged,
                    format_comparison(name, comparison),
                    list_actions(comparison.budgets, on_inconclusive),
                    measured=measured,
                    among=choices.get(comparison.name),
                )
                for comparison in verdicts.with_slices
            },
            "notes": list(verdicts.notes),
            "switched_off": list(switched_off),
        }
    )


def make_behaviour(verdicts: LogVerdicts) -> BehaviourFacts | None:
    """Flips over all comparisons whose scores are 0 or 1; None without such comparisons.

    Comparisons with the same scores are counted once.
    """
    comparisons = [
        comparison
        for comparison in verdicts.comparisons
        if comparison.zero_one and comparison.same_as is None and comparison.metric not in ANSWER_METRICS
    ]
    if not comparisons:
        return None
    n = sum(comparison.counts.judged for comparison in comparisons)
    right_to_wrong = sum(comparison.worse for comparison in comparisons)
    wrong_to_right = sum(comparison.better for comparison in comparisons)
    changed = max(right_to_wrong + wrong_to_right, sum(comparison.changed or 0 for comparison in comparisons))
    facts = {
        "n": n,
        "flips": {
            "right_to_wrong": right_to_wrong,
            "wrong_to_right": wrong_to_right,
            "changed": changed,
            "quoted": [_quote_sample(sample) for sample in list_quoted_samples(verdicts)],
            "quoted_better": [_quote_sample(sample) for sample in list_quoted_samples(verdicts, better=True)],
        },
        "agreement": 1 - changed / n,
        "measured": format_now(),
    }
    return BehaviourFacts.model_validate(facts)


def _quote_sample(sample: QuotedSample) -> dict[str, object]:
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


def make_task_facts(verdicts: Sequence[LogVerdicts], base: Outcomes) -> TaskFactsRecord:
    """The record of the comparisons and samples. verdicts: of each target. base: all scores of the base."""
    first = verdicts[0]
    by_target = [sort_by_name(judged) for judged in verdicts]
    return TaskFactsRecord(
        kind=RECORD_KIND,
        params={
            "comparisons": [
                _describe_comparison(same, first.base.tool) for same in zip(*by_target, strict=True)
            ],
            CONTENTS: {
                _name_place(comparison): dict(comparison.contents)
                for comparison in by_target[0]
                if comparison.contents
            },
            **_describe_slices(first),
            RULES: {
                "missing": first.rules.missing,
                "allow": sorted(first.rules.allow),
                "analyses": first.rules.analyses,
                **({} if first.rules.checks is None else {"refusals": first.rules.checks.refusals}),
                "compared": _list_compared_settings(verdicts),
                "differences": sorted(set[str]().union(*(judged.accepted for judged in verdicts))),
            },
        },
        source={
            "name": first.base.tool,
            "base": first.base.shown,
            "targets": [judged.target.shown for judged in verdicts],
            "files": digest_logs([first.base, *(judged.target for judged in verdicts)]),
            "computed": [row.name for row in first.comparisons if _is_computed(row)],
        },
        real=True,
        classes=[],
        splits={
            "gate": SplitFacts(
                n=len(base),
                digest=digest_json([sorted(base.ids.tolist())]),
                dropped_overlap=0,
                repeats=0,
                groups=None if base.groups is None else len(np.unique(base.groups)),
            )
        },
    )


def _is_computed(comparison: Comparison) -> bool:
    """Whether slimgate computes the figure, from the answers or over a corpus, and not the tool."""
    return comparison.metric in ANSWER_METRICS or comparison.corpus is not None


def _describe_comparison(same: Sequence[Comparison], tool: str) -> dict[str, object]:
    """The entry of a comparison. same: the comparison of each target. tool: that wrote the base's log."""
    first = same[0]
    ends = first.score_range
    return {
        "name": first.name,
        "higher_is_better": first.higher_is_better,
        "zero_one": all(comparison.zero_one for comparison in same),
        # JSON has no infinity
        "range": None if ends is None else [end if isfinite(end) else None for end in ends],
        "cap": first.cap,
        **({} if first.corpus is None else {"corpus": first.corpus}),
        **({} if first.length_in is None else {"length_in": first.length_in}),
        **_describe_contents(first, tool),
    }


def _list_compared_settings(verdicts: Sequence[LogVerdicts]) -> list[str]:
    """The settings that both logs of every comparison state, so that a difference between them is noticed."""
    stated = [
        log.tasks[comparison.task].settings.keys()
        for judged in verdicts
        for comparison in judged.comparisons
        for log in (judged.base, judged.target)
        if comparison.task in log.tasks
    ]
    return [name for name in SETTINGS if all(name in settings for settings in stated)]


def _describe_contents(comparison: Comparison, tool: str) -> dict[str, str]:
    """The entries of a comparison that later releases are compared with; none without `contents`.

    scores: a digest of the base's scores, to 6 decimals, in the order of the ids. Only scores that the
    answers alone decide have one: not those of a judge model, and not those of choices by their
    probabilities. Several runs of the base have none, because their answers are not compared.
    """
    if not comparison.contents:
        return {}
    entry = {CONTENTS: _name_place(comparison)}
    is_comparable = comparison.contents.get(ANSWER, SEVERAL_RUNS) != SEVERAL_RUNS
    if is_comparable and not is_scored_by_judge(comparison.metric, tool):
        scores = comparison.base[np.argsort(comparison.ids, kind="stable")].round(6)
        entry["scores"] = digest_column(scores)
    return entry


def _name_place(comparison: Comparison) -> str:
    return format_place(comparison.task, comparison.filter) or ALL_SAMPLES


def _describe_slices(verdicts: LogVerdicts) -> dict[str, object]:
    """The entry `slices`: by name, the comparison, field, value and samples of each; {} without slices."""
    slices = {
        part.name: {
            "of": part.slice_of.name,
            "field": part.slice_of.field,
            "value": part.slice_of.value,
            "samples": digest_json([sorted(part.ids.tolist())]),
        }
        for part in verdicts.slices
        if part.slice_of is not None
    }
    return {"slices": slices} if slices else {}
