"""Starts processes quickly: they are forked from a server that has done the heavy imports.

The server has computed nothing, so its children can start threads. A fork of this process itself would hang
if PyTorch's threads have already run.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.forkserver import ensure_running
from typing import Any

from slimgate._system.threads import default_spinning

# The server imports these once, which saves each process two seconds. transformers imports its modules on
# first use, so the list names the modules that every model uses.
PRELOAD = [
    "torch",
    "slimgate.models.torch_model",  # before transformers, whose import of torchao it makes silent
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.generation.utils",
    "slimgate.run.measure.duel_worker",
    "slimgate.steps.training.trainer",
]


def start_forkserver() -> Any:
    """Starts the server unless it runs, and returns at once: it imports while this process goes on.

    Returns:
        The context of multiprocessing whose processes the server forks.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with default_spinning():
        ensure_running()
    return context
