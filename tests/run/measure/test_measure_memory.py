"""slimgate.run.measure.memory: real processes, whose memory is known because the runtime takes just that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.run.measure.device_clock import read_device_peak
from slimgate.run.measure.memory import MemoryReading, read_memory
from slimgate.run.measure.memory_worker import read_peak_bytes, read_resident_bytes

MB = 1024**2
RUNTIME = '''
"""Runtimes of our own that need no torch: one takes what it is told, the others break."""

import os
import subprocess
import sys

import numpy as np

from slimgate.plugins.params import Table


class Predictor:
    def __init__(self, weights, transient):
        self.weights, self.transient = weights, transient

    def prepare(self, batch):
        return batch["input_ids"]

    def forward(self, prepared):
        return np.ones((prepared.shape[0], self.transient * 2**20 // 8 // prepared.shape[0]))

    def fetch(self, output):
        return output[:, :2].astype(np.float32)


class Sized:
    class Params(Table):
        held: int = 0
        loading: int = 0
        transient: int = 0

    kinds = frozenset({"torch"})

    @staticmethod
    def load(folder, params, *, device, threads):
        assert "torch" not in sys.modules
        passing = np.ones((params.loading, 2**20), np.uint8)
        del passing
        return Predictor(np.ones((params.held, 2**20), np.uint8), params.transient)


CHILD = """
import sys
held = bytearray(int(sys.argv[1]) * 2**20)
print("ready", flush=True)
sys.stdin.read()
"""


class Served(Sized):
    @staticmethod
    def load(folder, params, *, device, threads):
        """The memory is that of another process, which it starts through a shell."""
        command = ["sh", "-c", '"$0" "$@"; true', sys.executable, "-c", CHILD, str(params.held)]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        server.stdout.readline()
        predictor = Predictor(None, params.transient)
        predictor.server = server
        return predictor


class Broken(Sized):
    @staticmethod
    def load(folder, params, *, device, threads):
        raise RuntimeError("no weights in " + folder.name)


class Killed(Sized):
    @staticmethod
    def load(folder, params, *, device, threads):
        os.kill(os.getpid(), 9)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the search path, as a user's repository is."""
    (tmp_path / "own_runtimes.py").write_text(RUNTIME, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def reading(folder: Path, runtime: str, **params: int) -> MemoryReading:
    inputs = {"input_ids": np.ones((4, 8), np.int64)}
    return read_memory(folder, f"own_runtimes:{runtime}", params, inputs, device="cpu", threads=1)


def test_each_figure_holds_what_was_taken_until_then(folder: Path) -> None:
    memory = reading(folder, "Sized", held=40, loading=100, transient=200)
    assert memory.resident_after_load_bytes is not None
    assert 38 * MB < memory.resident_after_load_bytes - memory.baseline_bytes < 60 * MB
    assert 98 * MB < memory.load_peak_bytes - memory.baseline_bytes < 120 * MB
    assert 238 * MB < memory.peak_bytes - memory.baseline_bytes < 260 * MB
    assert memory.baseline_bytes < 150 * MB  # slimgate, numpy, pyarrow, and no torch
    assert memory.device_peak_bytes is None
    assert 0 < memory.load_seconds < 100


def test_the_memory_of_a_runtimes_own_processes_counts(folder: Path) -> None:
    small, large = (reading(folder, "Served", held=megabytes) for megabytes in (0, 300))
    assert small.resident_after_load_bytes is not None
    assert large.resident_after_load_bytes is not None
    grown = large.resident_after_load_bytes - small.resident_after_load_bytes
    assert 295 * MB < large.peak_bytes - small.peak_bytes < 320 * MB
    assert 295 * MB < grown < 320 * MB


def test_the_memory_of_the_process_that_asks_is_not_counted(folder: Path) -> None:
    large = np.ones(300 * MB, np.uint8)
    assert reading(folder, "Sized").peak_bytes < 150 * MB < large.nbytes


@pytest.mark.parametrize(
    ("runtime", "message"),
    [("Broken", "RuntimeError: no weights in "), ("Killed", "it was killed by SIGKILL")],
)
def test_a_process_that_fails_is_one_error_of_one_line(folder: Path, runtime: str, message: str) -> None:
    with pytest.raises(MeasureError, match=message) as error:
        reading(folder, runtime)
    assert "\n" not in str(error.value)


def test_what_the_system_does_not_tell_is_not_known(tmp_path: Path) -> None:
    assert read_resident_bytes(tmp_path / "missing") is None
    assert read_peak_bytes(tmp_path / "missing") >= 10 * MB  # by getrusage
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
    assert (read_peak_bytes(tmp_path / "status"), read_resident_bytes(tmp_path / "status")) == (2 * MB, MB)
    assert read_device_peak("cpu") is None


def test_the_worker_itself_loads_no_torch() -> None:
    code = "import sys, slimgate.run.measure.memory_worker; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert done.returncode == 0
