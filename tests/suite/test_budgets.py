"""Budgets by variant."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import (
    BehaviourBudgets,
    FlipsBudget,
    LimitBudget,
    MemoryBudget,
    SliceBudget,
    SliceName,
)
from slimgate.logs.budgets import parse_budget_tables
from slimgate.plugins.workloads import END_TO_END, TPOT, TTFT, Workload
from slimgate.results.base import SwitchedOffBudget
from slimgate.suite.budgets import read_budgets, read_teacher_budgets, resolve_budgets
from slimgate.suite.variant_budgets import Limit, VariantBudgets

VARIANTS = ("a", "b")


def resolve(**budgets: Any) -> dict[str, VariantBudgets]:
    """The budgets of each variant of a suite with these tables in [budgets]."""
    return resolve_budgets({"budgets": budgets}, VARIANTS, "x")


def test_every_variant_has_the_common_budgets() -> None:
    budgets = resolve(accuracy={"drop_points": 2})
    assert {
        name: variant_budgets.quality["accuracy"][0].limit for name, variant_budgets in budgets.items()
    } == {"a": 2.0, "b": 2.0}


def test_budgets_on_answers_are_of_the_part_that_they_limit() -> None:
    limits = {
        "speedup_min": 1.0,
        "p95_ms_max": 90.0,
        "ttft_speedup_min": 1.5,
        "tpot_speedup_min": 2.0,
        "ttft_p95_ms_max": 50.0,
        "tokens_per_second_min": 100.0,
    }
    table = {"latency": {"tpot_speedup_min": 3.0}}
    budgets = resolve(latency=limits, variants={"b": table})
    answer = Workload(1, prompt_tokens=16, new_tokens=8)
    first, later = (replace(answer, phase=phase) for phase in (TTFT, TPOT))
    budgeted = {
        workload.id: (
            [budget.limit for budget in filter(None, [budgets["b"].find_speed_budget(workload)])],
            [budget.kind for budget in budgets["b"].find_time_budgets(workload)],
        )
        for workload in (Workload(1), answer, first, later)
    }
    assert budgeted == {
        "b1": ([1.0], ["p95_ms_max"]),
        "p16n8b1": ([1.0], ["p95_ms_max", "tokens_per_second_min"]),
        "p16n8b1-ttft": ([1.5], ["ttft_p95_ms_max"]),
        "p16n8b1-tpot": ([3.0], []),
    }
    assert budgets["a"].list_limits()["latency", "tpot_speedup_min"].limit == 2.0


def test_budgets_on_calls_end_to_end_are_of_those_calls_alone() -> None:
    limits = {"speedup_min": 3.0, "p50_ms_max": 9.0}
    of_text = {"end_to_end_speedup_min": 2.0, "end_to_end_p50_ms_max": 10.0, "end_to_end_p95_ms_max": 20.0}
    table = {"latency": {"end_to_end_speedup_min": 2.5}}
    budgets = resolve(latency={**limits, **of_text}, variants={"b": table})["b"]
    forward, end_to_end = Workload(1, 25), Workload(1, 25, phase=END_TO_END)
    assert end_to_end.id == "b1x25-e2e"
    assert [budgets.find_speed_budget(workload).limit for workload in (forward, end_to_end)] == [3.0, 2.5]
    assert [budget.kind for budget in budgets.find_time_budgets(forward)] == ["p50_ms_max"]
    assert [budget.kind for budget in budgets.find_time_budgets(end_to_end)] == list(of_text)[1:]


def test_a_limit_like_another_unit_is_taken_with_a_reason() -> None:
    data = {
        "size": {"compression_min": 0.25, "reason": "the teacher is in 4 bits"},
        "mse": {"increase_relative": 2.0, "reason": "the teacher's is near 0"},
    }
    budgets = resolve(**data)["a"]
    assert budgets.size is not None
    assert (budgets.size.limit, budgets.quality["mse"][0].limit) == (0.25, 2.0)
    for name, table in data.items():
        with pytest.raises(SuiteError, match=r'is meant, add reason = "…"$'):
            resolve(**{name: {**table, "reason": ""}})


def test_a_variants_budget_replaces_that_metric_and_kind_only() -> None:
    budgets = resolve(
        accuracy={"drop_points": 2.0},
        mcc={"drop_points": 3.0},
        size={"compression_min": 1.5},
        variants={"b": {"accuracy": {"drop_points": 0.5, "reason": "it is shipped"}}},
    )
    assert budgets["a"].quality["accuracy"][0].limit == 2.0
    assert budgets["b"].quality["accuracy"][0].limit == 0.5
    assert budgets["b"].quality["accuracy"][0].reason == "it is shipped"
    assert budgets["b"].quality["mcc"][0].limit == 3.0
    assert budgets["b"].size == budgets["a"].size
    assert budgets["a"].size is not None


def test_a_variants_budget_of_another_kind_is_added() -> None:
    """A floor of its own must not take the common budget on the drop away."""
    table = {"accuracy": {"floor": 0.3}, "baseline": {"accuracy": {"drop_relative": 0.1}}}
    common = {"accuracy": {"drop_points": 5.0}, "baseline": {"accuracy": {"drop_points": 1.0}}}
    budgets = resolve(**common, variants={"a": table})
    assert {(budget.kind, budget.limit) for budget in budgets["a"].quality["accuracy"]} == {
        ("drop_points", 5.0),
        ("floor", 0.3),
    }
    assert [budget.kind for budget in budgets["a"].baseline["accuracy"]] == ["drop_points", "drop_relative"]
    assert [budget.kind for budget in budgets["b"].quality["accuracy"]] == ["drop_points"]


COMMON = {
    "accuracy": {"drop_points": 5.0, "floor": 0.8},
    "size": {"compression_min": 1.5, "quantized_share_min": 0.9},
    "latency": {"speedup_min": 1.2},
    "memory": {"memory_ratio_max": 0.9},
    "flips": {"flips_max_percent": 2.0},
    "slices": {"accuracy": {"drop_points": 8.0}},
    "baseline": {"accuracy": {"drop_points": 1.0}},
}


def off(kind: str) -> dict[str, str]:
    return {kind: "off", "reason": "the labels are new"}


@pytest.mark.parametrize(
    ("table", "budget", "kind", "limit"),
    [
        ({"accuracy": off("drop_points")}, "accuracy", "drop_points", 5.0),
        ({"size": off("compression_min")}, "size", "compression_min", 1.5),
        ({"size": off("quantized_share_min")}, "size", "quantized_share_min", 0.9),
        ({"latency": off("speedup_min")}, "latency", "speedup_min", 1.2),
        ({"memory": off("memory_ratio_max")}, "memory", "memory_ratio_max", 0.9),
        ({"flips": off("flips_max_percent")}, "flips", "flips_max_percent", 2.0),
        ({"slices": {"accuracy": off("drop_points")}}, "slices", "slices.accuracy", 8.0),
        ({"baseline": {"accuracy": off("drop_points")}}, "baseline accuracy", "drop_points", 1.0),
    ],
    ids=["metric", "size", "precision", "latency", "memory", "flips", "slices", "baseline"],
)
def test_a_variant_switches_one_common_budget_off_and_says_why(
    table: dict[str, object], budget: str, kind: str, limit: float
) -> None:
    budgets = resolve(**COMMON, variants={"a": table})
    assert budgets["a"].switched_off == (SwitchedOffBudget(budget, kind, limit, "the labels are new"),)
    assert budgets["a"].list_limits().keys() == budgets["b"].list_limits().keys() - {(budget, kind)}
    assert budgets["b"].switched_off == ()
    assert len(budgets["b"].list_limits()) == 9


def test_a_variant_may_switch_one_kind_off_and_set_another() -> None:
    table = {"accuracy": {"drop_points": "off", "floor": 0.7, "reason": "r"}}
    budgets = resolve(**COMMON, variants={"a": table})["a"]
    assert [(budget.kind, budget.limit) for budget in budgets.quality["accuracy"]] == [("floor", 0.7)]


@pytest.mark.parametrize(
    ("budgets", "problem"),
    [
        (
            {**COMMON, "variants": {"a": {"accuracy": {"drop_points": "off"}}}},
            r'^x \[budgets.variants.a.accuracy\] drop_points: "off" needs a reason = "…" next to it',
        ),
        (
            {**COMMON, "variants": {"a": {"accuracy": {"drop_points": "off", "reason": " "}}}},
            r'drop_points: "off" needs a reason',
        ),
        (
            {**COMMON, "variants": {"a": {"mcc": off("drop_points")}}},
            r"mcc\] drop_points: there is no such budget in \[budgets\] to switch off; .* accuracy floor",
        ),
        (
            {"accuracy": off("drop_points")},
            r'accuracy\] drop_points: "off" was given, expected a number; only '
            r"\[budgets.variants.NAME\] switches",
        ),
        ({"slices": {"accuracy": off("drop_points")}}, r"only \[budgets.variants.NAME\] switches"),
        ({"baseline": {"accuracy": off("drop_points")}}, r"only \[budgets.variants.NAME\] switches"),
    ],
    ids=["no reason", "an empty one", "no such budget", "common", "common slices", "common baseline"],
)
def test_a_budget_that_cannot_be_switched_off_is_reported(budgets: dict[str, object], problem: str) -> None:
    with pytest.raises(SuiteError, match=problem):
        resolve(**budgets)


def test_several_kinds_on_one_metric_are_several_budgets() -> None:
    kinds = {"drop_points": 2.0, "floor": 0.8, "error_increase_relative": 0.1, "reason": "all must hold"}
    quality = resolve(accuracy=kinds, log_loss={"increase_relative": 0.05, "ceiling": 0.6})["a"].quality
    assert [(budget.kind, budget.limit, budget.reason) for budget in quality["accuracy"]] == [
        ("drop_points", 2.0, "all must hold"),
        ("error_increase_relative", 0.1, "all must hold"),
        ("floor", 0.8, "all must hold"),
    ]
    assert [(budget.kind, budget.limit) for budget in quality["log_loss"]] == [
        ("increase_relative", 0.05),
        ("ceiling", 0.6),
    ]


def test_no_budgets_are_no_budgets() -> None:
    assert resolve_budgets({}, VARIANTS, "x")["a"].quality == {}
    assert resolve_budgets({}, (), "x") == {}


def test_a_size_budget_of_one_variant_leaves_the_other_without() -> None:
    budgets = resolve(variants={"a": {"size": {"compression_min": 2}}})
    assert budgets["a"].size is not None
    assert budgets["a"].size.compression_min == 2
    assert budgets["b"].size is None


def test_budgets_on_flips_and_slices_merge_as_those_on_metrics() -> None:
    budgets = resolve(
        flips={"flips_max_percent": 2.0},
        slices={"accuracy": {"drop_points": 5.0, "reason": "all are served"}},
        variants={
            "a": {"flips": {"flips_max_percent": 1.0, "on_inconclusive": "warn"}},
            "b": {"slices": {"accuracy": {"drop_points": 8.0}}},
        },
    )
    a, b = budgets["a"].behaviour, budgets["b"].behaviour
    assert a == BehaviourBudgets(
        FlipsBudget(flips_max_percent=1.0, on_inconclusive="warn"),
        {"accuracy": SliceBudget(drop_points=5.0, reason="all are served")},
    )
    assert b == BehaviourBudgets(
        FlipsBudget(flips_max_percent=2.0), {"accuracy": SliceBudget(drop_points=8.0)}
    )


def named_slices(points: object, reason: str | None = None) -> dict[str, Any]:
    table = {"drop_points": points} | ({"reason": reason} if reason else {})
    return {"cat": {"carry": {"accuracy": table}}}


def test_a_slice_is_named_by_column_and_value_beside_all_slices() -> None:
    table = {"accuracy": {"drop_points": 5.0, "on_inconclusive": "warn"}, **named_slices(1.0)}
    budgets = resolve(
        slices=table,
        variants={"a": {"slices": named_slices("off", "no carry rows")}, "b": {"slices": named_slices(2.0)}},
    )
    a, b = budgets["a"], budgets["b"]
    carry = SliceName("cat", "carry", "accuracy")
    assert a.behaviour.named_slices == {}
    assert a.behaviour.slices == {"accuracy": SliceBudget(drop_points=5.0, on_inconclusive="warn")}
    assert a.switched_off == (
        SwitchedOffBudget("slices", "slices.accuracy[cat=carry]", 1.0, "no carry rows"),
    )
    assert b.behaviour.named_slices == {carry: SliceBudget(drop_points=2.0)}
    assert b.list_limits("fail")["slices", "slices.accuracy[cat=carry]"] == Limit(2.0, None, "fail")
    assert b.list_limits("fail")["slices", "slices.accuracy"] == Limit(5.0, None, "warn")


@pytest.mark.parametrize(
    ("slices", "problem"),
    [
        ({"cat": {"carry": {"acuracy": {"drop_points": 1.0}}}}, "no such metric. Did you mean accuracy?"),
        ({"cat": {"carry": {"drop_points": 1.0}}}, "expected metrics of the slice carry, as in { accuracy ="),
        ({"cat": {"carry": {"f1_macro": {"drop_points": 1.0}}}}, "is not 0 or 1 per row"),
        ({"cat": {"carry": {"accuracy": {"drop_point": 1.0}}}}, "unknown key drop_point"),
    ],
)
def test_a_wrong_budget_of_a_named_slice_has_its_place(slices: object, problem: str) -> None:
    with pytest.raises(SuiteError, match=re.escape(problem)):
        resolve(slices=slices)


def test_budgets_on_tokens_merge_by_limit_and_can_be_off() -> None:
    budgets = resolve(
        kl={"mean_max": 0.02, "p99_max": 0.5},
        top1_agreement={"floor": 0.98},
        variants={
            "a": {"kl": {"mean_max": 0.1, "reason": "small", "on_inconclusive": "warn"}},
            "b": {"kl": {"p99_max": "off", "reason": "few rows"}},
        },
    )
    assert budgets["a"].behaviour.tokens == {
        "kl": (LimitBudget("mean_max", 0.1, "small", "warn"), LimitBudget("p99_max", 0.5)),
        "top1_agreement": (LimitBudget("floor", 0.98),),
    }
    assert budgets["b"].behaviour.tokens["kl"] == (LimitBudget("mean_max", 0.02),)
    assert budgets["b"].switched_off == (SwitchedOffBudget("kl", "p99_max", 0.5, "few rows"),)
    assert budgets["a"].list_limits("fail")["kl", "mean_max"] == Limit(0.1, "small", "warn")
    assert budgets["a"].list_limits("fail")["top1_agreement", "floor"] == Limit(0.98, None, "fail")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kl": {}}, "expected at least one of mean_max, p99_max, p999_max, as in { mean_max = 0.02 }"),
        ({"kl": {"mean_max": 0}}, "0 was given, expected more than 0"),
        ({"kl": {"mean": 0.1}}, "unknown key mean; known: above_cap_max, cap, mean_max"),
        ({"kl": 0.02}, "0.02 was given, expected a table, such as { mean_max = 0.02 }"),
        ({"top1_agreement": {"floor": 98}}, "98 was given, expected less than 1"),
    ],
    ids=["empty", "zero", "key", "number", "percent"],
)
def test_a_wrong_budget_on_tokens_is_one_clear_error(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError) as raised:
        resolve(**table)
    assert message in str(raised.value)


def test_a_memory_budget_is_the_variants_or_the_common_one() -> None:
    tables = {"b": {"memory": {"memory_ratio_max": 0.5, "reason": "phones", "on_inconclusive": "warn"}}}
    budgets = resolve(memory={"memory_ratio_max": 0.8}, variants=tables)
    assert budgets["a"].memory == MemoryBudget(memory_ratio_max=0.8)
    assert budgets["b"].memory == MemoryBudget(memory_ratio_max=0.5, reason="phones", on_inconclusive="warn")


def test_a_baseline_budget_is_the_variants_or_the_common_one() -> None:
    tables = {"b": {"baseline": {"accuracy": {"drop_points": 0.5, "reason": "ships"}}}}
    common = {"file": "v1", "accuracy": {"drop_points": 1.0}, "f1_macro": {"drop_relative": 0.1}}
    budgets = resolve(baseline=common, variants=tables)
    relative = (QualityBudget("drop_relative", 0.1),)
    assert budgets["a"].baseline == {"accuracy": (QualityBudget("drop_points", 1.0),), "f1_macro": relative}
    assert budgets["b"].baseline == {
        "accuracy": (QualityBudget("drop_points", 0.5, "ships"),),
        "f1_macro": relative,
    }
    assert budgets["a"].quality == {}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"size": {"compression_min": 1.5}}, r"\[budgets.baseline.size\]: only metrics are compared with"),
        ({"acuracy": {"drop_points": 1.0}}, r"no such metric. Did you mean accuracy\?"),
        ({"accuracy": {"floor": 0.8}}, r"accuracy\] floor: limits the current value, .* under \[budgets\]"),
        (
            {"accuracy": {}},
            r"expected at least one of drop_points, equivalent_points, .*increase_relative, .*as",
        ),
        ({"accuracy": 1.0}, r"1.0 was given, expected a table, such as \{ drop_points = 2.0 \}"),
        ({"perplexity": {"drop_points": 1.0}}, r"drop_points does not suit perplexity"),
    ],
    ids=["not a metric", "unknown", "floor", "nothing", "a number", "unsuited"],
)
def test_a_wrong_budget_against_the_baseline_has_its_place(table: dict[str, object], problem: str) -> None:
    with pytest.raises(SuiteError, match=problem):
        resolve(baseline=table)


def test_the_teacher_has_floors_ceilings_and_drops_since_a_base() -> None:
    table = {
        "accuracy": {"floor": 0.85, "reason": "the app needs it", "on_inconclusive": "warn"},
        "log_loss": {"ceiling": 0.5},
        "baseline": {"accuracy": {"drop_points": 1.0}},
    }
    data = {"budgets": {"accuracy": {"drop_points": 2.0}, "teacher": table}}
    budgets = read_teacher_budgets(data, "x")
    assert budgets.quality == {
        "accuracy": (QualityBudget("floor", 0.85, "the app needs it", "warn"),),
        "log_loss": (QualityBudget("ceiling", 0.5),),
    }
    assert budgets.baseline == {"accuracy": (QualityBudget("drop_points", 1.0),)}
    assert resolve_budgets(data, VARIANTS, "x")["a"].list_limits().keys() == {("accuracy", "drop_points")}
    assert read_teacher_budgets({}, "x").list_limits() == {}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"accuracy": {"drop_points": 2.0}}, r"teacher.accuracy\] drop_points: limits the loss against"),
        ({"size": {"compression_min": 2.0}}, r"teacher.size\]: variants are compared with the teacher here"),
        ({"acuracy": {"floor": 0.8}}, r"no such metric. Did you mean accuracy\?"),
        ({"accuracy": 0.8}, r"0.8 was given, expected a table, such as \{ floor = 0.85 \}"),
        ({"accuracy": {}}, r"expected at least one of floor, ceiling, as in \{ floor = 0.85 \}"),
        ({"accuracy": {"floor": 1.5}}, r"budget floor is 1.5, expected a value of accuracy"),
        ({"accuracy": {"ceiling": 0.5}}, r"ceiling does not suit accuracy"),
        ({"baseline": {"file": "v1"}}, r"one baseline is for all"),
        ({"baseline": {"accuracy": {"floor": 0.8}}}, r"limits the current value"),
        ({"baseline": 1}, r"1 was given, expected a table"),
        (0.85, r"\[budgets\] teacher: 0.85 was given, expected a table"),
    ],
)
def test_a_wrong_budget_of_the_teacher_is_reported_by_its_place(table: object, problem: str) -> None:
    with pytest.raises(SuiteError, match=problem):
        read_teacher_budgets({"budgets": {"teacher": table}}, "x")


def test_one_baseline_is_for_all_variants() -> None:
    with pytest.raises(SuiteError, match=r"\[budgets.variants.a.baseline\] file: one baseline is for all"):
        resolve(variants={"a": {"baseline": {"file": "v1"}}})


def test_limits_on_call_times_are_added_and_switched_off_singly() -> None:
    common = {"latency": {"speedup_min": 1.5, "p95_ms_max": 20.0, "reason": "the phone"}}
    tables = {
        "a": {"latency": {"p95_ms_max": 30.0, "p50_ms_max": 8.0, "on_inconclusive": "warn"}},
        "b": {"latency": {"p95_ms_max": "off", "reason": "a batch job"}},
    }
    budgets = resolve(**common, variants=tables)
    assert budgets["a"].list_limits("fail") == {
        ("latency", "speedup_min"): Limit(1.5, "the phone", "fail"),
        ("latency", "p95_ms_max"): Limit(30.0, None, "warn"),
        ("latency", "p50_ms_max"): Limit(8.0, None, "warn"),
    }
    assert list(budgets["b"].list_limits()) == [("latency", "speedup_min")]
    assert budgets["b"].switched_off == (SwitchedOffBudget("latency", "p95_ms_max", 20.0, "a batch job"),)


def test_a_limit_on_milliseconds_alone_asks_for_no_duel() -> None:
    budgets = resolve(latency={"p50_ms_max": 8.0})["a"]
    assert budgets.speed is None
    assert [(budget.kind, budget.limit) for budget in budgets.times] == [("p50_ms_max", 8.0)]


def test_a_budget_over_builds_replaces_the_common_one_and_reach() -> None:
    table = {"accuracy": {"drop_points": 2.0, "floor": 0.8, "over": "builds"}}
    variant_table = {"variants": {"b": {"accuracy": {"drop_points": 1.0}}}}
    data = {"suite": {"seeds": (0, 1)}, "budgets": {**table, **variant_table}}
    budgets = resolve_budgets(data, VARIANTS, "x")
    assert {budget.kind: budget.over for budget in budgets["a"].quality["accuracy"]} == {
        "drop_points": "builds",
        "floor": "builds",
    }
    assert {budget.kind: budget.over for budget in budgets["b"].quality["accuracy"]} == {
        "drop_points": "rows",
        "floor": "builds",
    }


def test_a_search_and_logs_have_one_build() -> None:
    table = {"drop_points": 1.0, "over": "builds"}
    with pytest.raises(SuiteError, match='over: "builds" was given, but a search judges one build of each'):
        read_budgets({"accuracy": table}, ("tune", "budget"), {"suite": {"seeds": (0, 1)}}, "x.toml")
    with pytest.raises(
        SuiteError, match='over = "builds" was given, but logs come from one build of each model'
    ):
        parse_budget_tables({"budgets": {"*": table}}, "x.toml")


def test_a_budget_on_both_sides_is_read_where_a_drop_is() -> None:
    table = {"accuracy": {"equivalent_points": 1.0}}
    data = {
        "budgets": {
            **table,
            "baseline": table,
            "variants": {"b": {"accuracy": {"equivalent_points": 0.5, "drop_points": 2.0}}},
            "teacher": {"baseline": table},
        }
    }
    budgets = resolve_budgets(data, VARIANTS, "x")
    equivalent = QualityBudget("equivalent_points", 1.0)
    assert budgets["a"].quality == budgets["a"].baseline == {"accuracy": (equivalent,)}
    assert set(budgets["b"].quality["accuracy"]) == {
        QualityBudget("equivalent_points", 0.5),
        QualityBudget("drop_points", 2.0),
    }
    assert read_teacher_budgets(data, "x").baseline == {"accuracy": (equivalent,)}
    assert budgets["a"].list_limits()["accuracy", "equivalent_points"] == Limit(1.0, None)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"accuracy": {"equivalent_points": 0.0}}, "equivalent_points: 0.0 was given, expected more than 0"),
        (
            {"accuracy": {"equivalent_points": 100.0}},
            "accuracy cannot change by more: the budget would always hold",
        ),
        ({"perplexity": {"equivalent_points": 1.0}}, "equivalent_points does not suit perplexity"),
        ({"slices": {"accuracy": {"equivalent_points": 1.0}}}, "equivalent_points is not supported yet"),
        (
            {"teacher": {"accuracy": {"equivalent_points": 1.0}}},
            "equivalent_points: limits the loss against the teacher",
        ),
        (
            {"teacher": {"accuracy": {"drop_relative": 0.1, "drop_points": 1.0, "equivalent_points": 1.0}}},
            "drop_relative: limits the loss against the teacher",
        ),
        ({"accuracy": {"equivalent_point": 1.0}}, r"Did you mean equivalent_points\?"),
    ],
    ids=["zero", "always holds", "unsuited", "slices", "teacher", "first in the file", "mistyped"],
)
def test_a_wrong_budget_on_both_sides_is_one_clear_error(table: dict[str, Any], problem: str) -> None:
    read = (
        read_teacher_budgets
        if "teacher" in table
        else lambda data, file: resolve_budgets(data, VARIANTS, file)
    )
    with pytest.raises(SuiteError, match=problem):
        read({"budgets": table}, "x")
