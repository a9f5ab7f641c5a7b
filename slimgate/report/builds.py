"""Stochastic variants by seed: what another build would change, apart from what other rows would."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate.record import BuildsFacts, QualityFacts, RunRecord, VariantRecord
from slimgate.report.figures import MISSING, to_fixed
from slimgate.report.status import variants
from slimgate.report.tables import Column, blocks, table

_EXPLAINED = """\
The verdicts are about the build of the first seed, which is the one that ships. Between builds: the standard
deviation of the drops by seed, on these same rows. Sampling: the standard error of the first build's drop,
that is, what other gate rows would change."""


def builds(record: RunRecord) -> str:
    """The table, and what its columns are; nothing where the suite has one seed."""
    found = list(_built_often(record))
    if not found:
        return ""
    columns = [
        Column("variant", [escape(model.name) for model, _, _ in found]),
        Column("metric", [escape(metric) for _, metric, _ in found]),
        Column("drop by seed, points", [_by_seed(one) for _, _, one in found]),
        Column("mean", [to_fixed(one.mean_points, 2) for _, _, one in found], right=True),
        Column("between builds", [_number(one.sd_points) for _, _, one in found], right=True),
        Column("sampling", [_number(one.sampling_se_points) for _, _, one in found], right=True),
    ]
    return blocks(table(columns), _EXPLAINED)


def unlucky_builds(record: RunRecord) -> Iterator[str]:
    """Lines on variants of which another seed's build drops by more than a budget allows."""
    for model, metric, one in _built_often(record):
        limit = _allowed_points(model.quality[metric])
        over = [
            f"seed {seed} by {to_fixed(drop, 1)}"
            for seed, drop in zip(one.seeds[1:], one.drops_points[1:], strict=True)
            if limit is not None and drop > limit
        ]
        if over:
            named = f"{escape(model.name)}, {escape(metric)}: builds by other seeds"
            yield f"{named} drop by more than the budget of {limit:g} points ({', '.join(over)})."


def _built_often(record: RunRecord) -> Iterator[tuple[VariantRecord, str, BuildsFacts]]:
    for model in variants(record):
        for metric, facts in model.quality.items():
            if facts.builds is not None:
                yield model, metric, facts.builds


def _allowed_points(facts: QualityFacts) -> float | None:
    limits = [budget.limit for budget in facts.budgets if budget.kind == "drop_points"]
    return min(limits, default=None)


def _by_seed(one: BuildsFacts) -> str:
    pairs = zip(one.seeds, one.drops_points, strict=True)
    return ", ".join(f"{seed}: {to_fixed(drop, 1)}" for seed, drop in pairs)


def _number(value: float | None) -> str:
    return MISSING if value is None else to_fixed(value, 2)
