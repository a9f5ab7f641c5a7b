"""A judgement as the one line that a gate prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimgate._system.number_text import count_digits_apart, format_significant
from slimgate.budgets.registry import is_in_points, is_two_sided_kind
from slimgate.judge.budget_kinds import list_point_limits
from slimgate.judge.capped import WORST
from slimgate.judge.over_builds import MOST_BUILDS
from slimgate.judge.over_runs import MOST_RUNS
from slimgate.judge.verdict import QualityJudgement
from slimgate.results.base import BudgetFacts, CappedFacts, Verdict

# factor on the rows of the run, above which a message suggests no number: labelling is too much work
_OUT_OF_REACH = 100


def format_message(name: str, judgement: QualityJudgement, *, since: str | None = None) -> str:
    """A text such as `int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8], budget 1.0 (n=872): FAIL`.

    name: the variant; since: the baseline that takes the teacher's place. Points have one decimal, and more
    if one decimal would round a bound to its budget. A budget on both sides is `budget ±1.0`. Other kinds of
    budget come with the value that they limit: `floor 0.80: 0.812 [0.801, 0.823]`, in the unit of the limit.
    Budgets over builds have that form too: `budget 2.0 over 3 builds: 2.5 [0.9, 4.1]`.
    """
    digits = _count_decimals(judgement)
    bounds = ", ".join(f"{bound:z.{digits}f}" for bound in judgement.interval or ())
    word, unit = ("grown", "%") if judgement.unit == "percent" else ("drop", "points")
    drop = f"{word} {judgement.drop_points:z.{digits}f} {unit}" + (f" [{bounds}]" if bounds else "")
    drop += format_cap(judgement.budgets)
    values = f"{_format_value(judgement.value)} vs {_format_value(judgement.teacher)}"
    if since is not None:
        values += f" in the baseline {since}"
    budgets = "".join(f", {_format_budget(budget, digits)}" for budget in judgement.budgets)
    return (
        f"{name}: {judgement.metric} {values}, {drop}{budgets} "
        f"(n={format_rows(judgement.n, judgement.groups)}{format_runs(judgement.runs)}"
        f"{_format_strays(judgement)}): "
        f"{_format_outcome(judgement)}"
    )


def format_cap(budgets: Iterable[BudgetFacts]) -> str:
    """` with the cap` if rows lost more than it: the two values are without it, so they differ by more."""
    is_above = any(budget.capped is not None and budget.capped.above > 0 for budget in budgets)
    return " with the cap" if is_above else ""


def format_runs(runs: tuple[int, int] | None) -> str:
    """`, 3 runs of each`, or `, 3 and 5 runs`; empty for one run."""
    if runs is None:
        return ""
    return f", {runs[0]} runs of each" if runs[0] == runs[1] else f", {runs[0]} and {runs[1]} runs"


def _format_strays(judgement: QualityJudgement) -> str:
    """`; no label: 6 predictions of the teacher, 0 of the variant`; empty if there are none."""
    if judgement.strays is None:
        return ""
    before, after = judgement.strays
    return f"; no label: {before:,} predictions of the teacher, {after:,} of the variant"


def format_teacher_message(judgement: QualityJudgement) -> str:
    """A text such as `teacher: accuracy, floor 0.85: 0.911 [0.898, 0.923] (n=872): PASS`."""
    budgets = "".join(f", {_format_budget(budget, 3)}" for budget in judgement.budgets)
    rows = format_rows(judgement.n, judgement.groups)
    return f"teacher: {judgement.metric}{budgets} (n={rows}): {_format_outcome(judgement)}"


def format_rows(n: int, groups: int | None) -> str:
    """`2000`, or `2000 in 100 groups` if rows come in groups."""
    return f"{n}" if groups is None else f"{n} in {groups} groups"


def _format_value(value: float) -> str:
    """0.884; two decimals for values that are not shares, such as 23.41."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def _count_decimals(judgement: QualityJudgement) -> int:
    over_builds = [budget for budget in judgement.budgets if is_in_points(budget.kind) and budget.interval]
    ends = [end for budget in over_builds for end in budget.interval or ()]
    shown = (*(judgement.interval or ()), judgement.drop_points, *ends)
    return count_digits_apart(shown, list_point_limits(judgement.budgets), fewest=1)


def _format_budget(budget: BudgetFacts, digits: int) -> str:
    if is_in_points(budget.kind):
        # a limit keeps the digits of the suite: 0.25 is not 0.2
        shown = f"{budget.limit:.{digits}f}"
        limit = shown if float(shown) == budget.limit else f"{budget.limit:g}"
        named = f"budget {_choose_sign(budget.kind)}{limit}"
    else:
        # 0.8 as 0.80, 0.825 as it is
        is_short = round(budget.limit, 2) == budget.limit
        named = f"{budget.kind} {budget.limit:.2f}" if is_short else f"{budget.kind} {budget.limit:g}"
    named += format_builds(budget.builds)
    if budget.value is not None:
        bounds = budget.interval or ()
        if not is_in_points(budget.kind):
            digits = count_digits_apart((budget.value, *bounds), [budget.limit], fewest=3)
        named += f": {budget.value:z.{digits}f}"
        if bounds:
            named += f" [{', '.join(f'{bound:z.{digits}f}' for bound in bounds)}]"
    return named if budget.capped is None else f"{named}, {format_share_above(budget.capped)}"


def format_share_above(capped: CappedFacts) -> str:
    """`above the cap of 1: 0.3 % [0.1, 0.9], limit 0.25 %`, with the uncapped mean if a row is above."""
    percent = [100 * share for share in (capped.above_max, capped.above, *capped.above_interval)]
    digits = count_digits_apart(percent[1:], percent[:1], fewest=2, show=_format_digits)
    limit, share, low, high = (_format_digits(number, digits) for number in percent)
    uncapped = f", {format_significant(capped.uncapped)} without the cap" if capped.above > 0 else ""
    cap = f"{capped.cap:,.0f}" if capped.cap >= 100 else f"{capped.cap:.3g}"
    return f"above the cap of {cap}: {share} % [{low}, {high}], limit {limit} %{uncapped}"


def _format_digits(number: float, digits: int) -> str:
    return f"{number:.{digits}g}"


def _choose_sign(kind: str) -> str:
    """`±` for a limit on both sides."""
    return "±" if is_two_sided_kind(kind) else ""


def format_builds(builds: int | None) -> str:
    """` over 3 builds`; empty for a budget over rows."""
    if builds is None:
        return ""
    return " (all builds are equal)" if builds == 1 else f" over {builds} builds"


def _format_outcome(judgement: QualityJudgement) -> str:
    if judgement.verdict is None:
        return "not gated"
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        return str(judgement.verdict)
    if judgement.withheld is not None:
        return f"INCONCLUSIVE, {judgement.withheld}"
    if judgement.family is not None:
        return f"INCONCLUSIVE, {judgement.family}"
    undecided = [budget for budget in judgement.budgets if budget.verdict is Verdict.INCONCLUSIVE]
    if any((budget.builds or 1) > 1 for budget in undecided):
        if len(undecided) == 1:
            return f"INCONCLUSIVE, {_describe_builds_needed(undecided[0], judgement)}"
        clauses = [f"{_format_limit(budget)}: {_describe_needed(budget, judgement)}" for budget in undecided]
        return f"INCONCLUSIVE, {'; '.join(clauses)}"
    if judgement.runs is not None and undecided:
        clauses = [_describe_runs_needed(budget, judgement, judgement.runs) for budget in undecided]
        if len(undecided) > 1:
            clauses = [
                f"{_format_limit(budget)}: {text}" for budget, text in zip(undecided, clauses, strict=True)
            ]
        return f"INCONCLUSIVE, {'; '.join(clauses)}"
    if judgement.n_needed is None:
        return f"INCONCLUSIVE, {_describe_value_at_limit(judgement)}: no number of rows would decide"
    words = describe_rows_needed(judgement.n_needed, judgement.n, judgement.groups)
    return f"INCONCLUSIVE, {describe_undecided(undecided)}{words}"


def describe_undecided(budgets: Sequence[BudgetFacts]) -> str:
    """What else must be shown for a capped mean that is inside; empty if the mean itself is undecided."""
    conditions = [() if budget.capped is None else budget.capped.undecided for budget in budgets]
    if not conditions or any(not names or "mean" in names for names in conditions):
        return ""
    if any("share" in names for names in conditions):
        return "the mean is inside, and the share above the cap (above_cap_max) is undecided: "
    return (
        "the mean and the share above the cap are inside, but not the mean in which a row counts for up to "
        f"{WORST:g} caps: "
    )


def _format_limit(budget: BudgetFacts) -> str:
    """`budget 2 over 3 builds`, or `floor 0.8`."""
    kind = f"budget {_choose_sign(budget.kind)}" if is_in_points(budget.kind) else f"{budget.kind} "
    return f"{kind}{budget.limit:g}{format_builds(budget.builds)}"


def _describe_needed(budget: BudgetFacts, judgement: QualityJudgement) -> str:
    """The words on what would decide one of several undecided budgets."""
    if (budget.builds or 1) > 1:
        return _describe_builds_needed(budget, judgement)
    if budget.n_needed is None:
        return "at its limit, no number of rows would decide"
    return describe_rows_needed(budget.n_needed, judgement.n, judgement.groups)


def describe_rows_needed(needed: int, n: int, groups: int | None = None) -> str:
    """`about 3,500 rows would decide`; or that this is far more than n.

    needed: the rows that would decide. n, groups: those of the run; groups is None if rows are independent.
    """
    words = f"{_format_about_rows(needed, n, groups)} would decide"
    return f"too close to its budget: {words}" if needed > _OUT_OF_REACH * n else words


def _format_about_rows(needed: int, n: int, groups: int | None) -> str:
    """`about 3,500 rows`; `about 3,500 rows in 700 groups`, because more rows of a group decide less."""
    rows = f"about {_round(needed):,} rows"
    return rows if groups is None else f"{rows} in {_round(needed * groups / n):,} groups"


def _round(number: float) -> int:
    """Rounds to two digits."""
    return int(float(f"{number:.1e}"))


def _describe_builds_needed(budget: BudgetFacts, judgement: QualityJudgement) -> str:
    """The builds and rows that would decide a budget over builds."""
    builds = f"{budget.builds_needed} builds in place of {budget.builds}" if budget.builds_needed else None
    return _describe_plan(budget, judgement, builds, noun="builds", largest=f"{MOST_BUILDS} builds")


def _describe_runs_needed(budget: BudgetFacts, judgement: QualityJudgement, counts: tuple[int, int]) -> str:
    """The runs and rows that would decide a budget over runs. counts: the runs that there are."""
    runs = f"{budget.runs_needed} runs of each" if budget.runs_needed else None
    largest = f"{max(MOST_RUNS, *counts)} runs of each"
    return _describe_plan(budget, judgement, runs, noun="runs", largest=largest)


def _describe_plan(
    budget: BudgetFacts, judgement: QualityJudgement, repeats: str | None, *, noun: str, largest: str
) -> str:
    """`5 builds in place of 3, or about 4,000 rows, would decide`: more builds or runs, more rows, or both.

    repeats: the builds or runs that would decide, in words; None if no number would. largest: the most that
    were tried, in words.
    """
    rows = _describe_reachable_rows(budget, judgement)
    if budget.needs_both and rows is not None:
        return f"{repeats} together with {rows} would decide"
    if repeats is not None and not budget.needs_both:
        also = f", or {rows}," if rows is not None else ""
        return f"{repeats}{also} would decide" + ("" if also else "; more rows alone would not")
    if rows is not None:
        return f"{rows} would decide; more {noun} alone would not"
    return f"too close to its budget: no number of rows, nor {largest}, would decide"


def _describe_reachable_rows(budget: BudgetFacts, judgement: QualityJudgement) -> str | None:
    """`about 4,000 rows`; None if none would decide, or far more than there are."""
    if budget.n_needed is None or budget.n_needed > _OUT_OF_REACH * judgement.n:
        return None
    return _format_about_rows(budget.n_needed, judgement.n, judgement.groups)


def _describe_value_at_limit(judgement: QualityJudgement) -> str:
    undecided = [budget for budget in judgement.budgets if budget.verdict is Verdict.INCONCLUSIVE]
    if any(budget.n_needed is None and budget.capped is not None for budget in undecided):
        return "the limited value equals its limit, or the rows above the cap lose more than the budget"
    kinds = [budget.kind for budget in undecided if budget.n_needed is None]
    if all(map(is_in_points, kinds)):
        return "the drop equals its budget"
    return f"the value that {kinds[0]} limits equals its limit"
