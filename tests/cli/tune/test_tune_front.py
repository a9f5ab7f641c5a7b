"""Which trials are on the front, and which are kept for each budget."""

from __future__ import annotations

import random
from collections.abc import Sequence

from slimgate.cli.tune.measuring import Measurements, State, Trial
from slimgate.cli.tune.search import choose_trials, find_pareto_front, holds_by_budget
from slimgate.judge.speed import Speedup
from slimgate.suite.tune_space import Space

SPACE = Space(0, "s", "teacher", (), None)


def trial(number: int, speed: float, *budget_uses: float, state: State = State.TIMED) -> Trial:
    """A trial whose slower workload has that lower bound; inside a budget if it uses less than 1 of it."""
    timed = {
        load: Speedup(s, (s, s), s, noise_floor=0.0, rounds=12)
        for load, s in (("a", speed), ("b", 2 * speed))
    }
    inside = tuple(budget_use < 1 for budget_use in budget_uses)
    measurements = Measurements(
        {}, budget_uses, inside, timed if state is State.TIMED else {}, 1, 1.0, 0.0, False
    )
    return Trial(number, SPACE, (), state, None, None if state is State.FAILED else measurements)


def numbers(trials: Sequence[Trial]) -> list[int]:
    return [candidate.number for candidate in trials]


def test_the_front_is_what_no_other_beats() -> None:
    generator = random.Random(3)
    trials = [trial(i, generator.randint(1, 9), generator.randint(-3, 9) / 4) for i in range(60)]

    def beaten(candidate: Trial) -> bool:
        return any(
            other.speed >= candidate.speed
            and other.budget_use <= candidate.budget_use
            and (other.speed, other.budget_use) != (candidate.speed, candidate.budget_use)
            for other in trials
        )

    free = {(candidate.speed, candidate.budget_use) for candidate in trials if not beaten(candidate)}
    front = find_pareto_front(trials)
    assert {(candidate.speed, candidate.budget_use) for candidate in front} == free
    assert len(front) == len(free)  # of equal ones the first
    assert front == sorted(front, key=lambda candidate: -candidate.speed)


def test_what_failed_or_was_not_timed_is_not_on_the_front() -> None:
    trials = [trial(1, 9.0, 0.1, state=State.FAILED), trial(2, 9.0, 1.4, state=State.BEYOND)]
    assert find_pareto_front(trials) == []


def test_for_each_budget_the_fastest_inside_it_are_kept_once() -> None:
    trials = [
        trial(1, 9.0, 3.0, 0.9),
        trial(2, 5.0, 0.8, 0.4),
        trial(3, 4.9, 0.9, 0.45),
        trial(4, 3.0, 0.2, 0.1),
    ]
    chosen = choose_trials(trials, tiers=2, keep=2)
    # of the first budget the two of the front before 3, which 2 beats
    assert [(choice.trial.number, choice.tier, choice.inside) for choice in chosen] == [
        (2, 0, True),
        (4, 0, True),
        (1, 1, True),
    ]
    assert holds_by_budget(chosen, tiers=2) == [True, True]


def test_where_none_is_inside_the_nearest_is_kept_and_called_so() -> None:
    trials = [trial(1, 9.0, 1.5, state=State.BEYOND), trial(2, 2.0, 1.9, 1.0), trial(3, 3.0, 1.2, 1.0)]
    chosen = choose_trials(trials[1:], tiers=1, keep=3)
    assert [(choice.trial.number, choice.inside) for choice in chosen] == [(3, False)]
    assert holds_by_budget(chosen, tiers=1) == [False]
    assert [choice.trial.number for choice in choose_trials(trials[:1], tiers=1, keep=3)] == [1]
    assert choose_trials([trial(1, 1.0, state=State.FAILED)], tiers=1, keep=3) == []


def test_the_nearest_trial_is_kept_for_the_budget_that_it_holds() -> None:
    trials = [trial(1, 3.0, 1.5, 0.9), trial(2, 2.0, 1.6, 0.8)]
    chosen = choose_trials(trials, tiers=2, keep=1)
    assert [(choice.trial.number, choice.tier, choice.inside) for choice in chosen] == [(1, 1, True)]
    assert holds_by_budget(chosen, tiers=2) == [False, True]
    strict_last = [trial(1, 3.0, 0.9, 1.5), trial(2, 2.0, 0.8, 1.2)]
    chosen = choose_trials(strict_last, tiers=2, keep=1)
    assert [(choice.trial.number, choice.tier, choice.inside) for choice in chosen] == [
        (1, 0, True),
        (2, 1, False),
    ]
