"""The public fixtures `suite`, `teacher`, `variant`, `outcomes`, `duel`: for gates and hand-written tests.

    @pytest.mark.slimgate("bench/reviews.toml")
    def test_no_variant_forgets_a_class(teacher, variant):
        assert set(variant.outcomes.predictions) == set(teacher.outcomes.predictions)

A test with `variant` runs once for each variant of its suite. Models are built when a test first uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from slimgate.plugin.config import RESULTS

if TYPE_CHECKING:  # every run of pytest imports this file
    from slimgate.judge.speed import Speedup
    from slimgate.outcomes import Outcomes
    from slimgate.plugin.confirmation import Passed
    from slimgate.plugins.workloads import Workload
    from slimgate.run.duels import Duels, LoadDuels
    from slimgate.run.gate_results import GateResult
    from slimgate.run.model_handle import ModelHandle
    from slimgate.run.run import SuiteRun
    from slimgate.suite.suite import Suite


@pytest.fixture(scope="module")
def slimgate_run(request: pytest.FixtureRequest) -> Iterator[SuiteRun]:
    """The run of the suite that a gate belongs to, or that the mark of a test names.

    After the last test of the module, it stops the servers that it started.
    """
    from slimgate.plugin.session_start import ensure_session

    path = getattr(request, "param", None) or getattr(request.node, "path", None)
    state = ensure_session(request.config)
    suite = state.suites.get(path.resolve()) if path is not None else None
    if suite is None:
        raise pytest.UsageError(
            f"{request.node.nodeid}: the fixtures suite, teacher, variant, outcomes and duel need to know "
            'their suite; mark the test with @pytest.mark.slimgate("bench/x.toml")'
        )
    run = state.find_run(suite)
    yield run
    run.stop_servers()


@pytest.fixture(scope="module")
def suite(slimgate_run: SuiteRun) -> Suite:
    """The validated suite that the test is about."""
    return slimgate_run.suite


@pytest.fixture(scope="module")
def teacher(slimgate_run: SuiteRun) -> Iterator[ModelHandle]:
    """The suite's teacher: `outcomes`, `predictor`, `built`, each loaded at its first use."""
    from slimgate.results.checks import TEACHER

    yield from _open_handle(slimgate_run, TEACHER)


@pytest.fixture(scope="module")
def variant(request: pytest.FixtureRequest, slimgate_run: SuiteRun) -> Iterator[ModelHandle]:
    """One variant of the suite, with the same attributes as the teacher; freed before the next variant."""
    yield from _open_handle(slimgate_run, request.param)


@pytest.fixture(scope="module")
def passed(slimgate_run: SuiteRun, request: pytest.FixtureRequest) -> Passed:
    """The variants that passed on the gate rows, for a run with --slimgate-confirm."""
    from slimgate.plugin.session_start import ensure_session

    return ensure_session(request.config).find_passed(slimgate_run.suite.path)


@pytest.fixture(scope="module")
def timed(request: pytest.FixtureRequest, slimgate_run: SuiteRun) -> Iterator[ModelHandle]:
    """The teacher or a variant, to be timed."""
    yield from _open_handle(slimgate_run, request.param)


@pytest.fixture(scope="module")
def memory_variant(request: pytest.FixtureRequest, slimgate_run: SuiteRun) -> Iterator[ModelHandle]:
    """A variant whose memory is measured."""
    yield from _open_handle(slimgate_run, request.param)


@pytest.fixture(scope="module")
def outcomes(variant: ModelHandle) -> Outcomes:
    """The variant's answers on every gate row. The teacher's are `teacher.outcomes`."""
    return variant.outcomes


@pytest.fixture(scope="module")
def duels(teacher: ModelHandle) -> Iterator[Duels]:
    """The processes of a suite's duels, started at their first use."""
    from slimgate.run.duels import Duels

    duels = Duels(teacher)
    yield duels
    duels.close()


@pytest.fixture(scope="module")
def load_duels(teacher: ModelHandle) -> LoadDuels:
    """The duels of a suite's servers under load, measured at their first use."""
    from slimgate.run.duels import LoadDuels

    return LoadDuels(teacher)


@pytest.fixture(scope="module")
def duel(duels: Duels) -> Callable[[ModelHandle, Workload], Speedup]:
    """duel(variant, workload) -> its speed-up over the teacher, with interval and noise floor."""
    return duels.measure_speedup


@pytest.fixture
def report_result(request: pytest.FixtureRequest) -> Callable[[GateResult], None]:
    """Adds a result to the record, and its figures to the properties of the test."""
    from slimgate.report.gate_properties import list_gate_properties

    results: list[GateResult] = request.node.stash.setdefault(RESULTS, [])

    def report(result: GateResult) -> None:
        results.append(result)
        properties = list_gate_properties(result.variant, result.kind, result.name, result.facts)
        request.node.user_properties.extend(properties)

    return report


def _open_handle(run: SuiteRun, name: str) -> Iterator[ModelHandle]:
    handle = run.make_handle(name)
    yield handle
    handle.close()
