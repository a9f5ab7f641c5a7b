"""SIGKILL loses only the step under way; runs at once build each artifact once; damage is not served."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.user_repository import make_user_environment, run_pytest
from support.warm_python import Process, start_module

from tools.trust import damaged_store, kill_nine, shared_store
from tools.trust.kill_nine import UNDISTURBED

pytestmark = pytest.mark.slow

# Everything that is built, and none of what is timed: that is a test of its own below.
BUILDING = ("-k", "not latency and not speedup", "-p", "no:benchmark")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kill_nine.write_repository(tmp_path_factory.mktemp("crashes") / "repository")


def start_forked(folder: Path, store: str, *arguments: str) -> Process:
    """As kill_nine.start, of a process that has imported what runs import."""
    scratch, log = folder / f"{store}-scratch", str(folder / f"{store}.log")
    scratch.mkdir(exist_ok=True)
    places = ["--slimgate-store", store, "--slimgate-report", f"{store}-reports"]
    options = ["bench", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *places, *arguments]
    variables = make_user_environment(TMPDIR=str(scratch))
    return start_module("pytest", options, folder, variables, (os.devnull, log, log), new_session=True)


@contextmanager
def forked_runs() -> Iterator[None]:
    """Runs of kill_nine are forked, also those of shared_store.py, which run at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kill_nine, "start", start_forked)
        yield


@pytest.fixture
def forked() -> Iterator[None]:
    with forked_runs():
        yield


@pytest.fixture(scope="module")
def whole_seconds(repository: Path) -> float:
    """How long an undisturbed run takes; its store is the measure of the others."""
    with forked_runs():
        run_pytest(repository, "--version")  # the process to fork from is there
        began = time.monotonic()
        assert kill_nine.finish(repository, UNDISTURBED, *BUILDING) == []
        seconds = time.monotonic() - began
    assert len(kill_nine.read_entries(repository, UNDISTURBED)) == kill_nine.ENTRIES
    return seconds


@pytest.mark.usefixtures("forked")
def test_a_run_killed_at_any_moment_resumes_where_it_was(repository: Path, whole_seconds: float) -> None:
    draw = random.Random(3)
    for low, high in ((0.3, 0.5), (0.4, 0.7), (0.4, 0.9)):
        kill = kill_nine.kill_after(repository, "killed", draw.uniform(low, high) * whole_seconds, *BUILDING)
        assert kill.wrong == []
    assert kill_nine.finish(repository, "killed", *BUILDING) == []
    assert len(kill_nine.read_entries(repository, "killed")) == kill_nine.ENTRIES
    assert kill_nine.hash_outcomes(repository, "killed") == kill_nine.hash_outcomes(repository, UNDISTURBED)


@pytest.mark.usefixtures("whole_seconds", "forked")
def test_three_runs_on_one_store_make_each_entry_once_and_agree(repository: Path) -> None:
    shared = shared_store.run_together(repository, 3)
    (repository / "conftest.py").unlink()
    assert shared.wrong == []
    assert shared.made.total() == kill_nine.ENTRIES
    assert kill_nine.hash_outcomes(repository, shared_store.STORE, reported=False) == kill_nine.hash_outcomes(
        repository, UNDISTURBED, reported=False
    )


@pytest.mark.usefixtures("whole_seconds")
def test_damage_to_a_run_s_store_is_seen_and_never_served(repository: Path) -> None:
    shutil.copytree(repository / UNDISTURBED, repository / "damaged")
    shown = damaged_store.damage_all(repository / "damaged", 24)
    assert shown.wrong == []
    assert shown.entries == kill_nine.ENTRIES
    assert min(shown.damages[kind.__name__] for kind in damaged_store.KINDS) >= 3


@pytest.mark.usefixtures("whole_seconds", "forked")
def test_a_damaged_store_entry_is_made_again_with_a_warning(repository: Path) -> None:
    store = Path(shutil.copytree(repository / UNDISTURBED, repository / "bitten"))
    [outcomes] = list(store.glob("outcomes/*/outcomes.parquet"))[:1]
    content = bytearray(outcomes.read_bytes())
    content[len(content) // 2] ^= 1
    outcomes.write_bytes(content)
    assert kill_nine.start(repository, "bitten", *BUILDING).wait(timeout=300) == 0
    log = (repository / "bitten.log").read_text()
    assert f"outcomes/{outcomes.parent.name} is damaged (outcomes.parquet: sha256" in log
    assert len(list((store / "damaged").iterdir())) == 1
    assert kill_nine.hash_outcomes(repository, "bitten", reported=False) == kill_nine.hash_outcomes(
        repository, UNDISTURBED, reported=False
    )


@pytest.fixture
def duelling(repository: Path, whole_seconds: float) -> Iterator[Process]:  # noqa: ARG001
    """A run that has processes of its own: the contenders of a duel."""
    run = start_forked(repository, UNDISTURBED, "-k", "speedup")
    deadline = time.monotonic() + 60
    while (
        len(kill_nine.list_session_processes(run.pid)) < 5 and run.poll() is None
    ):  # server, tracker, contenders
        assert time.monotonic() < deadline, "no duel began"
        time.sleep(0.02)
    yield run
    run.kill()


def test_a_killed_run_leaves_no_process_behind(duelling: Process) -> None:
    assert len(kill_nine.list_session_processes(duelling.pid)) >= 5
    os.kill(duelling.pid, signal.SIGKILL)
    duelling.wait()
    assert kill_nine.wait_for_end(duelling.pid) == []
