"""A judgement as the one line that a gate prints."""

from __future__ import annotations

from slimgate.judge.verdict import BudgetVerdict, QualityJudgement, Verdict

_MOST_DECIMALS = 4


def message(name: str, judgement: QualityJudgement) -> str:
    """`int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8], budget 1.0 (n=872, Tango): FAIL`.

    name: the variant. Points have one decimal, and more where one would round a bound onto its budget.
    """
    digits = _decimals(judgement)
    bounds = ", ".join(f"{bound:z.{digits}f}" for bound in judgement.interval or ())
    drop = f"drop {judgement.drop_points:z.{digits}f} points" + (f" [{bounds}]" if bounds else "")
    budgets = "".join(f", {_budget(one, digits)}" for one in judgement.budgets)
    return (
        f"{name}: {judgement.metric} {judgement.value:.3f} vs {judgement.teacher:.3f}, {drop}{budgets} "
        f"(n={judgement.n}, {judgement.method}): {_outcome(judgement)}"
    )


def _decimals(judgement: QualityJudgement) -> int:
    for digits in range(1, _MOST_DECIMALS):
        if all(
            round(bound, digits) != round(budget.limit, digits) or bound == budget.limit
            for bound in (*(judgement.interval or ()), judgement.drop_points)
            for budget in judgement.budgets
        ):
            return digits
    return _MOST_DECIMALS


def _budget(budget: BudgetVerdict, digits: int) -> str:
    kind = "" if budget.kind == "drop_points" else f"{budget.kind} "
    # a limit is shown as it was set: 0.25 is not 0.2
    shown = f"{budget.limit:.{digits}f}"
    return f"budget {kind}{shown if float(shown) == budget.limit else f'{budget.limit:g}'}"


def _outcome(judgement: QualityJudgement) -> str:
    if judgement.verdict is None:
        return "not gated"
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        return str(judgement.verdict)
    if judgement.n_needed is None:
        return "INCONCLUSIVE, the drop equals its budget: no number of gate rows would tell"
    return f"INCONCLUSIVE, about {_about(judgement.n_needed):,} gate rows would tell"


def _about(rows: int) -> int:
    """Two significant digits."""
    return int(float(f"{rows:.1e}"))
