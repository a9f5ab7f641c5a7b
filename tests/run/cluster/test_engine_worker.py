"""What is done on another machine, here in this process: with the store in view, and without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import BuildError
from slimgate.run.cluster import worker
from slimgate.run.cluster.driver import RayRequest, _make_spec
from slimgate.run.cluster.tasks import ModelTask, RequestedNeeds, TaskId
from slimgate.run.cluster.worker import RunSpec, check_machine, do_task, pack_entry, publish_entry
from slimgate.run.contents import describe_software
from slimgate.run.keys import make_splits_key
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store


def spec_of(run: SuiteRun, **replaced: object) -> RunSpec:
    """A spec that finds the run's mark in its store."""
    (run.store.root / "locks" / "ray-here").touch()
    spec = RunSpec(
        suite=run.suite.path,
        shown=run.suite.shown,
        digest=run.suite.digest,
        root=run.suite.path.parent,
        store=run.store.root,
        mark="ray-here",
        rebuild_mark=None,
        device="cpu",
        threads=1,
        software=describe_software(),
        shared=True,
    )
    return replace(spec, **replaced)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _own_process() -> Iterator[None]:
    """A worker keeps the run from task to task; a test is a process of its own here."""
    worker._WORKSPACES.clear()
    yield
    for spec in list(worker._WORKSPACES):
        del worker._WORKSPACES[spec]


def test_a_worker_that_sees_the_store_leaves_all_in_it(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    task = ModelTask(TaskId(run.suite.path, "pruned", 0), answers=True, stages=True)
    report, packed = do_task(spec_of(run), task, [], fetch=pytest.fail)
    assert (report.error, report.built, report.shared, packed) == (None, True, True, [])
    kinds = [kind for (kind, _), new in report.used.items() if new]
    assert sorted(kinds) == ["artifacts", "artifacts", "outcomes", "outcomes", "splits"]
    assert run.build("pruned").from_store
    assert len(run.measure_outcomes("pruned")) == 60


def test_a_worker_without_the_store_gets_and_gives_back_entries(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    run.measure_outcomes("teacher")
    teacher = run.build("teacher").steps[0].entry
    splits = run.store.find("splits", make_splits_key(run.suite))
    assert splits is not None
    needed = [(("splits", splits.folder.name), splits), (("artifacts", teacher.folder.name), teacher)]
    spec = spec_of(run, mark=f"ray-{tmp_path.name}-none", shared=False)
    try:
        report, packed = do_task(
            spec, ModelTask(TaskId(run.suite.path, "pruned", 0), answers=True), needed, pack_entry
        )
    finally:
        worker.remove_own_store(spec)
    assert (report.error, report.shared) == (None, False)
    assert [entry.kind for entry in packed] == ["artifacts", "outcomes"]  # not what it was given
    for entry in packed:
        publish_entry(entry, run.store)
    assert run.build("pruned").from_store
    assert [entry for entry in run.store.root.glob("outcomes/*") if entry.name == packed[1].key]
    local = make_tiny_run(tmp_path, store="other").measure_outcomes("pruned")
    assert np.array_equal(run.measure_outcomes("pruned").probabilities, local.probabilities)  # type: ignore[attr-defined]


def test_bytes_that_are_not_what_was_sent_are_not_published(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    packed = pack_entry(run.build("teacher").steps[0].entry)
    name = next(iter(packed.files))
    other = Store(tmp_path / "other")
    flipped = packed.files[name].copy()
    flipped[0] ^= 1
    with pytest.raises(BuildError, match=f"{name} was damaged"):
        publish_entry(replace(packed, files={**packed.files, name: flipped}), other)
    with pytest.raises(BuildError, match="outside of it"):
        publish_entry(replace(packed, files={"../elsewhere": packed.files[name]}), other)
    assert other.find("artifacts", packed.key) is None
    assert publish_entry(packed, other).manifest["digest"] == packed.manifest["digest"]


def test_an_error_of_a_step_comes_back_with_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels.py").write_text(
        "def lose(model, context):\n"
        "    print('the wheel wobbles')\n"
        "    raise RuntimeError('the wheel came off')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = make_tiny_run(tmp_path, **{"magnitude_prune = { sparsity = 0.5 }": '"wheels:lose" = {}'})
    report, _ = do_task(spec_of(run), ModelTask(TaskId(run.suite.path, "pruned", 0)), [], pytest.fail)
    assert isinstance(report.error, BuildError)
    assert (
        str(report.error) == "pruned: step wheels:lose: RuntimeError: the wheel came off (wheels.py, line 3)"
    )
    assert not report.built
    assert report.log.startswith("the wheel wobbles\n")
    assert "in lose\n" in report.log
    assert "step          wheels:lose\n" in report.log  # as the log of a local step tells


def test_a_step_has_the_runs_time_limit_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleepers.py").write_text("import time\n\ndef sleep(model, context):\n    time.sleep(120)\n")
    monkeypatch.syspath_prepend(tmp_path)
    run = make_tiny_run(tmp_path, **{"magnitude_prune = { sparsity = 0.5 }": '"sleepers:sleep" = {}'})
    run.time_limit = 1.0
    request = RayRequest(runs={run.suite.path: run}, goals={}, needs=RequestedNeeds(), root=tmp_path)
    spec = replace(_make_spec(request, run, "ray-here"), shown=run.suite.shown, shared=True)
    (run.store.root / "locks" / spec.mark).touch()
    report, _ = do_task(spec, ModelTask(TaskId(run.suite.path, "pruned", 0)), [], pytest.fail)
    assert str(report.error) == (
        "pruned: step sleepers:sleep: building pruned took longer than --slimgate-time-limit 1 (seconds)"
    )


def test_stores_of_killed_runs_are_removed_and_those_in_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "import sys, time\nfrom pathlib import Path\nfrom slimgate.store.store import Store\n"
    code += "Store(Path(sys.argv[1])).make('splits', 'a', lambda folder: {})\nprint('held', flush=True)\n"
    code += "time.sleep(120)\n"
    old, new = tmp_path / "slimgate-ray-old", tmp_path / "slimgate-ray-new"
    command = [sys.executable, "-c", code, str(old)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "held\n"
        Store(new)
        monkeypatch.setattr(worker, "LEFTOVER_SECONDS", 0)
        worker.clear_leftovers()
        assert (sorted(tmp_path.iterdir())) == [old]  # the other one, in which nobody has begun, is gone
        monkeypatch.undo()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        user.kill()
    worker.clear_leftovers()
    assert list(tmp_path.iterdir()) == [old]  # it was used a moment ago
    os.utime(old / "locks", (0, 0))
    worker.clear_leftovers()
    assert list(tmp_path.iterdir()) == []


def test_a_machine_with_other_software_or_suite_is_refused(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    spec = spec_of(run)
    assert check_machine(spec)[1:] == (True, None)
    _, _, wrong = check_machine(replace(spec, software={**spec.software, "torch": "1.0"}))
    assert wrong is not None
    assert "this run has 1.0; install the same version on all machines" in wrong
    _, _, wrong = check_machine(replace(spec, suite=tmp_path / "elsewhere.toml"))
    assert wrong is not None
    assert "does not see the suite" in wrong
    report, _ = do_task(
        replace(spec, digest="0"), ModelTask(TaskId(spec.suite, "pruned", 0)), [], pytest.fail
    )
    assert "has another" in str(report.error)
