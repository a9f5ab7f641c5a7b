"""slimgate.judge.figures: how many times smaller a variant is, against its budget."""

from __future__ import annotations

import pytest

from slimgate.judge.figures import format_size_message, judge_compression, judge_flops, judge_quantized
from slimgate.results.base import BudgetFacts, Verdict


@pytest.mark.parametrize(("size", "verdict"), [(399, Verdict.FAIL), (400, Verdict.PASS), (401, Verdict.PASS)])
def test_a_size_is_exact_so_its_budget_is_always_decided(size: int, verdict: Verdict) -> None:
    assert judge_compression(size, 100, 4.0, "phones") == BudgetFacts(
        kind="compression_min", limit=4.0, verdict=verdict, reason="phones"
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [(399.9, "3.999× smaller, budget 4×: FAIL"), (400, "4.00× smaller, budget 4×: PASS")],
    ids=["just too large", "at its budget"],
)
def test_the_line_does_not_round_a_size_to_its_budget(size: float, expected: str) -> None:
    sizes = round(size * 10 * 1024**2), 1000 * 1024**2
    line = format_size_message("int8", *sizes, judge_compression(*sizes, 4.0, None))
    assert line == f"int8: size 1000.0 vs {10 * size:.1f} MB, {expected}"
    assert format_size_message("int8", 200, 100, None).endswith(" MB, 2.00× smaller")


def test_a_figure_equal_to_its_limit_passes() -> None:
    at_limit = (judge_quantized(0.5, 0.5, None), judge_flops(200, 100, 0.5, None))
    beyond = (judge_quantized(0.4999, 0.5, None), judge_flops(200, 101, 0.5, None))
    assert [judged.verdict for judged in (*at_limit, *beyond)] == [Verdict.PASS] * 2 + [Verdict.FAIL] * 2
    assert at_limit[1].value == 0.5
