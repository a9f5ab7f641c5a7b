"""Reads [tune]: validates each choice like a variant's options, before any model is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slimgate._system.toml import format_value
from slimgate.errors import SuiteError, format_suggestion
from slimgate.suite.errors import Loc, convert_validation_error
from slimgate.suite.tune_space import (
    Choice,
    ChoiceTable,
    Drawn,
    Range,
    RangeTable,
    Space,
    SpaceTable,
    StepTemplate,
    Tier,
    TuneTable,
    Tuning,
    iterate_step_lists,
)
from slimgate.suite.variant_budgets import SIZE

if TYPE_CHECKING:
    from slimgate.suite.reader import Reader
    from slimgate.suite.suite import Suite, Variant


def make_candidate(reader: Reader, suite: Suite, drawn: Drawn, name: str) -> Variant:
    """The step list as a variant. Raises SuiteError, with its place in [tune], if it is invalid."""
    from slimgate.suite.checks import check_models
    from slimgate.suite.runtime_choice import add_default_runtimes
    from slimgate.suite.step_checks import check_teachers_exist
    from slimgate.suite.suite import Variant

    loc: Loc = ("tune", "space", drawn.space.number)
    if not drawn.steps:
        raise reader.make_error(loc, "every step is left out")
    variant = Variant(
        name=name,
        parent=drawn.space.parent,
        ref=None,
        steps=tuple(reader.read_step(step, (*loc, "steps", number)) for number, step in drawn.steps),
        runtime=reader.read_runtime(drawn.space.runtime, loc),
    )

    def error_at(where: Loc, problem: str) -> SuiteError:
        """The error at the step's place in the space: steps before it may have been left out."""
        if tuple(where[:2]) != ("variants", name):
            return reader.make_error(where, problem)
        rest = list(where[2:])
        if len(rest) > 1 and rest[0] == "steps":
            rest[1] = drawn.steps[int(rest[1])][0]
        return reader.make_error((*loc, *rest), problem)

    stated = frozenset() if drawn.space.runtime is None else frozenset({name})
    extended_suite = replace(suite, variants={**suite.variants, name: variant})
    extended_suite = add_default_runtimes(extended_suite, stated)
    check_teachers_exist(extended_suite.variants, error_at)
    check_models(extended_suite, error_at, folders=reader.check_data)
    return extended_suite.variants[name]


def find_free_name(name: str, suite: Suite) -> str:
    """The name, or a longer one if a variant of the suite has it already."""
    while name in suite.variants:
        name += "-again"
    return name


# Step lists that are checked before the search; each is checked again when the search draws it.
_LOOKED_AT = 256


def read_tuning(reader: Reader, suite: Suite, table: TuneTable) -> Tuning:
    """The resolved table. Raises SuiteError if no search could use it."""
    if suite.setup.sizes.selection == 0:
        problem = "0 was given, but [tune] chooses on these rows: give it some, such as 1000"
        raise reader.make_error(("task", "splits", "selection"), problem)
    spaces = tuple(_read_space(reader, suite, i, space) for i, space in enumerate(table.space))
    names = [space.name for space in spaces]
    for i, name in enumerate(names):
        if (first := names.index(name)) < i:
            problem = f'"{name}": space[{first}] has the same name'
            raise reader.make_error(("tune", "space", i, "name"), problem)
    for space in spaces:
        _check_choices(reader, space)
        _check_some_can_build(reader, suite, space)
    return Tuning(
        tiers=_read_tiers(reader, suite),
        max_minutes=table.max_minutes,
        max_trials=table.max_trials,
        keep=table.keep,
        spaces=spaces,
    )


def _read_space(reader: Reader, suite: Suite, number: int, table: SpaceTable) -> Space:
    loc = ("tune", "space", number)
    parents = ("teacher", *suite.variants)
    if table.parent is not None and table.parent not in parents:
        problem = f'"{table.parent}": no such variant{format_suggestion(table.parent, parents)}'
        raise reader.make_error((*loc, "from"), problem)
    # pydantic copies strings; the original strings still know their folder
    written = reader.text.data["tune"]["space"][number]
    name = table.name or f"space-{number + 1}"
    steps = tuple(
        _read_template(reader, step, (*loc, "steps", i), f"{name} steps[{i}]")
        for i, step in enumerate(written["steps"])
    )
    return Space(number, name, table.parent or "teacher", steps, written.get("runtime"))


def _read_template(reader: Reader, step: Mapping[str, Any], loc: Loc, name: str) -> StepTemplate:
    content = dict(step)
    optional = content.pop("optional", False)
    if not isinstance(optional, bool):
        raise reader.make_error(
            (*loc, "optional"), f"{format_value(optional)} was given, expected true or false"
        )
    left_out = Choice(f"{name} left out", (False, True)) if optional else None
    return StepTemplate(_parse_value(reader, content, loc, name), left_out)


def _parse_value(reader: Reader, value: object, loc: Loc, name: str) -> Any:
    """The value with each table of choices as a Choice, and each table of low and high as a Range."""
    if isinstance(value, tuple):
        return tuple(_parse_value(reader, item, (*loc, i), f"{name}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, Mapping):
        return value
    try:
        if "choices" in value:
            ChoiceTable.model_validate(value)
            return _read_choice(reader, value["choices"], (*loc, "choices"), name)
        if {"low", "high"} & value.keys():
            table = RangeTable.model_validate(value)
            return Range(name, table.low, table.high, log=table.log, step=table.step, is_whole=table.is_whole)
    except ValidationError as error:
        raise convert_validation_error(error, reader.text.shown, reader.text.data, loc) from None
    return {key: _parse_value(reader, item, (*loc, key), f"{name}.{key}") for key, item in value.items()}


def _read_choice(reader: Reader, options: tuple[Any, ...], loc: Loc, name: str) -> Choice:
    for i, option in enumerate(options):
        if (first := options.index(option)) < i and type(options[first]) is type(option):
            raise reader.make_error((*loc, i), f"the same as choices[{first}]")
    return Choice(
        name, tuple(_parse_value(reader, o, (*loc, i), f"{name}[{i}]") for i, o in enumerate(options))
    )


def _check_choices(reader: Reader, space: Space) -> None:
    """Raises if an option is valid in no combination with the other options of its step."""
    for i, template in enumerate(space.steps):
        loc = ("tune", "space", space.number, "steps", i)
        errors: dict[tuple[str, str], SuiteError] = {}
        fits: set[tuple[str, str]] = set()
        alone = replace(space, steps=(replace(template, left_out=None),))
        for drawn in islice(iterate_step_lists(alone), _LOOKED_AT):
            picks = {(name, repr(pick)) for name, pick in drawn.picks.items()}
            try:
                reader.read_step(drawn.steps[0][1], loc)
            except SuiteError as error:
                if not picks:
                    raise
                errors = {**dict.fromkeys(picks, error), **errors}
            else:
                fits |= picks
        wrong = next((error for pick, error in errors.items() if pick not in fits), None)
        if wrong is not None:
            raise wrong


def _check_some_can_build(reader: Reader, suite: Suite, space: Space) -> None:
    """Raises the first step list's error if none of the checked step lists is valid."""
    first: SuiteError | None = None
    for drawn in islice(iterate_step_lists(space), _LOOKED_AT):
        try:
            make_candidate(reader, suite, drawn, find_free_name("tuned", suite))
        except SuiteError as error:
            first = first or error
        else:
            return
    assert first is not None
    raise first


def _read_tiers(reader: Reader, suite: Suite) -> tuple[Tier, ...]:
    stated = reader.text.data["tune"].get("budget")
    if stated is None:
        common = {key: v for key, v in reader.text.data.get("budgets", {}).items() if key != "variants"}
        tiers = [_read_tier(reader, suite, common, ("budgets",), stated=False)]
    elif isinstance(stated, tuple):
        tiers = [
            _read_tier(reader, suite, table, ("tune", "budget", i), stated=True)
            for i, table in enumerate(stated)
        ]
    else:
        tiers = [_read_tier(reader, suite, stated, ("tune", "budget"), stated=True)]
    if not tiers or not all(tier.quality for tier in tiers):
        problem = "needs a budget on a metric, such as { accuracy = { drop_points = 1.0 } }"
        raise reader.make_error(("tune", "budget"), problem)
    return tuple(tiers)


def _read_tier(reader: Reader, suite: Suite, table: Mapping[str, Any], loc: Loc, *, stated: bool) -> Tier:
    from slimgate.judge.metrics import load_metric
    from slimgate.suite.budgets import read_budgets

    budgets = read_budgets(table, loc, reader.text.data, reader.text.shown)
    _, over_builds = budgets.drop_over_builds()
    if over_builds:
        problem = (
            '"builds" was given, but a search judges one build of each variant; give it its own [tune] budget'
        )
        raise reader.make_error((*loc, over_builds[0], "over"), problem)
    provided = suite.setup.task.object.provides_with(suite.setup.task.params)
    for name in budgets.quality if stated else ():
        if load_metric(name).needs not in provided:
            problem = f'"{name}" does not fit the outcomes of task {suite.setup.task.name}'
            raise reader.make_error((*loc, name), problem)
    unsearched: list[Loc] = [(key,) for key in table if key not in (*budgets.quality, SIZE)]
    if budgets.quantized is not None:
        unsearched.append((SIZE, budgets.quantized.kind))
    if stated and unsearched:
        raise reader.make_error(
            (*loc, *unsearched[0]), "a search judges only metrics and size; the gate judges the rest"
        )
    return Tier(budgets.quality, budgets.size, dict(table) if stated else None)
