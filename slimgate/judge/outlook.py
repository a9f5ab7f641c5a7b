"""Simulates equal variants to show, before anything is built, whether the gate rows can decide a budget.

An equal variant changes a share of the answers, half of them for the worse. The judge itself judges each
simulated variant, on groups of the sizes that the gate has. The share that passes is the outlook.

The share of answers that a variant changes is not known before it is built. There are two kinds, each with a
range. A variant that was only converted, quantized or pruned changes 0.5 to 3 % of the answers of a
classifier if it is as good as its teacher. A variant that was trained (distilled, fine-tuned) changes 5 to 12
%; see reports/worked_examples.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Literal

import numpy as np

from slimgate.judge.decision import ALPHA
from slimgate.judge.exact_paired import compute_paired_p_value
from slimgate.judge.flips import estimate_flip_share, judge_flips
from slimgate.judge.mean_bound import sum_by_unit
from slimgate.judge.rows_needed import USUAL_CORRELATION
from slimgate.outcomes import Floats, Ints
from slimgate.results.base import Verdict

Word = Literal["can decide", "may decide", "cannot decide", "unknown"]
_Judged = Literal["drop", "both sides", "flips"]

# Shares of answers that an equal variant changes: without training, and with.
CONVERTED, TRAINED = (0.005, 0.03), (0.05, 0.12)
# A row takes its group's change with this chance, so two rows of a group correlate by its square.
_FOLLOW = sqrt(USUAL_CORRELATION)
_RUNS = 500  # so that a share is within 4 points of the true one, 19 times in 20
# "can decide": at least this share passes at the upper end of the range; "cannot decide": at most this share
# at the lower end.
_MOSTLY, _HARDLY = 0.80, 0.10


@dataclass(frozen=True)
class Outlook:
    """The share of simulated equal variants that the rows decide, at both ends of the range of changes."""

    changes: tuple[float, float]
    at_few: float
    at_many: float

    @property
    def word(self) -> Word:
        if self.at_many >= _MOSTLY:
            return "can decide"
        return "cannot decide" if self.at_few <= _HARDLY else "may decide"

    @property
    def basis(self) -> str:
        """What the outlook assumes.

        Example: `if 0.5 to 3 % of the answers change, an equal variant passes in 98 to 71 % of simulations`.
        """
        low, high = (f"{100 * share:.3g}" for share in self.changes)
        shares = dict.fromkeys(f"{100 * share:.0f}" for share in (self.at_few, self.at_many))
        passes = " to ".join(shares)
        change = f"if {low} to {high} % of the answers change"
        return f"{change}, an equal variant passes in {passes} % of simulations"


def make_drop_outlook(
    sizes: tuple[int, ...], margin: float, changes: tuple[float, float], *, two_sided: bool = False
) -> Outlook:
    """The outlook of a budget on the drop of a metric of 0/1 per row. sizes: rows of each group.

    margin: a fraction. two_sided: whether the budget limits a gain too.
    """
    judged: _Judged = "both sides" if two_sided else "drop"
    return Outlook(
        changes, *(_compute_pass_share(sizes, margin, discordance, judged) for discordance in changes)
    )


def make_flips_outlook(sizes: tuple[int, ...], limit: float, changes: tuple[float, float]) -> Outlook:
    """The outlook of a budget on the share of rows that turn from right to wrong; limit: a fraction."""
    return Outlook(
        changes, *(_compute_pass_share(sizes, limit, discordance, "flips") for discordance in changes)
    )


@lru_cache(maxsize=512)
def _compute_pass_share(sizes: tuple[int, ...], limit: float, discordance: float, judged: _Judged) -> float:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes) if max(sizes) > 1 else None
    runs = (draw_equal_changes(rng, sizes, discordance) for _ in range(_RUNS))
    judge = {"drop": _can_pass, "both sides": _is_two_sided_pass, "flips": _is_flips_pass}[judged]
    return float(np.mean([judge(changes, groups, limit) for changes in runs]))


def draw_equal_changes(
    rng: np.random.Generator, sizes: tuple[int, ...], discordance: float, follow: float = _FOLLOW
) -> Floats:
    """(rows,) +1 lost, -1 won, 0 same, for an equal variant.

    discordance: the share of rows that change. follow: the chance that a row takes its group's change.
    """
    member = np.repeat(np.arange(len(sizes)), sizes)
    drawn = [rng.random(count) for count in (len(member), len(sizes))]
    own_fate, of_group = (
        (part < discordance / 2).astype(np.float64) - (part > 1 - discordance / 2) for part in drawn
    )
    return np.where(rng.random(len(member)) < follow, of_group[member], own_fate)


def _can_pass(changes: Floats, groups: Ints | None, margin: float) -> bool:
    if groups is None:
        lost, won = int((changes > 0).sum()), int((changes < 0).sum())
        return compute_paired_p_value(lost, won, len(changes), margin) <= ALPHA
    # groups are numbers from 0, so they need no sorting, which takes a third of the time
    sums, sizes = (np.bincount(groups, weights=weights) for weights in (changes, np.ones(len(changes))))
    losses = sum_by_unit(sums.astype(np.float64), sizes.astype(np.float64), None, best=-1.0, worst=1.0)
    return losses.p_at_least(margin) <= ALPHA


def _is_two_sided_pass(changes: Floats, groups: Ints | None, margin: float) -> bool:
    return _can_pass(changes, groups, margin) and _can_pass(-changes, groups, margin)


def _is_flips_pass(changes: Floats, groups: Ints | None, limit: float) -> bool:
    flips = estimate_flip_share((changes > 0).astype(np.float64), groups)
    return judge_flips(flips, 100 * limit).verdict is Verdict.PASS
