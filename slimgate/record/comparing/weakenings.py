"""Compares what a gate demands with what an earlier gate demanded: whether it got weaker.

`slimgate compare`, `slimgate accept` and --slimgate-baseline share this check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimgate.plugins.rows import JUDGING
from slimgate.record.budgets import clean_reason, is_looser
from slimgate.record.comparing.demands import ABOVE_CAP, format_setting, list_weaker_settings
from slimgate.record.comparing.facts import BudgetChange
from slimgate.record.task import DemandedBudget, Demands
from slimgate.record.verdicts import ONLY_WARNS, Weakening
from slimgate.results.checks import TEACHER

# The option `over` with this value covers all builds, not only the rows of one build.
_OVER, _ALL_BUILDS = "over", "builds"


def find_weakenings(before: Demands, now: Demands, *, accepted: str | None = None) -> list[Weakening]:
    """Everything that the gate demands less now; changes without a reason come first.

    accepted: why the new gate was accepted with all of its changes. A demand that is unknown now, such as
    that on the rows, is no weakening.
    """
    common = find_common_reason(before, now, accepted)
    weaker = [
        *_list_weaker_variants(before, now),
        *(
            Weakening(
                about="budgets",
                change=f"{change.variant}, {change.budget}: {change.kind} {_describe_change(change)}",
                reason=change.reason,
            )
            for change in find_budget_changes(before, now, accepted=accepted)
            if change.looser and not change.gates_no_more  # its variant is listed
        ),
        *_list_weaker_rows(before, now),
        *list_weaker_settings(before.settings, now.settings),
        *_list_weaker_teacher(before, now),
    ]
    explained = [
        weakening if weakening.reason is not None else weakening.model_copy(update={"reason": common})
        for weakening in weaker
    ]
    return sorted(explained, key=lambda weakening: weakening.reason is not None)


def find_common_reason(before: Demands, now: Demands, accepted: str | None) -> str | None:
    """The reason for all changes of the gate. A reason that the earlier gate had is not about them."""
    new_reason = clean_reason(now.reason) if now.reason != before.reason else None
    return accepted or new_reason


def find_budget_changes(before: Demands, now: Demands, *, accepted: str | None = None) -> list[BudgetChange]:
    """Limits that changed, for models that are in both gates; looser limits first."""
    common = find_common_reason(before, now, accepted)
    models = [TEACHER, *(name for name in now.gated if name in before.gated)]
    changes = [change for name in models for change in _list_changes(name, before, now, common)]
    return sorted(changes, key=lambda change: (not change.looser, change.reason is not None))


def _list_changes(name: str, before: Demands, now: Demands, common: str | None) -> Iterator[BudgetChange]:
    olds, news = _select_gating_budgets(before, name), _select_gating_budgets(now, name)
    is_gated = now.gated.get(name, True)
    for key, old in olds.items():
        if key in news:
            yield from _compare_budgets(old, news[key], common)
        elif not (is_gated and _is_unjudged(now, old)):
            yield BudgetChange(
                variant=name,
                budget=old.budget,
                kind=old.kind,
                before=old.limit,
                after=None,
                looser=True,
                gates_no_more=not is_gated,
                # The reason for which a variant is not gated is no reason to drop its budget.
                reason=(_find_reason_off(before, now, old) if is_gated else None) or common,
            )
    for key, new in news.items():
        if key not in olds and not _is_unjudged(before, new):
            yield BudgetChange(
                variant=name,
                budget=new.budget,
                kind=new.kind,
                before=None,
                after=new.limit,
                looser=False,
                reason=new.reason,
            )


def _find_reason_off(before: Demands, now: Demands, budget: DemandedBudget) -> str | None:
    """The new reason for which a variant switches a budget off; None if the earlier gate had this reason."""
    earlier = {clean_reason(off.reason) for off in before.switched_off.get(budget.variant, ())}
    reasons = [
        clean_reason(off.reason)
        for off in now.switched_off.get(budget.variant, ())
        if (off.budget, off.kind) == (budget.budget, budget.kind)
    ]
    return next((reason for reason in reasons if reason not in earlier), None)


def _select_gating_budgets(demands: Demands, name: str) -> dict[tuple[str, str], DemandedBudget]:
    if not demands.gated.get(name, True):
        return {}
    return {(budget.budget, budget.kind): budget for budget in demands.budgets if budget.variant == name}


def _is_unjudged(demands: Demands, budget: DemandedBudget) -> bool:
    """Whether the gate has this budget with an unknown limit, because its run did not judge it."""
    names = demands.unjudged.get(budget.variant, ())
    return any(
        budget.budget in (name, *name.split(" and ")) or name.partition(" ")[0] == budget.budget
        for name in names
    )


def _compare_budgets(old: DemandedBudget, new: DemandedBudget, common: str | None) -> Iterator[BudgetChange]:
    # None if it did not change, or if a record does not state it.
    was, now = old.on_inconclusive, new.on_inconclusive
    undecided = None if was is None or now is None or was == now else (was, now)
    options = None if old.options == new.options else (old.options, new.options)
    if old.limit == new.limit and undecided is None and options is None:
        return
    is_weaker = (
        is_looser(new.kind, new.limit, old.limit)
        or undecided == ONLY_WARNS
        or (options is not None and not _is_stricter(*options))
    )
    # A reason that the earlier budget had is not about this change.
    new_reason = clean_reason(new.reason) if new.reason != old.reason else None
    yield BudgetChange(
        variant=new.variant,
        budget=new.budget,
        kind=new.kind,
        before=old.limit,
        after=new.limit,
        looser=is_weaker,
        reason=new_reason or (common if is_weaker else None),
        undecided=undecided,
        options=options,
    )


def _is_stricter(before: Mapping[str, object], now: Mapping[str, object]) -> bool:
    """Whether each changed option of a budget is known to make it stricter."""
    changed = {name for name in {**before, **now} if before.get(name) != now.get(name)}
    return all(_is_stricter_option(name, before.get(name), now.get(name)) for name in changed)


def _is_stricter_option(name: str, before: object, now: object) -> bool:
    if name == _OVER:
        return now == _ALL_BUILDS
    return name == ABOVE_CAP and isinstance(before, float) and isinstance(now, float) and now < before


def _describe_change(change: BudgetChange) -> str:
    if change.gates_no_more:
        return f"was {change.before:g} and does not gate any more"
    if change.after is None:
        return f"was {change.before:g} and is gone"
    parts = [] if change.after == change.before else [f"was {change.before:g} and is {change.after:g}"]
    if change.undecided == ONLY_WARNS:
        parts.append("failed the run if it was undecided, and only warns now")
    if change.options is not None:
        was, now = map(format_setting, change.options)
        parts.append(f"was with {was} and is with {now}")
    return ", ".join(parts)


def _list_weaker_variants(before: Demands, now: Demands) -> Iterator[Weakening]:
    for name, gated in before.gated.items():
        if gated and name not in now.gated:
            yield Weakening(about="variants", change=f"{name} is gone, with its budgets")
        elif gated and not now.gated[name]:
            yield Weakening(about="variants", change=f"{name} is not gated now: it fails no run")


def _list_weaker_rows(before: Demands, now: Demands) -> Iterator[Weakening]:
    for name, old in before.rows.items():
        new = now.rows.get(name)
        if not now.rows or (new is not None and new.digest == old.digest):
            continue
        rows = f"the {name} rows" if name in JUDGING else f"the {name} rows, on which the teacher is trained,"
        if new is None:
            yield Weakening(about="rows", change=f"{rows} are gone")
        else:
            counts = f"{old.n:,} rows then, {new.n:,} now"
            yield Weakening(about="rows", change=f"{rows} have changed ({counts})")


def _list_weaker_teacher(before: Demands, now: Demands) -> Iterator[Weakening]:
    if before.teacher is not None and now.teacher is not None and before.teacher != now.teacher:
        yield Weakening(about="settings", change="the teacher is another model: its files differ")
    if now.self_tests is None:
        return
    for name in before.self_tests or ():
        if name not in now.self_tests:
            yield Weakening(about="settings", change=f"the self-test {name} has not run")
