"""Figures beside their budgets: none is rounded to the limit that it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.sample_record import (
    make_artifact,
    make_latency,
    make_quality,
    make_record_of,
    make_slice_facts,
    make_variant,
)

from slimgate.judge.message import format_share_above
from slimgate.record.files import StoredRecord
from slimgate.record.run import VariantRecord
from slimgate.report.history import format_history
from slimgate.report.page.budgets import list_budgets
from slimgate.report.page.charts import make_chart_data
from slimgate.report.variant_tables import format_size_cell, format_speed_cell, make_memory_table
from slimgate.results.base import BudgetFacts, CappedFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.figures import MemoryFacts, SizeFacts


def limit(kind: str, value: float) -> dict[str, Any]:
    """Fields of a result that its budget does not decide."""
    budget = BudgetFacts(kind=kind, limit=value, verdict=Verdict.INCONCLUSIVE)
    return {"budgets": [budget], "verdict": budget.verdict}


def page_words(model: VariantRecord) -> str:
    """The figure in the page's line of the only budget."""
    [budget] = list_budgets(model)
    return budget.measured


@pytest.mark.parametrize(
    ("speedup", "interval", "minimum", "shown"),
    [
        (1.62, (1.497, 1.75), 1.5, "1.62× [1.497, 1.75]"),
        (1.5, (1.4, 1.6), 1.5, "1.50× [1.40, 1.60]"),
        (31.0, (29.98, 33.0), 30.0, "31.0× [29.98, 33.0]"),
    ],
    ids=["a bound below", "a figure at it", "a bound below a large one"],
)
def test_a_speed_up_is_not_rounded_to_its_budget(
    speedup: float, interval: tuple[float, float], minimum: float, shown: str
) -> None:
    facts = make_latency(
        5.0, speedup=speedup, speedup_interval=interval, duel_measured="now", **limit("speedup_min", minimum)
    )
    assert format_speed_cell(facts) == shown
    assert page_words(make_variant("x", latency={"b1": facts})) == f"{shown} as fast"


def test_the_page_and_the_history_do_not_round_to_a_budget() -> None:
    duel = make_latency(5.0, speedup=1.62, speedup_interval=(1.497, 1.75), **limit("speedup_min", 1.5))
    drop = make_quality("x", "accuracy", 1.2, (0.5, 2.04), Verdict.INCONCLUSIVE)
    record = make_record_of(make_variant("x", latency={"b1": duel}, quality={"accuracy": drop}))
    assert make_chart_data(record)["models"][1]["drops"]["accuracy"][3] == "drop 1.20 [0.50, 2.04]"
    assert "1.620× (1.497 to 1.750)" in format_history([StoredRecord(Path("run.json"), record)])


@pytest.mark.parametrize(
    ("compression", "shown"),
    [(3.96, "3.96× smaller"), (4.0, "4.0× smaller"), (4.2, "4.2× smaller"), (0.26, "3.8× larger")],
    ids=["just too large", "at its budget", "smaller", "larger"],
)
def test_a_size_is_not_rounded_to_its_budget(compression: float, shown: str) -> None:
    size = SizeFacts(compression=compression, measured="now", **limit("compression_min", 4.0))
    model = make_variant("x", size=size, artifact=make_artifact(1_000_000, 250_000))
    assert f"({shown})" in format_size_cell(model)
    assert page_words(model) == shown


def test_a_share_of_weights_is_not_rounded_to_its_budget() -> None:
    budget = BudgetFacts(kind="quantized_share_min", limit=0.95, verdict=Verdict.FAIL, value=0.9496)
    size = SizeFacts(compression=3.0, budgets=[budget], verdict=Verdict.FAIL, measured="now")
    assert page_words(make_variant("x", size=size)) == "94.96 % of the blocks' weights"


def test_peak_memory_is_not_rounded_to_its_budget() -> None:
    facts = MemoryFacts(
        peak_bytes=1, ratio=0.59, spread=(0.58, 0.6002), measured="now", **limit("memory_ratio_max", 0.6)
    )
    model = make_variant("x", memory=facts)
    record = make_record_of(model)
    assert "0.5900 [0.5800, 0.6002]" in make_memory_table(record)
    assert page_words(model) == "0.5900 [0.5800, 0.6002] of the teacher's"


def test_a_share_above_the_cap_is_not_rounded_to_its_limit() -> None:
    capped = CappedFacts(
        cap=1.0, above=0.002549, above_interval=(0.001, 0.009), above_max=0.0025, uncapped=0.1, derived=False
    )
    assert "0.255 % [0.1, 0.9], limit 0.25 %" in format_share_above(capped)


def test_a_drop_of_a_slice_is_not_rounded_to_its_budget() -> None:
    part = make_slice_facts("language", "de", 300, 1.2, (0.5, 2.04))
    facts = BehaviourFacts(slices=[part], measured="now", **limit("slices.accuracy", 2.0))
    assert page_words(make_variant("x", behaviour=facts)).startswith("drop 1.20 [0.50, 2.04] in language")
