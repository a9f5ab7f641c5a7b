"""Proposes the next step list: Optuna's TPE over two objectives, each step list once.

Objectives (Ozaki et al. 2022, J. Artif. Intell. Res. 73): the share of a budget that the bound of the drop
uses up, and the lower bound of the speed-up. A trial outside of every budget violates a constraint by its
distance; it has no speed-up and counts as the slowest.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import chain, islice
from math import floor, log10
from typing import TYPE_CHECKING, Any

from slimgate._system.requirements import import_extra
from slimgate.cli.tune.measuring import State, Trial
from slimgate.plugins.base import Json
from slimgate.suite.tune_space import Choice, Dimension, Drawn, Range, Space, draw_steps, iterate_step_lists

if TYPE_CHECKING:
    import optuna

# How often the sampler may repeat step lists before a new step list is taken without it.
_REPEATS = 20
# The number of step lists among which the new one is chosen.
_LISTED = 10_000
_LARGEST = 1e6


class Proposer:
    """Asks Optuna for step lists and reports their results to it. Raises MissingExtra without optuna."""

    def __init__(self, spaces: Sequence[Space], *, seed: int, trials: int) -> None:
        """trials: the largest number of trials; a quarter of them, 4 to 10, is drawn at random first."""
        optuna = import_extra("optuna", "tune", "slimgate tune")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(4, trials // 4)))
        self._study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._spaces = {space.name: space for space in spaces}
        self._random = random.Random(seed)
        self._asked: dict[str, Any] = {}
        self._told: dict[str, Trial] = {}

    def propose_next(self) -> Drawn | None:
        """A step list that was not proposed before; None if there is none left."""
        for _ in range(_REPEATS):
            question = self._study.ask()
            drawn = self._ask(question)
            if drawn.key not in self._told:
                self._asked[drawn.key] = question
                return drawn
            self._tell(question, self._told[drawn.key])
        # A random one of the rest; of long ranges only the ends count.
        every = chain.from_iterable(map(iterate_step_lists, self._spaces.values()))
        listed = (drawn for drawn in islice(every, _LISTED) if drawn.key not in self._told)
        # several picks may give equal step lists
        left = list({drawn.key: drawn for drawn in listed}.values())
        if not left:
            return None
        untried = self._random.choice(left)
        self._study.enqueue_trial({"space": untried.space.name, **untried.picks})
        self._asked[untried.key] = self._study.ask()
        return self._ask(self._asked[untried.key])

    def tell(self, drawn: Drawn, trial: Trial) -> None:
        """Reports the result of a proposed step list."""
        self._told[drawn.key] = trial
        self._tell(self._asked.pop(drawn.key), trial)

    def _tell(self, question: optuna.Trial, trial: Trial) -> None:
        if trial.state in (State.FAILED, State.IMPOSSIBLE):
            self._study.tell(question, state=self._failed)
            return
        budget_use = min(trial.budget_use, _LARGEST)
        question.set_constraint("outside", budget_use - 1)
        self._study.tell(question, (budget_use, trial.speed))

    def _ask(self, question: optuna.Trial) -> Drawn:
        name = question.suggest_categorical("space", list(self._spaces))
        return draw_steps(self._spaces[name], lambda dimension: _suggest(question, dimension))


def _suggest(question: optuna.Trial, dimension: Dimension) -> Any:
    """A pick; numbers of a range without a step are rounded, so that a suite with them is readable."""
    if isinstance(dimension, Choice):
        last = len(dimension.options) - 1
        if dimension.is_ordered and last:
            return question.suggest_int(dimension.name, 0, last)
        return question.suggest_categorical(dimension.name, list(range(last + 1)))
    if dimension.is_whole:
        step = int(dimension.step or 1)
        low, high = int(dimension.low), int(dimension.high)
        return question.suggest_int(dimension.name, low, high, log=dimension.log, step=step)
    drawn_value = question.suggest_float(
        dimension.name, dimension.low, dimension.high, log=dimension.log, step=dimension.step
    )
    return _round_within(drawn_value, dimension)


def _round_within(value: float, within: Range) -> float:
    """The number with three significant digits, or with more in a range that is narrow for its numbers.

    A multiple of a step only loses the rounding errors of its sum.
    """
    if within.step is not None:
        return float(f"{value:.12g}")
    decimals = 2 - floor(log10(within.high - within.low))
    if value:
        decimals = max(decimals, 2 - floor(log10(abs(value))))
    return min(max(round(value, decimals), within.low), within.high)


def format_steps(steps: Sequence[Json]) -> str:
    """`keep_layers [0, 2] · distill epochs 2`: a short form of a step list."""
    return " · ".join(_format_step(*next(iter(step.items()))) for step in steps)


def _format_step(name: str, options: object) -> str:
    if not isinstance(options, dict):
        return f"{name} {json.dumps(options)}"
    return " ".join([name, *(f"{key} {_format_short(value)}" for key, value in options.items())])


def _format_short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
