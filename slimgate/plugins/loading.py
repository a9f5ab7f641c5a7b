"""Loads plug-ins by name: those of slimgate and of installed packages, and "package.module:object".

An installed package adds plug-ins by entry points, in the groups slimgate.steps, .tasks, .metrics, .sources,
.runtimes, .measurements and .logs (readers of other tools' logs):

    [project.entry-points."slimgate.runtimes"]
    llama_cpp = "slimgate_gguf.runtime:LlamaCpp"
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import EntryPoint, distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slimgate._system.code_reads import watch_reads
from slimgate._system.digests import list_sources
from slimgate._system.error_places import format_user_error
from slimgate.errors import SuiteError, format_suggestion
from slimgate.plugins.module_of import module_of

if TYPE_CHECKING:
    from slimgate.plugins.runtime import Form, Runtime


# The folder of the suite that is being read.
_folder: ContextVar[Path | None] = ContextVar("_folder", default=None)


def add_import_folder(folder: Path) -> None:
    """Lets the modules of a folder be imported; it is searched last."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@contextmanager
def import_from(folder: Path) -> Iterator[None]:
    """Makes the modules next to a suite importable. Checks in the block that they belong to this suite.

    Python searches the folder last, also after the block, so it hides no other module.
    """
    folder = folder.resolve()
    add_import_folder(folder)
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def check_sources(module: str) -> None:
    """Checks where Python takes a user's module from, and the modules that it imports.

    Python imports only one module of a name: two suites with different files of that name would both get the
    first one. Raises SuiteError if the suite that is being read has another file of that name next to it.
    """
    if (folder := _folder.get()) is None:
        return
    for name, source in list_sources(module).items():
        stem = folder.joinpath(*name.split("."))
        for own_file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if own_file.is_file() and own_file.read_bytes() != source.read_bytes():
                raise SuiteError(
                    f"{own_file} is not used: Python imports {name} from {source}, which is the file of "
                    "another suite or of the rootdir; rename one of them, or run the suites one at a time"
                )


DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
# Kind -> the name that a module of slimgate gives its plug-in.
OBJECT_NAMES = {
    "source": "source",
    "task": "task",
    "step": "step",
    "runtime": "runtime",
    "measurement": "measurement",
    "log": "reader",
}
ROOT = Path(__file__).parents[1]
FOLDERS = {
    "source": "data/sources",
    "task": "tasks",
    "step": "steps/*",
    "runtime": "runtimes",
    "measurement": "measurements",
    "log": "logs/readers",
}
# Folders of steps/ with code that steps share.
SHARED_STEP_FOLDERS = ("layers", "training")
# Kind -> dotted path -> plug-in, for the plug-ins that suites of this process have named by a path.
_named: dict[str, dict[str, Any]] = {}


def _name_kind(kind: str) -> str:
    """A kind of plug-in as messages name it."""
    return "reader of logs" if kind == "log" else kind


def _name_plugin(kind: str, name: str) -> str:
    return f'{_name_kind(kind)} "{name}"'


@cache
def list_modules(kind: str) -> dict[str, str]:
    """Name -> module of slimgate's plug-ins of a kind: the public files of its folders."""
    files = sorted(ROOT.glob(f"{FOLDERS[kind]}/*.py"), key=lambda file: file.stem)
    return {
        file.stem: ".".join(("slimgate", *file.relative_to(ROOT).with_suffix("").parts))
        for file in files
        if not file.stem.startswith("_") and file.parent.name not in SHARED_STEP_FOLDERS
    }


@cache
def _find_entry_points() -> dict[str, tuple[EntryPoint, ...]]:
    """Kind -> entry points of installed packages. Only files with a group of slimgate's are parsed."""
    texts = ((package, package.read_text("entry_points.txt") or "") for package in distributions())
    names = {package.name for package, text in texts if "[slimgate." in text}
    # If two packages have one name, the first on the path is the one that is imported.
    points = [point for name in sorted(names) for point in distribution(name).entry_points]
    return {
        kind: tuple(point for point in points if point.group == f"slimgate.{kind}s")
        for kind in (*OBJECT_NAMES, "metric")
    }


@cache
def list_installed_plugins(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Name -> the entry points of installed packages that add plug-ins of a kind. A kind may be "metric"."""
    by_name: dict[str, tuple[EntryPoint, ...]] = {}
    for entry_point in sorted(
        _find_entry_points()[kind],
        key=lambda entry_point: (entry_point.name, entry_point.value),
    ):
        by_name[entry_point.name] = (*by_name.get(entry_point.name, ()), entry_point)
    return by_name


def list_known_plugins(kind: str) -> tuple[str, ...]:
    """Names of plug-ins of a kind: slimgate's own, then those of installed packages."""
    return tuple(dict.fromkeys((*list_modules(kind), *list_installed_plugins(kind))))


def load(kind: str, name: str) -> Any:
    """Loads a plug-in. Raises SuiteError with the nearest known name, or with the error of the import."""
    if ":" in name:
        plugin = _named.setdefault(kind, {})[name] = _load_user_plugin(kind, name, name)
        return plugin
    if path := find_added_path(kind, name, list_modules(kind)):
        return _load_user_plugin(kind, name, path)
    if name not in list_modules(kind):
        suggestion = (
            suggest_task(name) if kind == "task" else format_suggestion(name, list_known_plugins(kind))
        )
        hint = '; your own is named "package.module:object"' if "." in name else ""
        if kind == "step" and not hint and not suggestion.startswith("."):
            hint = "; `slimgate steps` describes them"
        raise SuiteError(f'"{name}": no such {_name_kind(kind)}{suggestion}{hint}')
    return getattr(importlib.import_module(list_modules(kind)[name]), OBJECT_NAMES[kind])


def suggest_task(name: str) -> str:
    """`. Did you mean causal_lm?` for a synonym of a task, a word of its name, or one of its metrics."""
    tasks = {task: load("task", task) for task in list_modules("task")}
    word = name.lower().replace("-", "_")
    by_synonym = [task for task, plugin in tasks.items() if word in plugin.also_called]
    by_word = [task for task in list_known_plugins("task") if word in task.split("_")]
    by_metric = [task for task, plugin in tasks.items() if word in plugin.default_metrics]
    if matches := by_synonym or by_word:
        return f". Did you mean {' or '.join(matches)}?"
    if by_metric:
        return f", but a metric. Did you mean {' or '.join(by_metric)}?"
    return format_suggestion(name, list_known_plugins("task"))


def load_plugins(kind: str) -> dict[str, Any]:
    """The known plug-ins of a kind, then those that this process has loaded by a dotted path."""
    return {**{name: load(kind, name) for name in list_known_plugins(kind)}, **_named.get(kind, {})}


def find_default_runtime(kind: str) -> tuple[str, Runtime[Any]] | None:
    """The name and the runtime that executes artifacts of a kind if the suite names no runtime."""
    for name, runtime in load_plugins("runtime").items():
        if kind in runtime.default_for:
            return name, runtime
    return None


def list_forms() -> dict[str, tuple[str, Runtime[Any]]]:
    """Name of each form of `slimgate export` -> (name of the runtime that declares it, the runtime)."""
    return {
        runtime.form.name: (name, runtime)
        for name, runtime in load_plugins("runtime").items()
        if runtime.form
    }


def find_form(name: str) -> Form:
    """The form of that name."""
    form = list_forms()[name][1].form
    assert form is not None
    return form


def list_graph_forms() -> dict[str, Form]:
    """Kind of artifact -> form, for the forms that are graphs: a folder of theirs can be a model."""
    forms = (runtime.form for runtime in load_plugins("runtime").values())
    return {form.name: form for form in forms if form and form.files}


def find_added_path(kind: str, name: str, built_in: Collection[str]) -> str | None:
    """The path of the plug-in that an installed package adds under this name; None if no package does.

    built_in: the names of slimgate's plug-ins. Raises SuiteError if two plug-ins have the name.
    """
    installed = [
        f"{entry.value} of {entry.dist.name if entry.dist else 'an unknown package'}"
        for entry in list_installed_plugins(kind).get(name, ())
    ]
    if len(installed) + (name in built_in) > 1:
        sources = ["slimgate itself"] if name in built_in else []
        raise SuiteError(
            f"{_name_plugin(kind, name)} is the name of several plug-ins: "
            f"{', '.join([*sources, *installed])}; "
            "uninstall one, or rename it in its package's entry points"
        )
    return list_installed_plugins(kind)[name][0].value if installed else None


def list_named_modules(kind: str, name: str) -> tuple[str, ...]:
    """The modules that the dotted path of a plug-in names. The path is the name itself, or of an entry point.

    A path "package:module" names two modules. A plug-in of slimgate has no path, and so no module here. kind:
    may be "metric".
    """
    path = name
    if ":" not in name or name.startswith("hub:"):
        entries = list_installed_plugins(kind).get(name)
        if entries is None:
            return ()
        path = entries[0].value
    module, _, attribute = path.partition(":")
    inner = f"{module}.{attribute}"
    return (module, inner) if inner in sys.modules else (module,)


def list_code_modules(kind: str, name: str, plugin: object) -> tuple[str, ...]:
    """The modules with the code of a plug-in: that of its class or function, and those that its path names.

    They differ if a user's module makes an instance of a class of another module, or decorates a function.
    """
    return tuple(dict.fromkeys((module_of(plugin), *list_named_modules(kind, name))))


def load_object(name: str) -> Any:
    """The object that "module:object" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def read_docstring(plugin: object) -> str:
    """The docstring of a plug-in, or else of its module; "" if neither has one."""
    texts = (
        plugin.__doc__,
        sys.modules[module_of(plugin)].__doc__ if module_of(plugin) in sys.modules else "",
    )
    return next((inspect.cleandoc(text) for text in texts if text and text.strip()), "")


def load_user_object(kind: str, name: str) -> Any:
    """The object that a user's "package.module:object" or "package:module" names. Raises SuiteError."""
    if not DOTTED.fullmatch(name):
        raise SuiteError(f'"{name}": no such {_name_kind(kind)}; your own is named "package.module:object"')
    module_name, _, attribute = name.partition(":")
    module = _import_module(kind, name, module_name)
    value = getattr(module, attribute, None)
    if value is None and hasattr(module, "__path__") and find_spec(f"{module_name}.{attribute}"):
        value = _import_module(kind, name, f"{module_name}.{attribute}")
    if value is None:
        public = [key for key in vars(module) if not key.startswith("_")]
        raise SuiteError(
            f"{_name_plugin(kind, name)}: {module_name} has no "
            f"{attribute}{format_suggestion(attribute, public)}"
        )
    return value


def _import_module(kind: str, name: str, module_name: str) -> ModuleType:
    watch_reads()
    try:
        module = importlib.import_module(module_name)
        check_sources(module_name)
        return module
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise SuiteError(
                f"{_name_plugin(kind, name)}: importing {module_name} failed: {error}"
            ) from error
        where = "expected it in the rootdir, next to the suite, or installed"
        raise SuiteError(f"{_name_plugin(kind, name)}: no module {error.name}; {where}") from error
    except SuiteError as error:
        raise SuiteError(f"{_name_plugin(kind, name)}: {error}") from None
    except Exception as error:  # the user's module may raise anything; it becomes one line
        raise SuiteError(
            f"{_name_plugin(kind, name)}: importing {module_name} failed: {format_user_error(error)}"
        ) from error


def _load_user_plugin(kind: str, name: str, path: str) -> Any:
    """Loads a plug-in from a path, package.module:object. name: its name in the suite, for messages."""
    from slimgate.plugins.user_plugins import make_plugin

    plugin = load_user_object(kind, path)
    try:
        return make_plugin(kind, plugin)
    except SuiteError as error:
        raise SuiteError(f"{_name_plugin(kind, name)}: {error}") from error.__cause__
