"""Simulated verdicts on memory, speed-ups and flips, in small."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.figures import READINGS, compute_memory_ratio, judge_memory
from slimgate.judge.flips import estimate_flip_share, judge_flips
from slimgate.results.base import Verdict
from tools.simulations import call_time_verdicts, count_verdicts
from tools.simulations.memory_verdicts import CASES, LIMIT, simulate_error_rates
from tools.simulations.speed_verdicts import Cell, Machine


@pytest.mark.parametrize("name", CASES)
def test_memory_at_its_limit_passes_in_at_most_the_derived_share(name: str) -> None:
    shares = simulate_error_rates(np.random.default_rng(0), CASES[name], READINGS, reps=20_000)
    # 1 - (1 - 2^-6)^2, and two standard errors of 20,000 runs
    assert max(shares) <= 0.0310 + 0.0025


def test_the_simulated_verdicts_on_memory_are_those_of_the_judge() -> None:
    rng, passed, failed = np.random.default_rng(1), 0, 0
    for _ in range(200):
        teacher = np.exp(rng.normal(0, 0.01, READINGS))
        variant = LIMIT * np.exp(rng.normal(0, 0.01, READINGS) + rng.choice([-0.05, 0.0, 0.05]))
        ratio = compute_memory_ratio(
            [round(1e9 * reading) for reading in teacher], [round(1e9 * reading) for reading in variant]
        )
        verdict = judge_memory(ratio, LIMIT, None).verdict
        passed += verdict is Verdict.PASS
        failed += verdict is Verdict.FAIL
        assert (verdict is Verdict.PASS) == (variant.max() <= LIMIT * teacher.min())
        assert (verdict is Verdict.FAIL) == (variant.min() > LIMIT * teacher.max())
    assert passed > 30
    assert failed > 30


@pytest.mark.parametrize(
    "machine", [Machine(0.02, 12, 0.01), Machine(0.1, 48)], ids=lambda machine: machine.label
)
def test_a_speed_up_at_its_budget_seldom_passes_or_fails(machine: Machine) -> None:
    shares = Cell(machine, (0,)).simulate(100)
    # 6 % and two standard errors of 100 runs
    assert max(shares.passed, shares.failed) <= 0.06 + 0.048


@pytest.mark.parametrize(("groups", "size", "limit"), [(300, 1, 2.0), (150, 40, 2.0), (50, 2, 10.0)])
def test_flips_at_their_limit_pass_in_at_most_5_percent(groups: int, size: int, limit: float) -> None:
    member = np.repeat(np.arange(groups), size)

    def verdict(lost: int) -> Verdict:
        share = estimate_flip_share((member < lost).astype(float), member if size > 1 else None)
        return judge_flips(share, limit).verdict

    largest = count_verdicts._find_last_count(groups, verdict, {Verdict.PASS})
    drawn = np.random.default_rng(0).binomial(groups, limit / 100, 100_000)
    # 5 % and two standard errors of 100,000 runs
    assert (drawn <= largest).mean() <= 0.05 + 0.0014


@pytest.mark.parametrize("kind", ["p50_ms_max", "p95_ms_max"])
@pytest.mark.parametrize("follows", [0.0, 0.6])
def test_milliseconds_at_their_limit_seldom_pass_or_fail(kind: str, follows: float) -> None:
    shares = call_time_verdicts.Cell(call_time_verdicts.Machine(0.05, follows), kind, 100, (0,)).simulate(100)
    # 6 % and two standard errors of 100 runs
    assert max(shares.passed, shares.failed) <= 0.06 + 0.048
    assert shares.counted < (60 if follows else 100)
    assert shares.power[-1] > 0.9 or (follows and kind == "p95_ms_max")


def test_a_simulated_machines_quantile_is_that_of_its_calls() -> None:
    machine = call_time_verdicts.Machine(0.05, bursts=0.1, length=5)
    logs = machine.draw_logs(np.random.default_rng(0), 200_000)
    for share in (0.5, 0.95):
        assert (logs <= machine.compute_quantile(share)).mean() == pytest.approx(share, abs=0.01)
