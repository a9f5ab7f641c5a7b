"""Suites as test files: a TOML file is a module whose tests are the gates, in the order of the phases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate.errors import SuiteError
from slimgate.plugin.config import SESSION, find_project_root

if TYPE_CHECKING:
    from slimgate.results.checks import CheckKey
    from slimgate.suite.suite import Suite

# The gates, in the order in which they run.
PHASES = (
    "test_confirm",
    "test_quality",
    "test_baseline",
    "test_behaviour",
    "test_size",
    "test_memory",
    "test_measurement",
    "test_selftest",
    "test_latency",
    "test_speedup",
    "test_load",
)
# Gates during which a progress line may be written. During the others, it could disturb what they measure.
UNTIMED = ("test_confirm", "test_quality", "test_baseline", "test_behaviour", "test_selftest")
# The beginnings of the names of tests that time models.
TIMED = ("test_latency", "test_speedup", "test_load", "test_selftest[planted_delay]")
# The parameters of a test that name a model.
_MODEL_PARAMETERS = ("variant", "timed", "memory_variant")
# The module with the fixtures of the gates.
_FIXTURES = "slimgate.plugin.fixtures"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a suite file as a test module, if the session has read it as a valid suite."""
    state = parent.config.stash.get(SESSION, None)
    if state is None or file_path.resolve() not in state.suites or not state.is_first_path(file_path):
        return None
    node: pytest.Collector = SuiteModule.from_parent(parent, path=file_path)
    return node


class SuiteModule(pytest.Module):
    """A suite file as a module of tests, which come from slimgate.plugin.gates."""

    @property
    def suite(self) -> Suite:
        return self.config.stash[SESSION].suites[self.path.resolve()]

    def _getobj(self) -> Any:
        from slimgate.plugin.gates import make_test_module

        return make_test_module(self.suite, confirm=self.config.getoption("slimgate_confirm"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrizes a suite's gates, and tests with its mark, by its variants, metrics and workloads."""
    module = metafunc.definition.getparent(SuiteModule)
    suite = module.suite if module else _load_marked_suite(metafunc)
    if suite is None:
        return
    parameters, cases = _list_cases(suite, metafunc, is_gate=module is not None)
    if not parameters:
        return
    # At module scope, so that equal names in two suites never mix.
    metafunc.parametrize(
        parameters,
        cases,
        ids=["-".join(getattr(value, "id", value) for value in case) for case in cases],
        indirect=[name for name in parameters if name in _MODEL_PARAMETERS],
        scope="module",
    )


def _list_cases(
    suite: Suite, metafunc: pytest.Metafunc, *, is_gate: bool
) -> tuple[tuple[str, ...], Sequence[tuple[Any, ...]]]:
    """The parameters of a test by the fixtures that it asks for, and a value of each for every case."""
    names = metafunc.fixturenames
    if is_gate and "confirm_metric" in names:
        checks = metafunc.config.stash[SESSION].find_passed(suite.path).checks
        return ("variant", "confirm_metric"), checks
    if is_gate and "baseline_metric" in names:
        return ("variant", "baseline_metric"), list(suite.since_baseline)
    if is_gate and "measurement" in names:
        return ("variant", "measurement"), list(suite.measurements)
    if "metric" in names:
        return ("variant", "metric"), list(suite.judged_metrics)
    if "timed" in names:
        calls = [(name, call) for name in suite.timed for call in suite.list_timed_workloads(name)]
        return ("timed", "workload"), calls
    if "memory_variant" in names:
        return ("memory_variant",), [(name,) for name in suite.variants_with_memory]
    if is_gate and "load" in names:
        return ("variant", "load"), [(name, load) for name in suite.loaded for load in suite.loads]
    if "variant" in names and "workload" in names:
        calls = [(name, call) for name in suite.dueled for call in suite.list_dueled_workloads(name)]
        return ("variant", "workload"), calls
    if "variant" in names:
        return ("variant",), [(name,) for name in suite.variants]
    if is_gate and "check" in names:
        from slimgate.results.self_test import SELF_TESTS

        return ("check",), [(name,) for name in SELF_TESTS]
    return (), ()


def _load_marked_suite(metafunc: pytest.Metafunc) -> Suite | None:
    """Loads the suite that a hand-written test names by its mark, and parametrizes `slimgate_run` with it.

    The suite counts as if it was named on the command line. Returns None for a test without the mark. Raises
    CollectError, in one line, for a suite that is wrong.
    """
    mark = metafunc.definition.get_closest_marker("slimgate")
    if mark is None or "slimgate_run" not in metafunc.fixturenames:
        return None
    from slimgate.plugin.session_start import ensure_session
    from slimgate.suite.reader import load_suite

    config = metafunc.config
    if len(mark.args) != 1 or not isinstance(mark.args[0], str):
        raise pytest.Collector.CollectError('@pytest.mark.slimgate takes one path: slimgate("bench/x.toml")')
    path = Path(find_project_root(config), mark.args[0]).resolve()
    suites = ensure_session(config).suites
    if path not in suites:
        try:
            suites[path] = load_suite(path, mark.args[0])
        except SuiteError as error:
            raise pytest.Collector.CollectError(str(error)) from None
    metafunc.parametrize("slimgate_run", [path], ids=[path.stem], indirect=True, scope="module")
    return suites[path]


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Lets -k "not latency" leave out all tests that time models, and --benchmark-only keep them.

    pytest-benchmark selects by the names of fixtures.
    """
    if not is_timing_gate(item):
        return
    item.extra_keyword_matches.add("latency")
    if item.config.getoption("benchmark_only", False):
        # A separate list, because pytest shares one among all tests of a function.
        names = [*getattr(item, "fixturenames"), "benchmark"]  # noqa: B009  not declared
        setattr(item, "fixturenames", names)  # noqa: B010  not declared


def is_timing_gate(item: pytest.Item) -> bool:
    """Whether the test is a gate that times models."""
    return find_suite(item) is not None and item.name.startswith(TIMED)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sorts tests by suite, then by phase: quality of all variants first, tests that time models last.

    With --slimgate-confirm, it leaves out tests that are not gates, because they would read confirm rows.
    """
    if config.getoption("slimgate_confirm"):
        not_gates = [item for item in items if find_suite(item) is None]
        config.hook.pytest_deselected(items=not_gates)
        items[:] = [item for item in items if find_suite(item) is not None]

    for item in items:
        if find_suite(item) is not None:
            _refuse_other_fixtures(item)

    suite_numbers: dict[Path, int] = {}

    def sort_key(item: pytest.Item) -> tuple[int, ...]:
        suite = find_suite(item)
        if suite is None:
            return (-1,)
        suite_number = suite_numbers.setdefault(suite.path, len(suite_numbers))
        return (suite_number, PHASES.index(getattr(item, "originalname", "")), *_find_position(item, suite))

    items.sort(key=sort_key)


def _refuse_other_fixtures(item: pytest.Item) -> None:
    """Raises UsageError if a user's fixture replaces one that a gate judges by."""
    info = getattr(item, "_fixtureinfo", None)
    definitions_by_name: dict[str, Sequence[Any]] = getattr(info, "name2fixturedefs", {})
    for name, definitions in definitions_by_name.items():
        modules = [definition.func.__module__ for definition in definitions]
        if _FIXTURES in modules and modules[-1] != _FIXTURES:
            where = definitions[-1].baseid or "a plugin"
            raise pytest.UsageError(
                f'{item.nodeid}: {where} defines a fixture "{name}" that replaces slimgate\'s, which the '
                "gates need; rename it"
            )


def _find_position(item: pytest.Item, suite: Suite) -> tuple[int, ...]:
    """The position of a test in its phase: by variant, then metric or workload, in the suite's order."""
    from slimgate.results.checks import TEACHER
    from slimgate.results.self_test import SELF_TESTS

    params = list_params(item)
    orders: dict[str, Sequence[Any]] = {
        "variant": [TEACHER, *suite.variants],
        "timed": [TEACHER, *suite.variants],
        "memory_variant": suite.variants_with_memory,
        "metric": suite.metrics,
        "baseline_metric": suite.metrics,
        "confirm_metric": suite.metrics,
        "measurement": [name for _, name in suite.measurements],
        "workload": suite.workloads,
        "load": suite.loads,
        "check": SELF_TESTS,
    }
    return tuple(order.index(params[name]) for name, order in orders.items() if name in params)


def list_params(item: pytest.Item) -> dict[str, Any]:
    """The values of a test's parameters, by name; empty for a test without parameters."""
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})  # not declared
    return params


def find_gate_check(item: pytest.Item) -> CheckKey | None:
    """The check of a gate; None for tests that judge nothing."""
    from slimgate.results import checks

    params = list_params(item)
    model = next(map(str, list_named_models(item)), checks.TEACHER)
    workload, load = params.get("workload"), params.get("load")
    # By the name of the test: the kind of the check, and its name.
    kinds_and_names: dict[str, tuple[str, str]] = {
        "test_quality": (checks.QUALITY, params.get("metric", "")),
        "test_confirm": (checks.CONFIRMED, params.get("confirm_metric", "")),
        "test_baseline": (checks.SINCE, params.get("baseline_metric", "")),
        "test_behaviour": (checks.BEHAVIOUR, ""),
        "test_size": (checks.SIZE, ""),
        "test_memory": (checks.MEMORY, ""),
        "test_measurement": (checks.MEASUREMENT, params.get("measurement", "")),
        "test_latency": (checks.LATENCY, "" if workload is None else workload.id),
        "test_speedup": (checks.SPEEDUP, "" if workload is None else workload.id),
        "test_load": (checks.SPEEDUP, "" if load is None else load.id),
        "test_selftest": (checks.SELF_TEST, params.get("check", "")),
    }
    kind_and_name = kinds_and_names.get(getattr(item, "originalname", ""))
    if kind_and_name is None:
        return None
    kind, name = kind_and_name
    return checks.CheckKey(kind, model, name)


def list_named_models(item: pytest.Item) -> list[str]:
    """The models that a test's parameters name."""
    params = list_params(item)
    return [params[name] for name in _MODEL_PARAMETERS if name in params]


def find_suite(item: pytest.Item) -> Suite | None:
    """The suite that a gate belongs to; None for other tests."""
    module = item.getparent(SuiteModule)
    return module.suite if module else None
