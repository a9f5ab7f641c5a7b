"""Proposals: each step list once, the same for a seed, and learnt from what came of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slimgate.cli.tune.measuring import Measurements, State, Trial
from slimgate.cli.tune.proposing import Proposer, format_steps
from slimgate.judge.speed import Speedup
from slimgate.suite.tune_space import Choice, Drawn, Range, Space, StepTemplate

SMALL = Space(
    0,
    "small",
    "teacher",
    (
        StepTemplate({"keep_layers": Choice("layers", ((0,), (0, 5), (5, 0)))}, Choice("out", (False, True))),
        StepTemplate({"prune_ffn": {"pruning_ratio": Choice("ratio", (0.25, 0.5))}}, None),
    ),
    None,
)
LARGE = Space(
    0,
    "large",
    "teacher",
    (
        StepTemplate(
            {"low_rank": {"rank": Range("rank", 1, 900, log=False, step=None, is_whole=True)}}, None
        ),
        StepTemplate({"fine_tune": {"learning_rate": Range("rate", 1e-4, 1e-2, True, None, False)}}, None),
    ),
    None,
)


def trial(number: int, drawn: Drawn, budget_use: float, speed: float) -> Trial:
    speedup = Speedup(speed, (speed, speed), speed, noise_floor=0.0, rounds=12)
    measurements = Measurements({}, (budget_use,), (budget_use < 1,), {"b1": speedup}, 1, 1.0, 0.0, False)
    return Trial(number, drawn.space, (), State.TIMED, None, measurements)


def proposals(space: Space, count: int, seed: int, result: Callable[[int, Drawn], Trial]) -> list[Drawn]:
    proposer = Proposer([space], seed=seed, trials=count)
    proposed: list[Drawn] = []
    while len(proposed) < count and (drawn := proposer.propose_next()) is not None:
        proposed.append(drawn)
        proposer.tell(drawn, result(len(proposed), drawn))
    return proposed


def failed(number: int, drawn: Drawn) -> Trial:
    return Trial(number, drawn.space, (), State.FAILED, "no")


def test_a_small_space_is_tried_to_its_end_each_step_list_once() -> None:
    for result in (failed, lambda n, drawn: trial(n, drawn, 0.5, 2.0)):
        keys = [drawn.key for drawn in proposals(SMALL, 50, 0, result)]
        assert len(keys) == len(set(keys)) == 8


def test_a_seed_gives_the_same_proposals() -> None:
    def keys(seed: int) -> list[str]:
        return [drawn.key for drawn in proposals(LARGE, 12, seed, failed)]

    assert keys(1) == keys(1) != keys(2)


def test_the_search_stays_away_from_what_is_outside_the_budget() -> None:
    def measured(number: int, drawn: Drawn) -> Trial:
        rank = drawn.picks["rank"]  # the lower, the faster; below 300 the drop leaves the budget
        return trial(number, drawn, budget_use=2 - rank / 300, speed=900 / rank)

    ranks = [drawn.picks["rank"] for drawn in proposals(LARGE, 60, 0, measured)]
    assert sum(rank < 300 for rank in ranks[-30:]) < 30 / 3 / 2  # by chance it were a third


def test_numbers_are_inside_their_range_and_can_be_read() -> None:
    rates = [
        step["fine_tune"]["learning_rate"]
        for drawn in proposals(LARGE, 5, 0, failed)
        for _, step in drawn.steps[1:]
    ]
    assert all(1e-4 <= rate <= 1e-2 and rate == float(f"{rate:.3g}") for rate in rates)


def test_a_step_list_in_short() -> None:
    steps = [{"keep_layers": (0, 2)}, {"distill": {"epochs": 2, "learning_rate": 0.000234}}, {"cast": {}}]
    assert format_steps(steps) == "keep_layers [0, 2] · distill epochs 2 learning_rate 0.000234 · cast"


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [
        (0.999, 0.9999, None, None),
        (100.0, 102.0, 0.5, {100.0, 100.5, 101.0, 101.5, 102.0}),
        (0.1, 0.3, 0.1, {0.1, 0.2, 0.3}),
        (1000.0, 1010.0, 2.5, {1000.0, 1002.5, 1005.0, 1007.5, 1010.0}),
    ],
    ids=["narrow", "half-steps", "tenths", "thousands"],
)
def test_all_numbers_of_a_range_are_tried(
    low: float, high: float, step: float | None, expected: set[float] | None
) -> None:
    decay = Range("decay", low, high, False, step, False)
    space = Space(0, "decay", "teacher", (StepTemplate({"own": {"decay": decay}}, None),), None)
    drawn = proposals(space, 20, 0, failed)
    decays = {step_list.picks["decay"] for step_list in drawn}
    if expected is None:
        assert len(decays) == 20
        assert all(low <= decay <= high and decay == round(decay, 6) for decay in decays)
    else:
        assert decays == expected
