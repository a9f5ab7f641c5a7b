"""What choosing among many variants does to a PASS, with and without correction, and with confirm rows.

python -m tools.simulations.winners_curse [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import nan

import numpy as np
import numpy.typing as npt

from slimgate.judge.decision import ALPHA
from slimgate.judge.paired import compute_tango_z
from slimgate.judge.slices import adjust_by_holm
from slimgate.outcomes import Floats
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import Rates, format_worst_cells

NAME = "winners_curse"
N, PSI, MARGIN, GOOD = 3000, 0.05, 0.02, 0.005
COUNTS = (1, 2, 5, 10, 20)
CORRECTED = "each alone, bound corrected for all"
HOLM = "Holm's correction"
CONFIRM = "each alone, then confirm"
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Variants from the smallest on, with their true drops. shared: the share of changes that all have."""

    name: str
    drops: tuple[float, ...]
    shared: float = 0.0

    @property
    def over(self) -> Masks:
        """Which variants lost their budget or more."""
        return np.array(self.drops) >= MARGIN


SCENES = (
    Scene("20 at their budget", (MARGIN,) * 20),
    Scene("20 at their budget, half of the changes shared", (MARGIN,) * 20, shared=0.5),
    Scene("10 at their budget, 10 larger that lost 0.5", (*(MARGIN,) * 10, *(GOOD,) * 10)),
    Scene("20 that lost 0.5", (GOOD,) * 20),
)


@dataclass(frozen=True)
class PValues:
    """(runs, variants) p-values: of a drop of the margin or more, of the true drop or more."""

    margin: Floats
    true: Floats


@dataclass(frozen=True)
class Outcome:
    """Shares of the runs.

    any_over: a variant at its budget passes. ships: a variant ships. ships_over: a variant at its budget
    ships. missed: the true drop of the variant that ships is above its quoted bound.
    """

    any_over: float
    ships: float
    ships_over: float
    missed: float


def draw_p_values(rng: np.random.Generator, scene: Scene, runs: int) -> PValues:
    """Draws new rows, and computes their p-values."""
    drops = np.array(scene.drops)
    lost, won = (PSI + drops) / 2, (PSI - drops) / 2
    common = rng.multinomial(N, _list_chances(scene.shared * lost.min(), scene.shared * won.min()), size=runs)
    b, c = (np.empty((runs, drops.size), np.int64) for _ in range(2))
    for k in range(drops.size):
        rest = 1 - scene.shared * (lost.min() + won.min())
        shares = [
            (counts - scene.shared * least) / rest
            for counts, least in ((lost[k], lost.min()), (won[k], won.min()))
        ]
        drawn = rng.multinomial(common[:, 2], _list_chances(*shares))
        b[:, k], c[:, k] = common[:, 0] + drawn[:, 0], common[:, 1] + drawn[:, 1]
    true = np.broadcast_to(drops, b.shape)
    return PValues(_compute_p_values(b, c, np.full(b.shape, MARGIN)), _compute_p_values(b, c, true))


def _list_chances(lost: float, won: float) -> list[float]:
    return [lost, won, 1 - lost - won]


def _compute_p_values(b: npt.NDArray[np.int64], c: npt.NDArray[np.int64], margins: Floats) -> Floats:
    keys, places = np.unique(np.stack([b, c, margins], axis=-1).reshape(-1, 3), axis=0, return_inverse=True)
    p_values = np.array([_compute_p_value(int(key[0]), int(key[1]), float(key[2])) for key in keys])
    p: Floats = p_values[places.ravel()].reshape(b.shape)
    return p


@cache
def _compute_p_value(b: int, c: int, margin: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(compute_tango_z(b, c, N, margin)))


def simulate_outcomes(scene: Scene, options: Options) -> Iterator[tuple[str, Outcome]]:
    """Yields the shares for every rule of choice."""
    rng = np.random.default_rng(options.seed)
    gate, confirm = (draw_p_values(rng, scene, options.reps) for _ in range(2))
    count = len(scene.drops)
    alone = gate.margin <= ALPHA
    holm = np.apply_along_axis(adjust_by_holm, 1, gate.margin) <= ALPHA
    confirmed = alone & (confirm.margin <= ALPHA)
    judged = np.maximum(alone.sum(axis=1, keepdims=True), 1)
    yield "each alone, its own bound", _make_outcome(scene, alone, gate.true <= ALPHA)
    yield CORRECTED, _make_outcome(scene, alone, gate.true <= ALPHA / count)
    yield HOLM, _make_outcome(scene, holm, gate.true <= ALPHA / count)
    yield CONFIRM, _make_outcome(scene, confirmed, confirm.true <= ALPHA / judged)


def _make_outcome(scene: Scene, passed: Masks, missed: Masks) -> Outcome:
    """passed, missed: (runs, variants). missed: whether the quoted bound is below the true drop."""
    ships, first = passed.any(axis=1), passed.argmax(axis=1)
    return Outcome(
        any_over=float((passed & scene.over).any(axis=1).mean()),
        ships=float(ships.mean()),
        ships_over=float((ships & scene.over[first]).mean()),
        missed=float((ships & missed[np.arange(len(first)), first]).mean()),
    )


def simulate_any_passes(options: Options, counts: Sequence[int] = COUNTS) -> list[tuple[int, float, float]]:
    """The number of variants at their budget, and how often at least one passes: independent, half shared."""
    passes = []
    for count in counts:
        shares = []
        for shared in (0.0, 0.5):
            rng = np.random.default_rng([options.seed, count])
            p = draw_p_values(rng, Scene("", (MARGIN,) * count, shared), options.reps)
            shares.append(float((p.margin <= ALPHA).any(axis=1).mean()))
        passes.append((count, shares[0], shares[1]))
    return passes


def make_page(options: Options) -> str:
    alone = simulate_any_passes(options)
    rules_of_scenes = [
        (scene, rule, outcome) for scene in SCENES for rule, outcome in simulate_outcomes(scene, options)
    ]
    text = format_head(
        "The winner's curse: choosing among variants that passed",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells(
        [rates_of_part for part in rules_of_scenes for rates_of_part in _make_rates(*part, options.reps)]
    )
    rows = [[f"{n}", format_percent(share), format_percent(half)] for n, share, half in alone]
    text += "\n## At least one variant at its budget passes, %\n"
    text += format_table(["variants at their budget", "independent", "half of the changes shared"], rows)
    for scene in SCENES:
        lines = []
        for rule, outcome in (
            (rule, outcome) for rule_scene, rule, outcome in rules_of_scenes if rule_scene is scene
        ):
            wrong = [
                format_percent(share, limit=TARGET, reps=options.reps)
                for share in (outcome.any_over, outcome.ships_over)
            ]
            missed = format_percent(outcome.missed, limit=TARGET, reps=options.reps)
            lines.append([rule, wrong[0], format_percent(outcome.ships), wrong[1], missed])
        text += f"\n## {scene.name}\n" + format_table(_HEADER, lines)
    return text


def _make_rates(scene: Scene, rule: str, outcome: Outcome, reps: int) -> list[Rates]:
    """Makes the rates of the rules that should be right for all variants together."""
    shares = {
        HOLM: ("a family by Holm: one at its budget passes", outcome.any_over),
        CONFIRM: ("confirm rows: what ships is at its budget", outcome.ships_over),
        CORRECTED: ("what could ship: true drop above the bound", outcome.missed),
    }
    return [Rates(shares[rule][0], scene.name, shares[rule][1], nan, reps)] if rule in shares else []


_HEADER = (
    "rule",
    "one at its budget passes, %",
    "something ships, %",
    "what ships is at its budget, %",
    "true drop above the quoted bound, %",
)
_TEXT = f"""\
Each variant is judged by Tango's test on {N:,} gate rows, of which it changes {100 * PSI:g} %; its budget is
{100 * MARGIN:g} points. A variant at its budget has truly lost {100 * MARGIN:g} points and must not pass.
The smallest variant that passed ships; those at their budget are the smallest. "then confirm" judges what
passed once more on {N:,} fresh rows and ships the smallest that passed both times. Its bound is of the fresh
rows, corrected for the variants that were judged there. All shares are of all runs. Bold: above 6 % by more
than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=20_000)
