"""The search: proposes, builds, judges and times step lists until time, trials or the space are used up.

Then it selects trials: those that no other trial beats in drops and speed, and those to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slimgate.cli.tune.clock import OutOfTime
from slimgate.cli.tune.measuring import Bench, Measurements, State, Trial
from slimgate.cli.tune.proposing import Proposer
from slimgate.errors import SlimgateError, SuiteError, format_error
from slimgate.suite.reader import Reader
from slimgate.suite.suite import Suite, Variant
from slimgate.suite.tune_reading import find_free_name, make_candidate
from slimgate.suite.tune_space import Drawn

# Impossible step lists cost no time and do not count as trials; this many of them in a row end a search.
_MOST_IMPOSSIBLE = 200

OnTrial = Callable[[Trial], None]


@dataclass(frozen=True)
class Searched:
    """All trials in order, why the search ended, and how long it took."""

    trials: tuple[Trial, ...]
    stopped: str
    seconds: float


def search(
    suite: Suite,
    reader: Reader,
    bench: Bench,
    proposer: Proposer,
    *,
    max_trials: int,
    on_trial: OnTrial,
) -> Searched:
    """Runs trials; a failed one is reported and the search goes on. SIGINT and the clock end only the search.

    Raises the errors of building the teacher.
    """
    trials: list[Trial] = []

    def run_trial(drawn: Drawn) -> Trial:
        number = len(trials) + 1
        try:
            variant = make_candidate(reader, suite, drawn, find_free_name(f"trial-{number}", suite))
        except SuiteError as error:
            return _make_trial(number, drawn, State.IMPOSSIBLE, str(error))
        return _measure_trial(number, drawn, variant, bench)

    try:
        bench.prepare()
        impossible = counted = 0
        while counted < max_trials and impossible < _MOST_IMPOSSIBLE:
            bench.clock.check()
            drawn = proposer.propose_next()
            if drawn is None:
                return Searched(tuple(trials), "every step list was tried", bench.clock.seconds_used)
            trial = run_trial(drawn)
            proposer.tell(drawn, trial)
            trials.append(trial)
            on_trial(trial)
            impossible = impossible + 1 if trial.state is State.IMPOSSIBLE else 0
            counted += trial.state is not State.IMPOSSIBLE
        stopped = f"{counted} trials were made"
    except OutOfTime as error:
        stopped = str(error).rpartition(": ")[2]
    except KeyboardInterrupt:
        stopped = "interrupted"
    return Searched(tuple(trials), stopped, bench.clock.seconds_used)


def _measure_trial(number: int, drawn: Drawn, variant: Variant, bench: Bench) -> Trial:
    figures: Measurements | None = None
    try:
        figures = bench.judge(variant)
        if min(figures.budget_uses) > 1:
            return _make_trial(
                number, drawn, State.BEYOND, "it is outside every budget on selection", figures
            )
        return _make_trial(number, drawn, State.TIMED, None, bench.time(variant, figures))
    except OutOfTime:
        raise
    except SlimgateError as error:
        return _make_trial(number, drawn, State.FAILED, str(error), figures)
    except Exception as error:  # a user's runtime or metric may raise any error
        return _make_trial(number, drawn, State.FAILED, format_error(error), figures)


def _make_trial(
    number: int, drawn: Drawn, state: State, reason: str | None, figures: Measurements | None = None
) -> Trial:
    steps = tuple(step for _, step in drawn.steps)
    return Trial(number, drawn.space, steps, state, reason=reason, figures=figures)


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
    picks = [Chosen(trial, tier, inside=True) for tier, picked in inside.items() for trial in picked]
    picks += [pick for tier in range(tiers) if not inside[tier] for pick in _find_nearest_trial(trials, tier)]
    chosen: list[Chosen] = []
    for pick in picks:
        if pick.trial not in [other.trial for other in chosen]:
            chosen.append(pick)
    return sorted(chosen, key=lambda choice: choice.tier)


def holds_by_budget(chosen: Sequence[Chosen], *, tiers: int) -> list[bool]:
    """For each budget, whether a chosen trial is within it, even if it was chosen for another budget."""
    measured = [choice.trial.figures for choice in chosen if choice.inside and choice.trial.figures]
    return [any(figures.inside[tier] for figures in measured) for tier in range(tiers)]


def _find_nearest_trial(trials: Sequence[Trial], tier: int) -> list[Chosen]:
    """The timed trial that uses least of the budget, else such a measured trial; empty without trials."""
    measured = [t for t in trials if t.figures is not None and t.state is not State.FAILED]
    timed = [t for t in measured if t.state is State.TIMED] or measured
    nearest = sorted(
        timed, key=lambda t: (t.figures.budget_uses[tier] if t.figures else 0.0, -t.speed, t.number)
    )
    return [Chosen(trial, tier, inside=False) for trial in nearest[:1]]
