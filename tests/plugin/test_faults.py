"""Variants that fail in every way: each fails its own tests, the rest is whole, the report says it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.user_repository import OWN_STEPS, Ran, run_pytest

from slimgate.record.run import VariantRecord, read_record

OWN_FAULTS = '''
"""Steps and a runtime that fail."""

import os
import resource
import signal
import time
from multiprocessing import parent_process
from pathlib import Path

import slimgate.runtimes.eager as eager
from slimgate.plugins.params import Table
from own_steps import OwnStep


class Broken(OwnStep):
    """Breaks until somebody mends it."""

    def apply(self, model, params, context):
        context.log["layers"] = 3
        context.progress("layers", 1, 3)
        if not Path("mended").exists():
            raise RuntimeError("the wheel came off")
        return model


class Hungry(OwnStep):
    def apply(self, model, params, context):
        import torch

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + 2**26, limits[1]))
        try:
            torch.zeros(2**32)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)


class Forgetful(OwnStep):
    def apply(self, model, params, context):
        raise MemoryError


class Huge(OwnStep):
    def apply(self, model, params, context):
        for parameter in model.network.parameters():
            parameter.data.mul_(1e30)
        return model


class Slow(OwnStep):
    def apply(self, model, params, context):
        time.sleep(120)


class DyingWhenTimed:
    """Eager, but for the process of a duel: it kills itself there."""

    Params = eager.Params
    kinds = eager.runtime.kinds

    def load(self, folder, params, *, device, threads):
        if parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return eager.runtime.load(folder, params, device=device, threads=threads)
'''

FAULTS = """\
[suite]
title = "faults"
extends = "_common.toml"

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
broken = { steps = [{ "own_faults:Broken" = {} }] }
broken-int8 = { from = "broken", steps = [{ int8_dynamic = {} }] }
hungry = { steps = [{ "own_faults:Hungry" = {} }] }
forgetful = { steps = [{ "own_faults:Forgetful" = {} }] }
diverging = { steps = [{ "own_faults:Huge" = {} }, { fine_tune = { epochs = 1, batch_size = 20 } }] }
slow = { steps = [{ "own_faults:Slow" = {} }] }
dying = { steps = [{ "own_steps:Same" = {} }], runtime = { name = "own_faults:DyingWhenTimed" } }

[budgets]
accuracy = { drop_points = 5.0 }
"""

BROKEN = "broken: step own_faults:Broken: RuntimeError: the wheel came off (own_faults.py, line 23)"
REASONS = {
    "broken": BROKEN,
    "broken-int8": BROKEN,
    "forgetful": "forgetful: step own_faults:Forgetful: out of memory (own_faults.py, line 42)",
}
SLOW = "slow: step own_faults:Slow: building slow took longer than --slimgate-time-limit 10 (seconds)"


def keep(ran: Ran, name: str) -> Ran:
    """Keeps a copy of the run's report, since later runs write theirs, and its record."""
    shutil.copytree(ran.folder / "reports/latest/faults", ran.folder / name)
    records = {"faults": ran.record("faults")}
    return Ran(ran.code, ran.out, ran.seconds, ran.folder, ran.lines, records)


@pytest.fixture(scope="module")
def failed(repository: Path) -> Ran:
    """All but the slow one, the output in a pipe."""
    (repository / "own_steps.py").write_text(OWN_STEPS)
    (repository / "own_faults.py").write_text(OWN_FAULTS)
    (repository / "bench/faults.toml").write_text(FAULTS)
    return keep(run_pytest(repository, "bench/faults.toml", "-v", "-k", "not slow"), "failed")


@pytest.fixture(scope="module")
def slow(failed: Ran) -> Ran:
    """The slow one, which has ten seconds: loading its parent takes some of them."""
    only = ("-k", "slow and not latency", "--slimgate-time-limit", "10")
    return keep(run_pytest(failed.folder, "bench/faults.toml", *only), "slow")


def model(ran: Ran, name: str) -> VariantRecord:
    return VariantRecord.model_validate_json(
        VariantRecord(**ran.find_variant("faults", name)).model_dump_json()
    )


def log(folder: Path, name: str) -> str:
    return (folder / f"logs/{name}.log").read_text()


def test_every_fault_is_one_line_with_variant_step_and_reason(failed: Ran) -> None:
    assert failed.code == 1
    assert "INTERNALERROR" not in failed.out
    assert "Traceback" not in failed.out
    assert {name: model(failed, name).error for name in REASONS} == REASONS
    hungry = model(failed, "hungry").error or ""
    assert hungry.startswith("hungry: step own_faults:Hungry: out of memory (")
    diverging = model(failed, "diverging").error or ""
    assert diverging.startswith("diverging: step fine_tune: the training loss became ")
    assert " in epoch 1, batch 1 of 10 (step 1): lower learning_rate" in diverging
    assert "it was killed by SIGKILL" in (model(failed, "dying").error or "")


def test_a_variant_that_fails_takes_no_other_along(failed: Ran) -> None:
    same = model(failed, "same")
    assert same.error is None
    assert set(same.quality) == {"accuracy", "mcc"}
    assert same.latency["b1"].speedup is not None
    assert failed.find_outcome("bench/faults.toml::test_quality[same-accuracy]") == "PASSED"
    for name in ("broken", "broken-int8", "hungry", "forgetful", "diverging"):
        assert model(failed, name).artifact is None
        assert failed.find_outcome(f"bench/faults.toml::test_size[{name}]") == "FAILED"
    assert model(failed, "dying").quality["accuracy"].verdict == "PASS"
    assert failed.find_outcome("bench/faults.toml::test_speedup[dying-b1]") == "FAILED"
    assert failed.record("faults")["self_test"]["identical"]["verdict"] == "PASS"


def test_a_variant_beyond_its_time_is_given_up_a_teacher_never(slow: Ran) -> None:
    assert slow.code == 1
    assert slow.find_variant("faults", "slow")["error"] == SLOW
    lines = [line for line in slow.lines if line.startswith("slimgate: slow · step 1 of 1: own_faults:Slow")]
    assert ["gave up after " in line for line in lines].count(True) == 1  # others: progress
    assert "time.sleep(120)" in log(slow.folder / "slow", "slow")
    assert slow.find_variant("faults", "broken")["error"] == REASONS["broken"]


def test_the_report_says_what_was_not_built_and_how_to_retry(failed: Ran) -> None:
    folder = failed.folder / "failed"
    report, page = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    [line] = [line for line in report.splitlines() if line.startswith("- broken was not built: ")]
    assert "RuntimeError: the wheel came off" in line
    assert "[its log](logs/broken.log)" in line
    assert line.endswith("again: `pytest bench/faults.toml -k broken`")
    assert any(line.startswith("- dying was not measured whole: ") for line in report.splitlines())
    assert 'href="logs/broken.log"' in page
    assert "pytest bench/faults.toml -k broken" in page
    [message] = [line for line in failed.lines if line.startswith("broken was not built, ")]
    assert "reports/latest/faults/logs/broken.log; again: pytest bench/faults.toml -k broken" in message


def test_a_steps_log_says_how_far_it_was_and_where_it_broke(failed: Ran) -> None:
    text = log(failed.folder / "failed", "broken")
    assert text.startswith(REASONS["broken"])
    assert "layers, 1 of 3" in text
    assert "'layers': 3}" in text
    assert 'own_faults.py", line' in text
    assert text.rstrip().endswith("RuntimeError: the wheel came off")
    assert "train rows" not in log(failed.folder / "failed", "diverging")


def test_a_run_whose_output_is_a_file_tells_each_ended_stage(failed: Ran) -> None:
    lines = [line for line in failed.lines if line.startswith("slimgate: ")]
    assert any(line.startswith("slimgate: teacher · step 1 of 1: load_model, ") for line in lines)
    assert any(line.startswith("slimgate: same · step 1 of 1: own_steps:Same, ") for line in lines)
    assert any("broken · step 1 of 1: own_faults:Broken, gave up after " in line for line in lines)
    assert not any("duel" in line or "rounds of" in line for line in lines)


def test_a_failed_test_says_why_at_once_and_each_reason_once(failed: Ran) -> None:
    messages = [line for line in failed.lines if line.startswith(f"slimgate: {REASONS['broken']}")]
    assert len(messages) == 1
    before_summary = failed.lines[: next(i for i, line in enumerate(failed.lines) if "= FAILURES =" in line)]
    assert messages[0] in before_summary


def test_a_mended_variant_is_whole_again_and_its_log_is_gone(slow: Ran) -> None:
    (slow.folder / "mended").touch()
    ran = run_pytest(slow.folder, "bench/faults.toml", "-k", "broken and not latency and not speedup")
    record = read_record(slow.folder / "reports/latest/faults/run.json")
    assert record.variant("broken").error is None, ran.out
    assert record.variant("broken-int8").error is None
    assert record.variant("slow").error == SLOW
    logs = {path.name for path in (slow.folder / "reports/latest/faults/logs").iterdir()}
    assert "broken.log" not in logs
    assert "slow.log" in logs


def test_a_worker_of_xdist_that_dies_is_the_error_of_its_variant(failed: Ran) -> None:
    suite = """\
[suite]
title = "deadly"
extends = "_common.toml"

[variants]
deadly = { steps = [{ "own_deadly:Deadly" = {} }] }
"""
    (failed.folder / "own_deadly.py").write_text(
        "import os\nfrom own_steps import OwnStep\n\n\nclass Deadly(OwnStep):\n"
        "    def apply(self, model, params, context):\n        os.abort()\n"
    )
    (failed.folder / "bench/deadly.toml").write_text(suite)
    ran = run_pytest(failed.folder, "bench/deadly.toml", "-n", "1", "-k", "size or identical")
    assert ran.code == 1, ran.out
    assert "1 failed, 1 passed" in ran.out
    error = ran.find_variant("deadly", "deadly")["error"]
    assert error.startswith("deadly: the process that ran test_size[deadly] died")
    assert ran.record("deadly")["verdict"]["status"] == "FAIL"


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "ten minutes"])
def test_a_time_that_is_none_is_exit_code_4(tmp_path: Path, limit: str) -> None:
    ran = run_pytest(tmp_path, f"--slimgate-time-limit={limit}")
    assert ran.code == 4
    assert "expected a number of seconds above 0" in ran.out
