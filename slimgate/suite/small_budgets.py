"""Budgets in points that look like fractions: 0.02 is 0.02 percentage points, and 2 points may be meant."""

from __future__ import annotations

from slimgate.suite.suite import Suite

POINTS = "drop_points"
# Two rows in 10,000 and less: no gate split of a usual size decides it.
SMALL = 0.1


def small_budgets(suite: Suite) -> list[str]:
    """A line for each such budget, once for all its variants."""
    found: dict[tuple[str, float], list[str]] = {}
    for name, own in suite.budgets.items():
        for metric, budgets in own.quality.items():
            for budget in budgets:
                if budget.kind == POINTS and budget.limit < SMALL:
                    found.setdefault((metric, budget.limit), []).append(name)
    return [
        f"budget {metric} {POINTS} {limit:g} ({', '.join(names)}): {ask_for_points(POINTS, limit)}"
        for (metric, limit), names in found.items()
    ]


def ask_for_points(key: str, limit: float) -> str:
    """What to ask somebody who gave such a limit. key: where the limit came from."""
    meant = f"{key} {100 * limit:g}" if key.startswith("-") else f"{key} = {100 * limit:g}"
    return f"points are percentage points, so {limit:g} is {limit:g} %. Did you mean {meant}?"
