"""slimgate.run.budget_plan: which budgets are planned."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.sample_record import make_sample_record
from support.tiny_suite import make_tiny_run

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import BehaviourBudgets, LimitBudget
from slimgate.judge.power import CONVERTED, TRAINED, make_drop_outlook, make_flips_outlook
from slimgate.record.run import RunRecord
from slimgate.results.base import BudgetFacts, CappedFacts, Verdict
from slimgate.run.budget_plan import GateGroups, estimate_changes, plan_budgets
from slimgate.suite.variant_budgets import VariantBudgets


def test_only_what_gates_has_a_budget_that_rows_must_decide(tmp_path: Path) -> None:
    budgets = "[budgets]\naccuracy = { drop_points = 1.0 }\n\n[measure]\n"
    suite = make_tiny_run(tmp_path, **{"[measure]\n": budgets}).suite
    planned = plan_budgets(suite, GateGroups((1,) * 100), None)
    assert {name for plan in planned for name in plan.variants} == set(suite.variants)
    first, *rest = suite.variants
    freed = {**suite.variants, first: replace(suite.variants[first], gated=False, reason="to look at")}
    planned = plan_budgets(replace(suite, variants=freed), GateGroups((1,) * 100), None)
    assert {name for plan in planned for name in plan.variants} == set(rest)


def test_the_plan_separates_what_learns_from_what_is_converted(tmp_path: Path) -> None:
    suite = make_tiny_run(tmp_path).suite
    learns = {name for name in suite.variants if estimate_changes(suite, name) == TRAINED}
    assert learns == {
        name
        for name, variant in suite.variants.items()
        if any("train" in step.reads for step in variant.steps)
        or (variant.parent in suite.variants and estimate_changes(suite, variant.parent) == TRAINED)
    }


def test_fifty_groups_cannot_show_two_points_at_any_size() -> None:
    assert make_drop_outlook((40,) * 50, 0.02, CONVERTED).word == "cannot decide"
    assert make_drop_outlook((400,) * 50, 0.02, CONVERTED).word == "cannot decide"
    assert make_drop_outlook((1,) * 2000, 0.02, CONVERTED).word == "can decide"


def test_flips_are_planned_by_what_an_equal_variant_turns() -> None:
    assert make_flips_outlook((1,) * 2000, 0.04, CONVERTED).word == "can decide"
    # half of 12 % turn from right to wrong
    assert make_flips_outlook((1,) * 2000, 0.06, TRAINED).word == "may decide"
    assert make_flips_outlook((1,) * 30, 0.04, CONVERTED).word == "cannot decide"


def test_a_metric_not_of_single_rows_waits_for_a_first_run(tmp_path: Path) -> None:
    budgets = "[budgets]\nf1_macro = { drop_points = 1.0 }\n\n[measure]\n"
    suite = make_tiny_run(tmp_path, **{"[measure]\n": budgets}).suite
    (line,) = {plan.line.split("): ")[-1] for plan in plan_budgets(suite, GateGroups((1,) * 100), None)}
    assert line == "a first run shows how many gate rows it takes"


def planned_line(folder: Path, budgets: str, gate: GateGroups, earlier: RunRecord | None = None) -> str:
    """The line of the one budget of the variant "shorter", which is built by two seeds."""
    changes = {"[measure]\n": f"[budgets]\n{budgets}\n\n[measure]\n"}
    suite = make_tiny_run(folder, **changes, **{"threads = 1\n": "threads = 1\nseeds = [0, 1]\n"}).suite
    (line,) = {plan.line for plan in plan_budgets(suite, gate, earlier) if "shorter" in plan.variants}
    return line


def test_few_flips_use_up_less_of_their_budget_than_many(tmp_path: Path) -> None:
    """0.25 to 1.5 % turn from right to wrong, of 4 %: 2.4865² 0.015 / 0.025² + 2 / 0.015 rows at most."""
    line = planned_line(tmp_path, "flips = { flips_max_percent = 4.0 }", GateGroups((1,) * 1000))
    # at least 74 of which none is lost, by log 0.05 / log (1 - 0.0375) = 79
    assert "; it takes about 79 to 282 " in line


@pytest.mark.parametrize(
    ("budget", "needed"),
    [
        (LimitBudget("mean_max", 0.02), 1197),
        (LimitBudget("mean_max", 0.02, above_cap_max=0.02), 149),
        (LimitBudget("floor", 0.98), 149),
        (LimitBudget("p99_max", 0.5), 299),
        (LimitBudget("p999_max", 0.5), 2995),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_budgets_on_tokens_are_planned_by_the_rule_of_three(
    tmp_path: Path, budget: LimitBudget, needed: int
) -> None:
    """log 0.05 / log(1 - share): of 2 % 148.3, of 2 % / 8 1,196.8, of 1 % 298.1, of 0.1 % 2,994.2."""
    budgets = VariantBudgets(behaviour=BehaviourBudgets(tokens={"kl": (budget,)}))
    suite = replace(make_tiny_run(tmp_path).suite, budgets={"shorter": budgets})
    (line,) = [plan.line for plan in plan_budgets(suite, GateGroups((1,) * 300), None)]
    word = "may decide" if needed <= 300 else "CANNOT decide"
    assert f": 300 gate rows {word} it; it takes about {needed:,} (" in line


def earlier_run(*budgets: BudgetFacts, variance: float) -> RunRecord:
    """A run that measured the accuracy of the variant "shorter"."""
    record = make_sample_record()
    model = next(
        variant for variant in record.variants if variant.quality and variant.quality["accuracy"].interval
    )
    facts = model.quality["accuracy"].model_copy(update={"budgets": list(budgets), "variance": variance})
    known = model.model_copy(update={"name": "shorter", "quality": {"accuracy": facts}})
    return record.model_copy(update={"variants": [known]})


def test_new_groups_count_beside_the_variance_a_run_measured(tmp_path: Path) -> None:
    """2 % of 0.829 take log 0.05 / log 0.98342 = 179.2 groups without a loss, whatever the rows vary."""
    earlier = earlier_run(variance=0.001)
    budget = "accuracy = { drop_relative = 0.02 }"
    assert "; it takes about 180 " in planned_line(tmp_path, budget, GateGroups((1,) * 200), earlier)
    line = planned_line(tmp_path, budget, GateGroups((40,) * 50), earlier)
    assert "2,000 gate rows in 50 groups CANNOT decide it; it takes about 7,200 (" in line


@pytest.mark.parametrize("limit", [0.5, 5.0], ids=["will fail", "will pass"])
def test_a_limit_outside_the_measured_interval_is_decided(tmp_path: Path, limit: float) -> None:
    budget, gate = f"accuracy = {{ drop_points = {limit} }}", GateGroups((1,) * 2000)
    line = planned_line(tmp_path, budget, gate, earlier_run(variance=0.1))
    assert "2,000 gate rows can decide it; it takes about 2,000 (the run of" in line
    assert line.endswith("measured a drop of 2.9 [2.3, 3.5])")


def test_a_budget_that_no_number_of_rows_would_decide_has_none(tmp_path: Path) -> None:
    judged = BudgetFacts(kind="drop_points", limit=2.0, verdict=Verdict.INCONCLUSIVE)
    line = planned_line(
        tmp_path,
        "accuracy = { drop_points = 2.0 }",
        GateGroups((1,) * 200),
        earlier_run(judged, variance=0.1),
    )
    assert "200 gate rows CANNOT decide it, and no number of rows would (as the run of" in line


def test_flips_that_use_up_their_budget_need_no_number_of_rows(tmp_path: Path) -> None:
    """0.25 to 1.5 % turn from right to wrong: 1 % leaves room for the few only."""
    line = planned_line(tmp_path, "flips = { flips_max_percent = 1.0 }", GateGroups((1,) * 1000))
    assert re.search(r"it takes about [\d,]+ at best ", line)


def test_how_much_builds_differ_is_known_from_an_earlier_run(tmp_path: Path) -> None:
    budget, gate = 'accuracy = { drop_points = 2.0, over = "builds" }', GateGroups((1,) * 6000)
    assert "can decide it" in planned_line(tmp_path, budget.replace(', over = "builds"', ""), gate)
    over_rows = BudgetFacts(kind="drop_points", limit=2.0, verdict=Verdict.PASS)
    for earlier in (None, earlier_run(over_rows, variance=0.01)):
        line = planned_line(tmp_path, budget, gate, earlier)
        assert "6,000 gate rows may decide it" in line
        assert line.endswith("; over builds, if these do not differ)")
    undecided = {"verdict": Verdict.INCONCLUSIVE, "builds": 2, "builds_needed": 4, "n_needed": 9000}
    judged = BudgetFacts(kind="drop_points", limit=2.0, **undecided)
    line = planned_line(tmp_path, budget, gate, earlier_run(judged, variance=0.01))
    assert "CANNOT decide it; it takes about 9,000 (as the run of " in line
    assert line.endswith("; or 4 builds in place of 2)")


def test_both_sides_are_planned_with_the_power_of_both(tmp_path: Path) -> None:
    """2.9264² psi / 0.02² + 3 / psi: 743 rows where 3 % change; 315 pass with two lost rows."""
    gate = GateGroups((1,) * 500)
    one_sided = planned_line(tmp_path / "a", "accuracy = { drop_points = 2.0 }", gate)
    assert "; it takes about 238 to 531 " in one_sided
    both_sides = planned_line(tmp_path / "b", "accuracy = { equivalent_points = 2.0 }", gate)
    assert both_sides.startswith("budget accuracy equivalent_points 2 (shorter")
    assert "500 gate rows may decide it; it takes about 315 to 743 (" in both_sides


@pytest.mark.parametrize("drop", [-1.9, 1.9])
def test_a_measured_gain_near_the_limit_is_planned_as_a_drop_is(tmp_path: Path, drop: float) -> None:
    earlier = earlier_run(variance=0.05)
    (model,) = earlier.variants
    facts = model.quality["accuracy"].model_copy(
        update={"drop_points": drop, "interval": (drop - 0.5, drop + 0.5)}
    )
    earlier = earlier.model_copy(
        update={"variants": [model.model_copy(update={"quality": {"accuracy": facts}})]}
    )
    line = planned_line(tmp_path, "accuracy = { equivalent_points = 2.0 }", GateGroups((1,) * 6000), earlier)
    # 2.4865² 0.05 / 0.001² + 2 / 0.05: the far side always passes
    assert "CANNOT decide it; it takes about 309,168 (the run of" in line
    assert f"measured a drop of {drop} [" in line


@pytest.mark.parametrize(
    ("budget", "rows"),
    [
        (QualityBudget("increase_relative", 0.02), 1209),
        (QualityBudget("increase_relative", 0.02, above_cap_max=0.01), 299),
        (QualityBudget("increase_relative", 0.1, above_cap_max=0.5), 30),
    ],
    ids=["derived share", "stated share", "the mean itself"],
)
def test_a_perplexity_is_planned_by_the_rule_of_three(
    tmp_path: Path, budget: QualityBudget, rows: int
) -> None:
    """log 0.05 / log(1 - share): of ln(1.02) / 8 1,208.7, of 1 % 298.1, of ln(1.1) 29.9."""
    budgets = VariantBudgets(quality={"perplexity": (budget,)})
    suite = replace(make_tiny_run(tmp_path).suite, budgets={"shorter": budgets})
    (line,) = [plan.line for plan in plan_budgets(suite, GateGroups((1,) * 300), None)]
    word = "may decide" if rows <= 300 else "CANNOT decide"
    assert f": 300 gate rows {word} it; it takes about {rows:,} (" in line


def test_a_verdict_by_another_cap_does_not_plan_a_budget(tmp_path: Path) -> None:
    capped = CappedFacts(
        cap=1.0, uncapped=0.0, above=0.0, above_interval=(0.0, 0.0026), above_max=0.0025, derived=True
    )
    judged = BudgetFacts(
        kind="increase_relative", limit=0.02, verdict=Verdict.INCONCLUSIVE, n_needed=3400, capped=capped
    )
    record = earlier_run(judged, variance=0.1)
    [model] = record.variants
    renamed = model.model_copy(update={"quality": {"perplexity": model.quality["accuracy"]}})
    record = record.model_copy(update={"variants": [renamed]})
    for above_cap_max, words in (
        (None, "about 3,400 (as the run of"),
        (0.01, "about 299 (if no document changes"),
    ):
        budget = QualityBudget("increase_relative", 0.02, above_cap_max=above_cap_max)
        budgets = VariantBudgets(quality={"perplexity": (budget,)})
        suite = replace(make_tiny_run(tmp_path / str(above_cap_max)).suite, budgets={"shorter": budgets})
        (line,) = [plan.line for plan in plan_budgets(suite, GateGroups((1,) * 1899), record)]
        assert words in line
