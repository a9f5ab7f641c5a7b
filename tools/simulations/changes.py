"""Populations of rows that a teacher and a worse variant answer, for every kind of metric.

A variant is worse on a share of the rows, or of whole groups of rows. It answers the others as its teacher
does. `equal` variants change as many rows and are as good as their teacher: they answer those rows again by
chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import compute_value
from slimgate.outcomes import Outcomes
from tools.simulations.damaged_rows import POPULATIONS as SEVERAL
from tools.simulations.damaged_rows import Rows
from tools.simulations.outcomes import make_ids, make_two_class_outcomes

Pair = tuple[Outcomes, Outcomes]
# The number of rows that the true values are computed on; their standard error is 0.01 points.
ENDLESS = 1_000_000
# Rows of a group, where there are groups.
GROUP = 20
# Half the log odds of the right class.
SURE = {"surely wrong": -17.3, "wrong at 0.999": -3.45}


@dataclass(frozen=True)
class Case:
    """psi: the share of rows (or groups) that change. make(rng, n, changed, worse) -> both outcomes.

    changed: (rows,) bool; worse: False for an equal variant.
    """

    name: str
    metrics: tuple[str, ...]
    psi: float
    make: Callable[[np.random.Generator, int, np.ndarray, bool], Pair]
    grouped: bool = False
    rows: tuple[int, ...] = (300, 3000)

    @property
    def label(self) -> str:
        """Its name in tables, which says whether rows change in groups."""
        return self.name + (", groups" if self.grouped else "")

    def draw(self, rng: np.random.Generator, n: int, *, worse: bool = True) -> Pair:
        """Draws the outcomes of n rows."""
        if not self.grouped:
            return self.make(rng, n, rng.random(n) < self.psi, worse)
        groups = np.arange(n) // GROUP
        changed = (rng.random(groups[-1] + 1) < self.psi)[groups]
        first, second = self.make(rng, n, changed, worse)
        return replace(first, groups=groups), replace(second, groups=groups)

    @cached_property
    def values(self) -> Mapping[str, tuple[float, float]]:
        """The true values of teacher and worse variant, by metric."""
        outcomes_of_models = self.make(
            np.random.default_rng(0), ENDLESS, np.random.default_rng(1).random(ENDLESS) < self.psi, True
        )
        return {
            name: (
                compute_value(load_metric(name), outcomes_of_models[0]),
                compute_value(load_metric(name), outcomes_of_models[1]),
            )
            for name in self.metrics
        }


def make_two_classes(
    positives: float, how: str
) -> Callable[[np.random.Generator, int, np.ndarray, bool], Pair]:
    """Scores around ±1.4 for the two classes. how: what a changed row becomes.

    "turned": the score times -1; "surely wrong": the right class has a probability of 1e-15; "wrong at
    0.999": of 0.001; "blurred": noise is added.
    """

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        labels = (rng.random(n) < positives).astype(np.int64)
        side = np.where(labels == 1, 1.0, -1.0)
        before = 1.4 * side + rng.standard_normal(n)
        if not worse:
            new = 1.4 * side + rng.standard_normal(n)
        elif how == "turned":
            new = -before
        elif how in SURE:
            new = SURE[how] * side
        else:
            new = before + 1.5 * rng.standard_normal(n)
        return make_two_class_outcomes(labels, before), make_two_class_outcomes(
            labels, np.where(changed, new, before)
        )

    return make


def make_scores(how: str) -> Callable[[np.random.Generator, int, np.ndarray, bool], Pair]:
    """Gold scores from 0 to 5; a changed row is mirrored ("turned"), or has more noise ("blurred")."""

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        gold = 5 * rng.beta(2, 2, n)
        before = gold + 0.6 * rng.standard_normal(n)
        if not worse:
            new = gold + 0.6 * rng.standard_normal(n)
        else:
            new = 5 - before if how == "turned" else before + 0.8 * rng.standard_normal(n)
        first, other = (
            Outcomes(make_ids(n), values={"gold": gold, "score": scores}, given=("gold",))
            for scores in (before, np.where(changed, new, before))
        )
        return first, other

    return make


def make_ranks(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
    """Queries whose first relevant document is at a geometric place; a changed query does not find it."""
    before = rng.geometric(0.6, n).astype(np.float64)
    new = np.full(n, 1000.0) if worse else rng.geometric(0.6, n).astype(np.float64)
    first, other = (
        Outcomes(
            make_ids(n),
            values={"rank": rank, "ndcg_at_10": np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0)},
        )
        for rank in (before, np.where(changed, new, before))
    )
    return first, other


def make_counts(
    rows: Rows, *, in_whole: bool
) -> Callable[[np.random.Generator, int, np.ndarray, bool], Pair]:
    """Rows of several answers; in_whole: a changed row loses all of them, else one."""

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        before = rows.draw_sound(rng, n)
        new = rows.draw_damaged(rng, before, in_whole=in_whole) if worse else before
        after = {name: np.where(changed, new[name], column) for name, column in before.items()}
        return Outcomes(make_ids(n), values=before), Outcomes(make_ids(n), values=after)

    return make


_CONFUSION = ("accuracy", "f1", "precision", "recall", "f1_macro", "mcc", "balanced_accuracy")
_SCORES = ("log_loss", "brier", "roc_auc", "pr_auc")
_OF_SCORES = ("mae", "mse", "pearson", "spearman")
_RANKS = ("mrr", "ndcg_at_10", "recall_at_5")

CASES: tuple[Case, ...] = (
    *(
        Case(
            f"{share:.0%} positive, {psi:.1%} {how}",
            (*_CONFUSION, *_SCORES),
            psi,
            make_two_classes(share, how),
        )
        for share in (0.3, 0.05)
        for psi, how in ((0.02, "turned"), (0.003, "surely wrong"), (0.2, "blurred"))
    ),
    *(
        Case(
            f"30% positive, 0.3% {how}",
            ("log_loss", "brier"),
            0.003,
            make_two_classes(0.3, how),
            rows=(500, 1000) if how == "surely wrong" else (300, 500, 1000, 3000),
        )
        for how in SURE
    ),
    Case(
        "30% positive, 2.0% turned",
        (*_CONFUSION, *_SCORES),
        0.02,
        make_two_classes(0.3, "turned"),
        grouped=True,
    ),
    Case("2.0% turned", _OF_SCORES, 0.02, make_scores("turned"), rows=(300, 1000)),
    Case("30.0% blurred", _OF_SCORES, 0.3, make_scores("blurred"), rows=(300, 1000)),
    Case("2.0% turned", _OF_SCORES, 0.02, make_scores("turned"), grouped=True, rows=(300, 1000)),
    Case("2.0% not found", _RANKS, 0.02, make_ranks),
    Case("2.0% not found", _RANKS, 0.02, make_ranks, grouped=True),
    *(
        Case(
            f"{name}, {psi:.1%} lose {how}",
            rows.metrics,
            psi,
            make_counts(rows, in_whole=how == "all"),
            rows=(300, 1000),
        )
        for name, rows in SEVERAL.items()
        for psi, how in ((0.02, "all"), (0.05, "one"))
    ),
)
