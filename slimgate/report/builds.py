"""Stochastic variants by seed: how much another build would differ, apart from the choice of rows."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate._system.number_text import format_fixed, format_points
from slimgate.budgets.registry import is_in_points
from slimgate.judge.budget_kinds import find_builds_budget, is_two_sided, measure_harm
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.status import list_variants
from slimgate.report.tables import Column, blocks, make_pipe_table
from slimgate.results.quality import BuildsFacts, QualityFacts

_EXPLAINED = """\
{about} Between builds: the standard deviation of the drops by seed, on these same rows. Sampling: the
standard error of the first build's drop, that is, what other gate rows would change."""
_FIRST = "The verdicts are about the build of the first seed, which is the one that ships."
_MEAN = """\
Verdicts are about the build of the first seed, which is the one that ships. Budgets "over builds" are about
the mean of all builds: brackets hold the 90 % interval of the mean drop, over builds and rows."""


def format_builds_section(record: RunRecord) -> str:
    """The table, and what its columns are; empty if the suite has one seed."""
    rebuilt = list(_list_repeated_builds(record))
    if not rebuilt:
        return ""
    columns = [
        Column("variant", [escape(model.name) for model, _, _ in rebuilt]),
        Column("metric", [escape(metric) for _, metric, _ in rebuilt]),
        Column(
            "drop by seed, points",
            [
                ", ".join(
                    f"{seed}: {format_fixed(drop, 1)}"
                    for seed, drop in zip(spread.seeds, spread.drops_points, strict=True)
                )
                for _, _, spread in rebuilt
            ],
        ),
        Column(
            "mean",
            [_format_mean(model.quality[metric], spread) for model, metric, spread in rebuilt],
            right=True,
        ),
        Column("between builds", [format_fixed(spread.sd_points, 2) for _, _, spread in rebuilt], right=True),
        Column(
            "sampling", [format_fixed(spread.sampling_se_points, 2) for _, _, spread in rebuilt], right=True
        ),
    ]
    over_builds = any(
        budget.builds for model, metric, _ in rebuilt for budget in model.quality[metric].budgets
    )
    return blocks(make_pipe_table(columns), _EXPLAINED.format(about=_MEAN if over_builds else _FIRST))


def list_unlucky_builds(record: RunRecord) -> Iterator[str]:
    """Lines on variants with another seed's build whose drop exceeds a budget on the first build."""
    for model, metric, spread in _list_repeated_builds(record):
        drops = list(zip(spread.seeds[1:], spread.drops_points[1:], strict=True))
        exceeded = [
            budget
            for budget in model.quality[metric].budgets
            if is_in_points(budget.kind)
            and budget.builds is None
            and any(measure_harm(drop, [budget]) > budget.limit for _, drop in drops)
        ]
        if exceeded:
            strictest = min(exceeded, key=lambda budget: budget.limit)
            over = [
                f"seed {seed} by {format_fixed(drop, 1)}"
                for seed, drop in drops
                if measure_harm(drop, [strictest]) > strictest.limit
            ]
            named = f"{escape(model.name)}, {escape(metric)}: builds by other seeds"
            verb = "differ" if is_two_sided([strictest]) else "drop"
            limit = f"the budget of {format_points(strictest.limit)}"
            yield f"{named} {verb} by more than {limit} ({', '.join(over)})."


def _list_repeated_builds(record: RunRecord) -> Iterator[tuple[VariantRecord, str, BuildsFacts]]:
    for model in list_variants(record):
        for metric, facts in model.quality.items():
            if facts.builds is not None:
                yield model, metric, facts.builds


def _format_mean(facts: QualityFacts, spread: BuildsFacts) -> str:
    """A text such as `0.90 [-0.31, 2.11]`."""
    shown, judged = format_fixed(spread.mean_points, 2), find_builds_budget(facts.budgets)
    if judged is None or judged.interval is None:
        return shown
    low, high = (format_fixed(end, 2) for end in judged.interval)
    return f"{shown} [{low}, {high}]"
