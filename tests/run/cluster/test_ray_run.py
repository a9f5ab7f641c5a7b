"""Whole runs on Ray: a worker is killed, a store is not seen. Most are skipped without Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tools.trust import kill_nine
from tools.trust.kill_nine import UNDISTURBED

HAS_RAY = find_spec("ray") is not None
with_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
pytestmark = pytest.mark.slow

BUILDING = ("-k", "not latency and not speedup", "-p", "no:benchmark")
RAY = ("--slimgate-engine", "ray")
PATIENCE = 900.0  # of what takes half a minute on an idle machine
# The step of the suite itself, which waits for its end where a file says so.
DOOMED = """
import os
import time
from pathlib import Path

HERE = Path(__file__).parent


def prune(model, context, *, amount: float):
    if (HERE / "wait").exists():
        (HERE / "pid").write_text(str(os.getpid()))
        time.sleep(300)
    if (HERE / "break").exists():
        with (HERE / "tries").open("a") as stream:
            stream.write("tried\\n")
        raise RuntimeError("the wheel came off")
    for weight in model.network.parameters():
        weight.data[weight.data.abs() < weight.data.abs().mean() * amount] = 0
    with (HERE / "built.txt").open("a") as stream:
        stream.write("pruned\\n")
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = kill_nine.write_repository(tmp_path_factory.mktemp("ray") / "repository")
    (folder / "noted.py").write_text(DOOMED)
    # Ray's sockets lie there, and their paths may have 107 characters
    short = Path("/tmp", f"sgr{os.getpid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(short))
        yield folder
    shutil.rmtree(short, ignore_errors=True)


@pytest.fixture(scope="module")
def local_outcomes(repository: Path) -> dict[str, str]:
    """The outcomes of a local run."""
    assert kill_nine.finish(repository, UNDISTURBED, *BUILDING) == []
    return kill_nine.hash_outcomes(repository, UNDISTURBED)


def record(folder: Path, store: str) -> dict[str, Any]:
    run_record: dict[str, Any] = json.loads((folder / f"{store}-reports/killed/run.json").read_text())
    return run_record


def judged(folder: Path, store: str) -> dict[str, Any]:
    """What a run says of quality and behaviour, and where its models came from."""
    run_record = record(folder, store)
    for variant in run_record["variants"]:
        for facts in variant["quality"].values():
            facts.pop("measured", None)
        (variant["behaviour"] or {}).pop("measured", None)
    return {
        "verdict": run_record["verdict"],
        "models": {
            variant["name"]: (
                variant["from_store"],
                variant["quality"],
                variant["behaviour"],
                variant["artifact"]["digest"],
            )
            for variant in run_record["variants"]
        },
    }


def log(folder: Path, store: str) -> str:
    return (folder / f"{store}.log").read_text()


@with_ray
def test_a_killed_worker_changes_no_verdict_and_no_outcome(
    repository: Path, local_outcomes: dict[str, str]
) -> None:
    (repository / "built.txt").unlink()
    (repository / "wait").touch()
    run = kill_nine.start(repository, "killed", *BUILDING, *RAY, "--slimgate-ray-needs", "cpus=1")
    deadline = time.monotonic() + PATIENCE
    while not (repository / "pid").exists():
        assert run.poll() is None, log(repository, "killed")
        assert time.monotonic() < deadline, "the step never began"
        time.sleep(0.1)
    (repository / "wait").unlink()
    time.sleep(0.2)  # the pid is written
    worker = int((repository / "pid").read_text())
    assert worker != run.pid
    os.kill(worker, signal.SIGKILL)
    assert run.wait(timeout=PATIENCE) == 0, log(repository, "killed")
    assert kill_nine.wait_for_end(run.pid) == []
    assert "Ray: 5 models in" in log(repository, "killed")
    assert (repository / "built.txt").read_text() == "pruned\n"
    assert kill_nine.hash_outcomes(repository, "killed") == local_outcomes
    assert judged(repository, "killed") == judged(repository, UNDISTURBED)
    assert len(kill_nine.read_entries(repository, "killed")) == kill_nine.ENTRIES
    assert list((repository / "killed/tmp").iterdir()) == []


@with_ray
def test_sigterm_during_a_build_leaves_a_record_and_no_process(repository: Path) -> None:
    (repository / "pid").unlink(missing_ok=True)
    (repository / "wait").touch()
    run = kill_nine.start(repository, "stopped", *BUILDING, *RAY, "--slimgate-ray-needs", "cpus=1")
    deadline = time.monotonic() + PATIENCE
    try:
        while not (repository / "pid").exists():
            assert run.poll() is None, log(repository, "stopped")
            assert time.monotonic() < deadline, "the step never began"
            time.sleep(0.1)
        run.terminate()
        assert run.wait(timeout=PATIENCE) == 2, log(repository, "stopped")
    finally:
        (repository / "wait").unlink()
        run.kill()
    assert kill_nine.wait_for_end(run.pid) == []
    assert "slimgate: stopped by SIGTERM. Kept" in log(repository, "stopped")
    assert record(repository, "stopped")["verdict"]["status"] == "partial"


@with_ray
def test_a_step_that_raises_is_tried_once_and_fails_alone(
    repository: Path, local_outcomes: dict[str, str]
) -> None:
    shutil.copytree(repository / UNDISTURBED, repository / "broken")
    _forget(repository / "broken", "noted:prune")
    (repository / "break").touch()
    try:
        code = kill_nine.start(repository, "broken", *BUILDING, *RAY).wait(timeout=PATIENCE)
    finally:
        (repository / "break").unlink()
    printed = log(repository, "broken")
    assert code == 1, printed
    assert "pruned: step noted:prune: RuntimeError: the wheel came off" in printed
    variant_log = (repository / "broken-reports/killed/logs/pruned.log").read_text()
    assert "in prune" in variant_log  # where, from the worker's log
    assert (repository / "tries").read_text() == "tried\n"
    verdicts = {variant["name"]: variant["verdict_of"] for variant in _verdicts(record(repository, "broken"))}
    assert verdicts == {
        variant["name"]: variant["verdict_of"]
        for variant in _verdicts(record(repository, UNDISTURBED))
        if variant["name"] != "pruned"
    } | {"pruned": {}}
    assert local_outcomes


def _verdicts(run_record: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": variant["name"],
            "verdict_of": {name: facts["verdict"] for name, facts in variant["quality"].items()},
        }
        for variant in run_record["variants"]
    ]


def _forget(store: Path, step: str) -> None:
    """Takes the artifacts of a step out of a store, and with them who answers by them."""
    for manifest in store.glob("artifacts/*/manifest.json"):
        if json.loads(manifest.read_text())["step"] == step:
            shutil.rmtree(manifest.parent)


def _answers(port: int) -> None:
    """Waits until somebody listens there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(1)
    pytest.fail(f"nobody listens on port {port}")


@with_ray
def test_a_machine_that_does_not_see_the_store_sends_bytes(
    repository: Path, local_outcomes: dict[str, str]
) -> None:
    """The cluster lives in a mount namespace of its own, where the store's folder is another one."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces cannot be made here")
    (repository / "hidden").mkdir()
    port = 20_000 + os.getpid() % 20_000
    ray = Path(sys.executable).with_name("ray")
    started = f"{ray} start --head --port={port} --num-cpus=2 --include-dashboard=false --disable-usage-stats"
    hide = f"mount -t tmpfs none {repository / 'hidden'}"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "RAY_AUTH_MODE": "disabled",
    }
    cluster = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"{hide} && exec {started} --block"],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _answers(port)
        address = ("--slimgate-ray-address", f"127.0.0.1:{port}")
        assert kill_nine.finish(repository, "hidden", *BUILDING, *RAY, *address) == []
    finally:
        os.killpg(cluster.pid, signal.SIGTERM)
        cluster.wait(timeout=60)
    assert kill_nine.hash_outcomes(repository, "hidden") == local_outcomes
    assert judged(repository, "hidden") == judged(repository, UNDISTURBED)
    assert not list(Path("/tmp").glob("slimgate-ray-*"))


@with_ray
def test_an_address_where_nobody_answers_is_one_line(repository: Path) -> None:
    address = ("--slimgate-ray-address", "127.0.0.1:9")
    assert kill_nine.start(repository, "nobody", *RAY, *address).wait(timeout=120) == 4
    printed = log(repository, "nobody")
    assert (
        "ERROR: --slimgate-ray-address 127.0.0.1:9: no answer from this address (Connection refused)"
        in printed
    )
    assert "Traceback" not in printed


@with_ray
def test_more_than_any_machine_has_is_one_line(repository: Path) -> None:
    assert (
        kill_nine.start(repository, "more", *RAY, "--slimgate-ray-needs", "cpus=4096").wait(timeout=120) == 4
    )
    printed = log(repository, "more")
    assert (
        "ERROR: teacher needs cpus=4096, but no machine of the Ray cluster has that (the most is CPU"
        in printed
    )
    assert "Traceback" not in printed


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_one_line_says_what_to_install(repository: Path) -> None:
    assert kill_nine.start(repository, "none", *RAY).wait(timeout=120) == 4
    printed = log(repository, "none")
    assert 'ERROR: --slimgate-engine ray needs an extra: pip install "slimgate[ray]"' in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--slimgate-ray-address", "auto"), "--slimgate-ray-address: is only for --slimgate-engine ray"),
        ((*RAY, "-n", "1"), "Ray has its own workers; leave out pytest's -n"),
    ],
    ids=["without the engine", "beside xdist"],
)
def test_options_that_do_not_go_together_are_one_line(
    repository: Path, arguments: tuple[str, ...], expected: str
) -> None:
    store = f"refused{len(arguments)}"
    assert kill_nine.start(repository, store, *arguments).wait(timeout=120) == 4
    assert expected in log(repository, store)
    assert "Traceback" not in log(repository, store)
