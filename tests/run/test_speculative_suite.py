"""A variant with a draft in a suite: built, answered, judged and timed, by processes of a tiny decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.writing_suite import make_writing_run

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.results.checks import TEACHER
from slimgate.run.duels import Duels
from slimgate.run.run import SuiteRun

pytestmark = pytest.mark.slow
VARIANTS = """[variants]
drafted = { steps = [{ speculative_decoding = { draft = "half", draft_tokens = 2 } }] }
half = { steps = [{ keep_layers = [0, 3] }] }
rounded = { model = "model", dtype = "bfloat16" }
drafted-rounded = { from = "rounded", steps = [{ speculative_decoding = { draft = "half" } }] }
"""
CALIBRATION = {"calibration = 0": "calibration = 2"}


def drafted_run(folder: Path, variants: str = VARIANTS) -> SuiteRun:
    return make_writing_run(
        folder, **CALIBRATION, **{"[variants]\n": variants, "max_new_tokens = 4": "max_new_tokens = 12"}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    return drafted_run(tmp_path_factory.mktemp("drafted"))


def test_answers_are_the_teachers_in_fewer_passes(run: SuiteRun) -> None:
    teacher, drafted = run.make_handle(TEACHER), run.make_handle("drafted")
    assert compute_value(load_metric("same_answers"), drafted.outcomes) == 1.0
    metric = load_metric("acceptance_length")
    budgets = [QualityBudget("floor", 1.05)]
    judged = judge_quality(metric, teacher.outcomes, drafted.outcomes, budgets, seed=run.suite.seed)
    assert judged.teacher == 1.0
    assert 1 <= judged.value <= 3
    assert judged.interval is not None
    plain = judge_quality(metric, teacher.outcomes, run.make_handle("half").outcomes, [], seed=run.suite.seed)
    assert plain.value == 1.0


def test_the_size_counts_both_models(run: SuiteRun) -> None:
    sizes = {name: run.build(name).artifact.manifest for name in (TEACHER, "half", "drafted")}
    parameters = {name: manifest["parameters"] for name, manifest in sizes.items()}
    assert parameters["drafted"] == parameters[TEACHER] + parameters["half"]
    assert sizes["drafted"]["bytes"] > sizes[TEACHER]["bytes"]
    assert sizes["drafted"]["log"]["changed_answers"] == 0


def test_weights_of_16_bits_stay_so(run: SuiteRun) -> None:
    model = run.build("drafted-rounded").artifact.load("cpu")
    assert (model.network.dtype, model.draft.network.dtype) == (torch.bfloat16, torch.float32)


def test_written_answers_are_timed_with_the_draft(run: SuiteRun) -> None:
    duels = Duels(run.make_handle(TEACHER))
    try:
        workloads = run.suite.list_dueled_workloads("drafted")
        assert [workload.id for workload in workloads] == ["p24n8b2", "p24n8b2-ttft", "p24n8b2-tpot"]
        speedups = [duels.measure_speedup(run.make_handle("drafted"), workload) for workload in workloads]
    finally:
        duels.close()
    assert all(speedup.interval[0] < speedup.interval[1] for speedup in speedups)


def test_another_draft_makes_another_artifact(run: SuiteRun, tmp_path: Path) -> None:
    other = drafted_run(tmp_path, VARIANTS.replace("[0, 3]", "[0, 1]"))
    digests = [each.build("drafted").artifact.digest for each in (run, other)]
    assert digests[0] != digests[1]
    teachers = [each.build(TEACHER).artifact.digest for each in (run, other)]
    assert teachers[0] == teachers[1]
    assert run.suite.find_dependents("half") == ("drafted", "drafted-rounded")
