"""Duels of a search: what the clock cuts short is not kept for the next one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slimgate.cli.tune.clock import Clock
from slimgate.cli.tune.measuring import Bench, _compute_share
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.speed import Speedup
from slimgate.outcomes import Outcomes
from slimgate.plugins.workloads import Workload
from slimgate.results.base import Verdict
from slimgate.results.checks import TEACHER
from slimgate.store.store import Store
from slimgate.suite.tune_space import Tier


class Arena:
    """Notes how long each duel was given."""

    def __init__(self) -> None:
        self.given: list[float] = []

    def measure_speedup(self, _handle: Any, _workload: Workload, *, max_seconds: float) -> Speedup:
        self.given.append(max_seconds)
        return Speedup(2.0, (1.5, 2.5), 2.0, 0.01, 12)


def bench_of(folder: Path, seconds: float) -> Any:
    """A Bench with nothing but what a duel asks of it."""
    bench: Any = object.__new__(Bench)
    measure = SimpleNamespace(max_seconds=4.0)
    bench._run = SimpleNamespace(suite=SimpleNamespace(measure=measure), make_handle=lambda name: name)
    bench._duels, bench._arena = Store(folder), Arena()
    bench.clock = Clock(seconds, now=lambda: 0.0)
    return bench


def test_a_duel_that_was_cut_short_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "_make_key", lambda *_: "key")
    variant, workload = SimpleNamespace(name="trial-1"), Workload(1)
    short, full, late = (bench_of(tmp_path, seconds) for seconds in (0.5, 60, 0.5))
    speedups = [bench._measure_speedup(variant, workload) for bench in (short, full, late)]
    assert [bench._arena.given for bench in (short, full, late)] == [[0.5], [2.0], []]
    assert speedups[0] == speedups[1] == speedups[2]


@pytest.mark.parametrize(
    ("kind", "limit", "expected"),
    [("increase_relative", 0.1, 3.0), ("ceiling", 24.0, 1.5), ("ceiling", 30.0, 0.6)],
    ids=["relative", "ceiling-missed", "ceiling-held"],
)
def test_the_share_of_a_budget_on_growth(kind: str, limit: float, expected: float) -> None:
    """The perplexity of the teacher is 20, and that of the variant has grown by up to 30 %."""
    judged: Any = SimpleNamespace(interval=(-1.0, 30.0), unit="percent", teacher=20.0)
    assert _compute_share(judged, QualityBudget(kind, limit)) == pytest.approx(expected)


def test_each_tier_is_judged_by_its_own_cap() -> None:
    """The error of the variant is 2.7 % larger: within both budgets, whose caps differ."""
    random, rows = np.random.default_rng(0), 3000
    gold = random.normal(0, 1, rows)

    def answers(spread: float) -> Outcomes:
        values = {"gold": gold, "score": gold + random.normal(0, spread, rows)}
        return Outcomes(np.arange(rows).astype(str), values=values, given=("gold",))

    by_name = {TEACHER: answers(0.5), "trial-1": answers(0.505)}
    budgets = [
        QualityBudget("increase_relative", limit, cap=cap, above_cap_max=0.05)
        for limit, cap in ((0.1, 2.0), (0.3, 4.0), (0.001, 2.0))
    ]
    bench: Any = object.__new__(Bench)
    bench._tiers = tuple(Tier({"mae": (budget,)}, None, {}) for budget in budgets)
    bench._variants, bench.clock = {}, Clock(60, now=lambda: 0.0)
    built = SimpleNamespace(artifact=SimpleNamespace(manifest={"bytes": 9}), steps=(), from_store=False)
    suite = SimpleNamespace(seed=0)
    bench._run = SimpleNamespace(build=lambda _: built, measure_outcomes=by_name.__getitem__, suite=suite)
    figures = bench.judge(SimpleNamespace(name="trial-1"))
    assert figures.inside == (True, True, False)
    assert [budget_use < 1 for budget_use in figures.budget_uses] == [True, True, False]
    verdicts = [(budget.limit, budget.capped.cap) for budget in figures.drops["mae"].budgets]
    assert verdicts == [(0.1, 2.0), (0.3, 4.0), (0.001, 2.0)]
    assert figures.drops["mae"].verdict is Verdict.INCONCLUSIVE
