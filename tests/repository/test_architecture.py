"""What a module loads, read from the source by `ast`. Who may import whom is import-linter's (pyproject)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from slimgate.plugins import loading

ROOT = Path(__file__).parents[2]
HEAVY = frozenset(
    {"torch", "transformers", "datasets", "evaluate", "accelerate", "sklearn", "pandas", "tokenizers"}
    | {"onnxruntime", "openvino", "nncf", "torchao", "matplotlib", "mlflow", "optuna", "ray"}
)
# What a suite needs before any model is loaded; runs without suites need none of it.
OF_SUITES = frozenset({"numpy", "pyarrow", "pydantic", "scipy"})
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "slimgate").rglob("*.py"))
}
PLUG_INS = [
    *(
        loading.list_modules(kind)[name]
        for kind in loading.FOLDERS
        for name in loading.list_known_plugins(kind)
    ),
    *(name for name in FILES if name.startswith("slimgate.judge.metrics.")),
]


def statements(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported: not those in functions, nor under TYPE_CHECKING."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Names of the imported modules; of `from a import b` both a and, where it is a module, a.b."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(str(node.module))
            names |= {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
    return names


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_bytes())


def at_top(module: str) -> set[str]:
    return imported(statements(tree(module).body))


def anywhere(module: str) -> set[str]:
    return imported(ast.walk(tree(module)))


def loads(module: str) -> set[str]:
    """Every module that importing this one imports; of others than slimgate the top-level name."""
    modules, todo = {module}, [module]
    while todo:
        for name in at_top(todo.pop()):
            parents = {".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 2)}
            new = {p if p in FILES else p.split(".")[0] for p in parents} - modules
            modules |= new
            todo += [n for n in new if n in FILES]
    return modules


def test_these_tests_see_what_a_module_loads() -> None:
    assert "torch" in loads("slimgate.models.torch_model")
    assert "slimgate.judge.call_times" in loads("slimgate.suite.reader")
    assert "slimgate.steps.training.trainer" not in loads("slimgate.steps.finetune.fine_tune")
    assert "slimgate.steps.training.trainer" in anywhere("slimgate.steps.finetune.fine_tune")


@pytest.mark.parametrize("module", ["judge", "record", "report", "run.gate_results"])
def test_judge_record_and_report_never_load_torch(module: str) -> None:
    assert f"slimgate.{module}" in FILES
    for name in FILES:
        if name == f"slimgate.{module}" or name.startswith(f"slimgate.{module}."):
            assert not loads(name) & HEAVY, name
            assert "torch" not in {n.split(".")[0] for n in anywhere(name)}, name


@pytest.mark.parametrize(
    "module",
    [
        "slimgate",
        "slimgate.plugin",
        "slimgate.plugin.session_start",
        "slimgate.cli.main",
        "slimgate.plugin.gates",
        "slimgate.suite.reader",
        "slimgate.suite.schema",
    ],
)
def test_what_validates_and_collects_is_light(module: str) -> None:
    assert not loads(module) & HEAVY


@pytest.mark.parametrize("module", ["slimgate", "slimgate.plugin", "slimgate.plugin.fixtures"])
def test_what_every_run_of_pytest_imports_needs_pytest_alone(module: str) -> None:
    assert not loads(module) & (HEAVY | OF_SUITES)


@pytest.mark.parametrize("module", PLUG_INS)
def test_a_plug_in_is_light_at_its_top(module: str) -> None:
    assert not loads(module) & HEAVY


def test_a_file_named_with_an_underscore_is_its_folders_alone() -> None:
    for module in FILES:
        for name in anywhere(module):
            private = name.rpartition(".")[2].startswith("_") and name != "slimgate._system"
            if name in FILES and private:
                assert FILES[module].parent == FILES[name].parent, (module, name)


@pytest.mark.parametrize("package", ["steps", "models", "tasks", "runtimes", "data"])
def test_these_packages_hold_a_docstring_and_no_re_exports(package: str) -> None:
    for file in (ROOT / "slimgate" / package).rglob("__init__.py"):
        [docstring] = ast.parse(file.read_bytes()).body
        assert isinstance(docstring, ast.Expr), file


@pytest.mark.parametrize("module", [name for name, path in FILES.items() if path.name == "__init__.py"])
def test_a_package_lists_only_files_that_it_has(module: str) -> None:
    for name in re.findall(r"^ *(\w+\.py) {2,}", ast.get_docstring(tree(module)) or "", re.MULTILINE):
        assert (FILES[module].parent / name).is_file(), name


def test_modules_that_comments_and_docstrings_name_exist() -> None:
    packages = "|".join(path.name for path in (ROOT / "slimgate").iterdir() if path.is_dir())
    named = re.compile(rf"(?<![\w/.])((?:slimgate/)?(?:{packages})/[\w/]+\.py)\b")
    missing = [
        (module, name)
        for module, path in FILES.items()
        for name in named.findall(path.read_text("utf-8"))
        if not (ROOT / "slimgate" / name.removeprefix("slimgate/")).is_file()
    ]
    assert missing == []


def test_at_most_eight_modules_lie_directly_in_the_engine() -> None:
    assert len(list((ROOT / "slimgate").glob("*.py"))) <= 8


def test_two_test_files_may_share_a_name(pytestconfig: pytest.Config) -> None:
    """In its other modes pytest imports test files by their name alone, and leaves out the second."""
    assert pytestconfig.getoption("importmode") == "importlib"


@pytest.mark.parametrize("module", FILES)
def test_nothing_prints_or_swallows_errors(module: str) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert module == "slimgate.cli.main", f"{module}:{node.lineno} prints"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{module}:{node.lineno} excepts everything"
            assert not all(isinstance(line, ast.Pass) for line in node.body), f"{module}:{node.lineno} passes"


def test_the_module_that_pytest_loads_is_named_in_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\n"slimgate.plugin" = "slimgate.plugin"\n' in text
    assert (ROOT / "conftest.py").read_text() == 'pytest_plugins = ["slimgate.plugin"]\n'


def test_a_worker_runs_after_all_of_its_file() -> None:
    """`python -m` runs a file from the top: what stands below the call of the worker is not defined yet."""
    guards: dict[str, list[int]] = {}
    for name in FILES:
        for number, node in enumerate(reversed(tree(name).body)):
            if isinstance(node, ast.If) and "__name__ ==" in ast.unparse(node.test):
                guards.setdefault(name, []).append(number)
    assert "slimgate.steps.convert._to_gguf_worker" in guards
    assert {name for name, below in guards.items() if below != [0]} == set()
