"""Loads a plug-in by its name: one of slimgate, of an installed package, or "package.module:object".

An installed package adds plug-ins by entry points, in the groups slimgate.steps, .tasks, .metrics, .sources,
.runtimes and .logs (readers of other tools' logs):

    [project.entry-points."slimgate.runtimes"]
    llama_cpp = "slimgate_gguf.runtime:LlamaCpp"
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_origin, get_type_hints

from pydantic import BaseModel, Strict, create_model

from slimgate.errors import SuiteError, format_suggestion
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.reader import Reader
from slimgate.plugins.rows import JUDGING
from slimgate.plugins.runtime import Form, Runtime
from slimgate.plugins.source import Source
from slimgate.plugins.step import CLAIMS, Step
from slimgate.plugins.task import Task

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
BASES: dict[str, type[Any]] = {
    "source": Source,
    "task": Task,
    "step": Step,
    "runtime": Runtime,
    "log": Reader,
}
READABLE = ("train", "calibration", "selection", "unlabelled")
ROOT = Path(__file__).parents[1]
FOLDERS = {
    "source": "data/sources",
    "task": "tasks",
    "step": "steps/*",
    "runtime": "runtimes",
    "log": "logs/readers",
}
# folders of steps/ with code that steps share
NOT_STEPS = ("layers", "training")
# Kind -> dotted path -> plug-in, for the plug-ins that suites of this process have named by a path.
_named: dict[str, dict[str, Any]] = {}
FORM = "a step's form is def name(model, context, *, option: type = default)"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@cache
def list_modules(kind: str) -> dict[str, str]:
    """Name -> module of slimgate's plug-ins of a kind: the public files of its folders."""
    files = [file for file in ROOT.glob(f"{FOLDERS[kind]}/*.py") if file.parent.name not in NOT_STEPS]
    return {
        file.stem: ".".join(("slimgate", *file.relative_to(ROOT).with_suffix("").parts))
        for file in sorted(files, key=lambda file: file.stem)
        if not file.stem.startswith("_")
    }


@cache
def _entry_points_by_kind() -> dict[str, tuple[EntryPoint, ...]]:
    """Those of installed packages for plug-ins, read at once: the metadata of all packages takes long."""
    all_groups = entry_points()
    return {kind: tuple(all_groups.select(group=f"slimgate.{kind}s")) for kind in (*BASES, "metric")}


@cache
def installed_plugins(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Name -> the entry points of installed packages that add plug-ins of a kind. A kind may be "metric"."""
    by_name: dict[str, tuple[EntryPoint, ...]] = {}
    for entry_point in sorted(
        _entry_points_by_kind()[kind],
        key=lambda entry_point: (entry_point.name, entry_point.value),
    ):
        by_name[entry_point.name] = (*by_name.get(entry_point.name, ()), entry_point)
    return by_name


def known_plugins(kind: str) -> tuple[str, ...]:
    """Names of plug-ins of a kind: slimgate's own, then those of installed packages."""
    return tuple(dict.fromkeys((*list_modules(kind), *installed_plugins(kind))))


def load(kind: str, name: str) -> Any:
    """Loads a plug-in. Raises SuiteError with the nearest known name, or with the error of the import."""
    if ":" in name:
        plugin = _named.setdefault(kind, {})[name] = _load_user_plugin(kind, name, name)
        return plugin
    if path := find_added_path(kind, name, list_modules(kind)):
        return _load_user_plugin(kind, name, path)
    if name not in list_modules(kind):
        near = suggest_task(name) if kind == "task" else format_suggestion(name, known_plugins(kind))
        hint = '; your own is named "package.module:object"' if "." in name else ""
        if kind == "step" and not hint and not near.startswith("."):
            hint = "; `slimgate steps` describes them"
        raise SuiteError(f'"{name}": no such {kind}{near}{hint}')
    return getattr(importlib.import_module(list_modules(kind)[name]), BASES[kind].__name__.lower())


def suggest_task(name: str) -> str:
    """`. Did you mean causal_lm?` for a synonym of a task's name, a word of it, or a metric of the task."""
    tasks = {task: load("task", task) for task in list_modules("task")}
    word = name.lower().replace("-", "_")
    called = [task for task, plugin in tasks.items() if word in plugin.also_called]
    worded = [task for task in known_plugins("task") if word in task.split("_")]
    measuring = [task for task, plugin in tasks.items() if word in plugin.default_metrics]
    if matches := called or worded:
        return f". Did you mean {' or '.join(matches)}?"
    if measuring:
        return f", but a metric. Did you mean {' or '.join(measuring)}?"
    return format_suggestion(name, known_plugins("task"))


def plugins(kind: str) -> dict[str, Any]:
    """The known plug-ins of a kind, then those that this process has loaded by a dotted path."""
    return {**{name: load(kind, name) for name in known_plugins(kind)}, **_named.get(kind, {})}


def find_default_runtime(kind: str) -> tuple[str, Runtime[Any]] | None:
    """The name and the runtime that executes artifacts of a kind if the suite names no runtime."""
    for name, runtime in plugins("runtime").items():
        if kind in runtime.default_for:
            return name, runtime
    return None


def list_forms() -> dict[str, tuple[str, Runtime[Any]]]:
    """Name of each form of `slimgate export` -> (name of the runtime that declares it, the runtime)."""
    return {
        runtime.form.name: (name, runtime) for name, runtime in plugins("runtime").items() if runtime.form
    }


def find_form(name: str) -> Form:
    """The form of that name."""
    form = list_forms()[name][1].form
    assert form is not None
    return form


def list_graph_forms() -> dict[str, Form]:
    """Kind of artifact -> form, for the forms that are graphs: a folder of theirs can be a model."""
    forms = (runtime.form for runtime in plugins("runtime").values())
    return {form.name: form for form in forms if form and form.files}


def find_added_path(kind: str, name: str, built_in: Collection[str]) -> str | None:
    """The dotted path of the plug-in that an installed package adds under this name; None if there is none.

    built_in: the names of slimgate's plug-ins. Raises SuiteError if two plug-ins have the name.
    """
    installed = [_describe_entry_point(entry_point) for entry_point in installed_plugins(kind).get(name, ())]
    if len(installed) + (name in built_in) > 1:
        sources = ["slimgate itself"] if name in built_in else []
        raise SuiteError(
            f'{kind} "{name}" is the name of several: {", ".join([*sources, *installed])}; '
            "uninstall one, or rename it in its package's entry points"
        )
    return installed_plugins(kind)[name][0].value if installed else None


def _describe_entry_point(entry: EntryPoint) -> str:
    return f"{entry.value} of {entry.dist.name if entry.dist else 'an unknown package'}"


def load_object(name: str) -> Any:
    """The object that "module:object" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def module_of(plugin: Any) -> str:
    """The name of the module with a plug-in's code. Keys of the store have the digest of its file."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    return str(getattr(plugin, "__module__", None) or type(plugin).__module__)


def read_docstring(plugin: Any) -> str:
    """The docstring of a plug-in, or else of its module; "" if neither has one."""
    texts = (
        plugin.__doc__,
        sys.modules[module_of(plugin)].__doc__ if module_of(plugin) in sys.modules else "",
    )
    return next((inspect.cleandoc(text) for text in texts if text and text.strip()), "")


def load_user_object(kind: str, name: str) -> Any:
    """The object that a user's "package.module:object" or "package:module" names. Raises SuiteError."""
    if not DOTTED.fullmatch(name):
        raise SuiteError(f'"{name}": no such {kind}; your own is named "package.module:object"')
    module_name, _, attribute = name.partition(":")
    module = _import_module(kind, name, module_name)
    value = getattr(module, attribute, None)
    if value is None and hasattr(module, "__path__") and find_spec(f"{module_name}.{attribute}"):
        value = _import_module(kind, name, f"{module_name}.{attribute}")
    if value is None:
        public = [key for key in vars(module) if not key.startswith("_")]
        raise SuiteError(
            f'{kind} "{name}": {module_name} has no {attribute}{format_suggestion(attribute, public)}'
        )
    return value


def _import_module(kind: str, name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise SuiteError(f'{kind} "{name}": importing {module_name} failed: {error}') from error
        where = "expected it in the rootdir, next to the suite, or installed"
        raise SuiteError(f'{kind} "{name}": no module {error.name}; {where}') from error
    except Exception as error:  # the user's module may raise anything; it becomes one line
        raise SuiteError(
            f'{kind} "{name}": importing {module_name} failed: {type(error).__name__}: {error}'
        ) from error


def _load_user_plugin(kind: str, name: str, path: str) -> Any:
    """Loads a plug-in from a path. name: as the suite has it, for messages; path: package.module:object."""
    plugin = load_user_object(kind, path)
    try:
        return _make_plugin(kind, plugin)
    except SuiteError as error:
        raise SuiteError(f'{kind} "{name}": {error}') from error.__cause__


def _make_plugin(kind: str, candidate: Any) -> Any:
    """Makes a plug-in of a user's object.

    The object may be a plug-in, a class or a module with the members of one, or a function for a step. If a
    module has an object named `step`, `task`, `source` or `runtime`, that is taken.
    """
    base = BASES[kind]
    if isinstance(candidate, ModuleType):
        candidate = getattr(candidate, base.__name__.lower(), candidate)
    if kind == "step" and inspect.isfunction(candidate):
        return _check_plugin(kind, FunctionStep(candidate))
    params = getattr(candidate, "Params", None)
    if base is not Reader and not (inspect.isclass(params) and issubclass(params, BaseModel)):
        raise SuiteError("it has no Params (a pydantic model of its options); see slimgate/plugins/base.py")
    _check_complete(base, sorted(getattr(candidate, "__abstractmethods__", ())))
    try:
        plugin = candidate() if inspect.isclass(candidate) else candidate
    except Exception as error:
        raise SuiteError(f"calling it failed: {type(error).__name__}: {error}") from error
    if base is Reader and not isinstance(plugin, Reader):
        raise SuiteError("it is not a Reader; see Reader in slimgate/plugins/reader.py")
    if not isinstance(plugin, base):
        _check_complete(base, [name for name in _required_names(base) if not hasattr(plugin, name)])
        plugin = _with_defaults(base, plugin)
    return _check_plugin(kind, plugin)


def _check_complete(base: type, missing: Sequence[str]) -> None:
    if missing:
        raise SuiteError(
            f"it has no {', '.join(missing)}; see {base.__name__} in "
            f"slimgate/plugins/{base.__name__.lower()}.py"
        )


def _required_names(base: Any) -> list[str]:
    """The members of a base class that have no default: attributes, then methods."""
    undefined = [name for name in base.__annotations__ if name != "Params" and not hasattr(base, name)]
    return [*undefined, *(name for name in vars(base) if name in base.__abstractmethods__)]


def _with_defaults(base: Any, plugin: Any) -> Any:
    """Makes a plug-in of the base class with the members of another object or a module."""
    members = {name: getattr(plugin, name) for name in _declared_names(base) if hasattr(plugin, name)}
    completed = {name: staticmethod(value) if callable(value) else value for name, value in members.items()}
    completed |= {"__module__": module_of(plugin), "__doc__": plugin.__doc__}
    return type(base.__name__, (base,), completed)()


def _declared_names(base: Any) -> list[str]:
    return ["Params", *(name for name in {**base.__annotations__, **vars(base)} if not name.startswith("_"))]


def _check_plugin(kind: str, plugin: Any) -> Any:
    if kind == "step":
        _check_declared(plugin)
    return plugin


def _check_declared(step: Any) -> None:
    """Raises SuiteError if `takes`, `claims` or `reads` of a step have a wrong type or value."""
    for key, example in (("takes", 'frozenset({"torch"})'), ("reads", '("train",)')):
        value = getattr(step, key)
        if isinstance(value, str) or not isinstance(value, Collection):
            raise SuiteError(f"{key} is {value!r}, expected {example}")
    claims = step.claims
    if unknown := [
        claim for claim in ([claims] if isinstance(claims, str) else claims) if claim not in CLAIMS
    ]:
        raise SuiteError(f"claims {unknown[0]!r}; expected some of {', '.join(CLAIMS)}, in a tuple")
    for split in step.reads:
        if split not in READABLE:
            came = f"{split} rows only judge" if split in JUDGING else "no such split"
            raise SuiteError(f'reads "{split}": {came}; expected some of {", ".join(READABLE)}')


class FunctionStep(Step[Any]):
    """A plain function as a step: its keyword-only parameters are the options of the step.

        def round_weights(model: Any, context: BuildContext, *, digits: int = 3) -> Any:
            ...

        { "mytools.rounding:round_weights" = { digits = 2 } }

    It returns a model, or nothing if it changed the model in place. Attributes of the function declare what
    else a step declares, as in `round_weights.reads = ("train",)`; see step.py. Raises SuiteError if the
    signature has options that are not keyword-only or have no type.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__module__ = function.__module__  # whose code the store's key digests
        self.__doc__ = function.__doc__
        self._function = function
        self.Params = make_params(function)
        for name, value in vars(function).items():
            if hasattr(Step, name) and not name.startswith("_"):
                setattr(self, name, value)

    def apply(self, model: Any, params: Any, context: BuildContext) -> Any:
        """The model that the function returns. If it returns None, the model that it got."""
        options = {name: getattr(params, name) for name in type(params).model_fields}
        changed = self._function(model, context, **options)
        return model if changed is None else changed


def make_params(function: Callable[..., Any]) -> type[BaseModel]:
    """A Table of the function's keyword-only parameters."""
    fields = dict(_list_options(function))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydantic warns of a name that hides one of its own
            return create_model("Params", __base__=Table, __module__=function.__module__, **fields)
    except Exception as error:  # pydantic raises several kinds for a type or a name that it cannot use
        raise SuiteError(f"its options cannot be read: {' '.join(str(error).split())}") from error


def _list_options(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """(name, (annotation, default)) of each option."""
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2 or any(parameter.kind not in POSITIONAL for parameter in parameters[:2]):
        raise SuiteError(f"it does not take (model, context); {FORM}")
    types = _read_types(function)
    for parameter in parameters[2:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise SuiteError(f"parameter {parameter} is not keyword-only; {FORM}")
        if parameter.name.startswith("_"):
            raise SuiteError(f"parameter {parameter.name} begins with _, which no option does")
        if parameter.name not in types:
            raise SuiteError(f"parameter {parameter.name} has no type; {FORM}")
        default = ... if parameter.default is parameter.empty else parameter.default
        yield parameter.name, (_accept_array(types[parameter.name]), default)


def _read_types(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is any expression
        raise SuiteError(f"its types cannot be read: {type(error).__name__}: {error}") from error


def _accept_array(annotation: Any) -> Any:
    """The type. A list or set also accepts a tuple, because arrays of TOML are read as tuples."""
    collection = (get_origin(annotation) or annotation) in (list, set, frozenset)
    return Annotated[annotation, Strict(False)] if collection else annotation
