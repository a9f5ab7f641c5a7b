"""Selects trials: those that no other trial beats in drops and speed, and those to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimgate.cli.tune.trial import State, Trial


@dataclass(frozen=True)
class Chosen:
    """A trial to keep. tier: the number of its budget. inside: whether it is within that budget."""

    trial: Trial
    tier: int
    inside: bool


def find_pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """The timed trials that no other trial beats, the fastest first.

    A trial beats another if it uses less of its budget and is not slower, or is faster and uses no more of
    its budget. Of equal trials, the first counts.
    """
    timed = [trial for trial in trials if trial.state is State.TIMED]
    front: list[Trial] = []
    for candidate in sorted(timed, key=lambda trial: (-trial.speed, trial.budget_use, trial.number)):
        if not front or candidate.budget_use < front[-1].budget_use:
            front.append(candidate)
    return front


def choose_trials(trials: Sequence[Trial], *, tiers: int, keep: int) -> list[Chosen]:
    """For each budget, the fastest trials within it; trials of the front come first. Each trial counts once.

    If no trial is within a budget, it takes the nearest one, which may still hold on the gate: it has more
    rows. A trial that is within another budget is kept for that one.
    """
    front = find_pareto_front(trials)
    ranked = [*front, *sorted((t for t in trials if t not in front), key=lambda t: (-t.speed, t.number))]
    inside = {
        tier: [t for t in ranked if t.state is State.TIMED and t.figures and t.figures.inside[tier]][:keep]
        for tier in range(tiers)
    }
    picks = [Chosen(trial, tier, True) for tier, picked in inside.items() for trial in picked]
    picks += [pick for tier in range(tiers) if not inside[tier] for pick in _nearest_trials(trials, tier)]
    chosen: list[Chosen] = []
    for pick in picks:
        if pick.trial not in [other.trial for other in chosen]:
            chosen.append(pick)
    return sorted(chosen, key=lambda choice: choice.tier)


def holds_by_budget(chosen: Sequence[Chosen], *, tiers: int) -> list[bool]:
    """For each budget, whether a chosen trial is within it, even if it was chosen for another budget."""
    measured = [choice.trial.figures for choice in chosen if choice.inside and choice.trial.figures]
    return [any(figures.inside[tier] for figures in measured) for tier in range(tiers)]


def _nearest_trials(trials: Sequence[Trial], tier: int) -> list[Chosen]:
    """The timed trial that uses least of the budget; if no trial was timed, such a measured trial."""
    measured = [t for t in trials if t.figures is not None and t.state is not State.FAILED]
    timed = [t for t in measured if t.state is State.TIMED] or measured
    nearest = sorted(
        timed, key=lambda t: (t.figures.budget_uses[tier] if t.figures else 0.0, -t.speed, t.number)
    )
    return [Chosen(trial, tier, False) for trial in nearest[:1]]
