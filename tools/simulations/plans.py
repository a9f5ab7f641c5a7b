"""How often the plan is right about a budget, over simulated suites.

python -m tools.simulations.plans [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.judge.power import CONVERTED, TRAINED, Word, draw_equal_changes, make_drop_outlook
from slimgate.outcomes import ClassOutcomes
from tools.simulations.groups import draw_group_sizes
from tools.simulations.outcomes import make_ids
from tools.simulations.page import Options, format_head, format_percent, format_table, run

NAME = "plans"
WORDS: tuple[Word, ...] = ("can decide", "may decide", "cannot decide")
_TEACHER = 0.88


@dataclass(frozen=True)
class Simulated:
    """A suite, what its plan says, and whether the run then decided."""

    trained: bool
    grouped: bool
    word: Word
    decided: bool


def simulate_suites(options: Options) -> Iterator[Simulated]:
    """Suites of 200 to 12,000 rows, half of them in groups of 2 to 60, with budgets of 0.5 to 5 points.

    The variant is as good as its teacher; how many answers it changes, and how much the rows of a group
    change together, is drawn for each suite, from wider ranges than the plan takes.
    """
    rng = np.random.default_rng(options.seed)
    for number in range(options.reps):
        n = int(np.exp(rng.uniform(np.log(200), np.log(12_000))))
        grouped, trained = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
        sizes: tuple[int, ...] = (1,) * n
        if grouped:
            count = max(2, round(n / np.exp(rng.uniform(np.log(2), np.log(60)))))
            sizes = tuple(draw_group_sizes(rng, n, count, spread=rng.choice([0.0, 0.7])).tolist())
        margin = float(rng.choice([0.5, 1, 2, 3, 5])) / 100
        low, high = TRAINED if trained else CONVERTED
        psi = float(np.exp(rng.uniform(np.log(low / 1.3), np.log(high * 1.3))))
        follow = float(rng.uniform(0, 0.5))
        word = make_drop_outlook(sizes, margin, (low, high)).word
        decided = _is_decided(rng, sizes, psi, follow, margin, seed=number)
        yield Simulated(trained=trained, grouped=grouped, word=word, decided=decided)


def _is_decided(
    rng: np.random.Generator, sizes: tuple[int, ...], psi: float, follow: float, margin: float, *, seed: int
) -> bool:
    """Whether the judge decides on one run of an equal variant."""
    n = sum(sizes)
    changes = draw_equal_changes(rng, sizes, psi, follow)
    right = rng.random(n) < _TEACHER
    before = np.where(changes > 0, 1, np.where(changes < 0, 0, right)).astype(np.int64)
    after = np.where(changes > 0, 0, np.where(changes < 0, 1, right)).astype(np.int64)
    ids, labels = make_ids(n), np.ones(n, np.int64)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    teacher, variant = (
        ClassOutcomes(ids, labels, predictions, ("wrong", "right"), groups=groups)
        for predictions in (before, after)
    )
    budget = QualityBudget("drop_points", 100 * margin)
    verdict = judge_quality(load_metric("accuracy"), teacher, variant, [budget], seed=seed).verdict
    return verdict is not Verdict.INCONCLUSIVE


def make_page(options: Options) -> str:
    plans = list(simulate_suites(options))
    text = format_head(
        "The plan: how often it comes true", NAME, options, error="see the counts.", text=_TEXT
    )
    rows = []
    for name, chosen in (
        ("all", plans),
        ("single rows", [plan for plan in plans if not plan.grouped]),
        ("groups", [plan for plan in plans if plan.grouped]),
        ("converted", [plan for plan in plans if not plan.trained]),
        ("trained", [plan for plan in plans if plan.trained]),
    ):
        for word in WORDS:
            with_word = [plan for plan in chosen if plan.word == word]
            decided = sum(plan.decided for plan in with_word) / max(len(with_word), 1)
            rows.append([name, word, str(len(with_word)), format_percent(decided)])
    return text + format_table(["suites", "the plan says", "suites", "the run decided, %"], rows)


_TEXT = """\
Suites of 200 to 12,000 gate rows, half of them in groups, with one budget on accuracy of 0.5 to 5 points, and
one variant that is as good as its teacher. What the plan says before the run, and how often the run then
decides. The changed share and the correlation in groups are drawn from ranges that are wider than the plan's.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=300)
