"""What a step promises is held against the artifacts before and after, and against the duel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import SuiteError
from slimgate.plugin.gates.reporting import check_claims
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load
from slimgate.run.claims import check_speed_claims, check_step_claims

BEFORE = {"bytes": 1000, "parameters": 90, "nonzero_parameters": 80}


def same_layer_by_another_name(model: Any, context: BuildContext) -> None:
    """Prunes nothing and promises all."""


same_layer_by_another_name.claims = ("smaller", "fewer_parameters", "sparser", "faster")  # type: ignore[attr-defined]


def wrong_claims(model: Any, context: BuildContext) -> None:
    pass


wrong_claims.claims = ("tiny",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("claim", "after", "expected"),
    [
        ("smaller", {**BEFORE, "bytes": 999}, True),
        ("smaller", {**BEFORE, "parameters": 10}, False),
        ("fewer_parameters", {**BEFORE, "parameters": 89}, True),
        ("fewer_parameters", {**BEFORE, "bytes": 10}, False),
        ("sparser", {**BEFORE, "nonzero_parameters": 79}, True),
        ("sparser", BEFORE, False),
        ("faster", {**BEFORE, "bytes": 10}, None),
        ("sparser", {**BEFORE, "nonzero_parameters": None}, None),
    ],
)
def test_a_claim_is_held_against_its_own_figure(
    claim: str, after: dict[str, int | None], expected: bool | None
) -> None:
    [facts] = check_step_claims("x", [claim], BEFORE, after)
    assert (facts.step, facts.claim, facts.held) == ("x", claim, expected)


@pytest.mark.parametrize(
    ("speedups", "expected"),
    [
        ({"b1": (1.1, 1.4), "b4": (1.01, 2.0)}, True),
        ({"b1": (1.1, 1.4), "b4": (0.8, 0.97)}, False),
        ({"b1": (0.9, 1.4)}, None),
        ({}, None),
    ],
)
def test_faster_is_held_against_the_duel(
    speedups: dict[str, tuple[float, float]], expected: bool | None
) -> None:
    claims = check_step_claims("x", ["faster", "smaller"], BEFORE, {**BEFORE, "bytes": 1})
    assert [claim.held for claim in check_speed_claims(claims, speedups)] == [True, expected]


def test_an_idle_step_is_detected_and_slimgates_claims_are_true(tmp_path: Path) -> None:
    pruned = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }"
    added = """
int8 = { from = "pruned", steps = [{ int8_dynamic = {} }] }
idle = { from = "shorter", steps = [{ "tests.run.test_claims:same_layer_by_another_name" = {} }] }
ready = { model = "hub", new_head = true, steps = [{ keep_layers = [0] }] }
"""
    run = make_tiny_run(tmp_path, **{pruned: pruned + added})
    claims = {
        name: {f"{claim.step} {claim.claim}": claim.held for claim in check_claims(run.make_handle(name))}
        for name in ("teacher", *run.suite.variants)
    }
    idle = "tests.run.test_claims:same_layer_by_another_name"
    assert claims == {
        "teacher": {},
        "shorter": {
            "keep_layers smaller": True,
            "keep_layers fewer_parameters": True,
            "keep_layers faster": None,
        },
        "pruned": {"magnitude_prune sparser": True},
        "int8": {"int8_dynamic smaller": True, "int8_dynamic faster": None},
        "idle": {
            f"{idle} smaller": False,
            f"{idle} fewer_parameters": False,
            f"{idle} sparser": False,
            f"{idle} faster": None,
        },
        "ready": {
            "keep_layers smaller": True,
            "keep_layers fewer_parameters": True,
            "keep_layers faster": None,
        },
    }


def test_an_unknown_claim_is_refused() -> None:
    with pytest.raises(SuiteError, match="claims 'tiny'; expected some of smaller, fewer_parameters"):
        load("step", "tests.run.test_claims:wrong_claims")
