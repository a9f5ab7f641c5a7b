"""A plain function as a step: its options, what it declares, and every signature that says too little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError
from support.refused_options import read_refusal

from slimgate._system.digests import digest_code
from slimgate.errors import SuiteError
from slimgate.plugins.loading import load
from slimgate.plugins.module_of import module_of
from slimgate.plugins.params import Table
from slimgate.plugins.user_plugins import FunctionStep

if TYPE_CHECKING:
    from slimgate import BuildContext, TorchModel


def prune_my_way(
    model: Any,
    context: Any,
    *,
    amount: Annotated[float, Field(gt=0)] = 0.3,
    scope: Literal["all", "layer"] = "all",
    blocks: list[int],
) -> Any:
    context["options"] = (amount, scope, blocks)
    return model


def in_place(model: list[int], _context: Any) -> None:
    model.append(1)


def on_rows(model: Any, _context: Any) -> Any:
    return model


on_rows.takes, on_rows.gives = {"torch", "torch_quantized"}, "torch"  # type: ignore[attr-defined]
on_rows.reads, on_rows.stochastic = ("train", "selection"), True  # type: ignore[attr-defined]


def on_gate_rows(model: Any, _context: Any) -> Any:
    return model


on_gate_rows.reads = ("gate",)  # type: ignore[attr-defined]


def on_a_string(model: Any, _context: Any) -> Any:
    return model


on_a_string.reads = "train"  # type: ignore[attr-defined]


def claiming_a_string(model: Any, _context: Any) -> Any:
    return model


claiming_a_string.claims = "smaller"  # type: ignore[attr-defined]


def test_keyword_only_parameters_are_the_options() -> None:
    step = load("step", f"{__name__}:prune_my_way")
    params = step.Params.model_validate({"amount": 0.5, "blocks": (0, 2)})  # TOML's arrays come as tuples
    context: dict[str, Any] = {}
    assert step.apply("model", params, context) == "model"
    assert context["options"] == (0.5, "all", [0, 2])
    assert step.Params.model_validate({"blocks": ()}).amount == 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "blocks: Field required"),
        ({"blocks": (0,), "amount": 0}, "amount: Input should be greater than 0"),
        ({"blocks": (0,), "amount": "0.5"}, "amount: Input should be a valid number"),
        ({"blocks": (0,), "scope": "none"}, "scope: Input should be 'all' or 'layer'"),
    ],
)
def test_options_are_checked_as_strictly_as_slimgates_own(options: dict[str, Any], message: str) -> None:
    assert read_refusal(FunctionStep(prune_my_way).Params, options).startswith(message)


class ListsOfAClass(Table):
    names: list[str] | None = None
    grid: list[list[int]] = Field(default_factory=list)
    shares: dict[str, list[float]] = Field(default_factory=dict)
    tables: list[dict[str, set[int]]] = Field(default_factory=list)


def lists_of_a_function(
    _model: Any,
    _context: Any,
    *,
    names: list[str] | None = None,
    grid: list[list[int]] = [],  # noqa: B006
    shares: dict[str, list[float]] = {},  # noqa: B006
    tables: list[dict[str, set[int]]] = [],  # noqa: B006
) -> None: ...


@pytest.mark.parametrize(
    "table", [ListsOfAClass, FunctionStep(lists_of_a_function).Params], ids=["class", "function"]
)
def test_lists_at_any_depth_accept_the_arrays_of_a_suite(table: type[Table]) -> None:
    arrays = {"names": ("a",), "grid": ((1, 2), (3,)), "shares": {"a": (0.5,)}, "tables": ({"b": (1, 1)},)}
    params = table.model_validate(arrays)
    assert params.model_dump() == {
        "names": ["a"],
        "grid": [[1, 2], [3]],
        "shares": {"a": [0.5]},
        "tables": [{"b": {1}}],
    }
    with pytest.raises(ValidationError, match=r"grid\.0\.0"):
        table.model_validate({"grid": ((1.5,),)})


class OtherArrays(Table):
    later: list[Item] = Field(default_factory=list)
    either: tuple[int, ...] | list[str] | None = None
    inner: Sequence[list[int]] = ()
    places: tuple[list[int], str] | None = None
    strict: list[int] = Field(default_factory=list, strict=True)


class Item(Table):
    names: list[str]


def test_only_lists_and_sets_are_made_of_arrays() -> None:
    arrays = {
        "later": ({"names": ("a",)},),
        "either": (1, 2),
        "inner": ((1,), (2,)),
        "places": ((1,), "b"),
        "strict": (1,),
    }
    params = OtherArrays.model_validate(arrays)
    assert params.later == [Item(names=["a"])]
    assert (params.either, params.inner, params.places, params.strict) == (
        (1, 2),
        ([1], [2]),
        ([1], "b"),
        [1],
    )
    for wrong in ({"either": "x"}, {"places": ((1,),)}, {"later": (1,)}):
        assert read_refusal(OtherArrays, wrong).startswith(f"{next(iter(wrong))}: ")


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"unknown key amuont\. Did you mean amount\?"):
        FunctionStep(prune_my_way).Params.model_validate({"blocks": (), "amuont": 0.1})


def test_a_function_that_returns_none_changed_its_model() -> None:
    step = FunctionStep(in_place)
    assert step.apply([0], step.Params(), None) == [0, 1]


def test_what_else_a_step_declares_is_on_the_function() -> None:
    plain, declared = load("step", f"{__name__}:in_place"), load("step", f"{__name__}:on_rows")
    assert (plain.takes, plain.gives, plain.reads) == ({"torch"}, None, ())
    assert (plain.uses_teacher, plain.stochastic) == (False, True)
    assert (declared.takes, declared.gives) == ({"torch", "torch_quantized"}, "torch")
    assert (declared.reads, declared.uses_teacher, declared.stochastic) == (
        ("train", "selection"),
        False,
        True,
    )


def test_the_key_has_the_code_of_the_functions_module() -> None:
    step = load("step", f"{__name__}:in_place")
    assert module_of(step) == __name__
    assert digest_code(module_of(step)) != digest_code("slimgate.plugins.loading")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "on_gate_rows",
            'reads "gate": gate rows are for verdicts only; expected some of train, calibration, selection, '
            "unlabelled",
        ),
        ("on_a_string", "reads is 'train', expected a tuple such as ('train',)"),
        ("claiming_a_string", "claims is 'smaller', expected a tuple such as ('smaller',)"),
    ],
)
def test_a_wrong_declaration_is_an_error(name: str, problem: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load("step", f"{__name__}:{name}")
    assert str(caught.value) == f'step "{__name__}:{name}": {problem}'


def typed_for_editors(model: TorchModel, context: BuildContext, *, amount: float = 0.3) -> TorchModel:
    context.log["amount"] = amount
    return model


def test_only_the_types_of_options_are_read() -> None:
    assert "TorchModel" not in globals()
    assert load("step", f"{__name__}:typed_for_editors").Params().amount == 0.3


FORM = "a step's form is def name(model, context, *, option: type = default)"


def only_a_model(model: Any) -> Any: ...
def positional(model: Any, context: Any, amount: float = 0.3) -> Any: ...
def anything(model: Any, context: Any, **options: Any) -> Any: ...
def untyped(model, context, *, amount=0.3): ...  # type: ignore[no-untyped-def]
def mistyped(model: Any, context: Any, *, amount: Flaot) -> Any: ...  # type: ignore[name-defined]  # noqa
def hiding(model: Any, context: Any, *, copy: int = 3) -> Any: ...
def private(model: Any, context: Any, *, _amount: int = 3) -> Any: ...


filled_in = partial(typed_for_editors, amount=0.5)


def test_a_step_that_def_did_not_make_says_what_is_expected() -> None:
    with pytest.raises(SuiteError) as caught:
        load("step", f"{__name__}:filled_in")
    problem = f"it is of type partial, expected a function that `def` makes; {FORM}"
    assert str(caught.value) == f'step "{__name__}:filled_in": {problem}'


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (only_a_model, f"it does not accept (model, context); {FORM}"),
        (positional, f"parameter amount: 'float' = 0.3 is not keyword-only; {FORM}"),
        (anything, f"parameter **options: 'Any' is not keyword-only; {FORM}"),
        (untyped, f"parameter amount has no type; {FORM}"),
        (mistyped, "its types cannot be read: NameError: name 'Flaot' is not defined"),
        (hiding, "its options cannot be read: "),
        (private, "parameter _amount begins with _, which no option does"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_signature_that_does_not_say_its_options_is_an_error(
    function: Callable[..., Any], problem: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        load("step", f"{__name__}:{function.__name__}")
    assert str(caught.value).startswith(f'step "{__name__}:{function.__name__}": {problem}')
    assert "\n" not in str(caught.value)
