"""Kills runs of a tiny suite at random moments (SIGKILL): only the running step may be lost.

    python -m tools.trust.kill_nine [KILLS] [SEED]

First, a run that is not killed gives the expected outcomes, in a separate store. Then runs of the same suite
on another store are killed, one after another; only the last run may finish. After each kill, no process of
the run is alive, entries that were complete are unchanged, each outcome is the expected one, and the record
is valid JSON. If a killed run had built everything, the store is emptied, so that the next run has something
to build.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import slimgate
from fixtures.models.tiny import write_rows, write_tiny_bert

SUITE = """\
[suite]
title = "killed at any moment"
threads = 1

[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv", real = false }
text = ["text"]
label = "label"
max_tokens = 16
pooling = "mean"
splits = { train = 200, calibration = 0, selection = 40, gate = 200 }

[teacher]
model = "../model"
steps = [{ fine_tune = { epochs = 1, learning_rate = 1e-3 } }]

[variants]
student = { steps = [{ keep_layers = [0, 3] }, { fine_tune = { epochs = 1, learning_rate = 1e-3 } }] }
distilled = { steps = [{ keep_layers = [0, 3] }, { distill = { epochs = 1, learning_rate = 1e-3 } }] }
int8 = { from = "student", steps = [{ int8_dynamic = {} }] }
pruned = { steps = [{ "noted:prune" = { amount = 0.3 } }] }

[budgets]
accuracy = { drop_points = 50.0 }

[measure]
metrics = ["accuracy"]
workloads = [{ batch = 1 }]
warmup = 1
rounds = 3
max_seconds = 0.2
on_inconclusive = "warn"
"""
# A step that writes a line each time it runs, so that builds can be counted.
NOTED = """
from pathlib import Path


def prune(model, context, *, amount: float):
    for weight in model.network.parameters():
        weight.data[weight.data.abs() < weight.data.abs().mean() * amount] = 0
    with Path(__file__).with_name("built.txt").open("a") as stream:
        stream.write("pruned\\n")
"""
# The splits, 7 artifacts, the teacher's answers, 5 outcomes on gate rows, 2 of the self-test of each suite,
# 5 of stages on selection, 5 of shapes, and 5 counts of operations.
ENTRIES = 33
UNDISTURBED = "whole"  # the store of the run that is not killed


def write_repository(folder: Path) -> Path:
    """Writes the suite, its rows, its model and its own step."""
    (folder / "bench").mkdir(parents=True)
    write_tiny_bert(folder / "model", initializer_range=0.2)
    write_rows(folder / "bench/rows.csv", 900)
    (folder / "bench/killed.toml").write_text(SUITE)
    (folder / "noted.py").write_text(NOTED)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def start(folder: Path, store: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts pytest in a new session. Each store has its own reports and temporary files."""
    scratch = folder / f"{store}-scratch"
    scratch.mkdir(exist_ok=True)
    places = ["--slimgate-store", store, "--slimgate-report", f"{store}-reports"]
    command = [sys.executable, "-m", "pytest", "bench", "-q", "-p", "no:cacheprovider", *places, *arguments]
    # the slimgate of this checkout, even if another one is installed
    checkout = str(Path(slimgate.__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": checkout, "TMPDIR": str(scratch)}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    with (folder / f"{store}.log").open("a") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, text=True, start_new_session=True
        )


def hash_outcomes(folder: Path, store: str, *, reported: bool = True) -> dict[str, str]:
    """sha256 of every stored outcome, and of every one that was reported."""
    files = [*(folder / store).glob("outcomes/*/*.parquet")]
    files += (folder / f"{store}-reports").rglob("*.parquet") if reported else ()
    names = {file: file.relative_to(folder).as_posix().replace(store, "", 1) for file in files}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for file, name in names.items()}


def read_entries(folder: Path, store: str) -> dict[str, tuple[str, int]]:
    """When each complete entry was made: what its manifest says, and the time of the manifest."""
    manifests = (folder / store).glob("*/*/manifest.json")
    return {
        path.parent.name: (json.loads(path.read_text())["created"], path.stat().st_mtime_ns)
        for path in manifests
        if path.parents[2].name == store and path.parents[1].name != "tmp"
    }


def list_session_processes(leader: int) -> list[str]:
    """Processes that still live in a run's session: its workers and theirs, whoever their parent now is."""
    return list(_list_living(leader))


def _list_living(leader: int) -> Iterator[str]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
            command = stat.with_name("cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue
        state, _, _, session = text.rpartition(")")[2].split()[:4]
        if int(session) == leader and state != "Z":
            yield f"{stat.parent.name} {command[:120]}"


def wait_for_end(leader: int, *, patience: float = 60.0) -> list[str]:
    """The processes of a killed run that are still alive after `patience` seconds.

    A fork server that imports torch when its run is killed ends only after the import: 20 s on busy cores.
    """
    deadline = time.monotonic() + patience
    while (left := list_session_processes(leader)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@dataclass(frozen=True)
class Kill:
    """One kill. complete: entries of the store then. wrong: the rules that were broken."""

    seconds: float
    complete: int
    in_tmp: list[str]
    workers: int
    wrong: list[str]


def kill_after(folder: Path, store: str, seconds: float, *arguments: str) -> Kill:
    """Starts a run, kills it after `seconds`, and checks the rules."""
    before = read_entries(folder, store)
    run = start(folder, store, *arguments)
    with suppress(subprocess.TimeoutExpired):
        run.wait(timeout=seconds)
    workers = len(list_session_processes(run.pid)) - 1
    run.kill()
    run.wait()
    wrong = [f"lives on: {process}" for process in wait_for_end(run.pid)]
    after = read_entries(folder, store)
    wrong += [f"built again: {key}" for key, entry in before.items() if after.get(key) != entry]
    for record in (folder / f"{store}-reports").rglob("run.json"):
        try:
            json.loads(record.read_text())
        except ValueError as error:
            wrong.append(f"{record.name} is not JSON: {error}")
    expected = hash_outcomes(folder, UNDISTURBED, reported=False).items()
    if not hash_outcomes(folder, store, reported=False).items() <= expected:
        wrong.append("an outcome is another than the undisturbed run's")
    tmp = sorted(path.name for path in (folder / store / "tmp").glob("*"))
    return Kill(seconds, len(after), tmp, max(0, workers), wrong)


def finish(folder: Path, store: str, *arguments: str) -> list[str]:
    """Runs the suite to its end. Returns the rules that were broken."""
    before = read_entries(folder, store)
    code = start(folder, store, *arguments).wait(timeout=300)
    after = read_entries(folder, store)
    wrong = [f"exit code {code}"] if code else []
    wrong += [f"built again: {key}" for key, entry in before.items() if after.get(key) != entry]
    wrong += [f"left in tmp: {path.name}" for path in (folder / store / "tmp").iterdir()]
    return wrong


def main(kills: int = 10, seed: int = 0) -> int:
    """Prints a line for each kill. Returns 0 if no rule was broken and all outcomes are the expected ones."""
    folder = write_repository(Path(tempfile.mkdtemp(prefix="kill-nine-")))
    began = time.monotonic()
    wrong = finish(folder, UNDISTURBED)
    total_seconds = time.monotonic() - began
    say = sys.stdout.write
    say(f"undisturbed: {total_seconds:.1f} s, {len(read_entries(folder, UNDISTURBED))} entries\n")
    draw = random.Random(seed)
    for number in range(kills):
        latest = 0.4 if number % 2 else 1.0  # building ends early, and half of the kills should hit it
        kill = kill_after(folder, "killed", draw.uniform(0.1, latest) * total_seconds)
        wrong += kill.wrong
        if kill.complete == ENTRIES and number + 1 < kills:
            shutil.rmtree(folder / "killed")
        say(
            f"kill {number + 1}: after {kill.seconds:.1f} s, {kill.complete} entries complete, "
            f"{kill.workers} child processes, in tmp {kill.in_tmp or 'nothing'}, {kill.wrong or 'ok'}\n"
        )
    wrong += finish(folder, "killed")
    same = hash_outcomes(folder, UNDISTURBED) == hash_outcomes(folder, "killed")
    count = len(hash_outcomes(folder, UNDISTURBED))
    outcome = "all equal" if same else "NOT equal"
    say(f"finished: {count} outcome files, {outcome}; {wrong or 'no rule broken'}\n")
    shutil.rmtree(folder)
    return int(bool(wrong) or not same)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
