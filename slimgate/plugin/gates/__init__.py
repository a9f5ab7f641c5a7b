"""The tests of a suite. Each writes its part of the record before it passes or fails.

Collecting needs only their parameters, so each test imports its measuring and judging code when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from slimgate.plugin.confirmation import Passed
    from slimgate.plugin.gates.reporting import Report
    from slimgate.plugins.workloads import Load, Workload
    from slimgate.run.duels import Duels, LoadDuels
    from slimgate.run.model_handle import ModelHandle
    from slimgate.suite.suite import Suite


def test_quality(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, metric: str, report_result: Report
) -> None:
    """Compares a metric of a variant with the teacher's; judges the teacher's if that has a budget."""
    from slimgate.plugin.gates import quality

    quality.test_quality(suite, teacher, variant, metric, report_result)


def test_baseline(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, baseline_metric: str, report_result: Report
) -> None:
    """Compares a metric of one model with that of the same model in the baseline, on the same gate rows."""
    from slimgate.plugin.gates import quality

    quality.test_baseline(suite, teacher, variant, baseline_metric, report_result)


def test_confirm(
    suite: Suite,
    teacher: ModelHandle,
    variant: ModelHandle,
    confirm_metric: str,
    passed: Passed,
    report_result: Report,
) -> None:
    """Compares a metric of one variant with the teacher's, on the confirm rows."""
    from slimgate.plugin.gates import quality

    quality.test_confirm(suite, teacher, variant, confirm_metric, passed, report_result)


def test_behaviour(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_result: Report) -> None:
    """Compares the answers of one variant with the teacher's for the record; a budget makes it a gate."""
    from slimgate.plugin.gates import behaviour

    behaviour.test_behaviour(suite, teacher, variant, report_result)


def test_size(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_result: Report) -> None:
    """Compares the bytes of a variant's artifact, and the operations of a call, with the teacher's."""
    from slimgate.plugin.gates import figures

    figures.test_size(suite, teacher, variant, report_result)


def test_memory(
    suite: Suite, teacher: ModelHandle, memory_variant: ModelHandle, report_result: Report
) -> None:
    """Compares peak memory of loading a variant and predicting the largest workload with the teacher's."""
    from slimgate.plugin.gates import figures

    figures.test_memory(suite, teacher, memory_variant, report_result)


def test_measurement(
    suite: Suite,
    teacher: ModelHandle,
    variant: ModelHandle,
    measurement: str,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Compares a figure of a variant that a measurement gives with the teacher's."""
    from slimgate.plugin.gates import figures

    figures.test_measurement(suite, teacher, variant, measurement, report_result, request)


def test_selftest(
    suite: Suite,
    teacher: ModelHandle,
    duels: Duels,
    check: str,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """A copy of the teacher must not FAIL, and planted damage must be detected."""
    from slimgate.plugin.gates import selftest

    selftest.test_selftest(suite, teacher, duels, check, report_result, request)


def test_latency(
    suite: Suite,
    timed: ModelHandle,
    workload: Workload,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Times a workload of the teacher or a variant: the forward call on prepared tensors, or end to end."""
    from slimgate.plugin.gates import latency

    latency.test_latency(suite, timed, workload, report_result, request)


def test_speedup(
    suite: Suite,
    teacher: ModelHandle,
    duels: Duels,
    variant: ModelHandle,
    workload: Workload,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Times one workload of the teacher, its copy and a variant in turn."""
    from slimgate.plugin.gates import latency

    latency.test_speedup(suite, teacher, duels, variant, workload, report_result, request)


def test_load(
    suite: Suite,
    teacher: ModelHandle,
    load_duels: LoadDuels,
    variant: ModelHandle,
    load: Load,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Sends the same requests in turn to the teacher's server, to it again, and to the variant's."""
    from slimgate.plugin.gates import load as gate

    gate.test_load(suite, teacher, load_duels, variant, load, report_result, request)


VARIANT_TESTS: tuple[Callable[..., None], ...] = (test_behaviour, test_size)


def make_test_module(suite: Suite, *, confirm: bool = False) -> ModuleType:
    """Makes a module with the tests of one suite.

    It leaves out each test that has nothing to do, because pytest would parametrize it with an empty list.
    confirm: only the test on the confirm rows.
    """
    module = ModuleType(suite.path.stem, f"The gates of {suite.shown}.")
    module.__file__ = str(suite.path)
    if confirm:
        setattr(module, test_confirm.__name__, test_confirm)
        return module
    needed: tuple[tuple[Callable[..., None], bool], ...] = (
        (test_quality, bool(suite.judged_metrics)),
        *((test, bool(suite.variants)) for test in VARIANT_TESTS),
        (test_speedup, bool(suite.dueled)),
        (test_baseline, bool(suite.since_baseline)),
        (test_memory, bool(suite.variants_with_memory)),
        (test_measurement, bool(suite.measurements)),
        (test_selftest, True),
        (test_latency, bool(suite.timed)),
        (test_load, bool(suite.loaded)),
    )
    for test, is_needed in needed:
        if is_needed:
            setattr(module, test.__name__, test)
    return module
