"""A suite of text generation with answers that are timed, on a tiny Llama."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from fixtures.models.architectures import write_tiny
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

SUITE = """
[suite]
title = "answers at speed"
threads = 1

[task]
kind = "text_generation"
source = { name = "files", train = "rows.csv", gate = "gate.csv", real = false }
prompt = "prompt"
max_new_tokens = 4
splits = { train = "rest", calibration = 0, selection = 2 }

[teacher]
model = "model"

[variants]
int8 = { steps = [{ int8_dynamic = {} }] }

[measure]
max_seconds = 0.5
workloads = [{ prompt_tokens = 24, new_tokens = 8, batch = 2 }]
"""
# A user's module with runtimes that wait in one phase of an answer.
SLOW = '''
"""PyTorch, but slow until the first token, or after it."""

import time

from slimgate.runtimes.eager import Eager, EagerPredictor

SECONDS = 0.05  # calls take 3 ms


class SlowPrefill(EagerPredictor):
    def prefill(self, prepared):
        time.sleep(SECONDS)
        return super().prefill(prepared)


class SlowDecode(EagerPredictor):
    def decode(self, state):
        time.sleep(SECONDS)
        return super().decode(state)


class Slow(Eager):
    def __init__(self, predictor):
        self._predictor = predictor

    def load(self, folder, params, *, device, threads):
        return self._predictor(super().load(folder, params, device=device, threads=threads).network, device)


slow_prefill, slow_decode = Slow(SlowPrefill), Slow(SlowDecode)
'''
SLOW_VARIANTS = """
slow_prefill = { runtime = { name = "slow_phases:slow_prefill" } }
slow_decode = { runtime = { name = "slow_phases:slow_decode" } }
"""


def write_writing_suite(folder: Path, **replaced: str) -> Path:
    """Writes the suite, its model and its rows, and returns the suite's file. replaced: texts to change."""
    if not (folder / "model").exists():
        write_tiny(folder / "model", "llama", causal=True, intermediate_size=32)
    for name, word, rows in (("rows.csv", "good", 8), ("gate.csv", "bad", 6)):
        prompts = [" ".join([word] * (i + 1)) + " film was" for i in range(rows)]
        csv.write_csv(pa.table({"prompt": prompts}), folder / name)
    text = SUITE
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "suite.toml").write_text(text, "utf-8")
    return folder / "suite.toml"


def make_writing_run(folder: Path, **replaced: str) -> SuiteRun:
    """The run of the suite, as one pytest session has it."""
    suite = load_suite(write_writing_suite(folder, **replaced), "suite.toml")
    return SuiteRun(suite, Store(folder / "store"), device="cpu")
