"""A plain function as a step: its keyword-only parameters are the options of the step.

    def round_weights(model: Any, context: BuildContext, *, digits: int = 3) -> Any:
        ...

    { "mytools.rounding:round_weights" = { digits = 2 } }

It gives the model back, or nothing where it changed the one it was given. What else a step declares stands
on the function, as in `round_weights.reads = ("train",)`; see step.py.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_origin, get_type_hints

from pydantic import BaseModel, Strict, create_model

from slimgate.errors import SuiteError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

FORM = "a step's form is def name(model, context, *, option: type = default)"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionStep(Step[Any]):
    """A step whose `apply` is a function. Raises SuiteError where its signature hides its options."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__module__ = function.__module__  # whose code the store's key digests
        self.__doc__ = function.__doc__
        self._function = function
        self.Params = params_of(function)
        for name, value in vars(function).items():
            if hasattr(Step, name) and not name.startswith("_"):
                setattr(self, name, value)

    def apply(self, model: Any, params: Any, context: BuildContext) -> Any:
        """What the function gives back; None stands for the model that it was given."""
        options = {name: getattr(params, name) for name in type(params).model_fields}
        changed = self._function(model, context, **options)
        return model if changed is None else changed


def params_of(function: Callable[..., Any]) -> type[BaseModel]:
    """A Table of the function's keyword-only parameters."""
    fields = dict(_fields(function))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydantic warns of a name that hides one of its own
            return create_model("Params", __base__=Table, __module__=function.__module__, **fields)
    except Exception as error:  # pydantic raises several kinds for a type or a name that it cannot use
        raise SuiteError(f"its options cannot be read: {' '.join(str(error).split())}") from error


def _fields(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """(name, (annotation, default)) of each option."""
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2 or any(parameter.kind not in POSITIONAL for parameter in parameters[:2]):
        raise SuiteError(f"it does not take (model, context); {FORM}")
    types = _types(function)
    for parameter in parameters[2:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise SuiteError(f"parameter {parameter} is not keyword-only; {FORM}")
        if parameter.name.startswith("_"):
            raise SuiteError(f"parameter {parameter.name} begins with _, which no option does")
        if parameter.name not in types:
            raise SuiteError(f"parameter {parameter.name} has no type; {FORM}")
        default = ... if parameter.default is parameter.empty else parameter.default
        yield parameter.name, (_of_toml(types[parameter.name]), default)


def _types(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is any expression
        raise SuiteError(f"its types cannot be read: {type(error).__name__}: {error}") from error


def _of_toml(annotation: Any) -> Any:
    """The type, where it is a list or set made from an array of TOML, which comes as a tuple."""
    collection = (get_origin(annotation) or annotation) in (list, set, frozenset)
    return Annotated[annotation, Strict(False)] if collection else annotation
