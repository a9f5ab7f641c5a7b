"""Workers of steps, forked from a process that has imported their libraries, which is most of their time.

    fork_workers(monkeypatch)

A worker has the same folder, arguments, code and death as one that `python -m` starts. Each file of tests
that forks its workers has a test that does not.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import pytest

from slimgate._system.worker import LOG_FILE, Ended, find_last_words
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
IMPORTS_BY_MODULE = {
    "slimgate.steps.quantize.auto_round": AUTO_ROUND,
    "slimgate.steps.convert.to_gguf": AUTO_ROUND,
    "slimgate.steps.convert.to_onnx_genai": GENAI,
}


def fork_workers(patch: pytest.MonkeyPatch) -> None:
    """Forks the workers of the steps above until the patch is undone."""
    for module, imports in IMPORTS_BY_MODULE.items():
        patch.setattr(f"{module}.run_worker", partial(_run_forked, imports))


def _run_forked(
    imports: tuple[str, ...],
    module: str,
    folder: Path,
    *,
    limit: float,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """As slimgate's run_worker."""
    variables, log = {**os.environ, **(environment or {})}, folder / LOG_FILE
    request = Request(module, [str(folder)], str(folder), variables, (os.devnull, os.devnull, str(log)))
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
