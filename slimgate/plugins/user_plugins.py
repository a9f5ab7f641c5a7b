"""Makes plug-ins of the objects of users and installed packages: classes, instances, modules, functions."""

from __future__ import annotations

import inspect
import warnings
from abc import ABCMeta
from collections.abc import Callable, Collection, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pydantic import BaseModel, create_model

from slimgate._system.error_places import format_user_error
from slimgate.errors import SuiteError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.measurement import LEAST_ROUNDS, Measurement
from slimgate.plugins.module_of import module_of
from slimgate.plugins.params import Table
from slimgate.plugins.reader import Reader
from slimgate.plugins.rows import JUDGING
from slimgate.plugins.runtime import Runtime
from slimgate.plugins.source import Source
from slimgate.plugins.step import CLAIMS, Step
from slimgate.plugins.task import Task

if TYPE_CHECKING:
    from slimgate.plugins.models import Model

BASES: dict[str, ABCMeta] = {
    "source": Source,
    "task": Task,
    "step": Step,
    "runtime": Runtime,
    "measurement": Measurement,
    "log": Reader,
}
WITHOUT_PARAMS = (Reader, Measurement)
READABLE = ("train", "calibration", "selection", "unlabelled")
Plugin = TypeVar("Plugin")
STEP_FORM = "a step's form is def name(model, context, *, option: type = default)"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def make_plugin(kind: str, candidate: object) -> Any:
    """Makes a plug-in from a user's object. Raises SuiteError if it cannot.

    The object may be a plug-in, a class or a module with the members of a plug-in, or a function for a step.
    If a module has an object with the name of the kind (`step`, `task`, `source`, `runtime`, `measurement` or
    `reader`), that object is used.
    """
    base = BASES[kind]
    if isinstance(candidate, ModuleType):
        candidate = getattr(candidate, base.__name__.lower(), candidate)
    if kind == "step" and inspect.isfunction(candidate):
        step = FunctionStep(candidate)
        _check_types(base, step)
        return _check_plugin(kind, step)
    if base not in WITHOUT_PARAMS:
        _require_params(kind, candidate)
    _check_complete(base, sorted(getattr(candidate, "__abstractmethods__", ())))
    try:
        plugin = candidate() if inspect.isclass(candidate) else candidate
    except Exception as error:
        raise SuiteError(f"calling it failed: {format_user_error(error)}") from error
    if base is Reader and not isinstance(plugin, Reader):
        raise SuiteError("it is not a Reader; see Reader in slimgate/plugins/reader.py")
    # a subclass may also lack an attribute, such as the `kinds` of a runtime
    _check_complete(base, [name for name in _list_required_names(base) if not hasattr(plugin, name)])
    if not isinstance(plugin, base):
        plugin = _with_defaults(base, plugin)
    _check_types(base, plugin)
    _check_signatures(base, plugin)
    return _check_plugin(kind, plugin)


def _require_params(kind: str, candidate: object) -> None:
    """Raises SuiteError if the object has no options, or is a callable that is no function."""
    params = getattr(candidate, "Params", None)
    if inspect.isclass(params) and issubclass(params, BaseModel):
        return
    can_be_function = kind == "step" and callable(candidate) and not hasattr(candidate, "apply")
    if can_be_function and not inspect.isclass(candidate) and not inspect.isbuiltin(candidate):
        raise SuiteError(
            f"it is of type {type(candidate).__name__}, expected a function that `def` makes; {STEP_FORM}"
        )
    raise SuiteError("it has no Params (a pydantic model of its options); see slimgate/plugins/base.py")


def _check_complete(base: type, missing: Sequence[str]) -> None:
    """Raises SuiteError if members of the base class are missing."""
    if missing:
        raise SuiteError(
            f"it has no {', '.join(missing)}; see {base.__name__} in "
            f"slimgate/plugins/{base.__name__.lower()}.py"
        )


def _list_required_names(base: ABCMeta) -> list[str]:
    """The members of a base class that have no default: attributes, then methods."""
    attributes = [name for name in base.__annotations__ if name != "Params" and not hasattr(base, name)]
    return [*attributes, *(name for name in vars(base) if name in base.__abstractmethods__)]


def _check_types(base: type, plugin: object) -> None:
    """Raises SuiteError if a plug-in declares a text in place of a tuple or a set, or no bool as a bool."""
    for name, declared in base.__annotations__.items():
        value = getattr(plugin, name)
        kind = next((kind for kind in (tuple, frozenset) if declared.startswith(f"{kind.__name__}[")), None)
        if kind and (isinstance(value, str) or not isinstance(value, Collection)):
            raise SuiteError(f"{name} is {value!r}, expected a {kind.__name__} such as {kind([value])!r}")
        if declared == "bool" and not isinstance(value, bool):
            raise SuiteError(f"{name} is {value!r}, expected True or False")


def _check_signatures(base: type, plugin: object) -> None:
    """Raises SuiteError if a method does not accept the arguments that slimgate passes to it."""
    for name, declared in vars(base).items():
        if name.startswith("_") or not inspect.isfunction(declared):
            continue
        passed = list(inspect.signature(declared).parameters.values())[1:]  # without self
        method = getattr(plugin, name)
        function = method.__func__ if inspect.ismethod(method) else method
        arguments = [parameter.name for parameter in passed if parameter.kind in POSITIONAL]
        keywords = [parameter.name for parameter in passed if parameter.kind not in POSITIONAL]
        try:
            inspect.signature(method).bind(*arguments, **dict.fromkeys(keywords))
        except TypeError as error:
            raise SuiteError(
                f"its method is {name}{_format_names(function)}, expected {name}{_format_names(declared)}"
            ) from error


def check_returned_names(kind: str, plugin: object, params: BaseModel) -> None:
    """Raises SuiteError if a method that returns names returns a text: its letters would be the names."""
    for name, declared in vars(BASES[kind]).items():
        if not inspect.isfunction(declared):
            continue
        signature = inspect.signature(declared)
        takes_options, returns = list(signature.parameters) == ["self", "params"], signature.return_annotation
        if not takes_options or not returns.startswith("tuple[str, ...]"):
            continue
        names = getattr(plugin, name)(params)
        is_left_out = names is None and returns.endswith("None")
        if not is_left_out and (isinstance(names, str) or not isinstance(names, Collection)):
            raise SuiteError(f"its method {name} gave {names!r}, expected a tuple of names")


def _format_names(function: Callable[..., object]) -> str:
    """`(self, params, *, scratch)`: the parameters of a function, without their types."""
    signature = inspect.signature(function)
    parameters = [item.replace(annotation=item.empty) for item in signature.parameters.values()]
    return str(inspect.Signature(parameters))


def _with_defaults(base: type, plugin: object) -> Any:
    """Makes a plug-in of the base class from the members of an object or a module."""
    names = (name for name in {**base.__annotations__, **vars(base)} if not name.startswith("_"))
    members = {name: getattr(plugin, name) for name in ("Params", *names) if hasattr(plugin, name)}
    attributes = {name: staticmethod(value) if callable(value) else value for name, value in members.items()}
    attributes |= {"__module__": module_of(plugin), "__doc__": plugin.__doc__}
    return type(base.__name__, (base,), attributes)()


def _check_plugin(kind: str, plugin: Plugin) -> Plugin:
    """The plug-in itself. Raises SuiteError if an attribute of a step or a measurement is wrong."""
    if kind == "step":
        _check_step(plugin)
    if kind == "measurement":
        _check_measurement(plugin)
    return plugin


def _check_measurement(measurement: Any) -> None:
    """Raises SuiteError if an attribute of a measurement has a wrong type or value."""
    title = measurement.title
    if not isinstance(title, str) or not title.strip():
        raise SuiteError(
            f'title is {title!r}, expected the name of the figure in reports, such as "load time"'
        )
    if not isinstance(measurement.unit, str):
        raise SuiteError(f'unit is {measurement.unit!r}, expected a text such as "s"')
    readings = measurement.readings
    if type(readings) is not int or not (readings == 1 or readings >= LEAST_ROUNDS):
        raise SuiteError(
            f"readings is {readings!r}, expected 1 for a figure that is counted, or a whole number from "
            f"{LEAST_ROUNDS} on"
        )


def _check_step(step: Any) -> None:
    """Raises SuiteError if `claims` or `reads` of a step have a wrong value."""
    if unknown := [claim for claim in step.claims if claim not in CLAIMS]:
        raise SuiteError(f"claims {unknown[0]!r}; expected some of {', '.join(CLAIMS)}, in a tuple")
    for split in step.reads:
        if split not in READABLE:
            reason = f"{split} rows are for verdicts only" if split in JUDGING else "no such split"
            raise SuiteError(f'reads "{split}": {reason}; expected some of {", ".join(READABLE)}')


class FunctionStep(Step[Any]):
    """A plain function as a step: its keyword-only parameters are the options of the step.

        def round_weights(model: TorchModel, context: BuildContext, *, digits: int = 3) -> None:
            ...

        { "mytools.rounding:round_weights" = { digits = 2 } }

    The function returns a model, or None if it changed the model in place. Its attributes are those of the
    step, as in `round_weights.reads = ("train",)`; see step.py. The types of model, context and the result
    are not read, so they may be imported under `if TYPE_CHECKING`. Raises SuiteError if the signature has
    options that are not keyword-only or have no type.
    """

    stochastic = True  # unless the function says otherwise

    def __init__(self, function: Callable[..., object]) -> None:
        self.__module__ = function.__module__  # whose code the store's key digests
        self.__doc__ = function.__doc__
        self._function = function
        self.Params = make_params(function)
        for name, value in vars(function).items():
            if hasattr(Step, name) and not name.startswith("_"):
                setattr(self, name, value)

    def apply(self, model: Model, params: BaseModel, context: BuildContext) -> Any:
        """The model that the function returns, or the model that was passed to it if it returns None."""
        options = {name: getattr(params, name) for name in type(params).model_fields}
        changed = self._function(model, context, **options)
        return model if changed is None else changed


def make_params(function: Callable[..., object]) -> type[BaseModel]:
    """A Table of the function's keyword-only parameters.

    Raises SuiteError if pydantic cannot use a type or a name.
    """
    fields = dict(_list_options(function))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydantic warns of a name that hides one of its own
            return create_model("Params", __base__=Table, __module__=function.__module__, **fields)
    except Exception as error:  # pydantic raises several kinds for a type or a name that it cannot use
        raise SuiteError(f"its options cannot be read: {' '.join(str(error).split())}") from error


def _list_options(function: Callable[..., object]) -> Iterator[tuple[str, Any]]:
    """(name, (annotation, default)) of each option. Raises SuiteError for a signature of another form."""
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2 or any(parameter.kind not in POSITIONAL for parameter in parameters[:2]):
        raise SuiteError(f"it does not accept (model, context); {STEP_FORM}")
    types = _read_types(function, {parameter.name for parameter in parameters[2:]})
    for parameter in parameters[2:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise SuiteError(f"parameter {parameter} is not keyword-only; {STEP_FORM}")
        if parameter.name.startswith("_"):
            raise SuiteError(f"parameter {parameter.name} begins with _, which no option does")
        if parameter.name not in types:
            raise SuiteError(f"parameter {parameter.name} has no type; {STEP_FORM}")
        default = ... if parameter.default is parameter.empty else parameter.default
        yield parameter.name, (types[parameter.name], default)


def _read_types(function: Callable[..., object], options: Collection[str]) -> dict[str, Any]:
    """The types of the options. Those of model and context may be imported for type checkers only."""

    # get_type_hints would also read the types of model and context
    def options_alone() -> None: ...

    annotations = getattr(function, "__annotations__", {})
    options_alone.__annotations__ = {name: annotations[name] for name in annotations if name in options}
    try:
        return get_type_hints(
            options_alone, getattr(inspect.unwrap(function), "__globals__", {}), include_extras=True
        )
    except Exception as error:  # an annotation is any expression
        raise SuiteError(f"its types cannot be read: {type(error).__name__}: {error}") from error
