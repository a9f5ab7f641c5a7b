"""What a gate found, as JUnit properties."""

from __future__ import annotations

from typing import Any

from support.gate_results import list_result_properties, make_build_result, make_gate_result

BUDGET = {"kind": "drop_points", "limit": 2.0, "verdict": "FAIL"}


def list_properties(kind: str, name: str = "", **facts: Any) -> dict[str, object]:
    return list_result_properties(make_gate_result(kind, "int8", name, **facts))


def test_a_metric_has_its_figures_budget_and_verdict() -> None:
    properties = list_properties(
        "quality", "accuracy", teacher=0.9, value=0.87, drop_points=3.0, interval=[2.5, 3.5], n=800,
        method="Tango", budgets=[BUDGET], verdict="FAIL", message="int8: no",
    )  # fmt: skip
    assert properties == {
        "slimgate.variant": "int8",
        "slimgate.metric": "accuracy",
        "slimgate.teacher": 0.9,
        "slimgate.value": 0.87,
        "slimgate.n": 800,
        "slimgate.method": "Tango",
        "slimgate.drop_points": 3.0,
        "slimgate.interval": "[2.5, 3.5]",
        "slimgate.budget.drop_points": 2.0,
        "slimgate.verdict.drop_points": "FAIL",
        "slimgate.verdict": "FAIL",
    }


def test_a_speed_up_has_its_workload_and_interval() -> None:
    properties = list_properties(
        "speedup",
        "b1",
        speedup=2.0,
        speedup_interval=[1.9, 2.1],
        budgets=[],
        verdict=None,
        message="int8: 2×",
    )
    assert properties["slimgate.workload"] == "b1"
    assert properties["slimgate.speedup"] == 2.0
    assert properties["slimgate.interval"] == "[1.9, 2.1]"
    assert properties["slimgate.verdict"] == "not gated"


def test_size_and_flips_have_their_own() -> None:
    assert (
        list_properties("size", "", compression=3.9, budgets=[], verdict="PASS", message="int8: size")[
            "slimgate.compression"
        ]
        == 3.9
    )
    flips = {"right_to_wrong": 3, "wrong_to_right": 1, "changed": 5, "percent": 1.5, "interval": [1.0, 2.0]}
    properties = list_properties("behaviour", flips=flips, budgets=[], verdict="PASS", message="int8: flips")
    assert (properties["slimgate.flips_percent"], properties["slimgate.interval"]) == (1.5, "[1, 2]")


def test_what_is_no_judgement_has_none() -> None:
    assert list_result_properties(make_build_result("int8")) == {}
    assert list_properties("quality", "accuracy", teacher=0.9, value=0.9, n=800) == {}
