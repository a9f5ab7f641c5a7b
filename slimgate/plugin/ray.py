"""Runs the builds and predictions of the selected tests on Ray, with `--slimgate-engine ray`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.plugin.collect import find_suite, list_named_models, list_params
from slimgate.plugin.config import find_project_root
from slimgate.plugin.session import Session
from slimgate.results.checks import TEACHER
from slimgate.run.cluster.cluster import ADDRESS, check_installed
from slimgate.run.cluster.tasks import OPTION, Goal, parse_needs
from slimgate.suite.suite import Suite

# Gates that use no answers of models. Any other test may use them.
GATES_WITHOUT_ANSWERS = (
    "test_size",
    "test_memory",
    "test_measurement",
    "test_latency",
    "test_speedup",
    "test_load",
)


def check_engine(config: pytest.Config, suites: Mapping[Path, Suite]) -> None:
    """Checks the options. Raises SuiteError if they do not fit together, MissingExtra without Ray."""
    options = {ADDRESS: "slimgate_ray_address", OPTION: "slimgate_ray_needs"}
    stated = [name for name, option in options.items() if config.getoption(option)]
    if config.getoption("slimgate_engine") != "ray":
        if stated:
            raise SuiteError(f"{stated[0]}: is only for --slimgate-engine ray, but the engine is local")
        return
    if config.getoption("dist", "no") != "no":
        raise SuiteError("--slimgate-engine ray: Ray has its own workers; leave out pytest's -n")
    check_installed()
    parse_needs(config.getoption("slimgate_ray_needs"), {TEACHER, *_list_variant_names(suites)})


def spread_over_ray(config: pytest.Config, state: Session, items: Iterable[pytest.Item]) -> list[str]:
    """Lets Ray build and predict what the selected tests need. Returns lines about it. Raises SlimgateError.

    This process asks endpoints itself: a worker has no API key, may not reach the URL, and would start its
    own server.
    """
    from slimgate.run.cluster.driver import RayRequest, build_on_ray

    goals = collect_goals(items)
    suites = {path: state.suites[path] for path in goals if path in state.suites}
    endpoints = {path: suite.endpoints for path, suite in suites.items()}
    goals = {
        path: {name: goal for name, goal in models.items() if name not in endpoints.get(path, ())}
        for path, models in goals.items()
    }
    outcome = build_on_ray(
        RayRequest(
            runs={path: state.find_run(suite) for path, suite in suites.items()},
            goals=goals,
            needs=parse_needs(
                config.getoption("slimgate_ray_needs"), {TEACHER, *_list_variant_names(suites)}
            ),
            root=find_project_root(config),
            address=config.getoption("slimgate_ray_address"),
            rebuild_mark=state.settings.rebuild_mark,
            watch=state.settings.watch,
        )
    )
    lines = list(outcome.lines) if outcome else []
    if names := dict.fromkeys(name for suite_endpoints in endpoints.values() for name in suite_endpoints):
        lines.append(f"Ray: {', '.join(names)} are endpoints, which this process asks itself")
    return lines


def collect_goals(items: Iterable[pytest.Item]) -> dict[Path, dict[str, Goal]]:
    """Path of each suite -> model -> what the selected tests need of it. The teacher comes first."""
    goals: dict[Path, dict[str, Goal]] = {}
    for item in items:
        suite = find_suite(item)
        path = suite.path if suite else list_params(item).get("slimgate_run")
        if path is None:
            continue
        gate = getattr(item, "originalname", "") if suite else None  # None: a test of the user
        uses_answers = gate not in GATES_WITHOUT_ANSWERS
        models = goals.setdefault(path, {TEACHER: Goal()})
        models[TEACHER] |= Goal(answers=uses_answers)
        for name in list_named_models(item):
            rebuilds = gate == "test_quality" and name != TEACHER
            goal = Goal(answers=uses_answers, rebuilds=rebuilds)
            models[name] = models.get(name, Goal()) | goal
    return goals


def _list_variant_names(suites: Mapping[Path, Suite]) -> set[str]:
    return {name for suite in suites.values() for name in suite.variants}
