"""A budget on both sides in reports: its words, its limits in pictures, and the rows that it quotes."""

from __future__ import annotations

import pytest
from support.sample_record import make_sample_record

from slimgate.judge.budget_kinds import KINDS
from slimgate.record.run import RunRecord
from slimgate.report import format_suite_report
from slimgate.report.builds import list_unlucky_builds
from slimgate.report.figures import format_limits
from slimgate.report.page.budgets import format_limit_words, list_budgets
from slimgate.report.status import list_models
from slimgate.report.variant_tables import make_variants_table
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.quality import BuildsFacts, QualityFacts

EQUIVALENT_POINTS = "equivalent_points"

BOTH = BudgetFacts(kind=EQUIVALENT_POINTS, limit=1.0, verdict=Verdict.FAIL, fail_interval=(-7.1, -4.9))


def with_budget(*judged: BudgetFacts, drop: float = -6.0, builds: BuildsFacts | None = None) -> RunRecord:
    """The sample, whose gated variants have these budgets on accuracy alone."""
    record = make_sample_record()
    changed = []
    for model in record.variants:
        if "accuracy" in model.quality and model.quality["accuracy"].interval is not None:
            facts: QualityFacts = model.quality["accuracy"].model_copy(
                update={
                    "budgets": list(judged),
                    "drop_points": drop,
                    "interval": (drop - 1, drop + 1),
                    "builds": builds,
                }
            )
            model = model.model_copy(update={"quality": {"accuracy": facts}})
        changed.append(model)
    return record.model_copy(update={"variants": changed})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words_for_its_limit(kind: str) -> None:
    assert format_limit_words(kind, 0.5) != f"{kind} 0.5"


def test_the_words_of_a_limit_on_both_sides() -> None:
    assert format_limit_words(EQUIVALENT_POINTS, 1.0) == "drop within ±1 point"
    drop = BudgetFacts(kind="drop_points", limit=2.0, verdict=Verdict.PASS)
    assert format_limits([drop, BOTH]) == "2, ±1"
    record = with_budget(BOTH)
    assert "accuracy (drop within ±1)" in make_variants_table(record, list_models(record))


def test_the_picture_has_both_limits() -> None:
    model = next(model for model in with_budget(BOTH).variants if model.quality["accuracy"].budgets)
    (line,) = [budget for budget in list_budgets(model) if budget.limit == "drop within ±1 point"]
    assert line.measured == "drop -6.0 [-7.0, -5.0]"
    assert line.picture is not None
    upper, lower = line.picture.limits
    assert lower < line.picture.zero < upper
    assert line.picture.high < lower


def test_a_report_renders_with_a_budget_on_both_sides() -> None:
    text = format_suite_report(with_budget(BOTH))
    assert "drop -6.0 [-7.0, -5.0]" in text


def test_a_build_that_gains_too_much_is_reported() -> None:
    builds = BuildsFacts(
        seeds=[0, 1], drops_points=[0.1, -2.5], mean_points=-1.2, sd_points=1.8, sampling_se_points=0.3
    )
    lines = list(list_unlucky_builds(with_budget(BOTH, drop=0.1, builds=builds)))
    assert "differ by more than the budget of 1 point (seed 1 by -2.5)" in lines[0]
    drop = BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.PASS)
    assert list(list_unlucky_builds(with_budget(drop, drop=0.1, builds=builds))) == []
