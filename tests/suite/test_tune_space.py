"""Spaces of step lists: which lists a template gives, and which choices are asked for."""

from __future__ import annotations

from typing import Any

from slimgate.suite.tune_space import (
    Choice,
    Range,
    Space,
    StepTemplate,
    draw_steps,
    iterate_step_lists,
    list_ends,
)


def space(*steps: StepTemplate) -> Space:
    return Space(0, "s", "teacher", steps, None)


LAYERS = StepTemplate({"keep_layers": Choice("layers", ((0,), (0, 5)))}, None)
PRUNE = StepTemplate(
    {"prune_ffn": {"pruning_ratio": Choice("ratio", (0.25, 0.5))}}, Choice("out", (False, True))
)


def steps_of(*templates: StepTemplate) -> list[list[dict[str, Any]]]:
    return [[step for _, step in step_list.steps] for step_list in iterate_step_lists(space(*templates))]


def test_every_step_list_comes_once_and_absent_steps_ask_nothing() -> None:
    single, two = {"keep_layers": (0,)}, {"keep_layers": (0, 5)}
    low, high = ({"prune_ffn": {"pruning_ratio": ratio}} for ratio in (0.25, 0.5))
    assert steps_of(LAYERS, PRUNE) == [
        [single, low],
        [single, high],
        [single],
        [two, low],
        [two, high],
        [two],
    ]


def test_choices_inside_of_choices_are_asked_where_they_are_met() -> None:
    bits = StepTemplate(
        Choice("bits", ({"int8_dynamic": {}}, {"gptq": {"bits": Choice("gptq bits", (4, 3))}})), None
    )
    assert steps_of(bits) == [[{"int8_dynamic": {}}], [{"gptq": {"bits": 4}}], [{"gptq": {"bits": 3}}]]
    first, *_ = iterate_step_lists(space(bits))
    assert first.picks == {"bits": 0}


def test_a_template_without_choices_is_one_step_list() -> None:
    assert steps_of(StepTemplate({"fine_tune": {"epochs": 2}}, None)) == [[{"fine_tune": {"epochs": 2}}]]


def test_a_range_is_shown_by_its_ends_and_one_of_integers_by_all() -> None:
    rate = Range("rate", 1e-4, 5e-4, log=True, step=None, is_whole=False)
    assert list(list_ends(rate)) == [1e-4, 5e-4]
    assert list(list_ends(Range("epochs", 2, 8, log=False, step=3, is_whole=True))) == [2, 5, 8]


def test_places_are_those_of_the_template() -> None:
    left_out = draw_steps(space(PRUNE, LAYERS), lambda _: 1)
    assert left_out.steps == ((1, {"keep_layers": (0, 5)}),)
    assert left_out.key == draw_steps(space(PRUNE, LAYERS), lambda d: 1 if d.name != "ratio" else 0).key


def test_only_numbers_in_order_are_neighbours() -> None:
    assert Choice("a", (0.25, 0.5)).is_ordered
    assert Choice("a", (4, 3, 2)).is_ordered
    assert not Choice("a", (1, 3, 2)).is_ordered
    assert not Choice("a", (False, True)).is_ordered
    assert not Choice("a", ((0,), (1,))).is_ordered
