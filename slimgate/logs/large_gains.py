"""A note if the two sides of a comparison may be swapped; for logs and for prediction files."""

from __future__ import annotations

from collections.abc import Iterable

from slimgate.errors import list_names
from slimgate.judge.verdict import QualityJudgement

_MOST_NAMED = 5
# By the kind of a budget and the unit of its interval: what the limit is multiplied with to have this unit.
_FACTORS = {("drop_points", "points"): 1.0, ("increase_relative", "percent"): 100.0}


def describe_large_gains(
    judgements: Iterable[tuple[str, QualityJudgement]], sides: tuple[str, str] = ("base", "target")
) -> list[str]:
    """A line if the target is shown to be better by more than its budget: the sides may be swapped.

    judgements: each with the name of what was judged. sides: the words for base and target.
    """
    gains = [
        name
        for name, judged in judgements
        for budget in judged.budgets
        if (budget.kind, judged.unit) in _FACTORS
        and judged.interval is not None
        and judged.interval[1] < -_FACTORS[budget.kind, judged.unit] * budget.limit
    ]
    if not gains:
        return []
    base, target = sides
    return [
        f"{list_names(gains, _MOST_NAMED)}: the {target} is better than the {base} by more than the budget: "
        f"check that {base} and {target} are not swapped"
    ]
