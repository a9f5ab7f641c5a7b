"""Processes of our own, forked from a server that has the heavy imports behind it.

The server has computed nothing, so that its children start threads of their own; a fork of this process
would hang where PyTorch's threads have run already.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.forkserver import ensure_running
from typing import Any

# What the server imports once: two seconds that each process would take.
# transformers imports its modules when they are first used, so those that every model uses are named.
PRELOAD = [
    "torch",
    "slimgate.models.torch_model",  # before transformers, whose import of torchao it makes silent
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.generation.utils",
    "slimgate.run.measure.duel_worker",
    "slimgate.steps.training.trainer",
]


def start_server() -> None:
    """Starts the server, which then imports beside what this process does; returns at once."""
    forkserver()
    ensure_running()


def forkserver() -> Any:
    """multiprocessing's context of that server, which starts with the first process, or by `start_server`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context
