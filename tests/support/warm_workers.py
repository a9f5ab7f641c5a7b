"""Forks workers of steps from a process that has imported their libraries. The imports take most of the time.

    fork_workers(monkeypatch)

A forked worker has the same folder, arguments and code as a worker that `python -m` starts, and ends in the
same way. Each file of tests that forks its workers also has a test that does not.
"""

from __future__ import annotations

import atexit
import os
from functools import cache
from pathlib import Path

import pytest

from slimgate._system.worker import LOG_FILE, Ended, find_last_words, run_worker
from support.warm_python import Process, Request, Server

# auto-round changes transformers when it is imported, so only its own workers import it.
AUTO_ROUND = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "auto_round",
    "auto_round.export.export_to_gguf.llama_cpp_conversion",
    "gguf",
)
# The builder of onnxruntime_genai changes sys.path when it is imported, so each worker imports it itself.
GENAI = ("torch", "transformers.models.auto.modeling_auto", "onnxruntime_genai", "onnx_ir")
IMPORTS_BY_WORKER = {
    "slimgate.steps.quantize._auto_round_worker": AUTO_ROUND,
    "slimgate.steps.convert._to_gguf_worker": AUTO_ROUND,
    "slimgate.steps.convert._to_onnx_genai_worker": GENAI,
}


def fork_workers(patch: pytest.MonkeyPatch) -> None:
    """Makes `ask_worker` fork the workers of IMPORTS_BY_WORKER, until the patch is undone."""
    patch.setattr("slimgate._system.worker.run_worker", _run_forked)


def _run_forked(module: str, folder: Path, *, limit: float) -> Ended:
    """Does the same as slimgate's run_worker, which it calls for all other modules."""
    if (imports := IMPORTS_BY_WORKER.get(module)) is None:
        return run_worker(module, folder, limit=limit)
    log = folder / LOG_FILE
    request = Request(module, [str(folder)], str(folder), {**os.environ}, (os.devnull, os.devnull, str(log)))
    worker = Process(_start_server(imports), request)
    try:
        code = worker.wait(limit)
    finally:
        worker.kill()
    return Ended(code, find_last_words(log.read_text("utf-8", errors="replace")))


@cache
def _start_server(imports: tuple[str, ...]) -> Server:
    server = Server(os.environ, imports, apart=True)
    atexit.register(server.close)
    return server
