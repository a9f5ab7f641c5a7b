"""Workers of steps, forked from a process that has imported their libraries, which is most of their time.

    fork_workers(monkeypatch)

A worker has the same folder, arguments, code and death as one that `python -m` starts. Each file of tests
that forks its workers has a test that does not.
"""

from __future__ import annotations

import atexit
import os
from functools import cache
from pathlib import Path

import pytest

from slimgate._system.worker import LOG_FILE, Ended, find_last_words, run_worker
from support.warm_python import Process, Request, Server

# auto-round changes transformers when it is imported, so that only its own workers have it.
AUTO_ROUND = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "auto_round",
    "auto_round.export.export_to_gguf.llama_cpp_conversion",
    "gguf",
)
# The builder itself changes the search path, so that each worker imports it.
GENAI = ("torch", "transformers.models.auto.modeling_auto", "onnxruntime_genai", "onnx_ir")
IMPORTS_BY_WORKER = {
    "slimgate.steps.quantize._auto_round_worker": AUTO_ROUND,
    "slimgate.steps.convert._to_gguf_worker": AUTO_ROUND,
    "slimgate.steps.convert._to_onnx_genai_worker": GENAI,
}


def fork_workers(patch: pytest.MonkeyPatch) -> None:
    """Forks the workers above, when `ask_worker` asks them, until the patch is undone."""
    patch.setattr("slimgate._system.worker.run_worker", _run_forked)


def _run_forked(module: str, folder: Path, *, limit: float) -> Ended:
    """As slimgate's run_worker."""
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
