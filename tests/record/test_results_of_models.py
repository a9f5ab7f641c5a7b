"""The results of a model: which fields of the record hold them, and the value that each budget limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from slimgate.record.run import VariantRecord
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts, Flips
from slimgate.results.checks import LATENCY, SPEEDUP
from slimgate.results.facts import JudgedFacts
from slimgate.results.figures import MemoryFacts, SizeFacts
from slimgate.results.latency import LatencyFacts, SpeedupFacts, TimeLimitFacts
from slimgate.results.quality import QualityFacts


def list_classes(annotation: Any) -> Iterator[type]:
    """The classes that an annotation contains, such as QualityFacts of dict[str, QualityFacts]."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from list_classes(argument)


def list_judged_fields() -> list[str]:
    return [
        name
        for name, field in VariantRecord.model_fields.items()
        if name != "confirm" and any(issubclass(kind, JudgedFacts) for kind in list_classes(field.annotation))
    ]


@pytest.mark.parametrize("name", list_judged_fields())
def test_the_results_of_every_field_are_listed(name: str) -> None:
    """A further kind of result is not forgotten."""
    annotation = VariantRecord.model_fields[name].annotation
    [kind] = [kind for kind in list_classes(annotation) if issubclass(kind, JudgedFacts)]
    facts = kind.model_construct(budgets=[], verdict=Verdict.PASS, limits=None)
    by_name = {"some": facts} if annotation is not None and "dict" in str(annotation) else None
    model = VariantRecord.model_construct(**{name: by_name or facts})
    [result] = list(model.results())
    assert result.facts is facts
    assert result.name == ("some" if by_name else "")


def test_the_limits_of_times_follow_the_duel_of_their_workload() -> None:
    limits = TimeLimitFacts(rounds=60, counted=60, measured="now")
    times = LatencyFacts(speedup=2.0, limits=limits, measured="now")
    model = VariantRecord(name="a", parent="teacher", latency={"b1": times, "b8": times})
    kinds = [(result.kind, result.name) for result in model.results()]
    assert kinds == [(SPEEDUP, "b1"), (LATENCY, "b1"), (SPEEDUP, "b8"), (LATENCY, "b8")]


FLIPS = Flips(right_to_wrong=3, wrong_to_right=1, changed=4, percent=1.5, interval=(0.5, 3.0))


@pytest.mark.parametrize(
    ("facts", "kind", "value", "interval"),
    [
        (
            QualityFacts(teacher=0.9, value=0.8, n=9, drop_points=10.0, interval=(8.0, 12.0), measured="now"),
            "drop_points",
            10.0,
            (8.0, 12.0),
        ),
        (BehaviourFacts(flips=FLIPS), "flips_max_percent", 1.5, (0.5, 3.0)),
        (BehaviourFacts(flips=FLIPS), "slices.accuracy", None, None),
        (SizeFacts(compression=4.0, measured="now"), "compression_min", 4.0, None),
        (SizeFacts(compression=4.0, measured="now"), "quantized_share_min", None, None),
        (
            SpeedupFacts(speedup=2.0, speedup_interval=(1.5, 3.0), clearance=1.5),
            "speedup_min",
            2.0,
            (1.0, 4.5),
        ),
        (MemoryFacts(ratio=0.5, spread=(0.4, 0.6), measured="now"), "memory_ratio_max", None, None),
    ],
    ids=["drop", "flips", "slices", "compression", "quantized share", "speed-up", "memory"],
)
def test_a_result_says_what_a_budget_limits(
    facts: JudgedFacts, kind: str, value: float | None, interval: tuple[float, float] | None
) -> None:
    budget = BudgetFacts(kind=kind, limit=1.0, verdict=Verdict.PASS)
    assert facts.find_limited_value(budget) == (value, interval)


def test_a_value_of_the_budget_counts_before_the_drop() -> None:
    """As a budget over builds has it."""
    facts = QualityFacts(teacher=0.9, value=0.8, n=9, drop_points=10.0, interval=(8.0, 12.0), measured="now")
    over_builds = BudgetFacts(
        kind="drop_points", limit=1.0, verdict=Verdict.PASS, value=7.0, interval=(6.0, 9.0)
    )
    assert facts.find_limited_value(over_builds) == (7.0, (6.0, 9.0))
